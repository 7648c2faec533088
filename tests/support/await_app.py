"""An app whose requests wait for known things, for known times. Served under the probe by the tests."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response

engine = create_async_engine(os.environ["PROBE_APP_DATABASE"], pool_size=1, max_overflow=0)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start as many idle tasks as the test asks for."""
    app.state.one_at_a_time = asyncio.Lock()
    idle = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(int(os.environ.get("AWAIT_APP_IDLE_TASKS", "0")))]
    yield
    for task in idle:
        task.cancel()
    await asyncio.gather(*idle, return_exceptions=True)


app = FastAPI(lifespan=lifespan)
if "AWAIT_APP_MIDDLEWARE" in os.environ:

    async def _pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)


@app.get("/")
async def root() -> dict[str, int]:
    """Answer at once."""
    return {"pid": os.getpid()}


@app.get("/sleep/{seconds}")
async def sleep(seconds: float) -> None:
    """Sleep."""
    await asyncio.sleep(seconds)


@app.get("/pool/{seconds}")
async def pool(seconds: float) -> dict[str, float]:
    """Hold the only connection of a pool; return how long this request waited for it, and how long it slept."""
    asked_s = time.monotonic()
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))
        got_s = time.monotonic()
        await asyncio.sleep(seconds)
        return {"wait_s": got_s - asked_s, "sleep_s": time.monotonic() - got_s}


@app.get("/lock/{seconds}")
async def lock(request: Request, seconds: float) -> dict[str, float]:
    """Hold a lock; return how long this request waited for it, and how long it slept."""
    asked_s = time.monotonic()
    async with request.app.state.one_at_a_time:
        got_s = time.monotonic()
        await asyncio.sleep(seconds)
        return {"wait_s": got_s - asked_s, "sleep_s": time.monotonic() - got_s}


@app.get("/thread/{seconds}")
async def thread(seconds: float) -> None:
    """Wait for a thread of the threadpool."""
    await run_in_threadpool(time.sleep, seconds)


@app.get("/executor/{seconds}")
async def executor(seconds: float) -> None:
    """Wait for a thread of the loop's own executor."""
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, seconds)


@app.get("/gather/{seconds}")
async def gather(seconds: float) -> None:
    """Wait for two child tasks, one of them below a timeout."""
    queue: asyncio.Queue[None] = asyncio.Queue()

    async def empty() -> None:
        try:
            await asyncio.wait_for(queue.get(), seconds)
        except TimeoutError:
            return

    await asyncio.gather(empty(), empty())


@app.get("/block/{seconds}")
async def block(seconds: float) -> None:
    """Stop the loop."""
    time.sleep(seconds)  # noqa: ASYNC251 - the fault to be seen
