"""The loads that a run held, what was seen at each, and which of them two runs have in common."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pinchpoint.diagnosis import stage_steps
from pinchpoint.diagnosis.steps import CAPACITY_PHASES, load_of
from pinchpoint.measures import Step

SAME_LOAD = 0.03
"""Loads this close are the same: requests per arrival are measured anew in each run (`steps.SAME_UNIT_MARGIN`)."""


@dataclass(frozen=True, slots=True)
class Level:
    """One load of one run; medians over its trials, counts over all of them. None: not measured."""

    load: float
    """Requests per second asked for, or users."""
    trials: int
    held: bool
    """At least half of its trials broke no limit."""
    goodput_rps: float
    done: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_cores: float | None
    cpu_ms_per_request: float | None
    """CPU of the server over the requests that were answered."""
    pss_bytes: float | None
    rss_bytes: float | None

    @property
    def error_rate(self) -> float | None:
        """Failed over answered."""
        return self.failed / self.done if self.done else None


def levels(steps: Sequence[Step]) -> list[Level]:
    """Return the loads that count, lightest first; not warm-up, overload, profiles and void steps."""
    counted = [step for step in steps if step.phase in CAPACITY_PHASES or step.phase == "soak"]
    counted += stage_steps.counted(steps)
    loads = sorted({load_of(step) for step in counted} - {0.0})
    return [_level(load, [step for step in counted if load_of(step) == load]) for load in loads]


def _level(load: float, steps: Sequence[Step]) -> Level:
    latencies = [step.latency_ms for step in steps if step.latency_ms is not None]
    return Level(
        load=load,
        trials=len(steps),
        held=2 * sum(step.passed for step in steps) >= len(steps),
        goodput_rps=statistics.median(step.goodput_rps for step in steps),
        done=sum(step.client.ok + step.client.failed for step in steps),
        failed=sum(step.client.failed for step in steps),
        p50_ms=middle(one.p50 for one in latencies),
        p95_ms=middle(one.p95 for one in latencies),
        p99_ms=middle(one.p99 for one in latencies),
        cpu_cores=middle(step.server.cpu_cores for step in steps),
        cpu_ms_per_request=middle(map(_cpu_ms, steps)),
        pss_bytes=middle(step.server.pss_bytes for step in steps),
        rss_bytes=middle(step.server.rss_bytes for step in steps),
    )


def middle(values: Iterable[float | None]) -> float | None:
    """Return the median of what was measured; None when nothing was."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _cpu_ms(step: Step) -> float | None:
    """Return CPU per answered request: goodput alone would charge failures to those that succeeded."""
    kept = 1.0 - (step.error_rate or 0.0)
    if step.server.cpu_cores is None or step.goodput_rps <= 0 or kept <= 0:
        return None
    return step.server.cpu_cores / (step.goodput_rps / kept) * 1000.0


Pair = tuple[Level, Level]


def matched(before: Sequence[Level], after: Sequence[Level]) -> list[Pair]:
    """Return the loads of both runs, lightest first: each the other's nearest, within `SAME_LOAD`."""
    pairs = []
    for one in before:
        two = _nearest(one, after)
        if two is not None and _nearest(two, before) is one and _apart(one, two) <= math.log1p(SAME_LOAD):
            pairs.append((one, two))
    return pairs


def _nearest(one: Level, others: Sequence[Level]) -> Level | None:
    return min(others, key=lambda other: _apart(one, other), default=None)


def _apart(one: Level, two: Level) -> float:
    return abs(math.log(one.load / two.load))


def column(pairs: Iterable[Pair], figure: Callable[[Level], float | None]) -> list[tuple[float, float, float]]:
    """Return (load, before, after) of a figure, where both runs have one above 0."""
    found = [(one.load, figure(one), figure(two)) for one, two in pairs]
    return [(load, one, two) for load, one, two in found if one and two and one > 0 and two > 0]
