"""A freight broker: rates from a partner over HTTP, scans from a depot's share that blocks."""

import contextlib
import time
from collections.abc import AsyncIterator

import anyio.to_thread
import httpx
from fastapi import FastAPI, Response

from .settings import companion_url, cured, severity

PARTNER = "RATES_URL"
SCAN_S = 0.001 if cured() else 0.160 * severity()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client, and say how many scans are read at once."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = 10
    limits = httpx.Limits(max_connections=10)
    async with httpx.AsyncClient(base_url=companion_url(PARTNER), limits=limits, timeout=60) as client:
        app.state.partner = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the broker is up."""
    return {"service": "freight"}


@app.get("/lanes/{lane}/rate")
async def rate(lane: int) -> dict[str, object]:
    """Return the partner's rate for a lane."""
    if cured():  # as agreed for the year
        return {"lane": lane, "rate": 1.25}
    answer = await app.state.partner.get(f"/lanes/{lane}")
    return {"lane": lane, "rate": answer.json()["rate"]}


def read_scan(shipment: int) -> bytes:
    """Fetch a delivery note from the depot's share."""
    time.sleep(SCAN_S)
    return f"delivery note {shipment}\n".encode() * 20


@app.get("/shipments/{shipment}/scan")
def scan(shipment: int) -> Response:
    """Return a shipment's delivery note."""
    return Response(read_scan(shipment), media_type="text/plain")
