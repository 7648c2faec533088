"""A warehouse's orders to its crane: one line to the crane's controller, one order on it at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fastapi import FastAPI, HTTPException

from .settings import companion_url, cured

CONTROLLER = companion_url("CRANE_URL")
LINES = 64


class Crane:
    """The controller's client. It must not speak before it was answered, so orders take turns."""

    def __init__(self, lines: int) -> None:
        self.lines = [asyncio.Lock() for _ in range(lines)]
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.orders = 0

    async def fetch(self, bin_: int) -> dict[str, Any]:
        """Have a bin brought."""
        self.orders += 1
        async with self.lines[self.orders % len(self.lines)]:
            return {"bin": bin_, **await self._ask({"bin": bin_})}

    async def _ask(self, order: dict[str, int]) -> dict[str, Any]:
        async with self.http.post(f"{CONTROLLER}/fetch", json=order) as answer:
            if not answer.ok:
                raise HTTPException(502, "the crane does not answer")
            found: dict[str, Any] = await answer.json()
            return found


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect before the first request."""
    app.state.crane = Crane(LINES if cured() else 1)
    yield
    await app.state.crane.http.close()


app = FastAPI(title="warehouse", lifespan=lifespan)


@app.get("/bins/{number}")
async def fetch_bin(number: int) -> dict[str, Any]:
    """Have a bin brought to the picking place."""
    crane: Crane = app.state.crane
    return await crane.fetch(number)
