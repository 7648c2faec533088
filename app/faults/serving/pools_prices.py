"""Prices: `async def` endpoints of FastAPI that ask a supplier over one httpx client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, Request

from .settings import companion_url, cured

SUPPLIER = companion_url("SUPPLIER_URL")
LIMITS = httpx.Limits(max_connections=100 if cured() else 5)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client for as long as the app runs."""
    async with httpx.AsyncClient(base_url=SUPPLIER, limits=LIMITS, timeout=30) as client:
        app.state.supplier = client
        yield


async def supplier(request: Request) -> httpx.AsyncClient:
    """Return the app's client."""
    client: httpx.AsyncClient = request.app.state.supplier
    return client


app = FastAPI(title="Prices", lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "prices"}


@app.get("/prices/{article}")
async def price(article: int, supplier: Annotated[httpx.AsyncClient, Depends(supplier)]) -> dict[str, object]:
    """Return an article's price with the supplier's rate of today."""
    answer = await supplier.get(f"/articles/{article}")
    answer.raise_for_status()
    return {"article": article, "price": round(article * answer.json()["rate"], 2)}
