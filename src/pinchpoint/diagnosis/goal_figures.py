"""What the search's steps say about its goals: bounds, conditional throughput, intervals over trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pinchpoint.backlog import backlog
from pinchpoint.diagnosis.plateaus import RESAMPLES, Saturation, is_counted
from pinchpoint.diagnosis.steps import load_of
from pinchpoint.goals import Limits, outcome, three_goals, trial
from pinchpoint.measures import Step
from pinchpoint.records import GoalFigures
from pinchpoint.rows import DigestRow
from pinchpoint.statistics import INTERVAL_PERCENT, SEED
from pinchpoint.trials import Goal, Trial, classes, conditional_throughput, forgiven, relevant_bounds

FEWEST_TRIALS = 3
"""At and around a bound; fewer have no interval."""

NO_WIDTH = 0.0
"""The width only stops a search; what was measured is judged without it."""


@dataclass(frozen=True, slots=True)
class GoalTrials:
    """One goal, and every counted step under it."""

    goal: Goal
    coarse: Goal
    trials: tuple[Trial, ...]

    def bounds(self) -> tuple[float | None, float | None]:
        """Return the relevant bounds."""
        return relevant_bounds(classes(self.trials, self.goal, self.coarse))

    def throughput(self, lower: float) -> float:
        """Return the conditional throughput at the lower bound."""
        return conditional_throughput(self.trials, lower, self.goal, self.coarse)


def goal_trials(steps: Sequence[Step], rows: Mapping[int, Sequence[DigestRow]], limits: Limits) -> list[GoalTrials]:
    """Put every step that sets capacity under the three goals (strict, slo, breaking); empty without rows."""
    counted = [step for step in steps if is_counted(step) and step.model == "rate" and rows.get(step.index)]
    if not counted:
        return []
    # A ramp is made of short steps; what the search held is what it took for a whole trial.
    ramp_s = min(_length_s(step) for step in counted)
    trial_s = min((_length_s(step) for step in counted if step.phase == "search"), default=ramp_s)
    found = {step.index: outcome(rows[step.index], backlog(rows[step.index]), limits) for step in counted}
    result = []
    for goal in three_goals(limits, max(trial_s, ramp_s), max(trial_s, ramp_s), NO_WIDTH):
        trials = [
            trial(goal, load_of(step), _length_s(step), found[step.index], passed=step.passed, gross=step.weight >= 1.0)
            for step in counted
        ]
        result.append(GoalTrials(goal, goal.coarser(ramp_s), tuple(forgiven(trials))))
    return result


def _length_s(step: Step) -> float:
    return step.t_end_s - step.t_start_s


def goal_figures(found: GoalTrials, level: Saturation | None) -> GoalFigures:
    """Return one goal's figures; no throughput is above what was served while a queue grew.

    An open load above the plateau cannot be sustained, however well a short trial at it went: what a trial has not lost
    yet stands in its queue.
    """
    lower, upper = found.bounds()
    throughput = None if lower is None else found.throughput(lower)
    return GoalFigures(
        name=found.goal.name,
        description=found.goal.description,
        loss_ratio=found.goal.loss_ratio,
        lower_rps=lower,
        upper_rps=upper,
        throughput_rps=_capped(throughput, None if level is None else level.capacity),
        ci_rps=None if lower is None else _interval(found, lower, upper, level),
        trials=sum(1 for each in found.trials if each.load in {lower, upper}),
    )


def _capped(rate: float | None, highest: float | None) -> float | None:
    return rate if rate is None or highest is None else min(rate, highest)


def _interval(
    found: GoalTrials, lower: float, upper: float | None, level: Saturation | None
) -> tuple[float, float] | None:
    """Resample the trials at each load, and the plateau's; the bracket's own upper end counts as well.

    The search says nothing about what lies between its bounds, so the interval reaches up to the upper one or the
    plateau, whichever is lower.
    """
    near = [each for each in found.trials if each.load in {lower, upper}]
    if upper is None or (len(near) < FEWEST_TRIALS and (level is None or level.ci is None)):
        return None
    rng = np.random.default_rng(SEED)
    by_load: dict[float, list[Trial]] = {}
    for each in found.trials:
        by_load.setdefault(each.load, []).append(each)
    rates: list[float] = []
    for k in range(RESAMPLES):
        drawn = [
            there[index] for there in by_load.values() for index in rng.integers(0, len(there), len(there)).tolist()
        ]
        below = relevant_bounds(classes(drawn, found.goal, found.coarse))[0]
        highest = level.samples[k] if level is not None and level.samples else None
        if below is not None:
            rate = conditional_throughput(drawn, below, found.goal, found.coarse)
            rates.append(rate if highest is None else min(rate, highest))
    if not rates:
        return None
    low, high = (float(edge) for edge in np.percentile(rates, INTERVAL_PERCENT))
    ends = [upper] if level is None else [upper, level.capacity if level.ci is None else level.ci[1]]
    return low, max(high, min(ends))
