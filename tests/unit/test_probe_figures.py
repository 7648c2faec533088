"""The probe's arithmetic, with the clock in hand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.probe import asgi
from pinchpoint.monitoring.probe import peers as probe_peers
from pinchpoint.monitoring.probe.layout import CALLS
from pinchpoint.monitoring.probe.level import Level
from pinchpoint.monitoring.probe.loop import HEARTBEAT_S, Watch
from pinchpoint.monitoring.probe.peers import Peers
from pinchpoint.monitoring.probe.runtime import RUNTIME, Hook
from pinchpoint.monitoring.probe.tables import Rows

Send = Callable[[Any], Awaitable[None]]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> asgi.Requests:
    """Return fresh figures, and a hook that fills them."""
    fresh = asgi.Requests()
    monkeypatch.setattr(asgi, "REQUESTS", fresh)
    monkeypatch.setattr(asgi, "HOOK", Hook("requests", fresh.fill, fresh.reset))
    monkeypatch.setattr(RUNTIME, "active", True)
    return fresh


async def _ignore(_: Any) -> None:
    return


def _call(app: Any, kind: str = "http") -> None:
    asyncio.run(asgi.wrap(app)({"type": kind}, None, _ignore))


def _fields(requests: asgi.Requests, at: float = 0.0) -> dict[str, float]:
    fields: dict[str, float] = {}
    requests.fill(fields, at)
    return fields


def _answering(status: int) -> Any:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": status})
        await asyncio.sleep(0)
        await send({"type": "http.response.body"})

    return app


@given(changes=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 100)), max_size=30))
def test_a_level_is_the_sum_of_its_shifts_and_its_area_their_integral(changes: list[tuple[int, int]]) -> None:
    """Whole seconds, so the sums are exact."""
    level, at, value, area = Level(), 0, 0, 0
    for delta, pause in changes:
        level.shift(delta, at)
        value += delta
        at += pause
        area += value * pause
    assert (level.value, level.area(at)) == (value, area)


@pytest.mark.parametrize(("status", "classes"), [(200, (0, 0)), (302, (0, 0)), (404, (1, 0)), (503, (0, 1))])
def test_responses_are_counted_by_class(requests: asgi.Requests, status: int, classes: tuple[int, int]) -> None:
    """Only client and server errors have a counter."""
    _call(_answering(status))
    fields = _fields(requests)
    assert (fields["requests_started"], fields["requests_done"], fields["inflight"]) == (1, 1, 0)
    assert (fields["responses_4xx"], fields["responses_5xx"]) == classes


def test_an_app_that_raises_counts_as_a_server_error_and_still_raises(requests: asgi.Requests) -> None:
    """The server will answer 500 in its place."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        _call(app)
    assert (requests.done, requests.server_errors) == (1, 1)


def test_a_cancelled_request_is_done_and_no_error(requests: asgi.Requests) -> None:
    """The client hung up: nothing stays in flight, nothing failed."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await asyncio.Event().wait()

    async def hang_up() -> None:
        task = asyncio.ensure_future(asgi.wrap(app)({"type": "http"}, None, _ignore))
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
    _call(_answering(200), kind)
    assert _fields(requests)["requests_started"] == 0


def test_a_request_in_flight_counts_up_to_now(requests: asgi.Requests) -> None:
    """The integral does not wait for the request to end."""
    requests.active = {"a": 10.0, "b": 12.0}
    requests.service_s = 3.0
    fields = _fields(requests, at=15.0)
    assert (fields["inflight"], fields["inflight_s"], fields["service_s"]) == (2, 11.0, 3.0)


def test_requests_that_are_timed_stand_for_all(requests: asgi.Requests) -> None:
    """The weights of the timed requests add up to the number of requests, whatever the gaps drawn."""
    requests._mean_gap = 16
    weights = 0
    count = 0
    while count < 10_000:
        count += 1
        requests.left -= 1
        if not requests.left:
            weights += requests.draw()
    assert weights == count - (requests.gap - requests.left)
    assert requests.gap < 2 * 16


def test_a_broken_hook_says_so_once_and_requests_go_on(
    requests: asgi.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its fields are gone, the app's answers are not."""
    requests.active = None  # type: ignore[assignment]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = asgi.wrap(_answering(200))
    for _ in range(3):
        asyncio.run(app({"type": "http"}, None, send))
    fields: dict[str, float] = {}
    asgi.HOOK.fill(fields, 1.0)
    assert (len(sent), fields) == (6, {})
    assert capsys.readouterr().err.count("\n") == 1


def test_a_hook_that_fails_while_it_publishes_leaves_no_half_of_its_fields() -> None:
    """All of its fields or none."""

    def fill(fields: dict[str, float], _: float) -> None:
        fields["inflight"] = 1.0
        raise ValueError

    fields: dict[str, float] = {}
    hook = Hook("x", fill, lambda: None)
    hook.fill(fields, 0.0)
    assert (fields, hook.alive) == ({}, False)


def test_an_overdue_heartbeat_shows_before_the_loop_is_free_again() -> None:
    """Whoever looks at a blocked loop must not wait for the loop to say so."""
    watch = Watch()
    watch.loop, watch.due = object(), 100.0
    fields: dict[str, float] = {}
    watch.fill(fields, 100.0 + 2.5)
    assert fields["loop_lag_max_s"] == 2.5


def test_the_loop_is_busy_outside_the_selector() -> None:
    """Sleeping is not busy, computing is; polls that do not wait count as busy."""

    async def main() -> dict[str, float]:
        watch = Watch()
        watch.start(asyncio.get_running_loop())
        await asyncio.sleep(3 * HEARTBEAT_S)
        fields: dict[str, float] = {}
        watch.fill(fields, watch.due)
        watch.loop = None
        return fields

    fields = asyncio.run(main())
    assert fields["loop_kind"] == 1
    assert fields["loop_lag_n"] >= 1
    assert 0 < fields["loop_busy_s"] < 3 * HEARTBEAT_S


def test_the_database_is_embedded_only_when_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """One remote database makes the time remote."""
    peers, fields = Peers(), dict[str, float]()
    monkeypatch.setattr(probe_peers, "CALL_ROWS", Rows(CALLS))
    peers.fill(fields, 0.0)
    assert fields == {}
    peers.get("db", "sqlite /x.db")
    peers.fill(fields, 0.0)
    assert fields["db_embedded"] == 1
    peers.get("db", "postgresql 127.0.0.1:5432/shop")
    peers.fill(fields, 0.0)
    assert fields["db_embedded"] == 0
