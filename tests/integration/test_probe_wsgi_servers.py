"""Flask and Django on the servers people run them on: the probe's figures against what the clients saw."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from support import servers
from support.servers import DEADLINE_S

pytestmark = pytest.mark.alone

HOLD_S = 0.1
CLIENTS = 4
THREADS = 2

GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning", "{app}", "--worker-class")
SERVERS: dict[str, tuple[str, ...]] = {
    "sync": (*GUNICORN, "sync", "--workers", str(CLIENTS)),
    "gthread": (*GUNICORN, "gthread", "--threads", str(CLIENTS)),
    "gevent": (*GUNICORN, "gevent"),
    "waitress": ("waitress", "--listen=127.0.0.1:{port}", f"--threads={CLIENTS}", "{app}"),
    "hypercorn": ("hypercorn", "--bind", "127.0.0.1:{port}", "wsgi:{app}"),
    "granian": ("granian", "--interface", "wsgi", "--port", "{port}", "--blocking-threads", str(CLIENTS), "{app}"),
    "flask": ("flask", "--app", "{app}", "run", "--port", "{port}"),
    "runserver": ("django", "runserver", "--noreload", "--settings=wsgi_django", "127.0.0.1:{port}"),
}
FLASK, DJANGO = "wsgi_flask:app", "wsgi_django_app:application"
ENDS = [*((server, FLASK) for server in SERVERS if server != "runserver"), ("gthread", DJANGO), ("runserver", DJANGO)]
"""Counts and times of both frameworks on every server are in test_coverage_matrix."""
CROWDED = {
    "gthread": (*GUNICORN, "gthread", "--threads", str(THREADS)),
    "waitress": ("waitress", "--listen=127.0.0.1:{port}", f"--threads={THREADS}", "{app}"),
}


class Server(servers.Server):
    """How it is asked."""

    def get(self, path: str) -> tuple[int, float]:
        """Return status and seconds of one request on a connection of its own, as its client sees it."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        started = time.monotonic()
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        seconds = time.monotonic() - started
        connection.close()
        return response.status, seconds

    def get_all(self, paths: list[str]) -> list[tuple[int, float]]:
        """Request all paths at once."""
        answers: list[tuple[int, float]] = []
        threads = [threading.Thread(target=lambda path=path: answers.append(self.get(path))) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        return answers

    def figures(self, ready: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Return the fields of all pages, summed, once all were published after this call and fulfil `ready`."""
        called = time.monotonic()

        def look() -> dict[str, float] | None:
            pages = [page for page in self.reader.read().values() if page.fields]
            if not pages or min(page.published_s for page in pages) <= called:
                return None
            names = {name for page in pages for name in page.fields}
            summed = {name: sum(page.fields.get(name, 0.0) for page in pages) for name in names}
            return summed if ready(summed) else None

        found: dict[str, float] = self.wait_for(look)
        return found

    def table(self, name: str, ready: Callable[[dict[str, dict[str, float]]], bool]) -> dict[str, dict[str, float]]:
        """Return one table of all pages, its rows summed, once it fulfils `ready`: it is published 4 times a second."""

        def look() -> dict[str, dict[str, float]] | None:
            rows: dict[str, dict[str, float]] = {}
            for pid in self.reader.read():
                for row, columns in (self.reader.tables(pid) or {}).get(name, {}).items():
                    mine = rows.setdefault(row, {})
                    for column, figure in columns.items():
                        mine[column] = mine.get(column, 0.0) + figure
            return rows if ready(rows) else None

        found: dict[str, dict[str, float]] = self.wait_for(look)
        return found


@contextmanager
def serving(folder: Path, arguments: tuple[str, ...], app: str) -> Iterator[Server]:
    """Start a server under the probe, wait until it answers, and stop it; the probe must have had nothing to say."""
    command = ("-m", *[argument.replace("{app}", app) for argument in arguments])
    stop = signal.SIGINT if arguments[0] in {"flask", "django"} else signal.SIGTERM
    with servers.serving(Server, folder, command, stop=stop) as server:
        yield server
    assert "pinchpoint probe" not in server.log.read_text()


def _idle(fields: dict[str, float]) -> bool:
    return fields.get("inflight") == 0 and fields.get("slots_busy", 0) == 0


def _grown(server: Server, holds: int, hold_s: float) -> tuple[dict[str, float], list[tuple[int, float]]]:
    """Return what the fields grew by while so many clients had the app hold, and what they saw."""
    before = server.figures(_idle)
    done = before["requests_done"] + holds
    answers = server.get_all([f"/shop/hold/{hold_s * 1000:.0f}"] * holds)
    after = server.figures(lambda fields: _idle(fields) and fields["requests_done"] == done)
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    assert [status for status, _ in answers] == [200] * holds
    assert (grown["requests_started"], grown["inflight"]) == (holds, 0)
    assert grown["service_s"] == pytest.approx(grown["inflight_s"], rel=0.001)
    return grown, answers


def _undisturbed(check: Callable[[], None]) -> None:
    """Check times up to five times: on a busy machine a client may be held up where the server is not."""
    for _ in range(4):
        with contextlib.suppress(AssertionError):
            check()
            return
    check()


@pytest.mark.parametrize(("kind", "app"), ENDS, ids=lambda value: value.partition(":")[0])
def test_every_kind_of_end_is_counted_under_its_route(tmp_path: Path, kind: str, app: str) -> None:
    """A response, an error, a path that is not there, and a streamed response."""
    with serving(tmp_path, SERVERS[kind], app) as server:
        before = server.figures(_idle)
        done = before["requests_done"] + 4
        paths = ("/shop/hold/100", "/shop/stream/100", "/shop/fail/7", "/nowhere")
        statuses = [server.get(path)[0] for path in paths]
        after = server.figures(lambda fields: _idle(fields) and fields["requests_done"] == done)
        routes = server.table("routes", lambda rows: sum(row["done"] for row in rows.values()) == done)
    assert statuses == [200, 200, 500, 404]
    assert (after["responses_4xx"] - before["responses_4xx"], after["responses_5xx"] - before["responses_5xx"]) == (
        1,
        1,
    )
    hold = routes["GET /shop/hold/<int:milliseconds>"]
    assert hold["done"] == 1
    assert hold["service_max_s"] >= HOLD_S
    stream = "GET /shop/stream/<int:milliseconds>" if app == FLASK else "GET /shop/stream/<milliseconds>"
    assert routes[stream]["service_s"] == pytest.approx(HOLD_S, rel=0.25)
    assert routes["GET /shop/fail/<int:number>"]["responses_5xx"] == 1
    assert routes["GET (no route)"]["responses_4xx"] == 1


@pytest.mark.parametrize("kind", CROWDED)
def test_worker_slots_are_busy_and_waited_for(tmp_path: Path, kind: str) -> None:
    """Six clients on two threads: four wait, for all the time that the app did not hold them."""
    clients = 3 * THREADS

    def check() -> None:
        grown, answers = _grown(server, clients, HOLD_S)
        waits = sum(seconds for _, seconds in answers) - clients * HOLD_S
        assert (grown["slots_taken"], grown["queue_n"]) == (clients, clients)
        assert grown["slots_wait_s"] == pytest.approx(waits, rel=0.05)
        assert grown["slots_waiting_s"] == pytest.approx(waits, rel=0.05)
        assert grown["queue_s"] == pytest.approx(grown["slots_wait_s"], rel=0.001)
        assert grown["slots_busy_s"] == pytest.approx(clients * HOLD_S, rel=0.05)
        assert grown["slots_hold_s"] == pytest.approx(grown["slots_busy_s"], rel=0.001)
        assert waits == pytest.approx(clients * HOLD_S, rel=0.2)  # it is 0, 0, 1, 1, 2 and 2 holding times

    with serving(tmp_path, CROWDED[kind], FLASK) as server:
        server.get_all(["/shop/hold/0"] * THREADS)
        _undisturbed(check)
        assert server.figures(_idle)["slots_size"] == THREADS
        assert list(server.table("gates", lambda rows: len(rows) > 0)) == [f"worker-slots {kind}"]


@pytest.mark.parametrize(("kind", "size"), [("sync", 1.0), ("granian", 2.0)])
def test_a_queue_out_of_sight_is_unavailable(tmp_path: Path, kind: str, size: float) -> None:
    """Clients of these wait in the kernel or in Rust, and 0 would be a lie."""
    arguments = tuple("1" if kind == "sync" and argument == str(CLIENTS) else argument for argument in SERVERS[kind])
    arguments = tuple("2" if kind == "granian" and argument == str(CLIENTS) else argument for argument in arguments)
    with serving(tmp_path, arguments, FLASK) as server:
        fields = server.figures(_idle)
        done = fields["requests_done"] + 2
        server.get_all([f"/shop/hold/{HOLD_S * 1000:.0f}"] * 2)
        after = server.figures(lambda fields: _idle(fields) and fields["requests_done"] == done)
    assert after["slots_size"] == size
    assert after["slots_busy_s"] - fields["slots_busy_s"] == pytest.approx(2 * HOLD_S, rel=0.05)
    assert [name for name in after if name in {"slots_waiting", "slots_waiting_s", "slots_wait_s", "queue_s"}] == []


def test_a_kept_alive_connection_that_is_idle_holds_no_slot(tmp_path: Path) -> None:
    """Nor does its end take one."""
    with serving(tmp_path, CROWDED["gthread"], FLASK) as server:
        before = server.figures(_idle)
        connections = [HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S) for _ in range(5)]
        for connection in connections:
            connection.request("GET", "/")
            assert connection.getresponse().read()
        idle = server.figures(lambda fields: fields["requests_done"] == before["requests_done"] + 5)
        for connection in connections:
            connection.close()
        done = idle["requests_done"] + 1
        server.get("/")
        after = server.figures(lambda fields: _idle(fields) and fields["requests_done"] == done)
    assert (idle["slots_busy"], idle["slots_waiting"]) == (0, 0)
    assert after["slots_taken"] - before["slots_taken"] == 6
