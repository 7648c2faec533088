"""Which load to try next in the open model: MLRsearch (RFC 9971) for three goals, in a pull model. Pure: no clock.

A coarse geometric ramp finds the first load that breaks. What the server served while that load's queue grew is nearly
its capacity, so the search goes there at once: just below, then just above, each step twice as wide as the one before,
halving the bracket where that is less. A miss that chance or a disturbed second explains as well is repeated, and the
majority counts. The user's goal comes first, the other two get what time is left.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pinchpoint.backlog import BURST_FACTOR
from pinchpoint.goals import Outcome, trial
from pinchpoint.measures import Phase
from pinchpoint.stress.ramp import BACK_OFF_FACTOR, LOWEST_RATE_RPS, RAMP_FACTOR
from pinchpoint.trials import Class, Goal, Trial, classes, conditional_throughput, forgiven, relevant_bounds

Stop = Literal["", "width", "highest", "lowest", "time"]

OVERHEAD_S = 0.5
"""Around a trial: telling the generator, the last digest, a look at the backlog."""

DOUBTED = 0.97
"""Of a load that held: a queue that is served more slowly than that is a collapse or a disturbance."""

LAST_DOUBT = 2
"""Misses of the lightest load that a third trial may still clear."""

FIRST_LOOKS = 2
"""Loads at which a failure in a disturbed step sends the search up, not down: light steps are spoilt most easily."""

MOST_REPEATS = 5
"""A load that is still undecided after this many trials is nobody's bound."""

ALIKE = 0.9
"""Forwarding rates below this share of the best one come from a collapse or a disturbance."""

BELOW_GUESS = 0.6
"""Of the width: the first trial near the forwarding rate lies this far below it, so that the next one lies above."""

CLEARLY_ABOVE = 1.3
"""Of what a trial can tell from bursts: the first load above the forwarding rate lies so far above it that its queue
is noticed. Nearer ones would pass or fail by chance, and the forwarding rate says more about them than they do."""

ENOUGH_ARRIVALS = 120
"""A step of fewer arrivals says little about one in a hundred; it is held up to `LONGEST_FACTOR` times longer."""

LONGEST_FACTOR = 2.5


@dataclass(frozen=True, slots=True)
class Measured:
    """One step of the search."""

    load: float
    """Arrivals per second."""
    seconds: float
    passed: bool
    """Within the user's limits."""
    gross: bool
    outcome: Outcome
    queued: bool = False
    """The queue grew."""
    forwarding_rps: float | None = None
    """What was served while it did, in arrivals per second."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The next load to hold."""

    load: float
    seconds: float
    phase: Phase
    goal: str


@dataclass(frozen=True, slots=True)
class GoalResult:
    """The bounds of one goal, and what is forwarded at the lower one; arrivals per second."""

    goal: Goal
    lower: float | None
    upper: float | None
    throughput: float | None
    trials: int


@dataclass
class Search:
    """The search's settings and why it stopped; everything else follows from the trials given."""

    goals: Sequence[Goal]
    """In the order of `goals.three_goals`."""
    ramp_s: float
    start: float
    highest: float
    dwell_s: float | None = None
    """The user's own length of every trial."""
    stopped: Stop = ""

    def next(self, trials: Sequence[Measured], left_s: float) -> Ask | None:
        """Return what to try next; None when the bounds are close enough or the time left holds no further trial."""
        self.stopped = ""
        for goal in sorted(self.goals, key=lambda each: ["slo", "breaking", "strict"].index(each.name)):
            ask = self._for_goal(goal, trials)
            if isinstance(ask, Ask):
                if ask.seconds + OVERHEAD_S <= left_s:
                    return ask
                shorter = self._shorter(ask, left_s)
                self.stopped = self.stopped or ("time" if shorter is None else "")
                return shorter
            self.stopped = self.stopped or ask
            if ask != "width":
                return None
        return None

    def results(self, trials: Sequence[Measured]) -> list[GoalResult]:
        """Return the best answer so far for every goal."""
        return [self._result(goal, trials) for goal in self.goals]

    def bounds(self, trials: Sequence[Measured], name: str = "slo") -> tuple[float | None, float | None]:
        """Return the relevant bounds of a goal."""
        goal = self._goal(name)
        return relevant_bounds(self._classes(goal, trials))

    def guess(self, trials: Sequence[Measured]) -> float | None:
        """Return the forwarding rate of the queues that grew: about the capacity. None without such a queue.

        Of the loads nearest above: far beyond its capacity an app may collapse.
        """
        queued = [each for each in trials if each.queued and not each.passed and each.forwarding_rps]
        best = max((each.forwarding_rps or 0.0 for each in queued), default=None)
        if best is None:
            return None
        near = [each for each in queued if (each.forwarding_rps or 0.0) >= ALIKE * best]
        weights = [each.seconds for each in near]
        return sum(w * (each.forwarding_rps or 0.0) for w, each in zip(weights, near, strict=True)) / sum(weights)

    # --- one goal ---------------------------------------------------------------------------------------------------

    def _for_goal(self, goal: Goal, trials: Sequence[Measured]) -> Ask | Stop:
        if not trials:
            return self._ask(self.start, "ramp", goal)
        found = self._classes(goal, trials)
        lower, upper = relevant_bounds(found)
        if (again := self._undecided(goal, trials, found, lower, upper)) is not None:
            return again
        if upper is None:
            return self._upwards(goal, found)
        if lower is None:
            return self._downwards(goal, trials, upper)
        if upper > self._close_enough(goal, trials, lower):
            return self._ask(self._between(goal, trials, lower, upper), "search", goal)
        return self._unsettled(goal, trials, lower, upper)

    def _upwards(self, goal: Goal, found: Mapping[float, Class]) -> Ask | Stop:
        top = max(found)
        if top >= self.highest:
            return "highest"
        if goal.name == "slo":
            return self._ask(min(top * RAMP_FACTOR, self.highest), "ramp", goal)
        held = min(4, sum(1 for settled in list(found.values())[-3:] if settled == "lower"))
        return self._ask(min(top * (1 + goal.width * 2.0**held), self.highest), "search", goal)

    def _downwards(self, goal: Goal, trials: Sequence[Measured], upper: float) -> Ask | Stop:
        """Go where the forwarding rate points, once; then far down."""
        target = self._target(goal, trials)
        if target is not None and all(each.load >= upper or each.load < target / 2 for each in trials):
            return self._ask(self._between(goal, trials, target / 2, upper), "search", goal)
        lowest = upper <= LOWEST_RATE_RPS
        return "lowest" if lowest else self._ask(max(upper / BACK_OFF_FACTOR, LOWEST_RATE_RPS), "ramp", goal)

    def _close_enough(self, goal: Goal, trials: Sequence[Measured], lower: float) -> float:
        """Return the upper bound at which to stop."""
        target = self._target(goal, trials)
        if target is None or lower < target * (1 - goal.width):
            if goal.name == "slo":
                return lower * (1 + goal.width)
            # A queue that a trial cannot tell from bursts is no reason to look closer.
            return lower * (1 + max(goal.width, 2 * (self._clearly_above(goal, lower) / lower - 1)))
        return max(lower * (1 + goal.width), self._clearly_above(goal, target) * (1 + goal.width / 2))

    def _clearly_above(self, goal: Goal, target: float) -> float:
        arrivals = target * max(1.0, self.seconds(target, goal.trial_s) - 1.0)
        return target * (1 + max(goal.width / 2, CLEARLY_ABOVE * math.sqrt(BURST_FACTOR / arrivals)))

    def _target(self, goal: Goal, trials: Sequence[Measured]) -> float | None:
        """Return the load that the forwarding rate suggests for a goal."""
        guess = self.guess(trials)
        # Of 10 % more than it can serve, an app loses 9 %.
        return guess / (1 - goal.loss_ratio) if guess is not None and goal.name == "breaking" else guess

    def _undecided(
        self,
        goal: Goal,
        trials: Sequence[Measured],
        found: Mapping[float, Class],
        lower: float | None,
        upper: float | None,
    ) -> Ask | None:
        """Ask again for a load that matters and that no majority has settled; the lightest first."""
        spoilt = all(each.outcome.disturbed for each in trials if not each.passed)
        if goal.name == "slo" and lower is None and upper is None and len(found) <= FIRST_LOOKS and spoilt:
            return None  # a heavier load that holds answers for these, and one that breaks says where to look
        for load, settled in found.items():
            outside = (lower is not None and load < lower) or (upper is not None and load > upper)
            repeated = sum(1 for each in trials if each.load == load)
            if settled == "undecided" and not outside and repeated < MOST_REPEATS:
                last = [each for each in trials if each.load == load][-1]
                short = last.seconds < goal.trial_s - OVERHEAD_S and upper is None
                return self._ask(load, "ramp" if short else "search", goal)
        if (again := self._doubted(goal, trials, lower, upper)) is not None:
            return again
        # A heavier load did better: one of the two was disturbed, and the lighter one is the cheaper to try again.
        heavier = [load for load, settled in found.items() if settled == "lower" and upper is not None and load > upper]
        if heavier and upper is not None and sum(1 for each in trials if each.load == upper) < MOST_REPEATS:
            return self._ask(upper, "search", goal)
        return None

    def _doubted(self, goal: Goal, trials: Sequence[Measured], lower: float | None, upper: float | None) -> Ask | None:
        """Ask again for an upper bound under which less was served than a lighter load got answered.

        Either the app collapses, and will do so again, or somebody else had the machine.
        """
        there = [each for each in trials if each.load == upper]
        clear = any(each.gross or each.queued for each in there)
        if lower is None and len(there) == LAST_DOUBT and not clear and goal.name == "slo" and upper is not None:
            return self._ask(upper, "ramp", goal)  # going down by a quarter costs more than a third look
        if lower is None or upper is None or not there:
            return None
        first = there[0]
        slow = first.queued and (first.forwarding_rps is None or first.forwarding_rps < DOUBTED * lower)
        # After a ramp's step that no queue explains, a whole octave hangs on two misses that may be chance.
        chance = upper >= lower * RAMP_FACTOR / 1.1 and not clear
        if len(there) > (2 if chance else 1) or not (slow or (chance and goal.name == "slo")):
            return None
        short = there[0].seconds < goal.trial_s - OVERHEAD_S
        return self._ask(upper, "ramp" if short else "search", goal)

    def _unsettled(self, goal: Goal, trials: Sequence[Measured], lower: float, upper: float) -> Ask | Stop:
        """Give a bound that rests on a ramp's short step alone a trial of full length."""
        if goal.name != "slo":
            return "width"
        fine = classes(self._trials(goal, trials), goal)
        for load in (lower, upper):
            if fine[load] == "undecided" and sum(1 for each in trials if each.load == load) < MOST_REPEATS:
                return self._ask(load, "search", goal)
        return "width"

    def _between(self, goal: Goal, trials: Sequence[Measured], lower: float, upper: float) -> float:
        middle = math.sqrt(lower * upper)
        target = self._target(goal, trials)
        if target is None:
            return middle
        below, above = target * (1 - BELOW_GUESS * goal.width), self._clearly_above(goal, target)
        margin = 1 + goal.width / 4
        if lower * margin < below < upper / margin:
            return below
        loads = {each.load for each in trials}
        if below * margin >= upper:
            missed = sum(1 for load in loads if upper <= load <= above)
            return max(middle, upper / (1 + goal.width * 2.0 ** max(0, missed - 1)))
        if lower * margin < above < upper / margin:
            return above
        held = sum(1 for load in loads if below <= load <= lower)
        return min(middle, lower * (1 + goal.width * 2.0 ** max(0, held - 1)))

    # --- small things -----------------------------------------------------------------------------------------------

    def _ask(self, load: float, phase: Phase, goal: Goal) -> Ask:
        return Ask(load, self.seconds(load, self.ramp_s if phase == "ramp" else goal.trial_s), phase, goal.name)

    def seconds(self, load: float, seconds: float) -> float:
        """Return how long to hold a load: a step of very few arrivals a while longer."""
        if self.dwell_s is not None:
            return self.dwell_s
        return max(seconds, min(ENOUGH_ARRIVALS / load, seconds * LONGEST_FACTOR))

    def _shorter(self, ask: Ask, left_s: float) -> Ask | None:
        """A step held longer than the plan's for its few arrivals may be held for what is left."""
        least_s = self.dwell_s or (self.ramp_s if ask.phase == "ramp" else self._goal(ask.goal).trial_s)
        seconds = left_s - OVERHEAD_S
        return None if seconds < least_s else Ask(ask.load, seconds, ask.phase, ask.goal)

    def _goal(self, name: str) -> Goal:
        return next(goal for goal in self.goals if goal.name == name)

    def _trials(self, goal: Goal, trials: Sequence[Measured]) -> list[Trial]:
        found = [trial(goal, one.load, one.seconds, one.outcome, passed=one.passed, gross=one.gross) for one in trials]
        return forgiven(found)

    def _classes(self, goal: Goal, trials: Sequence[Measured]) -> dict[float, Class]:
        return classes(self._trials(goal, trials), goal, goal.coarser(self.ramp_s))

    def _result(self, goal: Goal, trials: Sequence[Measured]) -> GoalResult:
        own = self._trials(goal, trials)
        coarse = goal.coarser(self.ramp_s)
        lower, upper = relevant_bounds(classes(own, goal, coarse))
        throughput = None if lower is None else conditional_throughput(own, lower, goal, coarse)
        return GoalResult(goal, lower, upper, throughput, sum(1 for each in own if each.load in {lower, upper}))
