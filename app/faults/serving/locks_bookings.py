"""A booking service on Starlette. Seats are kept in memory; a booking is checked and written under one lock."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .settings import cured, severity

JOURNAL_S = 0.014 * severity()


class Hall:
    """The seats of one hall."""

    def __init__(self, rows: int, *, locked: bool) -> None:
        self.taken = dict.fromkeys(range(rows), 0)
        self._lock: AbstractAsyncContextManager[None] = asyncio.Lock() if locked else nullcontext()

    async def book(self, row: int) -> int:
        """Take the next seat of a row; return its number."""
        async with self._lock:
            self.taken[row] += 1
            await self._journal()
            return self.taken[row]

    async def _journal(self) -> None:
        """Wait until the journal, on another host, has acknowledged."""
        await asyncio.sleep(JOURNAL_S)


hall = Hall(40, locked=not cured())


async def book(request: Request) -> JSONResponse:
    """Book a seat."""
    row = request.path_params["row"] % len(hall.taken)
    return JSONResponse({"row": row, "seat": await hall.book(row)})


app = Starlette(routes=[Route("/rows/{row:int}/seat", book)])
