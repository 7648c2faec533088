"""The schedule of arrivals is exact: its integral, its order, its spread, and what nobody claimed."""

import math
import statistics
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.stress.arrivals import Arrivals, even_marks, poisson_marks, share_users
from pinchpoint.stress.curves import Curve, ramp


def all_due(rate: Curve, start_s: float = 0.0, part: int = 0, parts: int = 1) -> list[float]:
    """Every arrival of a part of an even schedule."""
    arrivals = Arrivals(rate, start_s, even_marks(part, parts))
    arrivals.advance(math.inf)
    due: list[float] = []
    while (claimed := arrivals.claim()) is not None:
        due.append(claimed)
    return due


@pytest.mark.parametrize(
    ("rate", "now_s", "due"),
    [
        # constant: the k-th arrival is at (k + 0.5) / rate
        (ramp(1, 1, 10), 0.0, 0),
        (ramp(1, 1, 10), 0.499, 0),
        (ramp(1, 1, 10), 0.5, 1),
        (ramp(1, 1, 10), 1.499, 1),
        (ramp(1, 1, 10), 9.6, 10),
        (ramp(1, 1, 10), 1e9, 10),
        (ramp(0.2, 0.2, 10), 2.5, 1),
        (ramp(1000, 1000, 1), 0.1, 100),
        # ramp from 0: the integral is slope t² / 2
        (ramp(0, 10, 10), 1.0, 1),
        (ramp(0, 10, 10), 2.0, 2),
        (ramp(0, 10, 10), 10.0, 50),
        # ramp down to 0
        (ramp(10, 0, 10), 5.0, 38),
        (ramp(10, 0, 10), 10.0, 50),
        # no load at all
        (ramp(0, 0, 10), 1e9, 0),
    ],
)
def test_as_many_arrivals_are_due_as_the_integral_of_the_rate_says(rate: Curve, now_s: float, due: int) -> None:
    """A table of rates and instants, each with its exact count."""
    assert Arrivals(rate, 0.0, even_marks()).advance(now_s) == due


@given(
    st.floats(min_value=0, max_value=500),
    st.floats(min_value=0, max_value=500),
    st.floats(min_value=0.1, max_value=10),
)
def test_a_ramp_keeps_its_integral_and_its_order(start_rps: float, end_rps: float, duration_s: float) -> None:
    """Count, order and bounds hold for every straight line."""
    rate = ramp(start_rps, end_rps, duration_s)
    due = all_due(rate, start_s=100.0)
    assert abs(len(due) - rate.total) <= 0.5 + 1e-6
    assert due == sorted(due)
    assert all(100.0 <= time_s <= 100.0 + duration_s for time_s in due)
    slope = (end_rps - start_rps) / duration_s
    for index, time_s in enumerate(due):
        elapsed_s = time_s - 100.0
        assert start_rps * elapsed_s + slope * elapsed_s**2 / 2 == pytest.approx(index + 0.5, rel=1e-6, abs=1e-6)


def test_poisson_gaps_have_the_mean_and_the_variance_of_an_exponential() -> None:
    """Fixed seed, 20,000 gaps: mean 1 and variance 1, within four standard errors (1/√n and √8/√n)."""
    marks = list(islice(poisson_marks(7, 20_000), 20_000))
    gaps = [after - before for before, after in pairwise([0.0, *marks])]
    assert statistics.fmean(gaps) == pytest.approx(1.0, abs=4 / math.sqrt(20_000))
    assert statistics.variance(gaps) == pytest.approx(1.0, abs=4 * math.sqrt(8 / 20_000))


@pytest.mark.parametrize(("total", "count"), [(0.0, 0), (0.4, 0), (1.6, 2), (200.0, 200), (25_000.4, 25_000)])
def test_a_poisson_segment_has_exactly_the_arrivals_it_was_asked_for(total: float, count: int) -> None:
    """The count is given, the times are random, and they never end before they are asked for."""
    marks = list(islice(poisson_marks(5, total), count + 3))

    assert marks[:count] == sorted(marks[:count])
    assert all(0 <= mark <= total for mark in marks[:count])
    assert marks[count:] == [math.inf] * 3


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others() -> None:
    """A run can be repeated."""
    assert list(islice(poisson_marks(3, 100), 5)) == list(islice(poisson_marks(3, 100), 5))
    assert list(islice(poisson_marks(3, 100), 5)) != list(islice(poisson_marks(4, 100), 5))


@given(st.floats(min_value=0, max_value=500), st.floats(min_value=0, max_value=500), st.integers(1, 9))
def test_even_arrivals_of_all_parts_are_those_of_the_whole(start_rps: float, end_rps: float, parts: int) -> None:
    """Processes take turns, whatever the rate does: together they are as even as one."""
    rate = ramp(start_rps, end_rps, 2)
    together = [due_s for part in range(parts) for due_s in all_due(rate, part=part, parts=parts)]
    assert sorted(together) == all_due(rate)


@given(st.floats(min_value=0, max_value=30_000), st.integers(1, 9))
def test_poisson_arrivals_of_all_parts_are_as_many_as_asked_for(total: float, parts: int) -> None:
    """Nothing is lost by rounding in each part, and no two parts draw the same."""
    marks = [
        mark for part in range(parts) for mark in takewhile(math.isfinite, poisson_marks(part, total, part, parts))
    ]
    assert len(marks) == round(total)
    assert len(set(marks)) == len(marks)


def test_the_oldest_due_arrival_is_claimed_first() -> None:
    """Claims are first come, first served."""
    arrivals = Arrivals(ramp(1, 1, 3), 0.0, even_marks())
    assert arrivals.claim() is None
    assert arrivals.advance(2.0) == 2
    assert [arrivals.claim(), arrivals.claim(), arrivals.claim()] == [0.5, 1.5, None]


def test_what_is_due_and_unclaimed_at_the_end_is_unsent() -> None:
    """Arrivals that are not due yet were never offered."""
    arrivals = Arrivals(ramp(1, 1, 10), 0.0, even_marks())
    arrivals.advance(3.0)
    arrivals.claim()
    assert arrivals.waiting == 2
    assert arrivals.close() == [1.5, 2.5]
    assert (arrivals.next_due_s, arrivals.claim(), arrivals.advance(99.0)) == (None, None, 0)


@pytest.mark.parametrize("numbers", [(-1, 1, 1), (1, -1, 1), (1, 1, 0), (1, 1, -1), (math.inf, 1, 1), (1, math.nan, 1)])
def test_a_rate_without_a_schedule_is_refused(numbers: tuple[float, float, float]) -> None:
    """Better a clear error than an endless loop."""
    with pytest.raises(ValueError, match="no schedule"):
        ramp(*numbers)


@given(st.integers(min_value=1, max_value=9), st.integers(0, 500))
def test_users_are_split_exactly(parts: int, users: int) -> None:
    """Nothing is lost between processes, and nobody gets more than one user more than another."""
    populations = [share_users(users, part, parts) for part in range(parts)]
    assert sum(populations) == users
    assert max(populations) - min(populations) <= 1
