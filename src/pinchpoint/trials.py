"""Trials of a load -> bounds and conditional throughput of a goal: MLRsearch's rules (RFC 9971; METHOD §1.2).

Pure and without state: the search and the diagnosis ask the same questions of the same trials.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Class = Literal["lower", "upper", "undecided"]

ROUNDING_S = 0.05
"""A trial that is shorter than asked for by less than this was held long enough."""

MOST_SPARED = 0.6
"""Of all trials: a host that steals every tenth second spoils four in ten."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a load must do to be called sustainable in one sense, and how sure that must be."""

    name: str
    description: str
    loss_ratio: float
    """Share of the arrivals that may be lost."""
    trial_s: float
    """A shorter trial is *short*: it can cast doubt, but not settle anything."""
    sum_s: float
    """Seconds of trials that settle a load."""
    width: float
    """Relative distance of the bounds at which the search stops."""
    exceed: float = 0.5
    """Share of the trials (by duration) that may miss the goal."""

    def coarser(self, trial_s: float) -> "Goal":
        """Return the goal that a ramp of short trials can settle."""
        return replace(self, trial_s=min(trial_s, self.trial_s), sum_s=min(trial_s, self.sum_s))


@dataclass(frozen=True, slots=True)
class Trial:
    """What one goal makes of one step."""

    load: float
    seconds: float
    missed: bool
    lost: float
    """Share of the arrivals that the conditional throughput leaves out."""
    weight: float = 1.0
    """Of its duration: a miss that a disturbance of the host explains as well must be seen again to count."""
    spared: float | None = None
    """Its weight as a hit, when nothing but a disturbance was wrong; None when something else was."""


def forgiven(trials: Sequence[Trial]) -> list[Trial]:
    """Count spared misses as hits of little weight, unless a run has so many of them that the app does it by itself."""
    spared = sum(1 for trial in trials if trial.spared is not None)
    if spared > MOST_SPARED * len(trials):
        return list(trials)
    return [
        trial if trial.spared is None else replace(trial, missed=False, weight=trial.spared, spared=None)
        for trial in trials
    ]


@dataclass(frozen=True, slots=True)
class Sums:
    """Seconds of the trials at one load."""

    full_low: float = 0.0
    full_high: float = 0.0
    short_low: float = 0.0
    short_high: float = 0.0


def sums(trials: Iterable[Trial], goal: Goal) -> Sums:
    """Add up the weighted seconds of trials at one load: long enough or short, goal met or missed."""
    bins = {(full, missed): 0.0 for full in (True, False) for missed in (True, False)}
    for trial in trials:
        bins[_full(trial, goal), trial.missed] += _counted_s(trial, goal)
    return Sums(bins[True, False], bins[True, True], bins[False, False], bins[False, True])


def _full(trial: Trial, goal: Goal) -> bool:
    return trial.seconds >= goal.trial_s - ROUNDING_S


def _counted_s(trial: Trial, goal: Goal) -> float:
    """Return what a trial counts: one held longer, for its few arrivals, is still one trial."""
    return (goal.trial_s if _full(trial, goal) else trial.seconds) * trial.weight


def classify(found: Sums, goal: Goal) -> Class:
    """Tell what the trials at one load make of it (RFC 9971, appendix A).

    Pessimistic: whatever is missing to `sum_s` would miss the goal; optimistic: it would meet it. Where both agree, the
    load is settled.
    """
    coefficient = goal.exceed / (1 - goal.exceed)
    excess = max(0.0, found.short_high - found.short_low * coefficient)
    high = found.full_high + excess
    whole = max(found.full_low + high, goal.sum_s)
    limit = whole * goal.exceed
    pessimistic, optimistic = whole - found.full_low <= limit, high <= limit
    if pessimistic != optimistic:
        return "undecided"
    return "lower" if pessimistic else "upper"


def at(trials: Iterable[Trial], load: float) -> list[Trial]:
    """Return the trials of one load."""
    return [trial for trial in trials if trial.load == load]


def classes(trials: Sequence[Trial], goal: Goal, coarse: Goal | None = None) -> dict[float, Class]:
    """Return load -> class, lightest first; where the goal leaves a load undecided, the coarser one decides."""
    found: dict[float, Class] = {}
    for load in sorted({trial.load for trial in trials}):
        there = at(trials, load)
        settled = classify(sums(there, goal), goal)
        if settled == "undecided" and coarse is not None:
            settled = classify(sums(there, coarse), coarse)
        found[load] = settled
    return found


def relevant_bounds(found: dict[float, Class]) -> tuple[float | None, float | None]:
    """Return (relevant lower bound, relevant upper bound).

    The upper is the smallest load that missed the goal, the lower the largest below it that met it: where a heavier
    load did better (loss inversion), the cautious answer counts.
    """
    upper = min((load for load, settled in found.items() if settled == "upper"), default=None)
    lowers = (load for load, settled in found.items() if settled == "lower" and (upper is None or load < upper))
    return max(lowers, default=None), upper


def lost_share(trials: Iterable[Trial], goal: Goal) -> float:
    """Return the loss that `1 - exceed` of the long enough trials at one load stay within (RFC 9971, appendix B).

    What is missing to `sum_s` counts as lost whole.
    """
    full = sorted((trial for trial in trials if _full(trial, goal)), key=lambda trial: trial.lost)
    seconds = sum(_counted_s(trial, goal) for trial in full)
    remaining = max(goal.sum_s, seconds) * (1 - goal.exceed)
    for trial in full:
        remaining -= _counted_s(trial, goal)
        if remaining <= 0:
            return trial.lost
    return 1.0


def conditional_throughput(trials: Sequence[Trial], load: float, goal: Goal, coarse: Goal | None = None) -> float:
    """Return the rate that is forwarded at a lower bound in all but `exceed` of the trials; the unit of `load`."""
    there = at(trials, load)
    settled = classify(sums(there, goal), goal)
    return load * (1 - lost_share(there, coarse if settled == "undecided" and coarse is not None else goal))
