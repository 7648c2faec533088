"""What was played on the radio: FastAPI and aiosqlite, a connection per request as its documentation shows."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Annotated

import aiosqlite
from fastapi import Depends, FastAPI

from .settings import cured, severity, sqlite_path

PLAYS = round(25_000 * severity())
STATIONS = PLAYS // 20
_NAME = "lower(trim(replace(station, '-', ' ')))"
_LATEST = f"SELECT id, title, seconds FROM plays WHERE {_NAME} = ? ORDER BY id DESC LIMIT 20"  # noqa: S608 - our text


def seed() -> None:
    """Make and fill the table anew."""
    rows = ((i, f"Station-{i * 7919 % STATIONS}", f"title {i % 997}", 120 + i % 200) for i in range(PLAYS))
    with closing(sqlite3.connect(sqlite_path())) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS plays")
        connection.execute("CREATE TABLE plays (id INTEGER PRIMARY KEY, station TEXT, title TEXT, seconds INTEGER)")
        connection.executemany("INSERT INTO plays VALUES (?, ?, ?, ?)", rows)
        if cured():
            connection.execute(f"CREATE INDEX plays_by_station ON plays ({_NAME})")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the table."""
    seed()
    yield


async def database() -> AsyncIterator[aiosqlite.Connection]:
    """Yield a connection for one request."""
    async with aiosqlite.connect(sqlite_path()) as connection:
        connection.row_factory = aiosqlite.Row
        yield connection


app = FastAPI(lifespan=lifespan)


@app.get("/stations/{number}/plays")
async def plays(number: int, db: Annotated[aiosqlite.Connection, Depends(database)]) -> dict[str, object]:
    """Return what a station played last."""
    async with db.execute(_LATEST, (f"station {number}",)) as cursor:
        rows = await cursor.fetchall()
    return {"station": number, "plays": [dict(row) for row in rows]}
