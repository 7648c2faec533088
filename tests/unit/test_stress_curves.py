"""Curves of offered load: the integral is exact, its inverse too, and builders say what they mean."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.stress.curves import Curve, Line, Piece, Sine, constant, ramp, sine, spike, steps

RATES = st.floats(min_value=0, max_value=20_000)
SECONDS = st.floats(min_value=0.01, max_value=3_600)
LINES = st.builds(Line, RATES, RATES, SECONDS)
SINES = st.builds(
    lambda mean, share, period_s, seconds: Sine(mean, mean * share, period_s, seconds),
    RATES,
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=0.1, max_value=600),
    st.floats(min_value=0.01, max_value=600),
)
PIECES: st.SearchStrategy[Piece] = st.one_of(LINES, SINES)


@given(PIECES)
def test_the_integral_is_the_area_under_the_rate(piece: Piece) -> None:
    """Simpson's rule over slices much shorter than a period agrees."""
    end_s = min(piece.seconds, 0.2)
    slices = 20
    width_s = end_s / slices
    area = sum(
        (piece.rate_rps(k * width_s) + 4 * piece.rate_rps((k + 0.5) * width_s) + piece.rate_rps((k + 1) * width_s))
        * width_s
        / 6
        for k in range(slices)
    )
    assert piece.integral(end_s) == pytest.approx(area, rel=1e-4, abs=1e-9)


@given(st.lists(PIECES, min_size=1, max_size=5), st.floats(min_value=0, max_value=1))
def test_the_inverse_undoes_the_integral(pieces: list[Piece], share: float) -> None:
    """When arrival k is due, k arrivals are expected; to a thousandth of an arrival or a billionth of the number."""
    curve = Curve(pieces)
    arrivals = curve.total * share
    reached_s = curve.reached_s(arrivals)
    if curve.total == 0:
        assert reached_s == math.inf
        return
    assert 0 <= reached_s <= curve.seconds
    assert curve.integral(reached_s) == pytest.approx(arrivals, rel=1e-9, abs=1e-3)


@given(st.lists(PIECES, min_size=1, max_size=4), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_arrivals_are_due_in_order(pieces: list[Piece], shares: list[float]) -> None:
    """The inverse never falls, also across pieces."""
    curve = Curve(pieces)
    marks = sorted(curve.total * share for share in shares)
    due_s = [curve.reached_s(mark) for mark in marks]
    assert all(before <= after + 1e-9 for before, after in pairwise(due_s))


@given(st.lists(PIECES, min_size=1, max_size=5))
def test_a_curve_survives_the_wire(pieces: list[Piece]) -> None:
    """What a worker reads is what the engine meant, to the last bit."""
    curve = Curve(pieces)
    again = Curve.from_message(curve.message())
    assert again == curve
    assert (again.total, again.seconds) == (curve.total, curve.seconds)


def test_builders_say_what_they_mean() -> None:
    """Each against its definition."""
    assert constant(100, 2) == Curve([Line(100, 100, 2)])
    assert ramp(0, 100, 2).total == 100
    assert [piece.rate_rps(0) for piece in steps(10, 45, 10, 5).pieces] == [10, 20, 30, 40, 45]
    assert [piece.rate_rps(0) for piece in steps(0.1, 0.3, 0.1, 5).pieces] == pytest.approx([0.1, 0.2, 0.3])
    assert steps(10, 10, 1, 5) == constant(10, 5)
    peak = spike(10, 100, 3, 1, 6)
    assert (peak.seconds, peak.total, peak.peak_rps) == (10, 190, 100)
    assert [peak.rate_rps(t_s) for t_s in (0, 2.9, 3, 3.9, 4, 10, 10.1)] == [10, 10, 100, 100, 10, 10, 0]
    assert sine(50, 20, 10, 30).total == pytest.approx(1500)
    assert sine(50, 20, 10, 30).rate_rps(2.5) == 70


@pytest.mark.parametrize(
    "make",
    [
        lambda: Line(-1, 1, 1),
        lambda: Line(1, math.inf, 1),
        lambda: Line(1, 1, 0),
        lambda: Sine(10, 11, 1, 1),
        lambda: Sine(10, 5, 0, 1),
        lambda: Sine(10, -5, 1, 1),
        lambda: steps(10, 5, 1, 1),
        lambda: steps(1, 5, 0, 1),
        lambda: Curve([]),
        lambda: Curve.from_message([["square", 1, 2, 3]]),
        lambda: Curve.from_message([["line", 1, 2]]),
        lambda: Curve.from_message([["line", 1, 2, "soon"]]),
    ],
)
def test_what_has_no_schedule_is_refused(make: object) -> None:
    """Better a clear error than an endless loop."""
    assert callable(make)
    with pytest.raises(ValueError, match=r"schedule|could not convert"):
        make()
