"""An ASGI app that uses all that the probe hooks, and in which a test can break the probe while it serves."""

import asyncio
import concurrent.futures
import fcntl
import http.client
import smtplib
import socketserver
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import urllib3
from sqlalchemy import AsyncAdaptedQueuePool, text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

EXECUTOR = concurrent.futures.ThreadPoolExecutor(4, "exports")
ENGINE = create_async_engine("sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)
FILE = Path(__file__)
THREADS = threading.Semaphore(1)
HELD_S = 0.002
WAITER_S = 5.0


class Mail(socketserver.StreamRequestHandler):
    """A mail server that takes everything."""

    def handle(self) -> None:
        """Say what smtplib wants to hear."""
        self.wfile.write(b"220 x\r\n")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 x\r\n")
                while self.rfile.readline() != b".\r\n":
                    pass
            self.wfile.write(b"221 x\r\n" if word == b"QUIT" else b"250 x\r\n")


class Used:
    """What is made once a server serves."""

    lock: asyncio.Lock
    semaphore: asyncio.Semaphore
    web: httpx.AsyncClient
    pool: urllib3.HTTPConnectionPool
    session: aiohttp.ClientSession
    mail: int = 0


USED = Used()


def _prepare(port: int) -> None:
    mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
    mail.daemon_threads = True
    threading.Thread(target=mail.serve_forever, daemon=True).start()
    USED.lock, USED.semaphore = asyncio.Lock(), asyncio.Semaphore(1)
    USED.web = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=httpx.Limits(max_connections=1))
    USED.pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, block=True)
    USED.session = aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=1))
    USED.mail = mail.server_address[1]


async def root(_request: Request) -> PlainTextResponse:
    """Answer at once."""
    return PlainTextResponse("yes")


async def metrics(_request: Request) -> PlainTextResponse:
    """Answer as an instrumented app would: when the loop gets round to it."""
    return PlainTextResponse("requests_total 1\n")


async def block(request: Request) -> PlainTextResponse:
    """Stop the loop."""
    time.sleep(float(request.query_params["seconds"]))  # noqa: ASYNC251 - the fault to be seen
    return PlainTextResponse("slept")


async def boom(_request: Request) -> PlainTextResponse:
    """Raise."""
    raise ValueError("the app's own")


async def stream(_request: Request) -> StreamingResponse:
    """Answer in three pieces."""

    async def pieces() -> Any:
        for piece in (b"a", b"b", b"c"):
            yield piece
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


async def broken(request: Request) -> PlainTextResponse:
    """Break the probe, as the body says."""
    exec(await request.body(), {})  # noqa: S102 - a test's own words
    return PlainTextResponse("broken")


async def _async_locks() -> str:
    for lock in (USED.lock, USED.semaphore):
        async with lock:
            await asyncio.sleep(HELD_S)
    return "held"


async def _query() -> str:
    async with ENGINE.connect() as connection:
        return str((await connection.execute(text("select 1"))).scalar())


async def _aiohttp() -> str:
    async with USED.session.get("/") as answer:
        return await answer.text()


def _urllib3() -> str:
    return USED.pool.request("GET", "/").data.decode()


def _plain(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    body = connection.getresponse().read().decode()
    connection.close()
    return body


def _mail() -> str:
    with smtplib.SMTP("127.0.0.1", USED.mail) as client:
        client.sendmail("a@x", ["b@x"], "hello")
    return "sent"


def _file_lock() -> str:
    with FILE.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(file, fcntl.LOCK_UN)
    return "locked"


def _semaphore() -> str:
    """Hold it until somebody else waits for it: a fixed time could be over before the other thread has run."""
    with THREADS:
        other = threading.Thread(target=_pass)
        other.start()
        end = time.monotonic() + WAITER_S
        while not THREADS._cond._waiters and time.monotonic() < end:  # type: ignore[attr-defined]
            time.sleep(HELD_S)
    other.join()
    return "held"


def _pass() -> None:
    with THREADS:
        pass


async def everything(request: Request) -> JSONResponse:
    """Use each of them twice at once, so that one has to wait."""
    port = int(request.url.port or 0)
    if not USED.mail:
        _prepare(port)
    loop = asyncio.get_running_loop()

    async def each() -> list[str]:
        return [
            await _async_locks(),
            await _query(),
            await _aiohttp(),
            (await USED.web.get("/")).text,
            await run_in_threadpool(_urllib3),
            await run_in_threadpool(_plain, port),
            await run_in_threadpool(_mail),
            await loop.run_in_executor(EXECUTOR, _file_lock),
            await loop.run_in_executor(EXECUTOR, _semaphore),
        ]

    first, second = await asyncio.gather(each(), each())
    return JSONResponse(first if first == second else [first, second])


app = Starlette(
    routes=[
        Route("/", root),
        Route("/metrics", metrics),
        Route("/block", block),
        Route("/boom", boom),
        Route("/stream", stream),
        Route("/everything", everything),
        Route("/break", broken, methods=["POST"]),
    ]
)
