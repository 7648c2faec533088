"""Concert tickets: a seat is reserved in a database that waits for the hall's own system, then the ticket is drawn."""

import contextlib
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from .settings import cured, database_url, severity

CONNECTIONS = 120 if cured() else 30
RESERVE_S = 0.150 * severity()
DRAW_S = 0.143 * severity()

engine = create_async_engine(
    database_url("postgresql+asyncpg"),
    pool_size=CONNECTIONS,
    max_overflow=0,
    pool_timeout=60,
    isolation_level="AUTOCOMMIT",
)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connections at the end."""
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan, title="Box office")


async def reserve(seat: int) -> int:
    """Reserve a seat; return the number of the reservation."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT :seat + 1000 FROM pg_sleep(:seconds)"), {"seat": seat, "seconds": RESERVE_S}
        )
        return int(found.scalar_one())


def drawn(reservation: int) -> str:
    """Have the drawing service draw the bar code, by its old client library."""
    time.sleep(DRAW_S)
    return f"|{reservation:b}|"


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the box office is open."""
    return {"status": "open"}


@app.get("/seats/{seat}/ticket")
async def ticket(seat: int) -> dict[str, object]:
    """Sell a seat."""
    reservation = await reserve(seat)
    return {"reservation": reservation, "code": await run_in_threadpool(drawn, reservation)}
