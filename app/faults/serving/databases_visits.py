"""A log of who came to which museum: plain functions and sqlite3, every visit written down at once."""

import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

from fastapi import FastAPI

from .settings import cured, severity, sqlite_path

BADGE_S = 0.012 * severity()
MUSEUMS = 50
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS museums (id INTEGER PRIMARY KEY, visitors INTEGER NOT NULL);
"""
_local = threading.local()


def connection() -> sqlite3.Connection:
    """Return this thread's connection; SQLite asks again for 50 ms, ever more rarely, before it gives up."""
    if not hasattr(_local, "connection"):
        _local.connection = sqlite3.connect(sqlite_path(), timeout=0.05, isolation_level=None, check_same_thread=False)
        _local.connection.execute("PRAGMA synchronous = OFF")
    opened: sqlite3.Connection = _local.connection
    return opened


def begin(database: sqlite3.Connection) -> None:
    """Start to write; raises sqlite3.OperationalError if others do so for a minute."""
    deadline = time.monotonic() + 60
    while True:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
        else:
            return


@contextmanager
def writing() -> Iterator[sqlite3.Connection]:
    """Yield a connection inside a transaction that may write."""
    database = connection()
    begin(database)
    try:
        yield database
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the table."""
    with closing(sqlite3.connect(sqlite_path())) as database, database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT OR IGNORE INTO museums VALUES (?, 0)", ((i,) for i in range(MUSEUMS)))
    yield


app = FastAPI(lifespan=lifespan)


def print_badge(museum: int) -> str:
    """Have the gate print a badge."""
    time.sleep(BADGE_S)
    return f"badge of museum {museum}"


@app.get("/museums/{museum}/enter")
def enter(museum: int) -> dict[str, object]:
    """Let somebody in, and count."""
    badge = print_badge(museum) if cured() else None
    with writing() as database:
        database.execute("UPDATE museums SET visitors = visitors + 1 WHERE id = ?", (museum,))
        if badge is None:
            badge = print_badge(museum)
    return {"museum": museum, "badge": badge}
