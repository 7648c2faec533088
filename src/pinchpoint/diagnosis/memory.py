"""Memory that grows with the requests served, and when it would run out.

METHOD §5.7: PSS over cumulative requests, robust slope, and five conditions that tell a leak from warm-up, filling
caches and the memory of requests in flight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinchpoint.diagnosis.steps import Ladder
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.measures import Step
from pinchpoint.rows import ProcessRow, SampleRow
from pinchpoint.statistics import Estimate, theil_sen

Floats = npt.NDArray[np.float64]

MEMORY_HORIZON_S = 3600.0
"""A leak that fills the memory within an hour at the sustainable rate binds; a slower one is a finding (DESIGN §3)."""

WARM_UP_SHARE = 0.2
"""First share of the requests served, left out: pools, caches and arenas fill."""

MIN_GROWTH_SHARE = 0.02
MIN_GROWTH_BYTES = 5e6
"""Per worker, over the regressed part (METHOD §5.7 condition ii)."""

MIN_LATE_SHARE = 0.5
"""Slope of the last third over the whole slope: a filling cache flattens (condition iii)."""

MAX_HALVES_RATIO = 3.0
"""Both halves of the requests must give the same bytes per request within this factor (condition iv)."""

MIN_CORRELATION = 0.9
"""A leak is a straight line over requests; noise and steps of an allocator are not."""

LEFT_OUT = frozenset({"warmup", "overload"})

MIN_POINTS = 10
MAX_POINTS = 60
"""Points spread evenly over the requests, so that long quiet steps weigh no more than short busy ones."""


@dataclass(frozen=True)
class Growth:
    """A memory leak, in bytes per request, and what it means."""

    bytes_per_request: Estimate
    grown_bytes: float
    free_bytes: float | None
    """What was left for the target when the growth was last seen."""
    seconds_to_limit: float | None
    """At the sustainable rate."""

    @property
    def binds(self) -> bool:
        """True when memory runs out within the horizon."""
        return self.seconds_to_limit is not None and self.seconds_to_limit <= MEMORY_HORIZON_S


def growth(samples: Samples, steps: Sequence[Step], sorted_out: Ladder) -> Growth | None:
    """Return the leak, or None when memory does not grow with requests beyond doubt.

    Only steps that held are used (profiled ones as well): the backlog of a failing step is memory, too, but no leak.
    """
    points = _points(samples, [step for step in steps if step.passed and step.phase not in LEFT_OUT])
    if len(points) < MIN_POINTS:
        return None
    requests, memory, workers = (np.asarray(column, dtype=float) for column in zip(*points, strict=True))
    start = requests[0] + WARM_UP_SHARE * (requests[-1] - requests[0])
    late = requests >= start
    if late.sum() < MIN_POINTS or len(set(workers[late])) > 1:
        return None
    spread = _spread(requests[late])
    x, y = requests[late][spread], memory[late][spread]
    slope = theil_sen(x.tolist(), y.tolist())
    grown = float(y[-1] - y[0])
    if slope is None or not _is_leak(x, y, slope, grown, float(workers[-1])):
        return None
    free = _free_bytes(samples, sorted_out.passed)
    rate = sorted_out.sustained.goodput_rps if sorted_out.sustained else 0.0
    seconds = free / (slope.value * rate) if free is not None and rate > 0 else None
    return Growth(slope, grown, free, seconds)


def _points(samples: Samples, held: Sequence[Step]) -> list[tuple[float, float, int]]:
    """Collect (requests served, memory in bytes, workers) for every row in which all workers' figures are known."""
    found = []
    anchors: dict[int, tuple[float, float]] = {}
    for step in sorted(held, key=lambda step: step.t_start_s):
        for row in samples.between(step.t_start_s, step.t_end_s):
            workers = [process for process in row["processes"] if process["role"] == "worker"]
            served = [(process["probe"] or {}).get("requests_done") for process in workers]
            memory = [carried_memory(process, anchors) for process in workers]
            if workers and None not in served and None not in memory:
                requests = sum(count for count in served if count is not None)
                found.append((float(requests), sum(size for size in memory if size is not None), len(workers)))
    return sorted(found)


def carried_memory(process: ProcessRow, anchors: dict[int, tuple[float, float]]) -> float | None:
    """Return the process's PSS, carried on by the growth of its RSS between two readings: PSS is too dear for 10 Hz."""
    pss, rss, pid = process["pss_bytes"], process["rss_bytes"], process["pid"]
    if pss is not None:
        anchors[pid] = (float(pss), float(rss if rss is not None else pss))
        return float(pss)
    if rss is None or pid not in anchors:
        return None
    anchor_pss, anchor_rss = anchors[pid]
    return anchor_pss + rss - anchor_rss


def _spread(requests: Floats) -> list[int]:
    """Return indices of points evenly spread over the requests."""
    targets = np.linspace(requests[0], requests[-1], MAX_POINTS)
    return sorted({int(np.argmin(np.abs(requests - target))) for target in targets})


def _is_leak(
    x: Floats,
    y: Floats,
    slope: Estimate,
    grown: float,
    workers: float,
) -> bool:
    if slope.low <= 0 or len(x) < MIN_POINTS:
        return False
    if grown < max(MIN_GROWTH_SHARE * float(y[0]), MIN_GROWTH_BYTES * workers):
        return False
    if float(np.corrcoef(x, y)[0, 1]) < MIN_CORRELATION:
        return False
    thirds = x[-1] - (x[-1] - x[0]) / 3
    late = _slope(x[x >= thirds], y[x >= thirds])
    middle = (x[0] + x[-1]) / 2
    first, second = _slope(x[x <= middle], y[x <= middle]), _slope(x[x > middle], y[x > middle])
    steady = late is None or late >= MIN_LATE_SHARE * slope.value
    if first is None or second is None:
        return steady
    alike = min(first, second) > 0 and max(first, second) <= MAX_HALVES_RATIO * min(first, second)
    return steady and alike


def _slope(x: Floats, y: Floats) -> float | None:
    """Least-squares slope, or None for fewer than three points."""
    if len(x) < 3 or float(np.ptp(x)) == 0:  # noqa: PLR2004 - two points always fit
        return None
    return float(np.polyfit(x, y, 1)[0])


def _free_bytes(samples: Samples, held: Sequence[Step]) -> float | None:
    if not held:
        return None
    end = max(step.t_end_s for step in held)
    rows = samples.between(end - 1.0, end) or samples.rows[-1:]
    return min(free_bytes(rows[-1]), default=None) if rows else None


def free_bytes(row: SampleRow) -> list[float]:
    """Return what the host has left, and what the control group has left when it has a limit."""
    left = [float(row["host"]["memory_available_bytes"])]
    cgroup = row["cgroup"]
    if cgroup is not None and cgroup["memory_limit_bytes"] is not None and cgroup["memory_bytes"] is not None:
        left.append(float(cgroup["memory_limit_bytes"] - cgroup["memory_bytes"]))
    return left
