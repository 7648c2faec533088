"""Readings of sensors: FastAPI and asyncpg's own pool, no ORM."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import APIRouter, FastAPI, HTTPException, Request

from .databases_schema import migrate
from .settings import cured, database_url, severity

GATEWAY_S = 0.050 * severity()
_TABLE = "CREATE TABLE IF NOT EXISTS sensors (id int PRIMARY KEY, site text NOT NULL, offset_mk int NOT NULL)"
_ROWS = (
    "INSERT INTO sensors SELECT i, 'site ' || i % 40, i % 500 FROM generate_series(1, 2000) i ON CONFLICT DO NOTHING"
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool and close it."""
    migrate(_TABLE, _ROWS)
    size = 60 if cured() else 6
    async with asyncpg.create_pool(database_url("postgresql"), min_size=size, max_size=size) as pool:
        app.state.pool = pool
        yield


router = APIRouter(prefix="/sensors")


async def poll_gateway(site: str) -> int:
    """Return the raw reading that the site's gateway reports."""
    await asyncio.sleep(GATEWAY_S)
    return 290_000 + len(site)


@router.get("/{sensor_id}/now")
async def now(sensor_id: int, request: Request) -> dict[str, object]:
    """Return a sensor's corrected reading."""
    async with request.app.state.pool.acquire() as connection:
        sensor = await connection.fetchrow("SELECT site, offset_mk FROM sensors WHERE id = $1", sensor_id)
        if sensor is None:
            raise HTTPException(404, "no such sensor")
        raw = await poll_gateway(sensor["site"])
    return {"sensor": sensor_id, "site": sensor["site"], "milli_kelvin": raw - sensor["offset_mk"]}


app = FastAPI(lifespan=lifespan)
app.include_router(router)
