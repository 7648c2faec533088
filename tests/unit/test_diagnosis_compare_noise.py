"""Whether a difference of two runs is more than noise: exact cases, and what must hold for any figures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.diagnosis.compare.noise import FEW_PAIRS_SCATTER, UNKNOWN, Between, change, paired

OPPOSITE = {"above": "below", "below": "above", "level": "level", "unknown": "unknown"}


def test_intervals_of_both_runs_are_added_as_squares_of_logarithms() -> None:
    """Twice the rate, each known to about 6 %: the ratio is known to 8 %."""
    found = change(Between(100.0, 95.0, 106.0), Between(200.0, 190.0, 212.0))

    assert found.ratio == pytest.approx(2.0)
    assert found.low == pytest.approx(1.8506, abs=1e-3)
    assert found.high == pytest.approx(2 * math.exp(math.hypot(math.log(1.06), math.log(100 / 95))))
    assert found.side == "above"


@pytest.mark.parametrize(
    ("before", "after", "side"),
    [
        (Between(100.0, 95.0, 106.0), Between(92.0, 88.0, 97.0), "level"),
        (Between(100.0, 99.0, 101.0), Between(93.0, 92.5, 93.5), "below"),
        (Between(100.0, 100.0, 100.0), Between(104.0, 104.0, 104.0), "level"),
        (Between(100.0, 100.0, 100.0), Between(106.0, 106.0, 106.0), "above"),
        (Between(100.0, 100.0), Between(50.0, 48.0, 52.0), "below"),
        (Between(100.0, 100.0), Between(150.0, 150.0), "unknown"),
        (Between(100.0, 95.0, 105.0), Between(150.0, 150.0), "above"),
        (Between(98.0, 95.0, 100.0), Between(None, 0.0, 20.0), "below"),
        (Between(None, 0.0, 20.0), Between(98.0, 95.0, 100.0), "above"),
        (Between(None, 0.0, 20.0), Between(None, 0.0, 20.0), "unknown"),
        (UNKNOWN, Between(98.0, 95.0, 100.0), "unknown"),
        (Between(98.0, 95.0, 100.0), Between(0.0, 0.0, 0.0), "below"),
    ],
)
def test_a_difference_is_real_where_the_interval_says_so(before: Between, after: Between, side: str) -> None:
    """Inside 5 % either way it is noise; "at least" and "less than" count for what they say."""
    assert change(before, after).side == side


def test_a_bound_alone_gives_a_bound_of_the_ratio() -> None:
    """Less than 20/s against 95 to 100/s: at most 0.21 of it."""
    found = change(Between(98.0, 95.0, 100.0), Between(None, 0.0, 20.0))

    assert (found.ratio, found.low) == (None, 0.0)
    assert found.high == pytest.approx(20 / 95)
    assert found.worse_than(0.10)


def test_a_real_loss_within_the_tolerance_is_no_regression() -> None:
    """7 % less, beyond doubt: tolerated with 10 %, not with 5 %."""
    found = change(Between(100.0, 99.0, 101.0), Between(93.0, 92.5, 93.5))

    assert (found.worse_than(0.10), found.worse_than(0.05)) == (False, True)
    assert not found.higher_than(0.0)


def test_the_same_change_at_every_load_is_certain() -> None:
    """No scatter over the loads, no width."""
    found = paired([10.0, 20.0, 40.0], [15.0, 30.0, 60.0])

    assert (found.ratio, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))
    assert (found.side, found.higher_than(0.10)) == ("above", True)


def test_scatter_over_the_loads_is_noise() -> None:
    """+10 %, -5 % and +5 %: Student's interval with two degrees of freedom goes from 0.86 to 1.24."""
    found = paired([10.0, 20.0, 40.0], [11.0, 19.0, 42.0])

    assert found.ratio == pytest.approx(1.0314, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((0.8563, 1.2424), abs=1e-3)
    assert found.side == "level"


def test_few_loads_have_a_scatter_of_their_own() -> None:
    """One or two loads show none, so what a p95 scatters by is taken for it."""
    assert paired([50.0], [60.0]).side == "level"
    assert paired([50.0, 60.0], [100.0, 120.0]).side == "above"
    assert paired([50.0], [100.0]).low == pytest.approx(2 / (1 + FEW_PAIRS_SCATTER))


def test_a_difference_below_the_slack_is_none() -> None:
    """A millisecond more is twice as long for a fast app, and the generator's own doing."""
    assert paired([1.0, 1.1, 1.2], [2.0, 2.2, 2.4], slack=2.0).side == "level"
    assert paired([1.0, 1.1, 1.2], [2.0, 2.2, 2.4], slack=0.5).side == "above"


def test_nothing_in_common_is_unknown() -> None:
    """Abstaining is an answer."""
    found = paired([], [])

    assert (found.ratio, found.side) == (None, "unknown")
    assert not found.worse_than(0.0)
    assert not found.higher_than(0.0)


RATES = st.floats(1.0, 1e5)


@st.composite
def figures(draw: st.DrawFn) -> Between:
    """Return a figure with an interval, with an open one, or with bounds alone."""
    value = draw(RATES)
    low = value * draw(st.floats(0.1, 1.0)) if draw(st.booleans()) else 0.0
    high = value * draw(st.floats(1.0, 10.0)) if draw(st.booleans()) else math.inf
    return Between(value if draw(st.booleans()) else None, low, high)


@given(one=figures(), tolerance=st.floats(0.0, 0.5))
def test_a_figure_never_differs_from_itself(one: Between, tolerance: float) -> None:
    """The same run twice is no regression, whatever is tolerated."""
    found = change(one, one)

    assert found.side in {"level", "unknown"}
    assert not found.worse_than(tolerance)
    assert not found.higher_than(tolerance)


@given(one=figures(), two=figures())
def test_swapping_the_runs_swaps_the_answer(one: Between, two: Between) -> None:
    """What is above one way round is below the other, by the reciprocal ratio and interval."""
    there, back = change(one, two), change(two, one)

    assert back.side == OPPOSITE[there.side]
    if there.ratio is not None and back.ratio is not None:
        assert there.ratio * back.ratio == pytest.approx(1.0)
    if there.low > 0 and math.isfinite(back.high):
        assert there.low * back.high == pytest.approx(1.0)


@given(pairs=st.lists(st.tuples(RATES, RATES), min_size=1, max_size=12), slack=st.floats(0.0, 10.0))
def test_swapping_the_runs_swaps_the_answer_at_the_same_loads(pairs: list[tuple[float, float]], slack: float) -> None:
    """And no figure differs from itself."""
    before, after = [one for one, _ in pairs], [two for _, two in pairs]
    there, back = paired(before, after, slack), paired(after, before, slack)

    assert back.side == OPPOSITE[there.side]
    assert paired(before, before).side == "level"


@given(one=figures(), two=figures())
def test_the_interval_holds_the_ratio(one: Between, two: Between) -> None:
    """No interval lies beside its value."""
    found = change(one, two)

    assert found.low <= found.high
    if found.ratio is not None:
        assert found.low <= found.ratio * (1 + 1e-9)
        assert found.ratio <= found.high * (1 + 1e-9)
