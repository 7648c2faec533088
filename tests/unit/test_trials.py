"""MLRsearch's rules against worked examples and against the library itself, where it is installed."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchpoint.trials import (
    Goal,
    Sums,
    Trial,
    classes,
    classify,
    conditional_throughput,
    forgiven,
    lost_share,
    relevant_bounds,
    sums,
)

GOAL = Goal("slo", "", loss_ratio=0.01, trial_s=4.0, sum_s=8.0, width=0.03)


def trials(load: float, *missed: bool, seconds: float = 4.0, weight: float = 1.0) -> list[Trial]:
    """Build trials of one load; a miss loses one arrival in ten."""
    return [Trial(load, seconds, miss, 0.1 if miss else 0.0, weight) for miss in missed]


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        (Sums(), "undecided"),
        (Sums(full_low=4.0), "lower"),
        (Sums(full_high=4.0), "undecided"),
        (Sums(full_high=5.0), "upper"),
        (Sums(full_low=4.0, full_high=4.0), "lower"),
        (Sums(full_low=4.0, full_high=8.0), "upper"),
        (Sums(short_low=40.0), "undecided"),
        (Sums(short_high=5.0), "upper"),
        (Sums(short_low=40.0, short_high=40.0), "undecided"),
        (Sums(full_low=8.0, short_high=20.0, short_low=20.0), "lower"),
    ],
)
def test_a_load_is_settled_when_what_is_missing_cannot_change_it(found: Sums, settled: str) -> None:
    """Eight seconds are needed, half of which may miss; short trials only cast doubt."""
    assert classify(found, GOAL) == settled


def test_a_miss_of_little_weight_is_repeated_and_the_majority_counts() -> None:
    """One marginal miss is undecided, a second one settles, a hit clears."""
    goal = Goal("slo", "", 0.01, 4.0, 4.0, 0.03)

    assert classify(sums(trials(10.0, True, weight=0.45), goal), goal) == "undecided"
    assert classify(sums(trials(10.0, True, True, weight=0.45), goal), goal) == "upper"
    assert classify(sums([*trials(10.0, True, weight=0.45), *trials(10.0, False)], goal), goal) == "lower"


def test_a_trial_held_longer_for_its_few_arrivals_is_still_one_trial() -> None:
    """Ten seconds of a marginal miss do not outvote a plan of four-second trials."""
    goal = Goal("slo", "", 0.01, 4.0, 4.0, 0.03)

    assert sums(trials(1.0, True, seconds=10.0, weight=0.45), goal) == Sums(full_high=4.0 * 0.45)


def test_where_a_heavier_load_did_better_the_cautious_answer_counts() -> None:
    """Loss inversion: the lower bound lies below the smallest load that missed."""
    tried = [*trials(10.0, False, False), *trials(20.0, True, True), *trials(30.0, False, False)]

    assert relevant_bounds(classes(tried, GOAL)) == (10.0, 20.0)


def test_a_ramps_short_steps_settle_what_the_goal_leaves_undecided() -> None:
    """Until a full trial is held, the coarser goal's answer stands."""
    tried = trials(10.0, False, seconds=2.0)

    assert classes(tried, GOAL) == {10.0: "undecided"}
    assert classes(tried, GOAL, GOAL.coarser(2.0)) == {10.0: "lower"}
    assert conditional_throughput(tried, 10.0, GOAL, GOAL.coarser(2.0)) == 10.0


def test_missing_seconds_count_as_lost_whole() -> None:
    """The loss that half of eight seconds stay within: one trial of four suffices, none does not."""
    assert lost_share(trials(10.0, False), GOAL) == 0.0
    assert lost_share([Trial(10.0, 4.0, missed=True, lost=0.1)] * 2, GOAL) == 0.1
    assert lost_share([], GOAL) == 1.0


durations = st.sampled_from([1.0, 2.0, 4.0])
losses = st.sampled_from([0.0, 0.005, 0.01, 0.02, 0.1, 1.0])


@given(
    tried=st.lists(st.tuples(durations, losses), min_size=1, max_size=8),
    exceed=st.sampled_from([0.25, 0.5, 0.75]),
    sum_s=st.sampled_from([4.0, 8.0, 20.0]),
)
@settings(max_examples=200, deadline=None)
def test_the_library_settles_the_same_loads_and_finds_the_same_loss(
    tried: list[tuple[float, float]], exceed: float, sum_s: float
) -> None:
    """PyPI's MLRsearch 1.2.1, of those who wrote the RFC, on the same trials."""
    stats = pytest.importorskip("MLRsearch.target_stat", reason="MLRsearch is not installed")
    goal = Goal("x", "", 0.01, 4.0, sum_s, 0.03, exceed)
    ours = [Trial(100.0, seconds, lost > goal.loss_ratio, lost) for seconds, lost in tried]
    theirs = stats.TargetStat(_target(goal, sum_s))
    for seconds, lost in tried:
        theirs.add(_Result(seconds, lost))

    optimistic, pessimistic = theirs.estimates()
    expected = "undecided" if optimistic != pessimistic else ("lower" if pessimistic else "upper")

    assert classify(sums(ours, goal), goal) == expected
    expected_loss = theirs.pessimistic_loss_ratio
    assert math.isclose(lost_share(ours, goal), 1.0 if expected_loss is None else expected_loss)


class _Result:
    """What the library asks of a measured trial."""

    def __init__(self, seconds: float, lost: float) -> None:
        self.intended_duration = self.duration_with_overheads = seconds
        self.loss_ratio = lost


def _target(goal: Goal, sum_s: float) -> object:
    spec = pytest.importorskip("MLRsearch.target_spec", reason="MLRsearch is not installed")
    return spec.TargetSpec(
        loss_ratio=goal.loss_ratio,
        exceed_ratio=goal.exceed,
        discrete_width=None,
        trial_duration=goal.trial_s,
        duration_sum=sum_s,
        expansion_coefficient=2,
        fail_fast=False,
        preceding=None,
    )


def test_spared_misses_are_hits_of_little_weight_unless_there_are_too_many() -> None:
    """One in two is the host's doing; three in four are the app's own."""
    spared = Trial(10.0, 4.0, missed=True, lost=0.0, weight=0.16, spared=0.5)
    clean = Trial(10.0, 4.0, missed=False, lost=0.0)

    assert forgiven([clean, spared]) == [clean, Trial(10.0, 4.0, missed=False, lost=0.0, weight=0.5)]
    assert forgiven([clean, spared, spared, spared]) == [clean, spared, spared, spared]
