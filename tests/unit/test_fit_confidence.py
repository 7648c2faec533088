"""`scripts/bench.sh fit-confidence`: from runs that were right or wrong to a rising table."""

import importlib
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def fit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module."""
    monkeypatch.syspath_prepend(checkout / "scripts" / "bench")
    return importlib.import_module("fit_confidence")


@given(st.lists(st.tuples(st.floats(0.05, 0.99), st.booleans()), min_size=1, max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fitted_shares_rise_with_the_score(fit: ModuleType, runs: list[tuple[float, bool]]) -> None:
    """Whatever the runs were."""
    knots = fit.pooled(runs)

    assert all(a[0] <= b[0] and a[1] < b[1] for a, b in pairwise(knots))


def test_runs_that_are_right_more_often_than_their_score_raise_it(fit: ModuleType) -> None:
    """20 of 20 at 0.6; 10 of 20 at 0.4: a prior of two runs holds them back a little."""
    knots = fit.pooled([(0.4, k % 2 == 0) for k in range(20)] + [(0.6, True)] * 20)

    assert [edge for knot in knots for edge in knot] == pytest.approx([0.4, 10.8 / 22, 0.6, 21.2 / 22])
    assert "(0.6, 0.964)" in fit.table(knots)


def test_only_tuned_claims_are_fitted(fit: ModuleType) -> None:
    """Held-out families check the result, abstentions claim nothing."""
    verdict = {"class": "cpu", "cause": "gil", "score": 0.8}
    rows: list[dict[str, Any]] = [
        {"half": "tuned", "verdict": verdict, "labels": [["cpu", "gil"]]},
        {"half": "held-out", "verdict": verdict, "labels": [["cpu", "gil"]]},
        {"half": "tuned", "verdict": {**verdict, "class": "undetermined"}, "labels": [["cpu", "gil"]]},
        {"half": "tuned", "verdict": None, "labels": []},
    ]

    assert list(fit.scored(rows)) == [(0.8, True)]
