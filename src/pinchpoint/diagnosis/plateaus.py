"""Where goodput levels off: a broken stick over the steps, refined by the seconds that a queue stood all through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pinchpoint.backlog import served_while_queued, typical_rps
from pinchpoint.diagnosis.steps import CAPACITY_PHASES, LOAD_PHASES, load_of
from pinchpoint.measures import Step
from pinchpoint.rows import DigestRow
from pinchpoint.statistics import INTERVAL_PERCENT, SEED, plateau

ALIKE = 0.9
"""Steps that serve less than this of the best one's rate have collapsed: their seconds are not the plateau's."""

RESAMPLES = 200

FEWEST_STEPS = 2
"""An interval over trials needs two of them."""

COLLAPSE_FROM = 1.2
"""An overload of less than this times the plateau says nothing about a collapse."""


@dataclass(frozen=True, slots=True)
class Saturation:
    """The plateau; requests per second."""

    capacity: float
    ci: tuple[float, float] | None
    samples: tuple[float, ...] = ()
    """Bootstrap resamples over steps."""
    trials: int = 0
    """Steps that held a queue all through a second or more, and agree on what was served then."""


def saturation(steps: Sequence[Step], rows: Mapping[int, Sequence[DigestRow]]) -> Saturation | None:
    """Return the plateau of an open load; None when goodput followed the load to the end.

    Args:
        steps: all steps of the run.
        rows: step index -> all digest rows of its segment.

    """
    counted = [step for step in steps if step.phase in LOAD_PHASES]
    fitted = plateau([load_of(step) for step in counted], [_level(step, rows.get(step.index, ())) for step in counted])
    if fitted is None or not fitted.reached:
        return None
    broke = [step for step in counted if not step.passed]
    served = [pairs for step in broke if (pairs := served_while_queued(rows.get(step.index, ())))]
    rates = [typical_rps(pairs) or 0.0 for pairs in served]
    # Where a load held and heavier ones served clearly less, the plateau is the top, not the rubble behind it.
    best = max([*rates, *(min(step.goodput_rps, load_of(step)) for step in counted if step.passed)], default=0.0)
    kept = [pairs for pairs, rate in zip(served, rates, strict=True) if rate >= ALIKE * best]
    refined = typical_rps([pair for pairs in kept for pair in pairs])
    if refined is None:
        return Saturation(fitted.capacity, (fitted.low, fitted.high))
    samples = _resampled(kept)
    interval = None
    if len(kept) >= FEWEST_STEPS:
        low, high = (float(edge) for edge in np.percentile(samples, INTERVAL_PERCENT))
        interval = (min(low, refined), max(high, refined))
    return Saturation(refined, interval, samples, len(kept))


def _level(step: Step, rows: Sequence[DigestRow]) -> float:
    """Return what a step's load was answered with, without seconds that were taken from the server."""
    served = typical_rps(served_while_queued(rows)) if rows else None
    if served is not None:
        return served
    held = step.passed and step.disturbed
    return load_of(step) * (1 - (step.error_rate or 0.0)) if held else step.goodput_rps


def _resampled(kept: Sequence[Sequence[tuple[int, float]]]) -> tuple[float, ...]:
    """Draw steps with replacement: the trial is what is repeated, not the request (METHOD §1.8)."""
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(0, len(kept), (RESAMPLES, len(kept)))
    return tuple(typical_rps([pair for k in row for pair in kept[k]]) or 0.0 for row in chosen)


def collapse_ratio(
    steps: Sequence[Step], rows: Mapping[int, Sequence[DigestRow]], plateau_rps: float | None
) -> float | None:
    """Return goodput under overload over the plateau (METHOD §1.1); None without an overload well above it.

    The load asked for is 1.5 times the plateau; it is never more than a bit off.
    """
    if not plateau_rps:
        return None
    heavy = [step for step in steps if step.phase == "overload" and load_of(step) >= COLLAPSE_FROM * plateau_rps]
    if not heavy:
        return None
    step = heavy[-1]
    served = typical_rps(served_while_queued(rows.get(step.index, ())))
    return (step.goodput_rps if served is None else served) / plateau_rps


def is_counted(step: Step) -> bool:
    """Tell whether a step sets capacity."""
    return step.phase in CAPACITY_PHASES
