"""Statistics on numbers whose answer is known."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchpoint.statistics import (
    RESAMPLES,
    SEED,
    is_steady,
    mser,
    plateau,
    ratio_estimate,
    theil_sen,
    utilisation_ceiling,
    wilson,
)

RATES = [200.0, 500, 1000, 2000, 4000, 6000]
DEMANDS_US = [297.0, 252, 221, 165, 138, 121]
"""One uvicorn worker, measured (DESIGN §6); it saturated at 10,052/s."""


def test_a_plateau_is_found_exactly_in_noiseless_points() -> None:
    """X = min(load, 100)."""
    loads = [20.0, 40, 80, 160, 320]

    found = plateau(loads, [min(load, 100.0) for load in loads])

    assert found is not None
    assert (found.capacity, found.reached) == (100.0, True)


def test_a_collapse_behind_the_plateau_does_not_lower_it() -> None:
    """Points beyond the largest goodput are left out."""
    found = plateau([50.0, 100, 150, 200, 400], [50.0, 100, 120, 121, 10])

    assert found is not None
    assert 119.0 < found.capacity < 122.0


def test_a_ramp_that_never_flattens_reached_nothing() -> None:
    """Goodput followed the load to the last step."""
    found = plateau([10.0, 20, 40], [10.0, 20, 40])

    assert found is not None
    assert found.reached is False


def test_one_point_has_no_plateau() -> None:
    """Nothing to fit."""
    assert plateau([10.0], [10.0]) is None


@given(st.floats(20, 2000), st.integers(0, 1000))
@settings(max_examples=12, deadline=None)
def test_the_plateau_is_recovered_from_noisy_ramps(capacity: float, seed: int) -> None:
    """2 % noise on a geometric ramp that ends at twice the capacity."""
    noise = np.random.default_rng(seed)
    loads = [capacity * share for share in (0.1, 0.2, 0.4, 0.8, 1.1, 1.5, 2.0)]
    goodputs = [min(load, capacity) * (1 + noise.normal(0, 0.02)) for load in loads]

    found = plateau(loads, goodputs)

    assert found is not None
    assert math.isclose(found.capacity, capacity, rel_tol=0.08)
    assert found.low <= found.capacity <= found.high


def test_the_robust_slope_ignores_an_outlier() -> None:
    """One wild point of twelve."""
    xs = [float(x) for x in range(12)]
    ys = [3.0 * x for x in xs]
    ys[5] = 1e6

    found = theil_sen(xs, ys)

    assert found is not None
    assert found.value == 3.0
    assert found.low <= 3.0 <= found.high


def test_two_different_points_have_no_slope_with_an_error() -> None:
    """Two points always fit."""
    assert theil_sen([1.0, 2.0, 2.0], [1.0, 2.0, 2.0]) is None


def test_the_same_points_give_the_same_interval() -> None:
    """The bootstrap is seeded."""
    xs, ys = [1.0, 2, 3, 4, 5], [1.0, 2.2, 2.9, 4.3, 5.0]

    assert theil_sen(xs, ys) == theil_sen(xs, ys)


def test_the_ceiling_of_a_real_server_is_extrapolated_within_ten_percent() -> None:
    """A straight line from 200/s would say 3,370/s."""
    uses = [rate * demand / 1e6 for rate, demand in zip(RATES, DEMANDS_US, strict=True)]

    found = utilisation_ceiling(RATES, uses)

    assert found is not None
    assert math.isclose(found.value, 10_052, rel_tol=0.10)
    assert found.low <= 10_052 <= found.high


@given(st.floats(1e-5, 1e-1), st.floats(0.5, 1.0))
@settings(max_examples=12, deadline=None)
def test_a_power_law_gives_its_own_ceiling(scale: float, exponent: float) -> None:
    """U = (X / C)**b is solved for X = C."""
    capacity = 1 / scale
    rates = [capacity * share for share in (0.1, 0.3, 0.6, 0.8)]

    found = utilisation_ceiling(rates, [(rate / capacity) ** exponent for rate in rates])

    assert found is not None
    assert math.isclose(found.value, capacity, rel_tol=1e-6)


def test_no_use_has_no_ceiling() -> None:
    """A resource that was never used."""
    assert utilisation_ceiling([10.0, 20.0], [0.0, 0.0]) is None


def test_a_ratio_is_weighted_by_its_denominators() -> None:
    """1 s over 10 requests and 30 s over 90: 0.31 s each, not the mean of the ratios."""
    found = ratio_estimate([1.0, 30.0], [10.0, 90.0])

    assert found is not None
    assert found.value == 0.31


def test_wilson_agrees_with_the_published_example() -> None:
    """METHOD §6.3: n = 500, p = 0.1 gives 0.077 to 0.129."""
    low, high = wilson(50, 500)

    assert (round(low, 3), round(high, 3)) == (0.077, 0.129)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_within_zero_and_one(counts: tuple[int, int]) -> None:
    """Also at the edges, where a normal interval leaves [0, 1]."""
    successes, trials = counts

    low, high = wilson(successes, trials)

    assert 0.0 <= low <= successes / trials <= high <= 1.0


def test_more_successes_than_trials_are_refused() -> None:
    """A caller's mistake is named."""
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        wilson(3, 2)


def test_a_warm_up_is_cut_and_a_steady_series_is_not() -> None:
    """MSER-5: 20 slow seconds of 100 are dropped; a constant level loses nothing; a series too short says nothing."""
    wave = [3.0, 1.0, 2.0, 0.0, 4.0]
    assert mser([50.0] * 20 + [100.0 + wave[k % 5] for k in range(80)]) == 20
    assert mser([100.0 + wave[k % 5] for k in range(40)]) == 0
    assert mser([1.0] * 10) is None


def test_steady_is_neither_warming_up_nor_drifting() -> None:
    """A level with noise is steady, a slope of a third is not, and of a few seconds nobody knows."""
    noise = [1.0, -2.0, 0.5, 1.5, -1.0, 0.0, 2.0, -1.5]
    level = [100.0 + noise[k % 8] for k in range(24)]

    assert is_steady(level) is True
    assert is_steady([value + 1.5 * k for k, value in enumerate(level)]) is False
    assert is_steady(level[:7]) is None


def test_the_interval_of_a_slope_is_that_of_draws_made_one_by_one() -> None:
    """All draws are taken at once, which changes no figure: the median of each draw's slopes, written down plainly."""
    draw = np.random.default_rng(5)
    x, y = np.repeat(np.arange(6.0), 2), draw.normal(size=12)
    one_by_one = np.random.default_rng(SEED)
    slopes = []
    for _ in range(RESAMPLES // 2):
        chosen = one_by_one.integers(0, 12, 12)
        pairs = [(a, b) for k, a in enumerate(chosen) for b in chosen[k + 1 :] if x[a] != x[b]]
        slopes.append(statistics.median((y[b] - y[a]) / (x[b] - x[a]) for a, b in pairs))
    found = theil_sen(x.tolist(), y.tolist())

    assert found is not None
    assert (found.low, found.high) == tuple(np.percentile(slopes, (2.5, 97.5)))
