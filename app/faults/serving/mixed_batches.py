"""A price list that changes in batches: some requests read what a view works out, the next ones what a share holds."""

import contextlib
import itertools
import time
from collections.abc import AsyncIterator

from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .settings import cured, database_url, severity

BATCH = 20
"""Requests of a kind before the other kind's turn."""
READ_S = 0.002 if cured() else 0.240 * severity()
VIEW_S = 0.001 if cured() else 0.072 * severity()

turns = itertools.count()
lists: AsyncConnectionPool = AsyncConnectionPool(
    database_url("postgresql"), min_size=12, max_size=12, timeout=60, open=False, kwargs={"autocommit": True}
)


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Open the pool, and close it at the end."""
    async with lists:
        await lists.wait()
        yield


async def from_view(article: int) -> int:
    """Read today's price, which the view works out elsewhere."""
    async with lists.connection() as connection:
        found = await connection.execute("SELECT 1000 + %s::int %% 500 FROM pg_sleep(%s)", (article, VIEW_S))
        row = await found.fetchone()
    return int(row[0]) if row else 0


def from_share(article: int) -> int:
    """Read the last price from the share."""
    time.sleep(READ_S)
    return 1_000 + article % 500


async def price(request: Request) -> JSONResponse:
    """Return an article's price."""
    article = request.path_params["article"]
    if next(turns) // BATCH % 2:
        return JSONResponse({"cents": await from_view(article)})
    return JSONResponse({"cents": await run_in_threadpool(from_share, article)})


async def root(_: Request) -> JSONResponse:
    """Say that the list is up."""
    return JSONResponse({"service": "prices"})


app = Starlette(routes=[Route("/", root), Route("/prices/{article:int}", price)], lifespan=lifespan)
