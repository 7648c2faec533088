"""The reference app: a small, ordinary FastAPI service whose limits are known.

Run it with `gunicorn -c app/gunicorn_conf.py app.main:app` from a checkout, or as `pinchpoint.app.main:app` installed.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from .accounts import Refusal, hash_password
from .accounts import router as accounts_router
from .boot import discard, prepare
from .customers import router as customers_router
from .database import make_engine, prepare_database
from .faults import activate
from .inventory import router as inventory_router
from .items import router as items_router
from .openuser import router as openuser_router
from .petstore import router as petstore_router
from .settings import Settings, load_settings
from .telemetry import add_metrics

UNREADABLE: dict[int | str, dict[str, Any]] = {400: {"model": Refusal, "description": "The body is not text."}}
"""What FastAPI answers by itself, and does not document."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Create and seed the tables before the first request; give the connections back after the last."""
    engine = app.state.engine
    try:
        await prepare_database(engine, hash_password)
        app.state.on_serving()
        yield
    finally:
        await engine.dispose()
        # uvicorn alone ends by the signal that stopped it, which skips atexit.
        discard()


def create_app(settings: Settings) -> FastAPI:
    """Build the app; no connection is opened before it serves."""
    app = FastAPI(title="pinchpoint reference app", lifespan=lifespan, redirect_slashes=False, responses=UNREADABLE)
    faults = activate(settings.fault, settings.fault_severity)
    pool = faults.pool
    app.add_exception_handler(RequestValidationError, refused)
    app.state.settings = settings
    app.state.faults = faults
    app.state.on_serving = lambda: None
    app.state.engine = make_engine(
        settings.url,
        pool_size=pool.size if pool else settings.pool_size,
        max_overflow=pool.overflow if pool else settings.max_overflow,
        pool_timeout_s=pool.timeout_s if pool else settings.pool_timeout_s,
    )
    # The busiest routes come first: routes are tried in order.
    app.include_router(items_router)
    app.include_router(accounts_router)
    app.add_api_route("/", root, tags=["service"])
    app.add_api_route("/health", health, tags=["service"])
    for router in (customers_router, petstore_router, inventory_router, openuser_router):
        app.include_router(router)
    if settings.metrics:
        add_metrics(app)
    return app


async def refused(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a request, without repeating it.

    Not all that can be sent (NaN, half a character) can be answered: FastAPI's own handler makes that a 500.
    """
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    told = [{key: one[key] for key in ("type", "loc", "msg")} for one in problems]
    return JSONResponse({"detail": told}, status_code=422)


async def root() -> dict[str, str]:
    """Say hello: the cheapest request there is."""
    return {"message": "Hello from the pinchpoint reference app"}


async def health() -> dict[str, str]:
    """Say that the process serves. The database is not asked: a slow one must not get the workers restarted."""
    return {"status": "ok"}


# Under gunicorn the master has done it already, and this changes nothing.
prepare(os.environ)
app = create_app(load_settings())
