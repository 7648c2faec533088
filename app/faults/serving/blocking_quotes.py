"""A price service: a quote in another currency asks the bank's service for the rate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

import aiohttp
import requests
from fastapi import FastAPI, Query
from pydantic import BaseModel

from .settings import companion_url, cured

BANK = companion_url("RATES_URL")
PRICES = {article: Decimal(article * 7 % 100) + Decimal("0.99") for article in range(1000)}


class Quote(BaseModel):
    """A price in the customer's currency."""

    article: int
    currency: str
    amount: Decimal


class Rates:
    """The bank's rates, over one kept connection."""

    def __init__(self) -> None:
        self.http = requests.Session()

    async def of(self, currency: str) -> Decimal:
        """Ask for one rate."""
        answer = self.http.get(f"{BANK}/rates/{currency}", timeout=5)
        answer.raise_for_status()
        return Decimal(str(answer.json()["rate"]))

    async def close(self) -> None:
        """Close the connection."""
        self.http.close()


class AwaitedRates:
    """The bank's rates, over as many connections as it takes."""

    def __init__(self) -> None:
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def of(self, currency: str) -> Decimal:
        """Ask for one rate."""
        async with self.http.get(f"{BANK}/rates/{currency}") as answer:
            answer.raise_for_status()
            return Decimal(str((await answer.json())["rate"]))

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client before the first request."""
    app.state.rates = AwaitedRates() if cured() else Rates()
    yield
    await app.state.rates.close()


app = FastAPI(title="prices", lifespan=lifespan)


@app.get("/articles/{article}/quote")
async def quote(article: int, currency: Annotated[str, Query(max_length=3)] = "USD") -> Quote:
    """Quote a price."""
    rate = await app.state.rates.of(currency)
    return Quote(article=article, currency=currency, amount=PRICES[article % len(PRICES)] * rate)
