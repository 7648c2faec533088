"""Freight tariffs, worked out by a function in PostgreSQL: FastAPI, SQLAlchemy's async engine through psycopg."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from .databases_schema import migrate
from .settings import cured, database_url, severity

# The function asks a foreign server, which answers after so long; nobody computes meanwhile.
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION freight_tariff(zone int, kilos int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep({0.050 * severity():.6f});
    RETURN 500 + 3 * zone * kilos;
END $$
"""
_ASK = text("SELECT freight_tariff(:zone, :kilos) AS cents")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the engine and close it."""
    migrate(_FUNCTION)
    engine = create_async_engine(
        database_url("postgresql+psycopg"),
        pool_size=50 if cured() else 5,
        max_overflow=0,
        pool_timeout=60,
        isolation_level="AUTOCOMMIT",
    )
    app.state.engine = engine
    yield
    await engine.dispose()


async def connection(request: Request) -> AsyncIterator[AsyncConnection]:
    """Yield a connection for one request."""
    async with request.app.state.engine.connect() as opened:
        yield opened


app = FastAPI(lifespan=lifespan)


@app.get("/tariffs/{zone}")
async def tariff(
    zone: int, database: Annotated[AsyncConnection, Depends(connection)], kilos: int = 10
) -> dict[str, int]:
    """Return the price of a parcel to a zone."""
    cents = await database.scalar(_ASK, {"zone": zone, "kilos": kilos})
    return {"zone": zone, "kilos": kilos, "cents": int(cents)}
