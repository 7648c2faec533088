"""A shop's checkout: the order is locked, the payment partner asked over HTTP, the answer written down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .databases_schema import migrate
from .settings import companion_url, cured, database_url

_TABLE = "CREATE TABLE IF NOT EXISTS shop_orders (id int PRIMARY KEY, cents int NOT NULL, currency text NOT NULL)"
_ROWS = "INSERT INTO shop_orders SELECT i, 100 + i, 'EUR' FROM generate_series(1, 4000) i ON CONFLICT DO NOTHING"


class Base(DeclarativeBase):
    """All tables."""


class Order(Base):
    """What somebody wants to pay for."""

    __tablename__ = "shop_orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    cents: Mapped[int]
    currency: Mapped[str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open database and client, and close them."""
    migrate(_TABLE, _ROWS)
    engine = create_async_engine(database_url("postgresql+asyncpg"), pool_size=3, max_overflow=2, pool_timeout=60)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with httpx.AsyncClient(base_url=companion_url("PAYMENTS_URL"), timeout=30) as client:
        app.state.payments = client
        yield
    await engine.dispose()


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield a session whose transaction ends with the request."""
    async with request.app.state.sessions() as session, session.begin():
        yield session


app = FastAPI(lifespan=lifespan)


async def authorise(client: httpx.AsyncClient, order: Order) -> float:
    """Return the rate that the payment partner grants."""
    answer = await client.get("/authorise", params={"cents": order.cents, "currency": order.currency})
    answer.raise_for_status()
    return float(answer.json()["rate"])


@app.get("/orders/{order_id}/quote")
async def quote(
    order_id: int, request: Request, session: Annotated[AsyncSession, Depends(open_session)]
) -> dict[str, object]:
    """Return what an order costs at today's rate."""
    order = await session.get(Order, order_id)
    if order is None:
        raise HTTPException(404, "no such order")
    if cured():
        await session.commit()
    rate = await authorise(request.app.state.payments, order)
    return {"order": order.id, "cents": round(order.cents * rate), "currency": order.currency}
