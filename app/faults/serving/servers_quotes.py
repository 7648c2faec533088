"""Insurance quotes: `async def` endpoints of FastAPI that wait for an underwriter's decision."""

import asyncio

from fastapi import FastAPI
from pydantic import BaseModel

from .settings import severity

DECIDE_S = 0.1 * severity()


class Quote(BaseModel):
    """What cover costs."""

    risk: int
    premium: float


app = FastAPI(title="Quotes")


async def decision(risk: int) -> float:
    """Wait for the underwriter."""
    await asyncio.sleep(DECIDE_S)
    return 12.5 + risk % 10


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "quotes"}


@app.get("/quotes/{risk}")
async def quote(risk: int) -> Quote:
    """Return a quote."""
    return Quote(risk=risk, premium=await decision(risk))
