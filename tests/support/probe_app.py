"""An app whose figures are known: it times itself and says so in its answers. Served under the probe by the tests."""

import asyncio
import os
import time

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

app = FastAPI()
engine = create_async_engine(os.environ["PROBE_APP_DATABASE"], pool_size=2, max_overflow=0)


@app.get("/")
async def root() -> dict[str, int]:
    """Answer at once."""
    return {"pid": os.getpid()}


@app.get("/pool")
async def pool(hold_s: float) -> dict[str, float]:
    """Hold one of two connections; return how long this request waited for it and held it."""
    asked = time.monotonic()
    async with engine.connect() as connection:
        got = time.monotonic()
        await connection.execute(text("select 1"))
        await asyncio.sleep(hold_s)
    return {"wait_s": got - asked, "hold_s": time.monotonic() - got}


@app.get("/block")
async def block(seconds: float) -> dict[str, float]:
    """Stop the loop."""
    time.sleep(seconds)  # noqa: ASYNC251 - the fault to be seen
    return {}


@app.get("/thread", response_model=None)  # a model would be checked in the threadpool, with a token of its own
def thread(seconds: float) -> dict[str, float]:
    """Hold one token of the threadpool."""
    time.sleep(seconds)
    return {}
