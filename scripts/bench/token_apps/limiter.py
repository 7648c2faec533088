"""16 tokens of anyio's limiter, each held 50 ms by a plain `def` endpoint: 320 requests per second."""

import contextlib
import time
from collections.abc import AsyncIterator

import anyio.to_thread
from fastapi import FastAPI
from tokens import Tokens

TOKENS = Tokens(16, 0.050)


@contextlib.asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = TOKENS.count
    yield


app = FastAPI(lifespan=_lifespan)


@app.get("/")
def hold() -> dict[str, str]:
    """Answer after the hold; the answer is made on the event loop, with the token given back."""
    end_s = TOKENS.take()
    time.sleep(max(0.0, end_s - time.monotonic()))
    TOKENS.give(end_s)
    return {"status": "ok"}
