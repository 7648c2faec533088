"""Customers and their credit: FastAPI with plain functions, psycopg's own pool on PostgreSQL."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from .databases_schema import migrate
from .settings import cured, database_url, severity

BUREAU_S = 0.030 * severity()
_TABLE = "CREATE TABLE IF NOT EXISTS customers (id int PRIMARY KEY, name text NOT NULL, limit_cents int NOT NULL)"
_ROWS = (
    "INSERT INTO customers SELECT i, 'customer ' || i, 10000 + i FROM generate_series(1, 5000) i ON CONFLICT DO NOTHING"
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool and close it."""
    migrate(_TABLE, _ROWS)
    size = 40 if cured() else 4
    options = {"autocommit": True, "row_factory": dict_row}
    with ConnectionPool[Connection[DictRow]](
        database_url("postgresql"), min_size=size, max_size=size, timeout=60, kwargs=options
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


def bureau_score(name: str) -> int:
    """Ask the credit bureau; it answers when it likes."""
    time.sleep(BUREAU_S)
    return sum(name.encode()) % 100


def credit_of(connection: Connection[DictRow], customer_id: int) -> dict[str, Any] | None:
    """Return what the customer may spend, by our books and by the bureau's."""
    row = connection.execute("SELECT id, name, limit_cents FROM customers WHERE id = %s", (customer_id,)).fetchone()
    if row is None:
        return None
    score = bureau_score(row["name"])
    return {**row, "score": score, "may_spend": row["limit_cents"] * score // 100}


@app.get("/customers/{customer_id}/credit")
def credit(customer_id: int, request: Request) -> dict[str, Any]:
    """Return a customer's credit."""
    with request.app.state.pool.connection() as connection:
        answer = credit_of(connection, customer_id)
    if answer is None:
        raise HTTPException(404, "no such customer")
    return answer
