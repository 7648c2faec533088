"""Freight quotes: the carrier's service is asked for each one, over as many connections as it takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import aiohttp
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from .settings import companion_url

CARRIER = companion_url("CARRIER_URL")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client before the first request."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(CARRIER, connector=connector, timeout=aiohttp.ClientTimeout(30)) as client:
        app.state.carrier = client
        yield


app = FastAPI(title="freight", lifespan=lifespan)


class Freight(BaseModel):
    """What carrying a parcel costs."""

    parcel: int
    currency: str
    cents: int


async def carrier(request: Request) -> aiohttp.ClientSession:
    """Return the carrier's client."""
    client: aiohttp.ClientSession = request.app.state.carrier
    return client


@app.get("/parcels/{parcel}/freight")
async def freight(parcel: int, carrier: Annotated[aiohttp.ClientSession, Depends(carrier)]) -> Freight:
    """Quote the freight of a parcel."""
    async with carrier.get("/tariff", params={"parcel": parcel}) as answer:
        if not answer.ok:
            raise HTTPException(502, "the carrier does not answer")
        tariff = await answer.json()
    return Freight(parcel=parcel, currency=tariff["currency"], cents=round(tariff["rate"] * 400))
