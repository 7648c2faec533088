"""WSGI requests: counted exactly, with nothing changed for the app or for the server."""

import contextlib
import gc
import io
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.probe import wsgi
from pinchpoint.monitoring.probe.bodies import ClosingList, drain, joined
from pinchpoint.monitoring.probe.executors import WAITED
from pinchpoint.monitoring.probe.gates import Gate
from pinchpoint.monitoring.probe.routes import TALLY
from pinchpoint.monitoring.probe.runtime import RUNTIME, Hook
from support.wsgi_doubles import Body, Routes

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Routes:
    """Return the routes counted."""
    routes = Routes()
    monkeypatch.setattr(wsgi, "ROUTES_SEEN", routes)
    return routes


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, routes: Routes) -> wsgi.Requests:
    """Return fresh figures, and a hook that fills them."""
    fresh = wsgi.Requests()
    monkeypatch.setattr(wsgi, "REQUESTS", fresh)
    monkeypatch.setattr(wsgi, "HOOK", Hook("wsgi requests", fresh.fill, fresh.reset))
    monkeypatch.setattr(RUNTIME, "active", True)
    return fresh


def _fields(requests: wsgi.Requests, at: float = 0.0) -> dict[str, float]:
    fields: dict[str, float] = {}
    requests.fill(fields, at)
    return fields


def _counts(requests: wsgi.Requests) -> tuple[float, ...]:
    """Return done, 4xx, 5xx and in flight."""
    fields = _fields(requests)
    return tuple(fields[name] for name in ("requests_done", "responses_4xx", "responses_5xx", "inflight"))


def _environ(**more: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/items/7", **more}


def _started(_status: str, _headers: list[tuple[str, str]], _error: Any = None) -> Any:
    return "write"


def _app(status: str, body: Any = ()) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, [])
        return body

    return app


def _serve(app: App, environ: dict[str, Any] | None = None) -> bytes:
    """Do as servers do: send every chunk, and close, whatever happens."""
    body = app(environ if environ is not None else _environ(), _started)
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


@pytest.mark.parametrize(
    ("status", "counts"),
    [("200 OK", (1, 0, 0, 0)), ("302 Found", (1, 0, 0, 0)), ("404 Not Found", (1, 1, 0, 0)), ("503 No", (1, 0, 1, 0))],
)
def test_responses_are_counted_by_class(requests: wsgi.Requests, status: str, counts: tuple[int, ...]) -> None:
    """The class of the status the app gave."""
    assert _serve(wsgi.wrap(_app(status, [b"x"]))) == b"x"
    assert _counts(requests) == counts


def test_a_request_is_counted_under_its_route(requests: wsgi.Requests, routes: Routes) -> None:
    """The template the framework left; without one the path, with what a dispatcher moved to SCRIPT_NAME."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/items", "/7"
        start_response("404 Not Found", [])
        return []

    _serve(wsgi.wrap(_app("200 OK")), _environ(**{"pinchpoint.route": "/items/<id>"}))
    _serve(wsgi.wrap(app))
    assert routes.counted == [("GET", "/items/<id>", "", 200), ("GET", None, "/items/7", 404)]


def test_the_statements_of_a_timed_request_are_counted(requests: wsgi.Requests, routes: Routes) -> None:
    """Those of its body, which is made while it is sent, as well; a request that is not timed counts none."""

    def lines() -> Iterator[bytes]:
        tally = TALLY.get()
        if tally is not None:
            tally.statements += 3
        yield b"x"

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        tally = TALLY.get()
        if tally is not None:
            tally.statements += 1
        start_response("200 OK", [])
        return lines()

    _serve(wsgi.wrap(app))
    requests.left = 2
    _serve(wsgi.wrap(app))
    assert routes.statements == [4, None]
    assert TALLY.get() is None


def test_an_app_that_raises_is_answered_with_a_500(requests: wsgi.Requests, routes: Routes) -> None:
    """The same exception goes on to the server."""
    error = ValueError("broken")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise error

    with pytest.raises(ValueError, match="broken") as raised:
        _serve(wsgi.wrap(app))
    assert raised.value is error
    assert _counts(requests) == (1, 0, 1, 0)
    assert routes.counted == [("GET", None, "/items/7", 500)]


def test_the_end_of_a_thread_is_no_error_of_the_apps(requests: wsgi.Requests) -> None:
    """KeyboardInterrupt, SystemExit and GreenletExit leave nothing in flight."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _serve(wsgi.wrap(app))
    assert _counts(requests) == (1, 0, 0, 0)


def test_a_response_object_stays_itself(requests: wsgi.Requests) -> None:
    """Its type, length and file are what servers look at; it is closed once, and left as it was found."""
    body = Body()
    given = wsgi.wrap(_app("200 OK", body))(_environ(), _started)
    assert given is body
    assert (len(given), given.fileno(), _counts(requests)) == (2, 7, (0, 0, 0, 1))
    given.close()
    assert (body.closed, body.__dict__, _counts(requests)) == (1, {"closed": 1}, (1, 0, 0, 0))


def test_one_response_object_may_answer_two_requests_at_once(requests: wsgi.Requests) -> None:
    """An app may keep its answer; both requests end."""
    app = wsgi.wrap(_app("200 OK", Body()))
    first, second = app(_environ(), _started), app(_environ(), _started)
    assert (b"".join(first), b"".join(second)) == (b"ab", b"ab")
    second.close()
    assert _counts(requests) == (1, 0, 0, 1)
    first.close()
    assert _counts(requests) == (2, 0, 0, 0)


def test_a_file_wrapper_stays_one(requests: wsgi.Requests) -> None:
    """Servers send their own file wrapper with sendfile; the file is closed with it."""
    file = io.BytesIO(b"content")
    body = wsgi.wrap(_app("200 OK", FileWrapper(file)))(_environ(), _started)
    assert type(body) is FileWrapper
    assert (b"".join(body), _counts(requests)) == (b"content", (0, 0, 0, 1))
    body.close()
    assert (file.closed, _counts(requests)) == (True, (1, 0, 0, 0))


def test_a_list_stays_a_list(requests: wsgi.Requests) -> None:
    """Its length makes a Content-Length; and it can be closed."""
    body = wsgi.wrap(_app("200 OK", [b"a"]))(_environ(), _started)
    assert isinstance(body, ClosingList)
    assert (body, _counts(requests)) == ([b"a"], (0, 0, 0, 1))
    body.close()
    assert _counts(requests) == (1, 0, 0, 0)


def test_a_generator_is_streamed_and_closed(requests: wsgi.Requests) -> None:
    """Chunk by chunk, in flight until the last; its own clean-up runs when the client goes away."""
    log: list[str] = []

    def chunks() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            log.append("cleaned up")

    body: Any = wsgi.wrap(_app("200 OK", chunks()))(_environ(), _started)
    assert (next(iter(body)), _counts(requests), log) == (b"a", (0, 0, 0, 1), [])
    body.close()
    assert (_counts(requests), log) == ((1, 0, 0, 0), ["cleaned up"])


@pytest.mark.parametrize(("error", "counts"), [(ValueError(), (1, 0, 1, 0)), (BrokenPipeError(), (1, 0, 0, 0))])
def test_a_response_that_breaks_off_is_an_error_unless_the_client_left(
    requests: wsgi.Requests, error: Exception, counts: tuple[int, ...]
) -> None:
    """The server closes the response while the exception passes."""
    body = Body()
    given: Any = wsgi.wrap(_app("200 OK", body))(_environ(), _started)
    with pytest.raises(type(error)), contextlib.closing(given):
        raise error
    assert _counts(requests) == counts


def test_a_response_nobody_closes_is_over_when_it_is_gone(requests: wsgi.Requests) -> None:
    """Nothing stays in flight for ever."""
    body: Any = wsgi.wrap(_app("200 OK", Body()))(_environ(), _started)
    assert _counts(requests) == (0, 0, 0, 1)
    del body
    gc.collect()
    assert _counts(requests) == (1, 0, 0, 0)


@pytest.mark.parametrize("body", [b"text", 7])
def test_what_is_no_response_is_left_to_the_server(requests: wsgi.Requests, body: Any) -> None:
    """It has its own words for it, and its own marks for answers given already."""
    assert wsgi.wrap(_app("200 OK", body))(_environ(), _started) is body
    assert _counts(requests) == (1, 0, 0, 0)


def test_servers_that_close_late_are_done_with_the_last_chunk(requests: wsgi.Requests) -> None:
    """Werkzeug waits 10 ms for the client before it closes."""
    inner = Body()
    body = wsgi.wrap(_app("200 OK", inner), following=drain)(_environ(), _started)
    assert (b"".join(body), _counts(requests)) == (b"ab", (1, 0, 0, 0))
    body.close()
    assert (inner.closed, _counts(requests)) == (1, (1, 0, 0, 0))


def test_servers_that_join_lists_get_the_list(requests: wsgi.Requests) -> None:
    """Granian never closes it."""
    chunks = [b"a"]
    assert wsgi.wrap(_app("200 OK", chunks), following=joined)(_environ(), _started) is chunks
    assert _counts(requests) == (1, 0, 0, 0)


def test_start_response_keeps_its_arguments_and_its_write(requests: wsgi.Requests) -> None:
    """The legacy `write`, `exc_info`, and a second call that replaces the first."""
    calls: list[tuple[Any, ...]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            int("x")
        except ValueError:
            written = start_response("500 No", [("a", "b")], sys.exc_info())
        assert written == "write"
        return []

    def start(*arguments: Any) -> str:
        calls.append(arguments)
        return "write"

    wsgi.wrap(app)(_environ(), start).close()
    assert [call[0] for call in calls] == ["200 OK", "500 No"]
    assert calls[1][2][0] is ValueError
    assert _counts(requests) == (1, 0, 1, 0)


@pytest.mark.parametrize("chunks", [[b"hello"], (b"hello",), [b"hel", b"lo"]])
def test_a_server_sends_the_same_with_and_without_the_probe(requests: wsgi.Requests, chunks: Any) -> None:
    """Under the standard library's own check of both sides, byte for byte."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return chunks

    def sent(served: Any) -> bytes:
        out = io.BytesIO()
        environ = _environ(SERVER_NAME="x", SERVER_PORT="80", SERVER_PROTOCOL="HTTP/1.1", QUERY_STRING="")
        handler = SimpleHandler(io.BytesIO(), out, io.StringIO(), environ)
        handler.run(served)
        return out.getvalue()

    assert sent(wsgi.wrap(app)) == sent(app)
    assert sent(validator(wsgi.wrap(validator(app)))).endswith(b"hello")
    assert _counts(requests) == (2, 0, 0, 0)


def test_wrapping_twice_counts_once(requests: wsgi.Requests) -> None:
    """One server may be built on another."""
    app = wsgi.wrap(_app("200 OK", [b"x"]))
    assert wsgi.wrap(app) is app


def test_the_wait_for_a_thread_belongs_to_the_request_that_runs_on_it(requests: wsgi.Requests) -> None:
    """It is taken once; without any wait seen there is no figure."""
    app = wsgi.wrap(_app("200 OK", [b"x"]))
    _serve(app)
    assert "queue_s" not in _fields(requests)
    WAITED[threading.get_ident()] = 0.25
    _serve(app)
    _serve(app)
    fields = _fields(requests)
    assert (fields["queue_s"], fields["queue_n"]) == (0.25, 1)


def test_a_slot_is_busy_while_the_request_is_in(requests: wsgi.Requests) -> None:
    """For servers that have a thread for every request."""
    gate = Gate("worker-slots", "x", lambda: 1)
    body: Any = wsgi.wrap(_app("200 OK", [b"x"]), lambda: gate)(_environ(), _started)
    assert gate.busy.value == 1
    body.close()
    assert (gate.busy.value, gate.taken) == (0, 1)


def test_nothing_is_published_before_a_wsgi_server_was_seen(requests: wsgi.Requests) -> None:
    """An ASGI process has the same fields from elsewhere."""
    assert _fields(requests) == {}
    requests.served = True
    assert _fields(requests)["requests_started"] == 0


def test_a_request_in_flight_counts_up_to_now(requests: wsgi.Requests) -> None:
    """The integral does not wait for the request to end."""
    requests.enter(1, 10.0, None)
    requests.enter(2, 12.0, None)
    requests.service_s = 3.0
    fields = _fields(requests, at=15.0)
    assert (fields["inflight"], fields["inflight_s"], fields["service_s"]) == (2, 11.0, 3.0)


@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.sampled_from([0, 200, 404, 500])), max_size=40)
)
def test_any_order_of_requests_adds_up(steps: list[tuple[int, int, int]]) -> None:
    """A key enters, and leaves when it comes again; time passes in between."""
    requests = wsgi.Requests()
    started: dict[int, int] = {}
    at = area = done = errors = 0
    for key, pause, status in steps:
        at += pause
        area += pause * len(started)
        if key in started:
            assert requests.leave(key, at, status) == at - started.pop(key)
            done, errors = done + 1, errors + (status >= 400)
        else:
            requests.enter(key, at, None)
            started[key] = at
    requests.served = True
    fields = _fields(requests, at)
    seconds = area - sum(at - began for began in started.values())
    assert (fields["requests_done"], fields["inflight"], fields["inflight_s"]) == (done, len(started), area)
    assert (fields["service_s"], fields["responses_4xx"] + fields["responses_5xx"]) == (seconds, errors)
    assert requests.leave(99, at, 200) is None


def test_requests_that_are_timed_stand_for_all(requests: wsgi.Requests) -> None:
    """The weights of the timed requests add up to the number of requests, whatever the gaps drawn."""
    requests._mean_gap = 16
    weights = 0
    for key in range(10_000):
        weights += requests.enter(key, 0.0, None)
    assert weights == 10_000 - (requests.gap - requests.left)


def test_handler_time_is_unavailable_where_requests_share_a_thread(requests: wsgi.Requests) -> None:
    """Under gevent the thread's time is everybody's."""
    requests.timed, requests.served = False, True
    assert "handler_cpu_s" not in _fields(requests)
    requests.timed = True
    assert _fields(requests)["handler_cpu_s"] == 0


def test_a_broken_hook_says_so_once_and_requests_go_on(
    requests: wsgi.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its fields are gone, the app's answers are not."""
    requests.active = None  # type: ignore[assignment]
    requests.served = True
    app = wsgi.wrap(_app("200 OK", [b"x"]))
    assert [_serve(app) for _ in range(3)] == [b"x", b"x", b"x"]
    fields: dict[str, float] = {}
    wsgi.HOOK.fill(fields, 1.0)
    assert fields == {}
    assert capsys.readouterr().err.count("\n") == 1


def test_requests_of_the_parent_are_not_counted_in_the_child(requests: wsgi.Requests) -> None:
    """They may end there, as copies."""
    body: Any = wsgi.wrap(_app("200 OK", [b"x"]))(_environ(), _started)
    requests.reset()
    body.close()
    requests.served = True
    assert _counts(requests) == (0, 0, 0, 0)
