"""Memory over requests under one load, and the tests that tell a leak from caches, arenas and requests in flight."""

from collections.abc import Sequence
from dataclasses import dataclass

from pinchpoint.diagnosis.memory import MIN_GROWTH_BYTES, MIN_GROWTH_SHARE, MIN_LATE_SHARE, WARM_UP_SHARE
from pinchpoint.diagnosis.soak_signals import Look, Served, longest_stretch
from pinchpoint.diagnosis.trend import binned, trend
from pinchpoint.measures import Step
from pinchpoint.soak_records import Slope

MOST_BINS = 100
SHORTEST_BIN_S = 0.5
"""The collector reads memory more often, but neighbours say nothing new."""

ALIKE_RATIO = 1.5
"""Bytes per request under both loads, larger over smaller; what grows with time differs by the loads' ratio, 2."""

IDLE_SHARE = 0.2
"""Of the growth per second under load: what may still come without load, when buffers and collectors settle."""

IDLE_NOISE_BYTES = 5e5
"""Per worker."""

RETURNED_SHARE = 0.5
"""Of the growth under load, given back without load: memory of requests in flight, or garbage, and no leak."""

SETTLE_S = 1.0


@dataclass(frozen=True)
class Stretch:
    """Memory over requests under one load, with the same workers all the time."""

    slope: Slope | None
    late: Slope | None
    """Slope of the last third of the requests."""
    workers: int
    first_bytes: float
    requests: float
    """Completed within the stretch."""
    seconds: float

    @property
    def grown_bytes(self) -> float | None:
        """Growth by the fitted line."""
        return None if self.slope is None else self.slope.value * self.requests

    @property
    def needed_bytes(self) -> float:
        """Growth that is no noise (METHOD §5.7 condition ii)."""
        return max(MIN_GROWTH_SHARE * self.first_bytes, MIN_GROWTH_BYTES * self.workers)


def settled(slices: Sequence[Step]) -> list[Step]:
    """Leave out the first part, in which pools, caches and arenas fill."""
    start_s = slices[0].t_start_s + WARM_UP_SHARE * seconds_of(slices)
    return [step for step in slices if step.t_start_s >= start_s]


def seconds_of(slices: Sequence[Step]) -> float:
    """Return how long they lasted together."""
    return slices[-1].t_end_s - slices[0].t_start_s if slices else 0.0


def stretch_of(found: Sequence[Look], served: Served, slices: Sequence[Step]) -> Stretch | None:
    """Return memory over requests under one load; None where no memory was read or nothing was served."""
    late = settled(slices) if slices else []
    if not late:
        return None
    within = [one for one in found if late[0].t_start_s <= one.t_s <= late[-1].t_end_s]
    same = [one for one in longest_stretch(within) if one.memory_bytes is not None]
    if not same:
        return None
    seconds = same[-1].t_s - same[0].t_s
    bins = int(min(MOST_BINS, max(1.0, seconds / SHORTEST_BIN_S)))
    times, memory = binned([one.t_s for one in same], [one.memory_bytes or 0.0 for one in same], bins)
    requests = [served.until(t_s) for t_s in times]
    if requests[-1] <= requests[0]:
        return None
    from_third = requests[-1] - (requests[-1] - requests[0]) / 3
    last = [index for index, value in enumerate(requests) if value >= from_third]
    whole = trend(requests, memory)
    third = trend([requests[index] for index in last], [memory[index] for index in last])
    return Stretch(
        slope=whole[0] if whole else None,
        late=third[0] if third else None,
        workers=len(same[0].pids),
        first_bytes=memory[0],
        requests=requests[-1] - requests[0],
        seconds=seconds,
    )


def alike(main: Stretch | None, other: Stretch | None) -> bool | None:
    """Tell whether both loads give the same bytes per request; None when the second says too little."""
    if main is None or other is None or main.slope is None or other.slope is None or main.slope.value <= 0:
        return None
    small, large = sorted((main.slope.value, other.slope.value))
    if small > 0 and large <= ALIKE_RATIO * small:
        return True
    if other.slope.low <= 0 and other.slope.high >= main.slope.value:
        return None  # its interval holds both "the same" and "nothing"
    return False


def flat(found: Sequence[Look], main: Stretch | None, idle: Sequence[Step]) -> bool | None:
    """Tell whether memory stands still without load; None when there was no such time, or nothing grew before."""
    if not idle or main is None or main.grown_bytes is None or main.grown_bytes <= 0:
        return None
    idle_s, end_s = idle[0].t_start_s, idle[-1].t_end_s
    quarter_s = (end_s - idle_s) / 4
    same = longest_stretch([one for one in found if idle_s - quarter_s <= one.t_s <= end_s])
    before = _mean_memory(same, idle_s - quarter_s, idle_s)
    head = _mean_memory(same, idle_s + SETTLE_S, idle_s + SETTLE_S + quarter_s)
    tail = _mean_memory(same, end_s - quarter_s, end_s)
    if before is None or head is None or tail is None:
        return None
    apart_s = end_s - idle_s - SETTLE_S - quarter_s
    allowed = IDLE_SHARE * main.grown_bytes / main.seconds * apart_s
    given_back = before - tail > RETURNED_SHARE * main.grown_bytes
    return not given_back and tail - head <= max(allowed, IDLE_NOISE_BYTES * main.workers)


def _mean_memory(found: Sequence[Look], t0_s: float, t1_s: float) -> float | None:
    known = [one.memory_bytes for one in found if t0_s <= one.t_s <= t1_s and one.memory_bytes is not None]
    return sum(known) / len(known) if known else None


def still_grows(main: Stretch) -> bool | None:
    """Tell whether the last third grows like the whole: a filling cache flattens (METHOD §5.7 condition iii)."""
    if main.slope is None or main.late is None:
        return None
    return main.late.value > 0 and main.late.value >= MIN_LATE_SHARE * main.slope.value
