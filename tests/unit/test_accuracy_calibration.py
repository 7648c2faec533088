"""Whether a stated confidence means what it says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.accuracy import Result
from pinchpoint.calibration import Claim, bins, brier, claims, coverage_curve, expected_error, right_from

CLAIMS = st.lists(st.builds(Claim, st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def made(confidence: float | None, *, right: bool, abstained: bool = False, **more: Any) -> Result:
    """Return a result whose cause is right or wrong, and whose class is right either way."""
    answer = ("undetermined", "unsteady") if abstained else ("pool", "db-pool" if right else "threadpool")
    basis: dict[str, Any] = {"case": "c", "family": "f", "kind": "single", "half": "tuned", "severity": 1.0, "round": 1}
    return Result(**basis, labels=(("pool", "db-pool"),), answer=answer, confidence=confidence, **more)


def test_abstentions_claim_nothing() -> None:
    """Nor does a verdict without a confidence."""
    results = [made(0.9, right=True), made(1.0, right=False, abstained=True), made(None, right=True)]

    assert claims(results) == [Claim(0.9, right=True)]


def test_brier_score_is_the_mean_squared_distance() -> None:
    """(0.1² + 0.6²) / 2."""
    assert brier([Claim(0.9, right=True), Claim(0.6, right=False)]) == pytest.approx(0.185)
    assert brier([]) is None


def test_bins_hold_their_lower_edge_and_the_last_one_both() -> None:
    """0.9 is among the sure ones, and so is 1."""
    made_claims = [Claim(0.89, right=True), Claim(0.9, right=True), Claim(1.0, right=False)]

    actual = [(one.low, one.n, one.right) for one in bins(made_claims)]

    assert actual == [(0.8, 1, 1.0), (0.9, 2, 0.5)]


def test_expected_error_weighs_bins_by_their_claims() -> None:
    """Two at 0.95 of which one is right, one at 0.6 that is: (2 · 0.45 + 1 · 0.4) / 3."""
    made_claims = [Claim(0.95, right=True), Claim(0.95, right=False), Claim(0.6, right=True)]

    assert expected_error(made_claims) == pytest.approx(1.3 / 3)
    assert expected_error([]) is None


@given(CLAIMS)
def test_no_claim_is_lost_between_bins(made_claims: list[Claim]) -> None:
    """Any confidence from 0 to 1 has a bin, and no score leaves its range."""
    score, error = brier(made_claims), expected_error(made_claims)

    assert sum(one.n for one in bins(made_claims)) == len(made_claims)
    assert score is not None
    assert error is not None
    assert 0.0 <= score <= 1.0
    assert 0.0 <= error <= 1.0


def test_the_sure_ones_are_counted_from_their_level_on() -> None:
    """The level itself included."""
    made_claims = [Claim(0.9, right=True), Claim(0.95, right=False), Claim(0.89, right=False)]

    assert right_from(made_claims, 0.9) == (1, 2)


def test_coverage_falls_as_accuracy_rises() -> None:
    """Coverage is of all runs, abstentions included."""
    results = [made(0.95, right=True), made(0.7, right=False), made(1.0, right=False, abstained=True)]

    actual = coverage_curve(results, levels=(0.0, 0.9, 0.96))

    assert [(one.coverage, one.cause_right, one.class_right) for one in actual] == [
        (pytest.approx(2 / 3), 0.5, 1.0),
        (pytest.approx(1 / 3), 1.0, 1.0),
        (0.0, None, None),
    ]


def test_no_runs_cover_nothing() -> None:
    """And divide by nothing."""
    assert [one.coverage for one in coverage_curve([], levels=(0.5,))] == [0.0]
