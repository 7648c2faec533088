"""Seat plans: plain functions as Starlette endpoints, with few threads for them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from .settings import cured, severity

THREADS = 8
BOX_OFFICE_S = 0.025 * severity()


def plan(request: Request) -> JSONResponse:
    """Return the seats of a hall that are free, as the box office sees them."""
    time.sleep(BOX_OFFICE_S)
    hall = int(request.path_params["hall"])
    return JSONResponse({"hall": hall, "free": [seat for seat in range(60) if (seat * hall) % 7]})


async def root(_request: Request) -> PlainTextResponse:
    """Say that the service is up."""
    return PlainTextResponse("halls")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Keep the number of threads small, as memory is."""
    if not cured():
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


app = Starlette(
    routes=[Route("/", root), Mount("/halls", routes=[Route("/{hall:int}", plan)])],
    middleware=[Middleware(GZipMiddleware, minimum_size=2000)],
    lifespan=lifespan,
)
