"""`step` events, digests and samples -> steps; and which of them mean what."""

import statistics
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pinchpoint.backlog import Backlog, backlog
from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.diagnosis import stage_steps
from pinchpoint.diagnosis.windows import Samples, server_figures
from pinchpoint.goals import Limits, limits_of, outcome, three_goals, trial
from pinchpoint.measures import ClientFigures, Model, Phase, ServerFigures, Step
from pinchpoint.recording import Recording
from pinchpoint.rows import DigestRow, EventRow
from pinchpoint.statistics import is_steady

CAPACITY_PHASES = frozenset({"baseline", "ramp", "search"})
"""Steps that set capacity; warm-up is not steady, profiled steps carry the profiler."""

LOAD_PHASES = CAPACITY_PHASES | {"overload"}
SLICES = frozenset({"stage", "soak"})
"""Steps that share a segment with others."""

LOW_LOAD_SHARE = 0.6
"""Holding times come from steps up to this share of the limit: above, they start to hold queueing (DESIGN §6)."""

MIN_LOW_REQUESTS = 20
"""Requests a step needs to say anything about demand."""

SAME_UNIT_MARGIN = 0.03
"""Requests per arrival within this of 1 are 1: window edges cut a few requests."""

OUTDONE = 1.2
"""Goodput of a heavier step over that of a step that fell short of its load: above, the lighter one was disturbed."""

BEYOND_CHANCE = 3.0
"""Standard deviations (of counted answers) by which it must be above: short steps hold a hundred answers."""

FELL_SHORT = 0.9
"""Goodput over the load asked for, below which a step claims that the server could do no more."""

DIGEST_S = 1.0
"""Longest digest row."""

LATE_S = 1.0
"""The last row of a segment may be cut this long after the step's end."""


def build_steps(recording: Recording, samples: Samples) -> list[Step]:
    """Return every step whose end was recorded, with its figures, in time order."""
    digests = sorted(recording.digests, key=lambda row: row["t0_s"])
    starts = [row["t0_s"] for row in digests]
    deaths = [event["t_s"] for event in recording.events if event.get("kind") == "worker-exit" and "t_s" in event]
    limits = limits_of(recording.settings.get("slo") or {})
    found = []
    for data in _ended(recording.events):
        t0_s, t1_s = data["t_start_s"] + data.get("settle_s", 0.0), data["t_end_s"]
        rows = digests[bisect_left(starts, t0_s - 2 * DIGEST_S) : bisect_left(starts, t1_s)]
        died = sum(1 for t_s in deaths if data["t_start_s"] <= t_s <= t1_s)
        client, server = client_figures(rows, t0_s, t1_s), server_figures(samples, rows, t0_s, t1_s, died)
        found.append(_step(data, rows, segment_rows(digests, starts, data), client, server, limits))
    found.sort(key=lambda step: step.t_start_s)
    return _in_requests(found)


def _ended(events: Sequence[EventRow]) -> Iterator[dict[str, Any]]:
    """Yield what was recorded of every step at its end."""
    for event in events:
        data = event.get("data") or {}
        if event.get("kind") == "step" and {"t_start_s", "t_end_s", "phase", "index"} <= data.keys():
            yield data


def _step(
    data: dict[str, Any],
    rows: Sequence[DigestRow],
    whole: Sequence[DigestRow],
    client: ClientWindow,
    server: ServerFigures,
    limits: Limits,
) -> Step:
    """Put a step together from what its end recorded, and from its window's `rows` and its `whole` segment's."""
    queue = backlog(whole) if data.get("users") is None else None
    return Step(
        index=data["index"],
        phase=cast("Phase", data["phase"]),
        model=cast("Model", data.get("model", "rate")),
        t_start_s=data["t_start_s"],
        t_end_s=data["t_end_s"],
        settle_s=data.get("settle_s", 0.0),
        offered_rps=data.get("offered_rps"),
        users=data.get("users"),
        started_rps=client.started_rps,
        goodput_rps=client.goodput_rps,
        error_rate=client.error_rate,
        latency_ms=client.latency,
        client=client.figures if queue is None else _with_backlog(client.figures, whole, queue, limits),
        server=server,
        passed=bool(data.get("passed", False)),
        breaches=list(data.get("breaches") or []),
        steady=is_steady([_per_s(row) for row in rows if _spans_a_second(row) and row["process"] == 0]),
        disturbed=queue.disturbed if queue is not None else False,
        weight=_weight(data, whole, limits),
    )


def segment_rows(digests: Sequence[DigestRow], starts: Sequence[float], data: dict[str, Any]) -> list[DigestRow]:
    """Return all rows of a step's segment, settling time included; `starts` are their `t0_s`, in order.

    Older recordings name no segment: there the rows that lie within the step count.
    """
    first, last = bisect_left(starts, data["t_start_s"] - LATE_S), bisect_left(starts, data["t_end_s"] + LATE_S)
    near = digests[first:last]
    segment = data.get("segment")
    if segment is None or data["phase"] in SLICES:
        return [row for row in near if data["t_start_s"] <= (row["t0_s"] + row["t1_s"]) / 2 < data["t_end_s"]]
    return [row for row in near if row["segment"] == segment]


def rows_by_step(recording: Recording) -> dict[int, list[DigestRow]]:
    """Return step index -> all digest rows of its segment, in time order."""
    digests = sorted(recording.digests, key=lambda row: row["t0_s"])
    starts = [row["t0_s"] for row in digests]
    found = {}
    for event in recording.events:
        data = event.get("data") or {}
        if event.get("kind") == "step" and {"t_start_s", "t_end_s", "index"} <= data.keys():
            found[data["index"]] = segment_rows(digests, starts, data)
    return found


def _with_backlog(figures: ClientFigures, rows: Sequence[DigestRow], queue: Backlog, limits: Limits) -> ClientFigures:
    """Add what the whole segment says: a queue is exact only from the start, when nothing was in flight."""
    if not rows:
        return figures
    return replace(
        figures,
        backlog_end=queue.end,
        backlog_slope_rps=queue.slope_rps,
        losses=outcome(rows, queue, limits).losses,
    )


def _weight(data: dict[str, Any], rows: Sequence[DigestRow], limits: Limits) -> float:
    """Return what a failure counts; recordings that do not say how clear it was count it whole."""
    if data.get("passed", False) or data.get("gross") is None or data.get("users") is not None:
        return 1.0
    found = outcome(rows, backlog(rows), limits)
    slo = three_goals(limits, 0.0, 0.0, 0.0)[1]
    return trial(slo, 1.0, 1.0, found, passed=False, gross=bool(data["gross"])).weight


def _spans_a_second(row: DigestRow) -> bool:
    return row["t1_s"] - row["t0_s"] > DIGEST_S / 2


def _per_s(row: DigestRow) -> float:
    return sum(entry["ok"] + entry["failed"] for entry in row["names"].values()) / (row["t1_s"] - row["t0_s"])


def _in_requests(steps: Sequence[Step]) -> list[Step]:
    """Turn arrivals per second into requests per second where one arrival makes several requests."""
    factor = _requests_per_arrival(steps)
    if factor is None:
        return list(steps)
    return [
        replace(
            step,
            offered_rps=None if step.offered_rps is None else step.offered_rps * factor,
            started_rps=step.started_rps * factor,
        )
        for step in steps
    ]


def _requests_per_arrival(steps: Sequence[Step]) -> float | None:
    calm = [step for step in steps if step.passed and step.phase in CAPACITY_PHASES | {"stage"}]
    calm.sort(key=load_of)
    calm = calm[: max(1, len(calm) // 2)]
    started = sum(step.client.started for step in calm)
    done = sum(step.client.ok + step.client.failed for step in calm)
    if started < MIN_LOW_REQUESTS or done == 0:
        return None
    # The edges of a window cut off some requests, so a small difference is none; a stall may cut off a second's.
    ratios = [(step.client.ok + step.client.failed) / step.client.started for step in calm if step.client.started]
    factor = statistics.median(ratios)
    return None if abs(factor - 1.0) <= SAME_UNIT_MARGIN + 2 / started**0.5 else factor


def load_of(step: Step) -> float:
    """Return the step's load on one scale: requests per second asked for, or users."""
    if step.offered_rps is not None:
        return step.offered_rps
    return float(step.users or 0)


@dataclass(frozen=True)
class Ladder:
    """The steps that set capacity, sorted out."""

    passed: list[Step]
    """By load, lowest first; baseline included."""
    failed: list[Step]
    """By load, lowest first; only loads above the highest one that passed."""
    inversions: int
    """Loads that failed although a higher one passed, and that no repetition cleared."""
    overload: list[Step]
    low: Step | None
    """The lightest load with enough requests to say something."""
    sustained: Step | None
    limit: Step | None
    """The lightest load that broke; without one the heaviest that held."""

    @property
    def reached(self) -> bool:
        """True when some load broke."""
        return bool(self.failed)

    @property
    def overload_held(self) -> bool:
        """True when a load heavier than one that broke held: what broke was not the server's limit."""
        return any(step.passed and load_of(step) > load_of(broke) for step in self.overload for broke in self.failed)

    @property
    def contradicted(self) -> list[Step]:
        """Steps that fell short although a heavier one served clearly more, or held: the host was disturbed."""
        heavier = [*self.failed, *self.overload]
        # Only the limit's own trials say what the limit is; one of them that nothing outdid is enough for it.
        lightest = [step for step in self.failed if load_of(step) == load_of(self.failed[0])]
        outdone = [step for step in lightest if any(_outdoes(other, step) for other in heavier)]
        undisturbed = not any(step.disturbed for step in lightest)
        return outdone if undisturbed and len(outdone) == len(lightest) else []


def _outdoes(heavier: Step, step: Step) -> bool:
    if heavier.offered_rps is None or step.offered_rps is None or heavier.offered_rps <= step.offered_rps:
        return False
    if heavier.passed:
        return True
    more = heavier.goodput_rps - step.goodput_rps
    short = step.goodput_rps < FELL_SHORT * step.offered_rps
    clear = more >= (OUTDONE - 1.0) * step.goodput_rps
    return short and clear and more > BEYOND_CHANCE * (_variance(heavier) + _variance(step)) ** 0.5


def _variance(step: Step) -> float:
    """Variance of the goodput by chance alone: a counted rate's, as if answers came at random."""
    return step.goodput_rps / max(0.1, step.t_end_s - step.t_start_s - step.settle_s)


def ladder(steps: Sequence[Step]) -> Ladder:
    """Sort the capacity steps into what held and what broke."""
    counted = [step for step in steps if step.phase in CAPACITY_PHASES] + stage_steps.counted(steps)
    held = {load for load in {load_of(step) for step in counted} if _held(counted, load)}
    passed = sorted((step for step in counted if step.passed and load_of(step) in held), key=load_of)
    top = load_of(passed[-1]) if passed else 0.0
    broke = [step for step in counted if not step.passed and load_of(step) not in held]
    failed = sorted((step for step in broke if not passed or load_of(step) > top), key=lambda s: (load_of(s), s.index))
    inversions = {load_of(step) for step in broke if load_of(step) <= top}
    return Ladder(
        passed=passed,
        failed=failed,
        inversions=len(inversions),
        overload=[step for step in steps if step.phase == "overload"],
        low=next((step for step in passed if enough(step)), passed[0] if passed else None),
        sustained=passed[-1] if passed else None,
        limit=failed[0] if failed else (passed[-1] if passed else None),
    )


def _held(steps: Sequence[Step], load: float) -> bool:
    """Tell whether the trials at a load that held, by their length, are at least as much as those that did not."""
    there = [step for step in steps if load_of(step) == load]
    low = sum(step.t_end_s - step.t_start_s for step in there if step.passed)
    high = sum((step.t_end_s - step.t_start_s) * step.weight for step in there if not step.passed)
    return low > 0 and low >= high


def enough(step: Step) -> bool:
    """Return True when the step completed enough requests for a demand."""
    return step.client.ok + step.client.failed >= MIN_LOW_REQUESTS


def low_steps(sorted_out: Ladder) -> list[Step]:
    """Return the steps light enough to hold no queueing: up to `LOW_LOAD_SHARE` of the limit, at least the lightest."""
    if sorted_out.limit is None:
        return []
    bound = LOW_LOAD_SHARE * load_of(sorted_out.limit)
    light = [step for step in sorted_out.passed if load_of(step) <= bound]
    calm = [step for step in light if enough(step)]
    if not calm and sum(step.client.ok + step.client.failed for step in light) >= MIN_LOW_REQUESTS:
        return light  # a slow app: several short looks together are enough
    return calm or ([sorted_out.low] if sorted_out.low is not None else [])


def slo_of(settings: dict[str, Any]) -> tuple[float | None, float | None]:
    """(p95 limit in ms, highest error rate) of the recording's settings."""
    slo = settings.get("slo") or {}
    return slo.get("p95_ms"), slo.get("max_error_rate")
