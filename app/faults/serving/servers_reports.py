"""Sales reports: `def` endpoints of FastAPI on SQLite, each after the bookkeeping's word that the day is closed."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from fastapi import FastAPI

from .settings import severity, sqlite_path

CLOSING_S = 0.06 * severity()
FILE = sqlite_path()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make a small table."""
    with closing(sqlite3.connect(FILE)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS sales (day INTEGER PRIMARY KEY, cents INTEGER NOT NULL)")
        database.executemany("INSERT OR IGNORE INTO sales VALUES (?, ?)", [(day, 1000 * day) for day in range(1, 32)])
    yield


app = FastAPI(title="Reports", lifespan=lifespan)


def turnover(day: int) -> int:
    """Return the day's turnover in cents."""
    with closing(sqlite3.connect(FILE)) as database:
        row = database.execute("SELECT cents FROM sales WHERE day = ?", (day,)).fetchone()
    return int(row[0]) if row else 0


@app.get("/")
def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "reports"}


@app.get("/reports/{day}")
def report(day: int) -> dict[str, int]:
    """Return a day's report."""
    time.sleep(CLOSING_S)
    return {"day": day, "cents": turnover(day)}
