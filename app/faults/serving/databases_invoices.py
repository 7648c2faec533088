"""Invoices, line by line: FastAPI and psycopg's async pool on PostgreSQL, written by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from .databases_schema import migrate
from .settings import cured, database_url, severity

LINES = round(30 * severity())
ARTICLES = 6_000
_TABLES = (
    "DROP TABLE IF EXISTS invoice_lines",
    "DROP TABLE IF EXISTS articles",
    "CREATE TABLE invoice_lines (invoice int, line int, code text, quantity int, PRIMARY KEY (invoice, line))",
    "CREATE TABLE articles (id int PRIMARY KEY, code text, cents int)",
    f"INSERT INTO articles SELECT i, 'article ' || i, i % 900 FROM generate_series(1, {ARTICLES}) i",  # noqa: S608
    f"""INSERT INTO invoice_lines SELECT i, l, 'article ' || 1 + (i * 31 + l * 7919) % {ARTICLES}, 1 + l % 5
    FROM generate_series(1, 100) i, generate_series(1, {LINES}) l""",  # noqa: S608 - a number of ours
    "VACUUM ANALYZE articles, invoice_lines",
)
_LINES = "SELECT code, quantity FROM invoice_lines WHERE invoice = %s ORDER BY line"
_PRICE = "SELECT cents FROM articles WHERE code = %s"
_PRICES = "SELECT code, cents FROM articles WHERE code = ANY(%s)"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool and close it."""
    migrate(*_TABLES)
    pool = AsyncConnectionPool(
        database_url("postgresql"), min_size=20, max_size=20, timeout=60, open=False, kwargs={"autocommit": True}
    )
    async with pool:
        app.state.pool = pool
        yield


async def price_of(connection: AsyncConnection[TupleRow], code: str) -> int:
    """Return the price of an article in cents; 0 for one that is not sold any more."""
    row = await (await connection.execute(_PRICE, (code,))).fetchone()
    return row[0] if row else 0


async def prices_of(connection: AsyncConnection[TupleRow], codes: list[str]) -> dict[str, int]:
    """Return the prices of several articles, in cents."""
    if cured():
        return dict(await (await connection.execute(_PRICES, (codes,))).fetchall())
    return {code: await price_of(connection, code) for code in codes}


app = FastAPI(lifespan=lifespan)


@app.get("/invoices/{number}/total")
async def total(number: int, request: Request) -> dict[str, int]:
    """Return the sum of an invoice."""
    async with request.app.state.pool.connection() as connection:
        lines = await (await connection.execute(_LINES, (number,))).fetchall()
        prices = await prices_of(connection, [code for code, _ in lines])
    return {"invoice": number, "cents": sum(prices[code] * quantity for code, quantity in lines)}
