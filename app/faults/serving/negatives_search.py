"""A flight search: `async def` endpoints that wait for airlines, who take their time."""

import asyncio

from fastapi import FastAPI

from .settings import severity

AIRLINES = ("north", "south", "east")
ANSWER_S = 0.25 * severity()

app = FastAPI(title="Flights")


async def offer(airline: str, to: str) -> dict[str, object]:
    """Return what an airline asks for."""
    await asyncio.sleep(ANSWER_S)
    return {"airline": airline, "to": to, "price": 60 + len(airline) * len(to)}


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "flights"}


@app.get("/flights/{to}")
async def flights(to: str) -> list[dict[str, object]]:
    """Return all airlines' offers."""
    return await asyncio.gather(*(offer(airline, to) for airline in AIRLINES))
