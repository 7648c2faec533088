"""Tables of the probe page and looks at threads, folded over a window."""

from typing import Any, cast

import pytest

from pinchpoint.diagnosis.probe_tables import probe_tables
from pinchpoint.measures import PeerFigures, PoolFigures, RouteFigures
from pinchpoint.rows import SampleRow


def row(t_s: float, *processes: dict[str, Any]) -> SampleRow:
    """One tick with these processes."""
    return cast("SampleRow", {"t_s": t_s, "processes": list(processes)})


def tables(pid: int, **tables: Any) -> dict[str, Any]:
    """Return a process whose page has these tables."""
    return {"pid": pid, "tables": tables}


def route(done: float, service_s: float, bad: float = 0.0) -> dict[str, float]:
    """Return the columns of a route."""
    return {"done": done, "service_s": service_s, "responses_4xx": 0.0, "responses_5xx": bad, "service_max_s": 9.0}


def test_routes_are_summed_over_workers_and_the_busiest_comes_first() -> None:
    """Two workers, two seconds: 10 and 30 requests on one route; 4 long ones on another, new in the window."""
    rows = [
        row(0.0, tables(1, routes={"GET /a": route(5, 1.0)}), tables(2, routes={"GET /a": route(0, 0.0)})),
        row(1.0, {"pid": 1, "tables": None}, {"pid": 2}),
        row(
            2.0,
            tables(1, routes={"GET /a": route(15, 1.5), "GET /b": route(4, 4.0, 1.0)}),
            tables(2, routes={"GET /a": route(30, 1.5)}),
        ),
    ]

    assert probe_tables(rows)["routes"] == [
        RouteFigures("GET /b", 2.0, 1000.0, 0.0, 1.0),
        RouteFigures("GET /a", 20.0, 50.0, 0.0, 0.0),
    ]


def test_statements_are_a_mean_over_the_requests_that_were_counted() -> None:
    """Two workers: 84 statements in the 4 requests counted, of 40; a route of which none was counted says nothing."""
    first = {**route(0, 0.0), "counted": 0.0, "db_calls": 0.0}
    peer = {"calls": 0.0, "errors": 0.0, "seconds": 0.0, "active": 0.0, "active_s": 0.0}
    rows = [
        row(0.0, tables(1, routes={"GET /a": first}, calls={"db x": peer}), tables(2, routes={"GET /a": first})),
        row(
            2.0,
            tables(
                1,
                routes={"GET /a": {**route(20, 2.0), "counted": 3.0, "db_calls": 63.0}, "GET /b": route(5, 1.0)},
                calls={"db x": {**peer, "calls": 840.0, "seconds": 1.0}},
            ),
            tables(2, routes={"GET /a": {**route(20, 2.0), "counted": 1.0, "db_calls": 21.0}}),
        ),
    ]

    found = {one.name: (one.db_calls_per_request, one.counted) for one in probe_tables(rows)["routes"]}

    assert found == {"GET /a": (21.0, 4.0), "GET /b": (None, 0.0)}


def test_without_a_database_nothing_is_said_of_statements() -> None:
    """A driver that the probe does not know would otherwise be none at all."""
    counted = {**route(20, 2.0), "counted": 4.0, "db_calls": 0.0}
    rows = [row(0.0, tables(1, routes={"GET /a": route(0, 0.0)})), row(2.0, tables(1, routes={"GET /a": counted}))]

    (found,) = probe_tables(rows)["routes"]

    assert (found.db_calls_per_request, found.counted) == (None, 4.0)


def test_a_gate_keeps_its_last_size_and_means_over_the_window() -> None:
    """Ten checkouts in 2 s, waiting 1 s and held 3 s in all, for 20 requests."""
    before = {"size": 1.0, "busy": 0.0, "busy_s": 1.0, "waiting_s": 0.0, "wait_s": 0.0, "hold_s": 1.0, "taken": 4.0}
    after = {"size": 2.0, "busy": 2.0, "busy_s": 4.0, "waiting_s": 1.0, "wait_s": 1.0, "hold_s": 4.0, "taken": 14.0}
    rows = [
        row(0.0, tables(1, gates={"db-pool x": before}, routes={"GET /a": route(0, 0.0)})),
        row(2.0, tables(1, gates={"db-pool x": after}, routes={"GET /a": route(20, 1.0)})),
    ]

    assert probe_tables(rows)["gates"] == {"db-pool x": PoolFigures(2.0, 1.5, 0.5, 100.0, 300.0, 0.5, None)}


def test_peers_that_were_not_called_are_left_out() -> None:
    """One call of half a second, one peer silent."""
    silent = {"calls": 3.0, "errors": 0.0, "seconds": 1.0, "active": 0.0, "active_s": 1.0}
    called = {"calls": 4.0, "errors": 1.0, "seconds": 1.5, "active": 0.0, "active_s": 1.5}
    rows = [
        row(0.0, tables(1, calls={"http a": silent, "http b": silent})),
        row(1.0, tables(1, calls={"http a": silent, "http b": called})),
    ]

    assert probe_tables(rows)["calls"] == [PeerFigures("http b", 1.0, 500.0, 0.5, 1.0)]


def test_one_look_at_the_tables_is_no_difference() -> None:
    """Nothing is said of a window with a single row."""
    rows = [row(0.0, tables(1, routes={"GET /a": route(5, 1.0)}))]

    assert probe_tables(rows)["routes"] == []


def test_hooks_that_switched_themselves_off_are_named() -> None:
    """In any process, at any time."""
    rows = [row(0.0, tables(1, hooks={"requests": {"state": 0.0}, "database": {"state": 1.0}}))]

    assert probe_tables(rows)["hooks_off"] == ["requests"]


@pytest.mark.parametrize(("looks", "expected"), [(40, {"gil": 0.25, "socket": 0.75}), (8, {})])
def test_states_of_threads_are_shares_of_the_looks_that_met_them_awake(looks: int, expected: dict[str, float]) -> None:
    """A quarter waits for the GIL; idle looks are left out, and so are shares of a few looks."""
    first = {"gil": 1, "socket": 1, "idle": 5, "samples": 7}
    last = {"gil": 1 + looks // 4, "socket": 1 + 3 * looks // 4, "idle": 500, "samples": 502 + looks}
    peers = {"127.0.0.1:5432": looks // 2}
    rows = [row(0.0, {"pid": 1, "thread_states": first, "peers": {}})]
    rows.append(row(1.0, {"pid": 1, "thread_states": last, "peers": peers}))

    found = probe_tables(rows)

    assert found["thread_states"] == expected
    assert found["socket_peers"] == ({"127.0.0.1:5432": 0.5} if expected else {})
