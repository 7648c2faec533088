"""An app that calls a slow downstream through small pools, times itself and says so. Served under the probe by tests.

The downstream runs beside the app, in a process of its own: `python outgoing_app.py` prints its port.
"""

import asyncio
import contextlib
import fcntl
import os
import smtplib
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LIMIT = 2
HOLD_S = 0.05
TASKS = 8


class Downstream(BaseHTTPRequestHandler):
    """Answers after 50 ms, and with 503 where the path says so."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece, or the client's delayed acknowledgement would hold up the body

    def do_GET(self) -> None:
        """Wait and answer."""
        time.sleep(5 if "slow" in self.path else 0 if "quick" in self.path else HOLD_S)
        body = b"x" * 1000
        with contextlib.suppress(OSError):
            self.send_response(503 if "bad" in self.path else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """With room for all that come at once."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def serve_downstream() -> None:
    """Print the port and serve until stdin ends."""
    server = Server(("127.0.0.1", 0), Downstream)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    input()


if __name__ == "__main__":
    with contextlib.suppress(EOFError):
        serve_downstream()
    raise SystemExit

import aiohttp  # noqa: E402 - the downstream needs none of them
import httpx  # noqa: E402
import requests  # noqa: E402
from fastapi import FastAPI  # noqa: E402

DOWNSTREAM = os.environ["DOWNSTREAM_URL"]
app = FastAPI()
Measured = dict[str, float]


@app.get("/")
async def root() -> dict[str, int]:
    """Answer at once."""
    return {"pid": os.getpid()}


async def _together(call: Callable[[], Awaitable[object]]) -> Measured:
    """Return the sum of what the calls took, all of them made at once."""

    async def timed() -> float:
        began = time.monotonic()
        await call()
        return time.monotonic() - began

    return {"total_s": sum(await asyncio.gather(*[timed() for _ in range(TASKS)]))}


def _in_threads(call: Callable[[], object]) -> Measured:
    def timed(_: int) -> float:
        began = time.monotonic()
        call()
        return time.monotonic() - began

    with ThreadPoolExecutor(TASKS) as threads:
        list(threads.map(lambda _: time.sleep(0.01), range(TASKS)))  # all threads are there before it counts
        return {"total_s": sum(threads.map(timed, range(TASKS)))}


@app.get("/httpx")
async def async_httpx() -> Measured:
    """Eight calls at once, two connections."""
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=LIMIT)) as client:
        return await _together(lambda: client.get(DOWNSTREAM))


@app.get("/httpx-sync")
def sync_httpx() -> Measured:
    """Eight threads, two connections."""
    with httpx.Client(limits=httpx.Limits(max_connections=LIMIT)) as client:
        return _in_threads(lambda: client.get(DOWNSTREAM))


@app.get("/requests")
def sync_requests() -> Measured:
    """Eight threads, two connections."""
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=LIMIT, pool_block=True))
        return _in_threads(lambda: session.get(DOWNSTREAM))


@app.get("/aiohttp")
async def async_aiohttp() -> Measured:
    """Eight calls at once, two connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=LIMIT)) as session:

        async def call() -> None:
            async with session.get(DOWNSTREAM) as response:
                await response.read()

        return await _together(call)


@app.get("/aiohttp-per-host")
async def async_aiohttp_per_host() -> Measured:
    """Eight calls at once, two connections to each host."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit_per_host=LIMIT)) as session:

        async def call() -> None:
            async with session.get(DOWNSTREAM) as response:
                await response.read()

        return await _together(call)


@app.get("/urllib")
def sync_urllib() -> Measured:
    """Eight threads, no pool."""

    def call() -> None:
        with urllib.request.urlopen(DOWNSTREAM) as response:  # noqa: S310 - ours
            response.read()

    return _in_threads(call)


@app.get("/semaphore")
async def semaphore() -> Measured:
    """Eight tasks, two places."""
    places = asyncio.Semaphore(LIMIT)
    waits: list[float] = []

    async def hold() -> None:
        began = time.monotonic()
        async with places:
            waits.append(time.monotonic() - began)
            await asyncio.sleep(HOLD_S)

    await asyncio.gather(*[hold() for _ in range(TASKS)])
    return {"wait_s": sum(waits)}


@app.get("/file-lock")
def file_lock() -> Measured:
    """One waits for another."""
    with tempfile.NamedTemporaryFile(suffix=".lock") as first, open(first.name) as second:  # noqa: PTH123 - as apps do
        fcntl.flock(first, fcntl.LOCK_EX)
        threading.Timer(HOLD_S, lambda: fcntl.flock(first, fcntl.LOCK_UN)).start()
        began = time.monotonic()
        fcntl.flock(second, fcntl.LOCK_EX)
        return {"wait_s": time.monotonic() - began}


@app.get("/cancelled")
async def cancelled() -> Measured:
    """Cancel calls that run and calls that wait, with both clients, and let a pool time out; leave bodies unread."""
    patience = httpx.Timeout(5, pool=0.05)
    async with (
        httpx.AsyncClient(limits=httpx.Limits(max_connections=LIMIT), timeout=patience) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=LIMIT)) as session,
    ):

        async def call() -> None:
            await session.get(DOWNSTREAM + "slow")

        calls: list[asyncio.Future[object]] = [asyncio.ensure_future(client.get(DOWNSTREAM + "slow")) for _ in range(4)]
        calls += [asyncio.ensure_future(call()) for _ in range(4)]
        await asyncio.sleep(0.2)
        for running in calls:
            running.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        request = client.build_request("GET", DOWNSTREAM)
        unread = await client.send(request, stream=True)
        unread_too = await session.get(DOWNSTREAM)
        del unread, unread_too
    return {"pool_timeouts": sum(isinstance(error, httpx.PoolTimeout) for error in ended)}


@app.get("/errors")
async def errors() -> Measured:
    """One answer of class 5xx and one refused connection."""
    async with httpx.AsyncClient() as client:
        await client.get(DOWNSTREAM + "bad")
        with contextlib.suppress(httpx.ConnectError):
            await client.get("http://127.0.0.1:1/")
    return {}


@app.get("/many-clients")
async def many_clients() -> Measured:
    """Make a client for each call."""
    for _ in range(50):
        async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - no TLS here
            await client.get(DOWNSTREAM + "quick")
    return {}


@app.get("/mail")
def mail(port: int) -> Measured:
    """Send one mail."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("a@x.org", ["b@x.org"], "Subject: x\r\n\r\nx")
    return {}
