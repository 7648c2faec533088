"""ASGI requests as the probe counts them, without a server."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from pinchpoint.monitoring.probe import asgi, routes, templates
from pinchpoint.monitoring.probe.layout import ROUTES
from pinchpoint.monitoring.probe.runtime import Hook
from pinchpoint.monitoring.probe.tables import Rows

Send = Callable[[Any], Awaitable[None]]
START = {"type": "http.response.start", "status": 200}
BODY = {"type": "http.response.body", "body": b"x"}


@pytest.fixture(autouse=True)
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[asgi.Requests]:
    """Return fresh figures, and a hook that fills them."""
    fresh, seen = asgi.Requests(), routes.Routes()
    fresh.seen = True
    monkeypatch.setattr(asgi, "REQUESTS", fresh)
    monkeypatch.setattr(asgi, "HOOK", Hook("requests", fresh.fill, fresh.reset))
    monkeypatch.setattr(routes, "ROUTE_ROWS", Rows(ROUTES))
    for module in (asgi, templates):
        monkeypatch.setattr(module, "ROUTES_SEEN", seen)
    templates.ROWS.clear()
    yield fresh
    templates.ROWS.clear()


async def _ignore(_: Any) -> None:
    return


def _scope(**more: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "root_path": "", **more}


def _call(app: Any, send: Send = _ignore, **more: Any) -> None:
    asyncio.run(asgi.wrap(app)(_scope(**more), None, send))


def _fields(requests: asgi.Requests) -> dict[str, float]:
    fields: dict[str, float] = {}
    requests.fill(fields, time.monotonic())
    return fields


def _answering(status: int) -> Any:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send({**START, "status": status})
        await asyncio.sleep(0)
        await send(BODY)

    return app


@pytest.mark.parametrize(("status", "classes"), [(200, (0, 0)), (302, (0, 0)), (404, (1, 0)), (503, (0, 1))])
def test_responses_are_counted_by_class(requests: asgi.Requests, status: int, classes: tuple[int, int]) -> None:
    """Only client and server errors have a counter."""
    _call(_answering(status))
    fields = _fields(requests)
    assert (fields["requests_started"], fields["requests_done"], fields["inflight"]) == (1, 1, 0)
    assert (fields["responses_4xx"], fields["responses_5xx"]) == classes


@pytest.mark.parametrize("answered", [False, True])
def test_an_app_that_raises_still_raises(requests: asgi.Requests, answered: bool) -> None:
    """The server answers 500 in its place, unless it has answered already."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        if answered:
            await send(START)
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        _call(app)
    fields = _fields(requests)
    assert (fields["requests_done"], fields["inflight"], fields["responses_5xx"]) == (1, 0, not answered)


@pytest.mark.parametrize("gone", [False, True])
def test_an_app_that_never_answers_is_a_server_error_to_whoever_still_listens(
    requests: asgi.Requests, gone: bool
) -> None:
    """The server says whether the client hung up."""

    class Cycle:
        disconnected = gone

        async def send(self, _: Any) -> None:
            return

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await asyncio.sleep(0)

    _call(app, Cycle().send)
    fields = _fields(requests)
    assert (fields["requests_done"], fields["inflight"], fields["responses_5xx"]) == (1, 0, not gone)


def test_a_cancelled_request_is_done_and_no_error(requests: asgi.Requests) -> None:
    """The client hung up: nothing stays in flight, nothing failed."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await asyncio.Event().wait()

    async def hang_up() -> None:
        task = asyncio.ensure_future(asgi.wrap(app)(_scope(), None, _ignore))
        await asyncio.sleep(0)
        assert _fields(requests)["inflight"] == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(hang_up())
    fields = _fields(requests)
    assert (fields["requests_done"], fields["inflight"], fields["responses_5xx"]) == (1, 0, 0)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_only_http_is_counted(requests: asgi.Requests, kind: str) -> None:
    """Other scopes pass through untouched."""
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        given.extend((receive, send))

    _call(app, type=kind)
    assert given == [None, _ignore]
    assert _fields(requests)["requests_started"] == 0


def test_a_request_in_flight_counts_up_to_now(requests: asgi.Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    """The integral does not wait for the request to end."""
    now = [100.0]
    requests.since = 0.0
    monkeypatch.setattr(asgi, "_now", lambda: now[0])

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        now[0] = 103.0
        fields: dict[str, float] = {}
        requests.fill(fields, 103.0)
        assert (fields["inflight"], fields["inflight_s"], fields["service_s"]) == (1, 3.0, 0.0)
        await send(BODY)

    _call(app)
    fields: dict[str, float] = {}
    requests.fill(fields, 110.0)
    assert (fields["inflight"], fields["inflight_s"], fields["service_s"]) == (0, 3.0, 3.0)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_ends_with_the_last_of_its_body(
    requests: asgi.Requests, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """A background task is no service time; waiting until the client takes the rest of a stream is."""
    now = [100.0]
    monkeypatch.setattr(asgi, "_now", lambda: now[0])

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        if streamed:
            await send({**BODY, "more_body": True})
            assert _fields(requests)["requests_done"] == 0
        await send({**BODY, "more_body": False})
        assert _fields(requests)["requests_done"] == 1
        now[0] += 60.0

    async def slow(message: Any) -> None:
        now[0] += message["type"] == "http.response.body"

    _call(app, slow)
    assert _fields(requests)["service_s"] == (2.0 if streamed else 0.0)


def test_requests_that_are_timed_stand_for_all(requests: asgi.Requests) -> None:
    """The weights of the timed requests add up to the number of requests, whatever the gaps drawn."""
    requests._mean_gap = 16
    weights = 0
    count = 0
    while count < 10_000:
        count += 1
        if not requests.left:
            weights += requests.draw()
        requests.left -= 1
        assert requests.begun() == count
    assert weights == count - (requests.gap - 1 - requests.left)
    assert requests.gap < 2 * 16


def test_a_torn_look_is_left_out(requests: asgi.Requests) -> None:
    """A request that has begun but whose start is not there yet would look as old as the machine."""
    requests.since = 990_000.0
    requests.left -= 1
    fields: dict[str, float] = {}
    requests.fill(fields, 1_000_000.0)
    assert "inflight_s" not in fields
    requests.starts = 999_999.0
    requests.fill(fields, 1_000_000.0)
    assert fields["inflight_s"] == 1.0


def test_a_broken_hook_says_so_once_and_requests_go_on(
    requests: asgi.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its fields are gone, the app's answers are not."""
    requests.starts = None  # type: ignore[assignment]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = asgi.wrap(_answering(200))
    for _ in range(3):
        asyncio.run(app(_scope(), None, send))
    fields: dict[str, float] = {}
    asgi.HOOK.fill(fields, 1.0)
    assert (len(sent), fields) == (6, {})
    assert capsys.readouterr().err.count("\n") == 1


def test_a_hook_that_breaks_in_the_middle_of_a_request_lets_it_end(
    requests: asgi.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once as it began, once as it ends: the answer is sent once."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Send) -> None:
        requests.starts = None  # type: ignore[assignment]
        await _answering(200)(scope, receive, send)

    _call(app, send)
    assert sent == [START, BODY]
    assert asgi.HOOK.alive is False
    assert capsys.readouterr().err.count("\n") == 1


def test_the_wrapped_app_looks_like_the_app() -> None:
    """Servers tell the kind of an app by its being a coroutine function."""
    app = asgi.wrap(_answering(200))
    assert inspect.iscoroutinefunction(app)
    assert app.__name__ == "app"


def test_an_app_may_return_anything_that_can_be_awaited(requests: asgi.Requests) -> None:
    """A future has no steps that could be timed."""

    def app(scope: Any, receive: Any, send: Send) -> Any:
        return asyncio.get_running_loop().create_task(_answering(200)(scope, receive, send))

    _call(app)
    assert _fields(requests)["requests_done"] == 1
