"""The checklist's lines of resources and databases: exact figures, each limit crossed, and nothing guessed."""

from typing import Any

import pytest

from support.checklist_runs import DATABASE, ROUTES, Shop, lines, statuses

# --- resources --------------------------------------------------------------------------------------------------------


def test_resources_are_what_each_request_takes_of_them() -> None:
    """At 40/s: 5 ms of CPU are a fifth of a core, 10 ms of a connection are 0.4 of five."""
    found = lines()

    assert found["CPU"].value == pytest.approx(0.2)
    assert found["CPU"].shown == "20 %: 0.2 of 1 core"
    assert found["Busiest event loop"].value == pytest.approx(0.2)
    assert found["Database connections"].value == pytest.approx(0.08)
    assert found["Database connections"].shown == "0.4 of 5 checked out; wait 0 ms"
    assert found["Memory"].shown == "100 MiB used, 900 MiB left"
    assert found["Memory"].value == pytest.approx(0.1)
    assert found["Accept queue"].shown == "overflowed 0 times"
    assert found["CPU"].limit == pytest.approx(2 / 3)


def test_what_leaves_no_room_for_half_as_much_again_asks_for_attention() -> None:
    """70 % at the peak; full is a failure."""
    near = lines(Shop(cpu_ms=17.5, hold_ms=87.5))
    full = lines(Shop(cpu_ms=23.5, hold_ms=118.0))

    names = ("CPU", "Busiest event loop", "Database connections")
    assert statuses(near, *names) == ["attention"] * 3
    assert statuses(full, *names) == ["failed"] * 3


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"wait_ms": 9.0}, "ok"), ({"wait_ms": 12.0}, "attention"), ({"timeouts": 0.5}, "failed")],
)
def test_waiting_for_a_connection_counts_even_where_the_pool_is_not_full(changes: dict[str, Any], status: str) -> None:
    """Requests that gave up are failures of their own."""
    assert lines(Shop(**changes))["Database connections"].status == status


def test_memory_and_the_accept_queue_have_limits() -> None:
    """A tenth left is too little; one connection that was refused is one too many."""
    found = lines(Shop(free_bytes=10 * 2**20, overflows={60.0: 1.0}))

    assert statuses(found, "Memory", "Accept queue") == ["failed", "failed"]
    assert found["Accept queue"].shown == "overflowed 8 times"


def test_without_a_probe_nothing_inside_is_guessed() -> None:
    """CPU and memory are seen from outside, each worker's as well."""
    found = lines(Shop(probe=False))

    inside = ("Database connections", "Statements per request (N+1)", "Slow queries")
    assert statuses(found, *inside) == ["not measured"] * 3
    assert [found[name].value for name in inside] == [None] * 3
    assert statuses(found, "CPU", "Memory", "Busiest worker") == ["ok"] * 3


def test_a_pool_without_a_limit_is_not_judged() -> None:
    """Its use has nothing to be a share of."""
    found = lines(Shop(pool_size=None))["Database connections"]

    assert (found.status, found.how) == ("not measured", "0.4 checked out on average, of a pool without a limit")


# --- the database -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "status"), [(9.0, "ok"), (12.0, "attention"), (21.0, "failed")])
def test_the_route_with_most_statements_is_named(mean: float, status: str) -> None:
    """From ten on it smells, from twenty-one on a loop makes them."""
    found = lines(Shop(statements={ROUTES[0]: mean, ROUTES[1]: 1.0}))["Statements per request (N+1)"]

    assert found.status == status
    assert found.value == pytest.approx(mean)
    assert found.shown == f"GET /items/{{id}} {mean:g}; POST /items/ 1"
    assert found.how == "counted inside 45 requests of GET /items/{id}"
    assert (found.todo.startswith("GET /items/{id} asks again")) == (status != "ok")


def test_where_no_route_was_counted_the_mean_of_all_stands_in() -> None:
    """And says what it hides."""
    found = lines(Shop(statements={}))["Statements per request (N+1)"]

    assert found.shown == "1 on average"
    assert found.value == pytest.approx(1.0)
    assert found.how.startswith("over all requests together")


def test_an_app_without_a_database_has_no_statements() -> None:
    """Not 0: the driver may be one that nobody knows."""
    found = lines(Shop(database=False))

    assert (
        statuses(found, "Statements per request (N+1)", "Slow queries", "Database connections") == ["not measured"] * 3
    )


@pytest.mark.parametrize(("call_ms", "status"), [(99.0, "ok"), (120.0, "attention"), (205.0, "failed")])
def test_a_statement_may_take_half_of_what_a_list_may(call_ms: float, status: str) -> None:
    """As a mean over all calls to one database, under the heaviest load, beside that at light load."""
    found = lines(Shop(call_ms=call_ms))["Slow queries"]

    assert found.status == status
    assert found.value == pytest.approx(call_ms)
    assert found.shown == f"{call_ms:g} ms a statement ({call_ms:g} ms at light load)"
    assert DATABASE.removeprefix("db ") in found.how


def test_statements_that_fail_ask_for_attention() -> None:
    """However fast."""
    found = lines(Shop(call_errors=0.5))["Slow queries"]

    assert found.status == "attention"
    assert found.todo.endswith("statements failed: look at the app's log.")
