"""The score's ingredients, the map from scores to probabilities, and what would flip a verdict."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.diagnosis.bounds import above, under
from pinchpoint.diagnosis.confidence import AMBIGUOUS_MOST, CALIBRATION, Ingredients, probability, score

BEST = Ingredients(margin=1.0, ledger_agrees=True, clear_wall=True, valid=True)


@pytest.mark.parametrize(
    "worse",
    [
        replace(BEST, margin=0.0), replace(BEST, ledger_agrees=False), replace(BEST, clear_wall=False),
        replace(BEST, valid=False), replace(BEST, asked=1), replace(BEST, rivals=1), replace(BEST, tied=True),
        replace(BEST, ambiguous=True),
    ],
)  # fmt: skip
def test_every_ingredient_counts(worse: Ingredients) -> None:
    """Each by itself lowers the score."""
    assert score(worse) < score(BEST)


def test_nothing_ambiguous_is_likely() -> None:
    """However clear its signal."""
    assert score(replace(BEST, ambiguous=True)) <= AMBIGUOUS_MOST


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_never_less_likely(one: float, other: float) -> None:
    """The map is monotone and stays within its ends."""
    low, high = sorted((one, other))

    assert 0.0 <= probability(low) <= probability(high) <= 1.0


def test_the_map_is_straight_between_its_knots() -> None:
    """And flat beyond its ends."""
    knots = ((0.2, 0.1), (0.6, 0.9))

    assert [probability(x, knots) for x in (0.0, 0.4, 0.6, 1.0)] == pytest.approx([0.1, 0.5, 0.9, 0.9])


def test_the_map_in_force_rises_from_end_to_end() -> None:
    """So that it can be turned round."""
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(CALIBRATION))


def test_a_bound_says_what_would_flip_it() -> None:
    """In the unit of the signal."""
    told = [above("CPU in use", 0.97, 0.9).flips(), under("the hold", 1.2, 1.5, "ratio").flips(),
            above("the queue", None, 2.0, "requests").flips()]  # fmt: skip

    assert told == [
        "CPU in use was below 90% (it was 97%)", "the hold was at least 1.50 times (it was 1.20 times)",
        "the queue was below 2.00 requests",
    ]  # fmt: skip
