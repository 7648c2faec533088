"""Second-hand listings and the bids on them: Starlette and asyncpg on PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .databases_schema import migrate
from .settings import cured, database_url, severity

PAGE = round(16 * severity())
SELLERS = 20
BIDS = 10_000
_TABLES = (
    "DROP TABLE IF EXISTS listings, bids",
    "CREATE TABLE listings (id int PRIMARY KEY, seller int, title text)",
    f"""INSERT INTO listings SELECT i, i % {SELLERS}, 'thing ' || i
    FROM generate_series(1, {PAGE * SELLERS}) i""",  # noqa: S608 - numbers of ours
    "CREATE TABLE bids (id int PRIMARY KEY, listing int, cents int)",
    f"""INSERT INTO bids SELECT i, 1 + i * 7919 % {PAGE * SELLERS}, i % 5000
    FROM generate_series(1, {BIDS}) i""",  # noqa: S608 - numbers of ours
)
_INDEX = ("CREATE INDEX bids_by_listing ON bids (listing)",) if cured() else ()
_OFFERS = f"""
SELECT id, title, (SELECT max(cents) FROM bids WHERE listing = listings.id) AS offered
FROM listings WHERE seller = $1 ORDER BY id LIMIT {PAGE}
"""  # noqa: S608 - a number of ours


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the pool and close it."""
    migrate(*_TABLES, *_INDEX, "VACUUM ANALYZE listings, bids")
    one_process = {"max_parallel_workers_per_gather": "0"}
    async with asyncpg.create_pool(
        database_url("postgresql"), min_size=30, max_size=30, server_settings=one_process
    ) as pool:
        app.state.pool = pool
        yield


async def offers(request: Request) -> JSONResponse:
    """Return a seller's things and the highest bid on each."""
    seller = request.path_params["seller"]
    rows = await request.app.state.pool.fetch(_OFFERS, seller)
    return JSONResponse({"seller": seller, "things": [dict(row) for row in rows]})


app = Starlette(routes=[Route("/sellers/{seller:int}/offers", offers)], lifespan=lifespan)
