"""Hire purchase: quotes asked of a bank over HTTP, stock asked of a database whose answers take a while."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import asyncpg
import httpx
from fastapi import Depends, FastAPI, Request

from .settings import companion_url, cured, database_url, severity

BANK = "BANK_URL"
AT_ONCE = 12
"""Connections, to the bank and to the database each."""
STOCK_S = 0.001 if cured() else 0.160 * severity()
"""What the view over the warehouses takes; nothing is computed meanwhile."""


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep both pools while the app runs."""
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with (
        asyncpg.create_pool(database_url("postgresql"), min_size=AT_ONCE, max_size=AT_ONCE) as pool,
        httpx.AsyncClient(base_url=companion_url(BANK), limits=limits, timeout=60) as bank,
    ):
        app.state.pool, app.state.bank = pool, bank
        yield


app = FastAPI(lifespan=lifespan)


async def pool_of(request: Request) -> Any:
    """Return the pool of connections."""
    return request.app.state.pool


async def terms(amount: int) -> float:
    """Return the bank's rate for an amount, or this morning's."""
    if cured():
        return 1.25
    answer = await app.state.bank.get("/terms", params={"amount": amount})
    answer.raise_for_status()
    return float(answer.json()["rate"])


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "quotes"}


@app.get("/quotes/{amount}")
async def quote(amount: int) -> dict[str, float]:
    """Return what the bank asks per month."""
    return {"per_month": round(amount * await terms(amount) / 48, 2)}


@app.get("/stock/{sku}")
async def stock(sku: int, pool: Annotated[Any, Depends(pool_of)]) -> dict[str, int]:
    """Return how many of an article the warehouses hold."""
    async with pool.acquire() as connection:
        pieces = await connection.fetchval("SELECT $1::int % 50 FROM pg_sleep($2)", sku, STOCK_S)
    return {"sku": sku, "pieces": pieces}
