"""A help desk's tickets: plain functions and the standard library's sqlite3, one connection per thread."""

import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from fastapi import FastAPI

from .settings import cured, severity, sqlite_path

TICKETS = round(25_000 * severity())
CUSTOMERS = TICKETS // 10
_ADDRESS = "lower(trim(replace(email, '+', '')))"  # as people type it
_SUMMARY = f"""
SELECT state, count(*), max(opened) FROM tickets
WHERE {_ADDRESS} = ? GROUP BY state ORDER BY state
"""  # noqa: S608 - a text of ours
_local = threading.local()


def connection() -> sqlite3.Connection:
    """Return this thread's connection."""
    if not hasattr(_local, "connection"):
        _local.connection = sqlite3.connect(sqlite_path(), check_same_thread=False)
        _local.connection.execute("PRAGMA mmap_size = 67108864")
    opened: sqlite3.Connection = _local.connection
    return opened


def seed() -> None:
    """Make and fill the table anew."""
    states = ("open", "waiting", "closed")
    rows = (
        (i, f"Customer{i * 31 % CUSTOMERS}@Example.org", states[i % 3], 1_700_000_000 + i, f"ticket {i}")
        for i in range(TICKETS)
    )
    with closing(sqlite3.connect(sqlite_path())) as database, database:
        database.execute("DROP TABLE IF EXISTS tickets")
        database.execute(
            "CREATE TABLE tickets (id INTEGER PRIMARY KEY, email TEXT, state TEXT, opened INTEGER, subject TEXT)"
        )
        database.executemany("INSERT INTO tickets VALUES (?, ?, ?, ?, ?)", rows)
        if cured():
            database.execute(f"CREATE INDEX tickets_by_email ON tickets ({_ADDRESS})")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the table."""
    seed()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/customers/{number}/tickets")
def tickets(number: int) -> list[dict[str, object]]:
    """Return how many tickets a customer has, by state."""
    rows = connection().execute(_SUMMARY, (f"customer{number}@example.org",)).fetchall()
    return [{"state": state, "count": count, "latest": latest} for state, count, latest in rows]
