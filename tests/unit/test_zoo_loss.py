"""Full queues, against closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.app.faults.loss import full_queue_share, utilisation_at

LOADS = st.floats(0.3, 2.0)
PLACES = st.integers(1, 8)
BURSTS = ((0.9, 2.0), (0.1, 40.0))


@given(load=LOADS, long=st.floats(1.0, 50.0))
def test_with_no_room_to_wait_only_the_mean_of_the_service_counts(load: float, long: float) -> None:
    """M/G/1/1 loses load / (1 + load), whatever the distribution (Erlang B)."""
    assert full_queue_share(load, 1, ((0.7, 1.0), (0.3, long))) == pytest.approx(load / (1 + load))


@given(load=LOADS)
def test_one_place_to_wait_loses_what_the_closed_form_says(load: float) -> None:
    """M/D/1/2: after a departure nobody is left with probability exp(-load)."""
    assert full_queue_share(load, 2) == pytest.approx(1 - 1 / (math.exp(-load) + load))


@given(load=LOADS, places=PLACES)
def test_more_room_loses_less_and_more_load_loses_more(load: float, places: int) -> None:
    """Both hold for any M/D/1/K."""
    here = full_queue_share(load, places)
    assert full_queue_share(load, places + 1) < here
    assert full_queue_share(1.1 * load, places) > here


def test_bursts_lose_more_than_even_service_of_the_same_mean() -> None:
    """Half the load of a steady server overflows the queue of one that is now and then busy for long."""
    assert full_queue_share(0.5, 7) < 0.001
    assert full_queue_share(0.5, 7, BURSTS) > 0.02


@given(places=PLACES)
def test_utilisation_is_the_load_that_gets_in_at_the_asked_share(places: int) -> None:
    """Of load / (1 - share), retries included, load is served, and exactly that share is turned away."""
    served = utilisation_at(0.05, places)
    assert full_queue_share(served / 0.95, places) == pytest.approx(0.05, abs=1e-6)


def test_an_accept_queue_of_two_before_one_slot_breaks_at_58_percent() -> None:
    """The figure that docs and cases state."""
    assert utilisation_at(0.05, 3) == pytest.approx(0.583, abs=0.001)
