"""The inventory's tables, and how those who write to them take turns.

Stock is kept twice: as a number in the product's row, which orders take from, and as everything that ever changed it
(what the product began with, restocks, lines of orders). `stock` holds the one against the other.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, String, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .database import UtcDateTime, engine_of, metadata

if TYPE_CHECKING:
    from fastapi import Request

NAME_MAX, TEXT_MAX = 200, 2000
PENDING, PAID, SHIPPED, CANCELLED = "pending", "paid", "shipped", "cancelled"

# No CHECK (stock >= 0) on purpose: the rule is kept by the statement that takes stock, and whether it was is what the
# audit is there to find out.
products = Table(
    "inventory_products",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(NAME_MAX), nullable=False),
    Column("description", String(TEXT_MAX), nullable=False),
    Column("price", Float, nullable=False),
    Column("initial_stock", BigInteger, nullable=False),
    Column("stock", BigInteger, nullable=False),
    # A product that was deleted stays: what was sold of it must still add up.
    Column("archived", Boolean, nullable=False, default=False),
    Column("created_at", UtcDateTime, nullable=False),
)
restocks = Table(
    "inventory_restocks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("product_id", Integer, ForeignKey(products.c.id), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
orders = Table(
    "inventory_orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer", String(NAME_MAX), nullable=False),
    Column("status", String(20), nullable=False),
    Column("total", Float, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
order_lines = Table(
    "inventory_order_lines",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("order_id", Integer, ForeignKey(orders.c.id), nullable=False, index=True),
    Column("product_id", Integer, ForeignKey(products.c.id), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", Float, nullable=False),
)

_ISOLATION = {"postgresql": "READ COMMITTED", "sqlite": "SERIALIZABLE"}


@asynccontextmanager
async def writing(request: "Request") -> AsyncIterator[AsyncConnection]:
    """Yield a connection in autocommit, for one statement that writes."""
    engine = engine_of(request)
    async with _turn(request.app.state, engine), engine.connect() as connection:
        yield connection


@asynccontextmanager
async def transaction(request: "Request") -> AsyncIterator[AsyncConnection]:
    """Yield a connection in a transaction: committed at the end, rolled back when an exception leaves it.

    Its first statement must write: SQLite begins with it, and cannot turn a read into a write once somebody else has
    written (SQLITE_BUSY_SNAPSHOT, which no waiting cures).
    """
    async with writing(request) as connection:
        await connection.execution_options(isolation_level=_ISOLATION[connection.dialect.name])
        async with connection.begin():
            yield connection


def _turn(state: Any, engine: AsyncEngine) -> AbstractAsyncContextManager[Any]:
    """Let the writers of this worker through one by one on SQLite, in the order in which they came.

    A SQLite file has one writer. SQLite itself lets the others try again after a while, which is not fair: under load
    some try until `busy_timeout` and fail. PostgreSQL queues by itself, and by row.
    """
    if engine.dialect.name != "sqlite":
        return nullcontext()
    if not hasattr(state, "inventory_turn"):
        state.inventory_turn = asyncio.Lock()
    turn: asyncio.Lock = state.inventory_turn
    return turn
