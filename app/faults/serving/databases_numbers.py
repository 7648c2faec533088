"""Consecutive invoice numbers without gaps: FastAPI and asyncpg; the number is kept until the invoice is registered."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request

from .databases_schema import migrate
from .settings import cured, database_url, severity

REGISTER_S = 0.008 * severity()
SERIES = 64
_TABLES = (
    "CREATE TABLE IF NOT EXISTS number_series (id int PRIMARY KEY, last int NOT NULL)",
    f"INSERT INTO number_series SELECT i, 0 FROM generate_series(0, {SERIES - 1}) i ON CONFLICT DO NOTHING",  # noqa: S608
)
_NEXT = "UPDATE number_series SET last = last + 1 WHERE id = $1 RETURNING last"
_turn = itertools.count()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool and close it."""
    migrate(*_TABLES)
    # Numbers that a crash of the server would lose were never sent out, so nobody waits for the disk.
    settings = {"synchronous_commit": "off"}
    async with asyncpg.create_pool(
        database_url("postgresql"), min_size=25, max_size=25, server_settings=settings
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def register(number: int) -> str:
    """Tell the tax office; it answers with a mark."""
    await asyncio.sleep(REGISTER_S)
    return f"T-{number:08d}"


@app.get("/numbers/next")
async def next_number(request: Request) -> dict[str, object]:
    """Hand out the next number."""
    series = next(_turn) % SERIES if cured() else 0
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        number = await connection.fetchval(_NEXT, series)
        mark = await register(number)
    return {"number": number, "mark": mark}
