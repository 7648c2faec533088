"""Meter readings: FastAPI and asyncpg's pool on PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, HTTPException, Request

from .settings import database_url, severity

LATEST = round(10 * severity())
TABLES = """
DROP TABLE IF EXISTS readings;
CREATE TABLE readings (meter int, at int, value float8, PRIMARY KEY (meter, at));
INSERT INTO readings SELECT m, t, m + t / 10.0 FROM generate_series(1, 20) m, generate_series(1, 50) t;
ANALYZE readings;
"""
READINGS = "SELECT at, value FROM readings WHERE meter = $1 ORDER BY at DESC LIMIT $2"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool and fill the table."""
    async with asyncpg.create_pool(database_url("postgresql"), min_size=2, max_size=10) as pool:
        await pool.execute(TABLES)
        app.state.pool = pool
        yield


app = FastAPI(title="Meters", lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "meters"}


@app.get("/meters/{meter}")
async def latest(meter: int, request: Request) -> dict[str, object]:
    """Return a meter's latest readings."""
    rows = await request.app.state.pool.fetch(READINGS, meter, LATEST)
    if not rows:
        raise HTTPException(404)
    return {"meter": meter, "readings": [dict(row) for row in rows]}
