"""Hotel bookings: Starlette, SQLAlchemy Core on PostgreSQL through asyncpg; the connection travels in the request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Column, Date, Integer, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .databases_schema import migrate
from .settings import cured, database_url, severity

CHANNEL_S = 0.040 * severity()
bookings = Table(
    "bookings",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("guest", String),
    Column("arrives", Date),
    Column("nights", Integer),
)
_TABLE = "CREATE TABLE IF NOT EXISTS bookings (id int PRIMARY KEY, guest text, arrives date, nights int)"
_ROWS = (
    "INSERT INTO bookings SELECT i, 'guest ' || i, date '2025-01-01' + i % 365, 1 + i % 9"
    " FROM generate_series(1, 3000) i ON CONFLICT DO NOTHING"
)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the engine and close it."""
    migrate(_TABLE, _ROWS)
    engine = create_async_engine(
        database_url("postgresql+asyncpg"),
        pool_size=30 if cured() else 3,
        max_overflow=0,
        pool_timeout=60,
        isolation_level="AUTOCOMMIT",
    )
    app.state.engine = engine
    yield
    await engine.dispose()


async def confirm_with_channel(connection: AsyncConnection, booking_id: int) -> dict[str, object] | None:
    """Return the booking, and what the sales channel says of it."""
    row = (await connection.execute(select(bookings).where(bookings.c.id == booking_id))).one_or_none()
    if row is None:
        return None
    await asyncio.sleep(CHANNEL_S)  # the channel's own confirmation
    return {"id": row.id, "guest": row.guest, "arrives": row.arrives.isoformat(), "confirmed": True}


async def booking(request: Request) -> JSONResponse:
    """Return a confirmed booking."""
    async with request.app.state.engine.connect() as connection:
        answer = await confirm_with_channel(connection, request.path_params["booking_id"])
    if answer is None:
        raise HTTPException(404)
    return JSONResponse(answer)


app = Starlette(routes=[Route("/bookings/{booking_id:int}", booking)], lifespan=lifespan)
