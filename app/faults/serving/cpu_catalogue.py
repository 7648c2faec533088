"""A product catalogue: FastAPI, `async def`. A page of products is turned into JSON from plain objects."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from .settings import cured, severity

PAGE = 4 if cured() else round(70 * severity())

app = FastAPI(title="Catalogue")


@dataclass(frozen=True)
class Price:
    """What a product costs, and since when."""

    amount: Decimal
    currency: str
    since: date


@dataclass(frozen=True)
class Product:
    """One product."""

    sku: str
    name: str
    price: Price
    tags: list[str]
    stock: dict[str, int]


def product(number: int) -> Product:
    """Return one product of the range."""
    return Product(
        f"SKU-{number:06}",
        f"Product {number}",
        Price(Decimal(number % 500) + Decimal("0.99"), "EUR", date(2024, 1, 1) + timedelta(days=number % 365)),
        [f"tag-{number % 7}", f"tag-{number % 11}"],
        {"north": number % 13, "south": number % 17},
    )


RANGE = [product(number) for number in range(1_000)]


@app.get("/")
async def home() -> dict[str, int]:
    """Say how many products there are."""
    return {"products": len(RANGE)}


@app.get("/products")
async def products(start: int = 0) -> JSONResponse:
    """Return a page of products."""
    page: dict[str, Any] = {"start": start, "items": [RANGE[(start + i) % len(RANGE)] for i in range(PAGE)]}
    return JSONResponse(jsonable_encoder(page))
