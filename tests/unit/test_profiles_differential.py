"""Two loads compared in seconds per request."""

import pytest

from pinchpoint.profiles.differential import Growth, ProfiledLoad, differential
from pinchpoint.profiles.folded import Frame, Stacks

HANDLER, LOCK, DUMPS = (
    Frame("handler", "shop.py", 1),
    Frame("wait", "python3.11/threading.py", 2),
    Frame("dumps", "j.py", 3),
)


def test_contention_grows_in_seconds_per_request_while_demand_does_not() -> None:
    """Twice the samples for ten times the requests is less per request; the lock's share grew."""
    low = ProfiledLoad(Stacks({(HANDLER, DUMPS): 100}), thread_seconds=1.0, requests=100)
    high = ProfiledLoad(Stacks({(HANDLER, DUMPS): 500, (HANDLER, LOCK): 1500}), thread_seconds=20.0, requests=500)
    assert differential(low, high) == [
        Growth("wait", "python3.11/threading.py", "stdlib", 0.0, 0.03, 0.0, 0.03),
        Growth("handler", "shop.py", "app", 0.01, 0.04, 0.0, 0.0),
    ]


def test_equal_profiles_differ_in_nothing() -> None:
    """No row, however different the lengths of the recordings."""
    low = ProfiledLoad(Stacks({(HANDLER,): 10}), 1.0, 50)
    high = ProfiledLoad(Stacks({(HANDLER,): 1000}), 100.0, 5000)
    assert differential(low, high) == []


def test_what_shrank_is_listed_last() -> None:
    """A vanished function is not invisible."""
    low = ProfiledLoad(Stacks({(HANDLER,): 10, (DUMPS,): 10}), 2.0, 10)
    high = ProfiledLoad(Stacks({(HANDLER,): 20}), 4.0, 10)
    assert [(row.function, round(row.delta_s, 9)) for row in differential(low, high)] == [
        ("handler", 0.3),
        ("dumps", -0.1),
    ]


def test_an_empty_side_counts_as_zero_seconds() -> None:
    """A profile without samples measured that nothing ran."""
    rows = differential(ProfiledLoad(Stacks({}), 0.0, 10), ProfiledLoad(Stacks({(HANDLER,): 5}), 1.0, 10))
    assert [(row.low_s, row.high_s) for row in rows] == [(0.0, 0.1)]


def test_no_requests_is_an_error() -> None:
    """Seconds per request of no request mean nothing."""
    with pytest.raises(ValueError, match="needs requests"):
        differential(ProfiledLoad(Stacks({}), 0.0, 0), ProfiledLoad(Stacks({}), 0.0, 1))
