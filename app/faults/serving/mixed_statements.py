"""Bank statements: stamped by a clock on the serial line, then archived by a library that only knows how to block."""

import contextlib
import time
from collections.abc import AsyncIterator

import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .settings import cured, severity

ARCHIVE_S = 0.200 * severity()
STAMP_S = 0.0016 * severity()
THREADS = 400 if cured() else 40


class Archive:
    """The archive's client library."""

    def store(self, name: str, content: bytes) -> str:
        """Store and wait for the receipt."""
        time.sleep(ARCHIVE_S)
        return f"{name}-{len(content)}"


archive = Archive()


def stamp() -> int:
    """Read the clock of the bank, bit by bit."""
    time.sleep(STAMP_S)
    return time.time_ns()


async def statement(request: Request) -> Response:
    """Make an account's statement and store it."""
    account = request.path_params["account"]
    text = f"{account:010d} balance 1,204.55 as of {stamp()}\n"
    return JSONResponse({"stored": await run_in_threadpool(archive.store, f"statement-{account}", text.encode())})


async def root(_: Request) -> Response:
    """Say that the service is up."""
    return JSONResponse({"service": "statements"})


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Say how many stores may wait at once."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


app = Starlette(
    routes=[Route("/", root), Route("/accounts/{account:int}/statement", statement)],
    lifespan=lifespan,
)
