"""A travel desk on Starlette: fares asked of a partner over HTTP, seats held in the database."""

import contextlib
import http.client
import json
import os
import urllib.parse
from collections.abc import AsyncIterator

from psycopg_pool import ConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from .settings import companion_url, cured, database_url, severity

PARTNER = "FARES_URL"
CHECK_S = 0.001 if cured() else 0.018 + 0.205 * severity()
"""What the seat map's check takes; the database waits meanwhile."""

partner = http.client.HTTPConnection(urllib.parse.urlsplit(companion_url(PARTNER)).netloc, timeout=10)
seats = ConnectionPool(
    database_url("postgresql"), min_size=20, max_size=20, timeout=60, open=False, kwargs={"autocommit": True}
)


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Open the pool, and close it at the end."""
    with seats:
        seats.wait()
        yield


def current_fare(route: str) -> float:
    """Ask the partner what a route costs now."""
    if cured():
        return 1.25
    partner.request("GET", f"/fares/{route}")
    return float(json.loads(partner.getresponse().read())["rate"])


async def fare(request: Request) -> JSONResponse:
    """Return a route's fare."""
    route = request.path_params["route"]
    return JSONResponse({"route": route, "fare": current_fare(route)})


def seat(request: Request) -> JSONResponse:
    """Check a seat."""
    number = request.path_params["number"]
    with seats.connection() as connection:
        found = connection.execute("SELECT %s::int %% 6 FROM pg_sleep(%s)", (number, CHECK_S)).fetchone()
    return JSONResponse({"seat": number, "row": found[0] if found else None})


async def root(_: Request) -> PlainTextResponse:
    """Say which process this is."""
    return PlainTextResponse(f"travel desk {os.getpid()}\n")


app = Starlette(
    routes=[Route("/", root), Route("/fares/{route}", fare), Route("/seats/{number:int}", seat)], lifespan=lifespan
)
