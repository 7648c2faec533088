"""Second-hand listings: Starlette and asyncpg on PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .databases_schema import migrate
from .settings import cured, database_url, severity

LISTINGS = round(60_000 * severity())
_TABLE = (
    "DROP TABLE IF EXISTS listings",
    "CREATE TABLE listings (id int PRIMARY KEY, seller text, title text, cents int)",
    f"""INSERT INTO listings SELECT i, 'Seller ' || i::bigint * 7919 % 6000, 'thing ' || i, i % 5000
    FROM generate_series(1, {LISTINGS}) i""",  # noqa: S608 - a number of ours
)
_INDEX = ("CREATE INDEX listings_by_seller ON listings (lower(seller))",) if cured() else ()
_CHEAPEST = "SELECT id, title, cents FROM listings WHERE lower(seller) = $1 ORDER BY cents LIMIT 10"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the pool and close it."""
    migrate(*_TABLE, *_INDEX, "VACUUM ANALYZE listings")
    one_process = {"max_parallel_workers_per_gather": "0"}
    async with asyncpg.create_pool(
        database_url("postgresql"), min_size=30, max_size=30, server_settings=one_process
    ) as pool:
        app.state.pool = pool
        yield


async def cheapest(request: Request) -> JSONResponse:
    """Return a seller's cheapest things."""
    seller = f"seller {request.path_params['seller']}"
    rows = await request.app.state.pool.fetch(_CHEAPEST, seller)
    return JSONResponse({"seller": seller, "things": [dict(row) for row in rows]})


app = Starlette(routes=[Route("/sellers/{seller:int}/cheapest", cheapest)], lifespan=lifespan)
