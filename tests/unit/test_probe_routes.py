"""Requests by route: names, bounds, sums."""

import asyncio
import math
import string
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from pinchpoint.monitoring.probe import asgi, feeds, routes, templates
from pinchpoint.monitoring.probe.layout import ROUTES
from pinchpoint.monitoring.probe.routes import RouteRow, Routes, normalised
from pinchpoint.monitoring.probe.runtime import Hook
from pinchpoint.monitoring.probe.tables import Rows


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Routes]:
    """Return fresh routes, with a page of their own."""
    fresh, requests = Routes(), asgi.Requests()
    requests.seen = True
    monkeypatch.setattr(asgi, "REQUESTS", requests)
    monkeypatch.setattr(asgi, "HOOK", Hook("requests", requests.fill, requests.reset))
    monkeypatch.setattr(routes, "ROUTE_ROWS", Rows(ROUTES))
    monkeypatch.setattr(templates, "ROUTES_SEEN", fresh)
    templates.ROWS.clear()
    yield fresh
    templates.ROWS.clear()


def _get(app: Any, *paths: str, method: str = "GET") -> None:
    wrapped = asgi.wrap(app)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None:
        return

    async def call() -> None:
        for path in paths:
            scope = {
                "type": "http",
                "method": method,
                "path": path,
                "raw_path": path.encode(),
                "root_path": "",
                "query_string": b"",
                "headers": [],
                "scheme": "http",
                "server": ("x", 80),
                "asgi": {"version": "3.0"},
            }
            await wrapped(scope, receive, send)

    asyncio.run(call())


def _done(seen: Routes) -> dict[str, int]:
    return {" ".join(filter(None, name)): row.done for name, row in seen.named.items()}


async def _plain(_: Any) -> PlainTextResponse:
    return PlainTextResponse("x")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "/"),
        ("/items/42", "/items/{}"),
        ("/items/42/", "/items/{}/"),
        ("/v1/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301/posts", "/v1/users/{}/posts"),
        ("/orders/order-12345", "/orders/{}"),
        ("/commits/deadbeef1", "/commits/{}"),
        ("/deadline/facade", "/deadline/facade"),
        ("/t/dGhpc0lzQVRva2VuMQ", "/t/{}"),
        ("/static/app.js", "/static/app.js"),
        ("/a b/é", "/{}/{}"),
    ],
)
def test_ids_are_taken_out_of_a_path(path: str, name: str) -> None:
    """What people name is left."""
    assert normalised(path) == name


@given(path=st.text(alphabet=string.printable + "é€/", max_size=400))
def test_a_normalised_path_is_short_plain_and_stays_as_it_is(path: str) -> None:
    """At most nine segments of 40 characters, whatever a client sends."""
    name = normalised(path)
    assert len(name) <= 9 * 41 + len("/...")
    assert name.isprintable()
    assert name.isascii()
    assert normalised(name) == name


@given(one=st.integers(0), two=st.integers(0))
def test_paths_that_differ_in_numbers_only_are_one_row(one: int, two: int) -> None:
    """However large."""
    assert normalised(f"/items/{one}/x") == normalised(f"/items/{two}/x")


def test_a_row_sums_up_its_requests() -> None:
    """A status of 0 (the client hung up) is neither kind of error."""
    row = RouteRow()
    for status, seconds in ((200, 1.0), (404, 2.0), (503, 4.0), (0, 8.0)):
        row.add(status, seconds)
    assert row.figures(0.0) == [4, 1, 1, 15.0, 8.0, 0, 0]


def test_the_longest_time_is_forgotten_after_two_seconds() -> None:
    """It is of the second before the last look and of the one since."""
    row = RouteRow()
    row.add(200, 9.0)
    assert [row.figures(at)[4] for at in (1.0, 1.9, 2.0, 3.0)] == [9.0, 9.0, 0.0, 0.0]


def test_statements_are_counted_for_the_request_of_their_context(seen: Routes) -> None:
    """Three by the request itself, one of them in a task and one in a thread; others beside it count for nobody."""
    state = [0]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["pinchpoint.route"] = "/orders/<id>"
        statement()
        await asyncio.create_task(in_a_task())
        await asyncio.to_thread(statement)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    def statement() -> None:
        state[0] += 1
        tally = routes.TALLY.get()
        if tally is not None:
            tally.statements += 1

    async def in_a_task() -> None:
        statement()

    _get(app, "/orders/1", "/orders/2")
    statement()
    row = seen.named["GET", "/orders/<id>"]
    assert (state, row.counted, row.statements) == ([7], 2, 6)
    assert row.figures(0.0)[5:] == [2, 6]
    assert routes.TALLY.get() is None


def test_a_request_that_is_not_timed_counts_no_statements(seen: Routes) -> None:
    """Nothing of it reaches a busy server's other requests; the mean is over those that were counted."""
    asgi.REQUESTS.left = 1

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (routes.TALLY.get() is None) == (scope["path"] == "/items/1")
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    _get(app, "/items/1", "/items/2")
    row = seen.named["GET", "/items/{}"]
    assert (row.done, row.counted) == (2, 1)


def test_an_app_that_raises_before_it_answers_counts_no_statements(seen: Routes) -> None:
    """It stopped somewhere: the next request of the same context starts afresh."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        _get(app, "/items/1")
    row = seen.named["GET", "/items/{}"]
    assert (row.done, row.counted, routes.TALLY.get()) == (1, 0, None)


def test_statements_are_unavailable_when_the_hook_that_counts_them_has_failed() -> None:
    """Requests go on, and their number stands."""
    row = RouteRow()
    row.add(200, 0.5)
    row.take(routes.Tally())
    try:
        feeds.refresh(["calls"])
        figures = row.figures(0.0)
    finally:
        feeds.refresh(())
    assert (figures[0], [math.isnan(figure) for figure in figures[5:]]) == (1, [True, True])


def test_a_flood_of_names_ends_in_other(seen: Routes) -> None:
    """Names are lost, requests never; nothing grows."""
    for number in range(500):
        seen.count("GET", f"/{number}", "", 200, 0.5)
        seen.count_threadsafe(f"X{number}", "/", "", 200, 0.5)
    assert len(seen.named) <= ROUTES.rows
    assert _done(seen)["(other)"] == 1000 - (len(seen.named) - 1)
    assert (seen.totals()["requests_done"], seen.totals()["service_s"]) == (1000, 500.0)


def test_a_404_that_met_no_route_has_none(seen: Routes) -> None:
    """Scanners make no rows."""
    seen.count("GET", None, "/wp-login.php", 404, 0.1)
    seen.count("GET", None, "/files/a", 200, 0.1)
    seen.count("GET", "/items/{id}", "/items/1", 404, 0.1)
    assert _done(seen) == {"GET (no route)": 1, "GET /files/a": 1, "GET /items/{id}": 1}


def test_starlette_routes_are_found_below_mounts(seen: Routes) -> None:
    """Also where one router is mounted twice."""
    inner = Router([Route("/a/{b:int}", _plain)])
    app = Starlette(
        routes=[
            Route("/", _plain),
            Mount("/t/{tenant}", routes=[Mount("/deep", app=inner)]),
            Mount("/other", app=inner),
        ]
    )
    _get(app, "/", "/t/acme/deep/a/1", "/t/emca/deep/a/2", "/other/a/3", "/other/a/4", "/nowhere")
    assert _done(seen) == {
        "GET /": 1,
        "GET /t/{tenant}/deep/a/{b:int}": 2,
        "GET /other/a/{b:int}": 2,
        "GET (no route)": 1,
    }


def test_fastapi_routes_carry_the_prefixes_of_their_routers(seen: Routes) -> None:
    """One router included twice has two names, a mounted app its mount's."""
    router, outer, sub = APIRouter(), APIRouter(prefix="/outer"), FastAPI()
    app = FastAPI()
    for target in (router, sub):
        target.add_api_route("/u/{x}", lambda x: x)
    app.add_api_route("/items/{item_id}", lambda item_id: item_id, methods=["GET", "DELETE"])
    outer.include_router(router, prefix="/in")
    app.include_router(router, prefix="/one")
    app.include_router(outer)
    app.mount("/sub", sub)
    _get(app, "/items/1", "/items/2", "/one/u/1", "/outer/in/u/1", "/sub/u/1")
    _get(app, "/items/1", method="DELETE")
    assert _done(seen) == {
        "GET /items/{item_id}": 2,
        "GET /one/u/{x}": 1,
        "GET /outer/in/u/{x}": 1,
        "GET /sub/u/{x}": 1,
        "DELETE /items/{item_id}": 1,
    }


def test_a_middleware_that_copies_the_scope_hides_the_route_only_once(
    seen: Routes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on the router says which copy it got."""
    monkeypatch.setattr(templates.COPIES, "followed", False)
    monkeypatch.setattr(Router, "__call__", Router.__call__)
    starlette = Starlette(routes=[Route("/items/{id}", _plain)])

    async def copying(scope: Any, receive: Any, send: Any) -> None:
        await starlette(dict(scope), receive, send)

    _get(copying, "/items/1", "/items/2", "/items/3")
    assert _done(seen) == {"GET /items/{}": 1, "GET /items/{id}": 2}


def test_what_a_framework_says_itself_wins(seen: Routes) -> None:
    """`pinchpoint.route` before `route`; Litestar's `path_template` where there is nothing else."""

    def app(**left: Any) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            scope.update(left)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        return answer

    _get(app(**{"pinchpoint.route": "/mine/<id>", "route": Route("/x", _plain)}), "/mine/1")
    _get(app(path_template="/lite/{id}"), "/lite/1")
    _get(app(route=Route("/alone/{id}", _plain)), "/alone/1")
    assert _done(seen) == {"GET /mine/<id>": 1, "GET /lite/{id}": 1, "GET /alone/{id}": 1}


def test_routes_that_come_and_go_do_not_pile_up(seen: Routes) -> None:
    """An app that makes a route per request is served, too."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = Route(scope["path"], _plain)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    _get(app, *[f"/r{number}x" for number in range(2 * templates._ROWS_KEPT)])
    assert seen.totals()["requests_done"] == 2 * templates._ROWS_KEPT
    assert len(templates.ROWS) <= templates._ROWS_KEPT
    assert len(templates._alive) <= templates._ROWS_KEPT
