"""ASGI servers under the probe: its figures against what the clients saw."""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.sync.client import connect

from pinchpoint.monitoring.pages import Tables
from support.servers import Server as Probed
from support.servers import serving, started

pytestmark = pytest.mark.alone

HOLD_S = 0.1
CLIENTS = 4
ROUNDS = 3
APP = "asgi_app:app"
UVICORN = ("uvicorn", APP, "--log-level", "warning", "--port", "{port}", "--http")
GUNICORN = ("gunicorn", APP, "--log-level", "warning", "--bind", "127.0.0.1:{port}", "--worker-class")
GRANIAN = ("granian", APP, "--port", "{port}", "--no-log", "--interface")
SERVERS = {
    "uvicorn-h11-asyncio": (*UVICORN, "h11", "--loop", "asyncio"),
    "uvicorn-h11-uvloop": (*UVICORN, "h11", "--loop", "uvloop"),
    "uvicorn-httptools-asyncio": (*UVICORN, "httptools", "--loop", "asyncio"),
    "uvicorn-httptools-uvloop": (*UVICORN, "httptools", "--loop", "uvloop"),
    "uvicorn-workers": (*UVICORN, "httptools", "--workers", "2"),
    "gunicorn-uvicorn": (*GUNICORN, "uvicorn_worker.UvicornWorker"),
    "gunicorn-asgi": (*GUNICORN, "asgi"),
    "hypercorn": ("hypercorn", APP, "--bind", "127.0.0.1:{port}", "--log-level", "warning"),
    "granian-asgi": (*GRANIAN, "asgi"),
    "granian-asginl": (*GRANIAN, "asginl", "--task-impl", "asyncio"),
}


@dataclass
class Client:
    """One connection that is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connected(cls, port: int) -> "Client":
        """Return a connected one."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path: str, method: str = "GET") -> tuple[int, float]:
        """Return status and seconds of one request."""
        began = time.monotonic()
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: *(\d+)", head)
        if b"chunked" in head:
            await self.reader.readuntil(b"\r\n0\r\n\r\n")
        elif length and method != "HEAD":
            await self.reader.readexactly(int(length[1]))
        return int(head.split()[1]), time.monotonic() - began

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


class Server(Probed):
    """How it is asked."""

    ready_path = "/ready"

    def get_all(self, *paths: str, method: str = "GET") -> list[tuple[int, float]]:
        """Request all paths at once, on connections of their own; return status and seconds of each."""

        async def together() -> list[tuple[int, float]]:
            clients = [await Client.connected(self.port) for _ in paths]
            answers = await asyncio.gather(*[c.get(path, method) for c, path in zip(clients, paths, strict=True)])
            for client in clients:
                client.close()
            return answers

        return asyncio.run(together())

    def figures(self, ready: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Return the fields of all pages, summed, once published after this call and fulfilling `ready`."""
        called = time.monotonic()

        def look() -> dict[str, float] | None:
            pages = list(self.reader.read().values())
            if not pages or any(page.published_s <= called for page in pages):
                return None
            summed = {name: sum(page.fields.get(name, 0.0) for page in pages) for page in pages for name in page.fields}
            return summed if ready(summed) else None

        found: dict[str, float] = self.wait_for(look)
        return found

    def idle(self) -> dict[str, float]:
        """Return the figures when nothing is in flight."""
        return self.figures(lambda fields: fields["inflight"] == 0)

    def done(self, number: float) -> dict[str, float]:
        """Return the figures when so many requests are done."""
        return self.figures(lambda fields: fields["requests_done"] >= number)

    def routes(self, ready: Callable[[Tables], bool]) -> dict[str, dict[str, float]]:
        """Return the table of routes of the one page, once it fulfils `ready`."""
        (pid,) = self.reader.read()
        tables: Tables = self.wait_for(
            lambda: (found := self.reader.tables(pid)) is not None and ready(found) and found
        )
        return tables["routes"]


async def measured(server: Server, path: str, rounds: int) -> tuple[dict[str, float], list[float]]:
    """Return the figures before so many rounds of clients at once, and the seconds of each request.

    Connections stand before: what they cost is not of the request.
    """
    clients = [await Client.connected(server.port) for _ in range(CLIENTS)]
    await asyncio.gather(*[client.get(path) for client in clients])
    before = server.idle()
    answers = [await asyncio.gather(*[client.get(path) for client in clients]) for _ in range(rounds)]
    for client in clients:
        client.close()
    return before, [took for together in answers for _, took in together]


def ready(folder: Path, arguments: tuple[str, ...], **environ: str) -> AbstractContextManager[Server]:
    """Start a server and wait until it answers."""
    return serving(Server, folder, ("-m", *arguments), environ=environ)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Serve on all of them: they boot side by side."""
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(started(Server, folder / name, ("-m", *arguments)))
            for name, arguments in SERVERS.items()
        }
        for server in running.values():
            server.wait_for(server.answers)
        yield running


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "uvicorn-workers"])
def test_every_kind_of_end_is_counted_once(servers: dict[str, Server], name: str) -> None:
    """Streams, failures, unknown paths, background tasks, HEAD, clients that hang up; each under its route."""
    server = servers[name]
    before = server.idle()
    streams = [took for _, took in server.get_all("/stream", "/stream")]
    server.get_all("/fail", "/nowhere/1", "/nowhere/2")
    assert server.get_all("/ready", method="HEAD")[0][0] == 405
    server.done(before["requests_done"] + 6)
    server.get_all("/background")
    hung_up = server.done(before["requests_done"] + 7)
    assert hung_up["service_s"] - before["service_s"] < 6 * HOLD_S
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /hold/5?seconds=0.6 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.figures(lambda fields: fields["inflight"] == 1)
    after = server.done(before["requests_done"] + 8)
    assert after["requests_started"] == after["requests_done"] == before["requests_done"] + 8
    assert after["responses_5xx"] - before["responses_5xx"] == 1
    assert after["responses_4xx"] - before["responses_4xx"] == 3
    routes = server.routes(
        lambda tables: sum(row["done"] for row in tables["routes"].values()) == after["requests_done"]
    )
    assert routes["GET /stream"]["done"] == 2
    # The clients had to connect as well; a stream that counted as over with its first piece would be near 0.
    assert routes["GET /stream"]["service_s"] == pytest.approx(sum(streams), rel=0.25)
    assert (routes["GET /fail"]["responses_5xx"], routes["GET (no route)"]["responses_4xx"]) == (1, 2)
    assert routes["GET /background"]["service_s"] < HOLD_S
    assert routes["HEAD /ready"]["responses_4xx"] == 1
    assert "GET /hold/{item_id}" in routes


def test_the_pages_of_two_workers_add_up(servers: dict[str, Server]) -> None:
    """Each counts its own requests."""
    server = servers["uvicorn-workers"]
    before, seconds = asyncio.run(measured(server, "/hold/1", ROUNDS))
    after = server.done(before["requests_done"] + len(seconds))
    assert after["requests_done"] - before["requests_done"] == len(seconds)
    assert after["queue_n"] - before["queue_n"] == len(seconds)
    assert after["service_s"] - before["service_s"] == pytest.approx(len(seconds) * HOLD_S, rel=0.1)
    assert after["inflight"] == 0


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "uvicorn-workers"])
def test_waiting_for_the_loop_is_queueing(servers: dict[str, Server], name: str) -> None:
    """Four at once, each holding the loop 100 ms: whoever was parsed meanwhile waited for its turn.

    Four that only sleep do not wait for each other.
    """
    server = servers[name]
    before, seconds = asyncio.run(measured(server, "/hold/1", 1))
    after = server.done(before["requests_done"] + CLIENTS)
    assert after["queue_n"] - before["queue_n"] == CLIENTS
    assert 0 < after["queue_s"] - before["queue_s"] < 0.3 * sum(seconds)

    for _ in range(3):
        before, seconds = asyncio.run(measured(server, "/block", 1))
        after = server.done(before["requests_done"] + CLIENTS)
        if max(seconds) > 0.9 * CLIENTS * HOLD_S:
            break  # else one of them came so late that it had not to wait for all the others
    queued, service = after["queue_s"] - before["queue_s"], after["service_s"] - before["service_s"]
    assert after["queue_n"] - before["queue_n"] == CLIENTS
    assert service == pytest.approx(CLIENTS * HOLD_S, rel=0.05)
    # All four read at once: 0, 1, 2 and 3 turns to wait; the first read alone: 0, 0, 1 and 2.
    assert 2.7 * HOLD_S < queued <= sum(seconds) - service


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "gunicorn-asgi", "hypercorn", "granian-asgi"])
def test_web_sockets_are_no_requests(servers: dict[str, Server], name: str) -> None:
    """They pass through."""
    server = servers[name]
    before = server.idle()
    with connect(f"ws://127.0.0.1:{server.port}/socket") as client:
        assert client.recv() == "word"
    assert server.idle()["requests_started"] == before["requests_started"]


def test_only_processes_that_serve_have_a_page(servers: dict[str, Server]) -> None:
    """No master, no supervisor, no resource tracker."""
    found = {name: len(server.reader.read()) for name, server in servers.items()}
    assert found == {name: 1 + (name == "uvicorn-workers") for name in SERVERS}


def test_a_limit_of_concurrency_is_a_gate(tmp_path: Path) -> None:
    """Refused requests are its timeouts, and none of the app's."""
    with ready(tmp_path, (*UVICORN, "httptools", "--limit-concurrency", "3")) as server:
        before = server.figures(lambda fields: fields["slots_busy"] == 0)
        with ExitStack() as stack:
            for _ in range(2):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                client.sendall(b"GET /hold/1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert server.figures(lambda fields: fields["inflight"] == 2)["slots_busy"] == 2
            assert [status for status, _ in server.get_all("/ready", "/ready")] == [503, 503]
            server.done(before["requests_done"] + 2)
        after = server.figures(lambda fields: fields["slots_busy"] == 0)
        grown = {field: after[field] - before[field] for field in before}
        assert (after["slots_size"], grown["slots_timeouts"], grown["slots_taken"]) == (3, 2, 2)
        assert grown["slots_busy_s"] >= 2 * HOLD_S
        assert grown["slots_hold_s"] == pytest.approx(grown["service_s"], rel=0.05)
        assert after["responses_5xx"] == 0


def test_reloading_servers_are_seen_in_the_process_that_serves(tmp_path: Path) -> None:
    """The supervisor has no page."""
    with ready(tmp_path, (*UVICORN, "h11", "--reload")) as server:
        server.idle()
        assert server.process.pid not in server.reader.read()


@pytest.mark.parametrize("name", ["uvicorn-httptools-uvloop", "hypercorn", "granian-asgi"])
def test_a_broken_hook_breaks_no_request(tmp_path: Path, name: str) -> None:
    """One line in the log, its fields gone, the others there."""
    with ready(tmp_path, SERVERS[name], PROBE_APP_BREAK="1") as server:
        assert [status for status, _ in server.get_all(*["/ready"] * 3)] == [200, 200, 200]
        fields = server.figures(lambda fields: "loop_lag_n" in fields and "inflight" not in fields)
        assert "requests_done" not in fields
        assert server.log.read_text().count("pinchpoint probe:") == 1
