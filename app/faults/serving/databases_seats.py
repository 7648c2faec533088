"""Seats of a theatre: plain functions, psycopg's pool; the free seats are counted down while the desk is told."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from .databases_schema import migrate
from .settings import cured, database_url, severity

DESK_S = 0.010 * severity()
EVENINGS = 100
_TABLES = (
    "CREATE TABLE IF NOT EXISTS evenings (id int PRIMARY KEY, free bigint NOT NULL)",
    f"INSERT INTO evenings SELECT i, 1000000000 FROM generate_series(1, {EVENINGS}) i ON CONFLICT DO NOTHING",  # noqa: S608
)
_TAKE = "UPDATE evenings SET free = free - 1 WHERE id = %s RETURNING free"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool and close it."""
    migrate(*_TABLES)
    options = {"options": "-c synchronous_commit=off"}
    with ConnectionPool[Connection[TupleRow]](
        database_url("postgresql"), min_size=20, max_size=20, timeout=60, kwargs=options
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


def tell_desk(free: int) -> bool:
    """Show the desk how many are left; return True while there are any."""
    time.sleep(DESK_S)
    return free > 0


def take(pool: ConnectionPool[Connection[TupleRow]], evening: int) -> bool:
    """Take a seat; return False when the evening is sold out."""
    with pool.connection() as connection, connection.transaction():
        row = connection.execute(_TAKE, (evening,)).fetchone()
        return row is not None and tell_desk(row[0])


@app.get("/seats/take")
def seat(request: Request) -> dict[str, object]:
    """Take a seat of tonight's play; with touring plays, of any evening's."""
    evening = random.randint(1, EVENINGS) if cured() else 1  # noqa: S311 - nothing secret
    return {"evening": evening, "taken": take(request.app.state.pool, evening)}
