"""A stock service that speaks to PostgreSQL with bare psycopg. The answer depends on a remote warehouse's table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from .settings import cured, database_url, severity

REPLICA_S = 0.010 * severity()
POOL = 32
# The wait stands for a foreign table on a far host: the database is idle meanwhile.
AVAILABLE = "SELECT %s::int AS sku, 'north' AS warehouse, 12 AS pieces FROM pg_sleep(%s)"

Row = dict[str, Any]


class Shelves:
    """The stock, read over one connection that the process keeps open."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    async def available(self, sku: int) -> Row | None:
        """Look an article up."""
        with self.connection.cursor() as cursor:
            cursor.execute(AVAILABLE, (sku, REPLICA_S))
            return cursor.fetchone()

    async def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class PooledShelves:
    """The stock, read over a pool."""

    def __init__(self, pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]]) -> None:
        self.pool = pool

    async def available(self, sku: int) -> Row | None:
        """Look an article up."""
        async with self.pool.connection() as connection:
            return await (await connection.execute(AVAILABLE, (sku, REPLICA_S))).fetchone()

    async def close(self) -> None:
        """Close the pool."""
        await self.pool.close()


async def open_shelves() -> Shelves | PooledShelves:
    """Connect."""
    url = database_url("postgresql")
    if not cured():
        return Shelves(url)
    pool = AsyncConnectionPool(
        url,
        connection_class=psycopg.AsyncConnection[Row],
        kwargs={"autocommit": True, "row_factory": dict_row},
        min_size=POOL,
        open=False,
    )
    await pool.open(wait=True)
    return PooledShelves(pool)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect before the first request."""
    app.state.shelves = await open_shelves()
    yield
    await app.state.shelves.close()


app = FastAPI(title="stock", lifespan=lifespan)


@app.get("/articles/{sku}/stock")
async def stock(sku: int, request: Request) -> Row:
    """Say how many pieces there are."""
    return await request.app.state.shelves.available(sku) or {}
