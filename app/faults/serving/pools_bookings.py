"""Bookings: FastAPI `def` endpoints on two workers that confirm each booking with a hotel, with few threads each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import anyio.to_thread
import urllib3
from fastapi import Depends, FastAPI, HTTPException

from .settings import companion_url, cured

THREADS = 8
HOTEL = companion_url("HOTEL_URL")
OK = 200


class Hotel:
    """The hotel's API."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._http = urllib3.PoolManager(maxsize=64, timeout=urllib3.Timeout(20))

    def confirm(self, booking: int) -> str:
        """Return the hotel's word on a booking."""
        answer = self._http.request("GET", f"{self._address}/bookings/{booking}")
        if answer.status != OK:
            raise HTTPException(502, "the hotel does not answer")
        return str(answer.json()["status"])


hotel = Hotel(HOTEL)


async def the_hotel() -> Hotel:
    """Return the one client of the hotel's API."""
    return hotel


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Keep the number of threads small, as memory is."""
    if not cured():
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


app = FastAPI(title="Bookings", lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "bookings"}


@app.get("/bookings/{booking}")
def booking(booking: int, hotel: Annotated[Hotel, Depends(the_hotel)]) -> dict[str, object]:
    """Return a booking and whether it stands."""
    return {"id": booking, "stands": hotel.confirm(booking) == "ok"}
