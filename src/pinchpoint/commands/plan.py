"""How the budget is spent: the length of every phase, and what must be kept back for the phases after the search."""

from dataclasses import dataclass

BASELINE_RPS = 20.0
"""Low enough for nearly any app, high enough for 60 requests in three seconds."""
SEARCH_WIDTH = 0.025
"""Relative distance of the bounds at which the search stops; docs/search.md says what a trial resolves."""
OVERLOAD_FACTOR = 1.5
"""Of the capacity: the load at which METHOD §1.1 tells a collapse from a plateau."""
REPEATED_FROM_S = 150.0
"""With a budget from here on, every bound rests on two trials of full length at least."""
LOW_PROFILE_FACTOR = 0.3
LIMIT_PROFILE_FACTOR = 0.95
HIGHEST_RATE_RPS = 20_000.0
"""More than one load process and one collector can honestly serve on one machine."""
PROFILER_START_S = 0.7
"""A profiler needs this to attach; it takes whole seconds after that."""
STOP_S = 3.0
"""Stopping the children and writing the report."""


@dataclass(frozen=True)
class Plan:
    """Seconds for each phase."""

    budget_s: float
    boot_s: float
    warmup_s: float
    baseline_s: float
    ramp_s: float
    trial_s: float
    overload_s: float
    recovery_s: float
    profile_s: float

    @property
    def sum_s(self) -> float:
        """Seconds of trials that settle a load (METHOD §1.2); short budgets repeat only what is in doubt."""
        return self.trial_s * (2 if self.budget_s >= REPEATED_FROM_S else 1)

    @property
    def reserve_s(self) -> float:
        """What ramp and search must leave over."""
        overheads_s = 1.5
        return self.overload_s + self.recovery_s + 2 * self.profile_s + STOP_S + overheads_s


def _between(low: float, value: float, high: float) -> float:
    return max(low, min(value, high))


def make_plan(budget_s: float, *, profile: bool) -> Plan:
    """Split the budget; the shares are those under which a 60 s run holds two profiles, a ramp and six trials."""
    return Plan(
        budget_s=budget_s,
        boot_s=_between(15.0, budget_s / 3, 60.0),
        warmup_s=_between(2.0, budget_s / 20, 20.0),
        baseline_s=_between(2.0, budget_s / 20, 20.0),
        ramp_s=_between(1.5, budget_s / 30, 10.0),
        trial_s=_between(2.0, budget_s / 22, 10.0)
        if budget_s < REPEATED_FROM_S
        else _between(4.0, budget_s / 40, 20.0),
        overload_s=_between(3.0, budget_s / 18, 15.0),
        recovery_s=_between(2.0, budget_s / 20, 15.0),
        profile_s=round(_between(3.0, budget_s / 13, 20.0)) + PROFILER_START_S if profile else 0.0,
    )
