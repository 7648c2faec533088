"""Freight quotes: the carrier's service is asked for each one, over as many connections as it takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel

from .settings import companion_url

CARRIER = companion_url("CARRIER_URL")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client before the first request."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=CARRIER, limits=limits, timeout=30) as client:
        app.state.carrier = client
        yield


app = FastAPI(title="freight", lifespan=lifespan)


class Freight(BaseModel):
    """What carrying a parcel costs."""

    parcel: int
    currency: str
    cents: int


def carrier(request: Request) -> httpx.AsyncClient:
    """Return the carrier's client."""
    client: httpx.AsyncClient = request.app.state.carrier
    return client


@app.get("/parcels/{parcel}/freight")
async def freight(parcel: int, carrier: Annotated[httpx.AsyncClient, Depends(carrier)]) -> Freight:
    """Quote the freight of a parcel."""
    answer = await carrier.get("/tariff", params={"parcel": parcel})
    answer.raise_for_status()
    tariff = answer.json()
    return Freight(parcel=parcel, currency=tariff["currency"], cents=round(tariff["rate"] * 400))
