"""A packing station: parcel labels from a printer that blocks, addresses from a database that waits."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from .settings import cured, database_url, severity

PRINT_S = 0.005 if cured() else 0.200 * severity()
LOOKUP_S = 0.001 if cured() else 0.045 * severity()

engine = create_async_engine(database_url("postgresql+asyncpg"), pool_size=10, max_overflow=0, pool_timeout=60)
router = APIRouter(prefix="/parcels")


async def connection() -> AsyncIterator[AsyncConnection]:
    """Lend a request a connection."""
    async with engine.connect() as opened:
        yield opened


class Printer:
    """The label printer's driver: it returns once the label is out."""

    def put(self, lines: list[str]) -> int:
        """Print; return the number of bytes sent."""
        time.sleep(PRINT_S)
        return sum(len(line) + 1 for line in lines)


printer = Printer()


@router.get("/{number}/label")
def label(number: int) -> Response:
    """Print the label of a parcel."""
    size = printer.put([f"PARCEL {number:08d}", "HANDLE WITH CARE"])
    return Response(f"{size} bytes printed\n", media_type="text/plain")


@router.get("/{number}/address")
async def address(number: int, db: Annotated[AsyncConnection, Depends(connection)]) -> dict[str, object]:
    """Return where a parcel goes."""
    found = await db.execute(text("SELECT :number + 0 FROM pg_sleep(:s)"), {"number": number, "s": LOOKUP_S})
    return {"parcel": found.scalar_one(), "city": "Graz"}


app = FastAPI(title="Packing station")
app.include_router(router)


@app.get("/")
async def root() -> Response:
    """Say that the station is up."""
    return Response(b"ok\n", media_type="text/plain")
