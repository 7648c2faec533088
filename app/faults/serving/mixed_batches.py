"""A price list that changes in batches: some requests reprice, the next ones only fetch what a slow share holds."""

import itertools
import time
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI, Request

from .settings import cured, severity

BATCH = 10
"""Requests of a kind before the other kind's turn."""
READERS = 20
READ_S = 0.002 if cured() else (30 + 160 * severity()) / 1000
WEIGH_S = 0.0002 if cured() else 0.008 * severity()

app = FastAPI()
turns = itertools.count()


def reprice(article: int) -> int:
    """Ask the scales for the weight that the price depends on: a device on the serial line."""
    time.sleep(WEIGH_S)
    return 1_000 + article % 500


def from_share(article: int) -> int:
    """Read the last price from the share."""
    time.sleep(READ_S)
    return 1_000 + article % 500


async def readers(request: Request) -> anyio.CapacityLimiter:
    """Return the limiter of the share's readers."""
    if not hasattr(request.app.state, "readers"):
        request.app.state.readers = anyio.CapacityLimiter(READERS)
    limiter: anyio.CapacityLimiter = request.app.state.readers
    return limiter


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the list is up."""
    return {"service": "prices"}


@app.get("/prices/{article}")
async def price(article: int, limiter: Annotated[anyio.CapacityLimiter, Depends(readers)]) -> dict[str, int]:
    """Return an article's price."""
    if next(turns) // BATCH % 2:
        return {"cents": reprice(article)}
    return {"cents": await anyio.to_thread.run_sync(from_share, article, limiter=limiter)}
