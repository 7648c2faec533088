"""16 tokens of anyio's limiter, each held 50 ms by a plain `def` endpoint: 320 requests per second."""

import contextlib
import time
from collections.abc import AsyncIterator

import anyio.to_thread
from fastapi import FastAPI, Response
from tokens import Tokens

TOKENS = Tokens(16, 0.050)


@contextlib.asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = TOKENS.count
    yield


app = FastAPI(lifespan=_lifespan)


@app.get("/")
def hold() -> Response:
    """Answer after the hold; a ready response, since FastAPI takes a second token to make one of anything else."""
    end_s = TOKENS.take()
    time.sleep(max(0.0, end_s - time.monotonic()))
    TOKENS.give(end_s)
    return Response(b"ok\n", media_type="text/plain")
