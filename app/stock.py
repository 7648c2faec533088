"""Check the inventory from the database itself: `python -m pinchpoint.app.stock DATABASE_URL` prints one JSON object.

Of each product: what it began with, plus restocks, less what orders that are not cancelled took, is its stock; the
stock is not negative; and no more was sold than there ever was. One statement reads it all, so it holds while the app
serves.

Exit codes: 0 it adds up, 1 it does not, 2 it could not be checked (one sentence on stderr).
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from .inventory_tables import CANCELLED, order_lines, orders, products, restocks

# The drivers the app depends on; a URL may name any other one of these databases.
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_ASYNC = frozenset({"sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg"})
_VARIABLES = ("PINCHPOINT_APP_DATABASE_URL", "DATABASE_URL")

_restocked = (
    select(restocks.c.product_id, func.sum(restocks.c.quantity).label("pieces"))
    .group_by(restocks.c.product_id)
    .subquery("restocked")
)
_ordered = (
    select(order_lines.c.product_id, func.sum(order_lines.c.quantity).label("pieces"))
    .join(orders, orders.c.id == order_lines.c.order_id)
    .where(orders.c.status != CANCELLED)
    .group_by(order_lines.c.product_id)
    .subquery("ordered")
)
_BALANCES = (
    select(
        products.c.id,
        products.c.initial_stock,
        func.coalesce(_restocked.c.pieces, 0),
        func.coalesce(_ordered.c.pieces, 0),
        products.c.stock,
        select(func.count()).select_from(orders).scalar_subquery(),
    )
    .select_from(
        products.outerjoin(_restocked, _restocked.c.product_id == products.c.id).outerjoin(
            _ordered, _ordered.c.product_id == products.c.id
        )
    )
    .order_by(products.c.id)
)


class UncheckedError(Exception):
    """The database cannot be checked; the text says why, without the URL, which may hold a password."""


@dataclass(frozen=True, slots=True)
class Balance:
    """One product, all in pieces."""

    product_id: int
    initial: int
    restocked: int
    ordered: int
    """By orders that are not cancelled."""
    stock: int

    @property
    def expected(self) -> int:
        """The stock that there should be."""
        return self.initial + self.restocked - self.ordered

    @property
    def oversold(self) -> int:
        """Pieces sold that never were there."""
        return max(0, self.ordered - self.initial - self.restocked)


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found."""

    oversold: int
    """Pieces sold that never were there, of all products."""
    negative_stock: int
    """Products whose stock is below zero."""
    unbalanced: tuple[Balance, ...]
    """Products whose stock is not what it should be."""
    products: int
    orders: int

    @property
    def ok(self) -> bool:
        """Whether everything adds up."""
        return not (self.oversold or self.negative_stock or self.unbalanced)

    def as_json(self) -> dict[str, Any]:
        """Return what is printed."""
        unbalanced = [{**asdict(balance), "expected": balance.expected} for balance in self.unbalanced]
        return {**asdict(self), "unbalanced": unbalanced, "ok": self.ok}


def judge(balances: Iterable[Balance], order_count: int) -> Audit:
    """Hold each product's stock against what happened to it."""
    seen = list(balances)
    return Audit(
        oversold=sum(balance.oversold for balance in seen),
        negative_stock=sum(balance.stock < 0 for balance in seen),
        unbalanced=tuple(balance for balance in seen if balance.stock != balance.expected),
        products=len(seen),
        orders=order_count,
    )


async def audit(url: str) -> Audit:
    """Read the database and judge it.

    Raises:
        UncheckedError: it is not there, does not answer, or holds no inventory.

    """
    engine = create_async_engine(_with_async_driver(url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            rows = (await connection.execute(_BALANCES)).all()
    except (SQLAlchemyError, OSError) as error:
        raise UncheckedError(_why(error)) from error
    finally:
        await engine.dispose()
    # A sum of big integers is a decimal in PostgreSQL.
    balances = (Balance(*(int(figure) for figure in row[:5])) for row in rows)
    return judge(balances, rows[0][5] if rows else 0)


def _with_async_driver(url: str) -> URL:
    """Return the URL with a driver the app has, and refuse a SQLite file that is not there: asking would create it."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UncheckedError("this is not a database URL such as postgresql://user:password@host/name") from None
    if parsed.drivername not in _ASYNC:
        backend = parsed.drivername.partition("+")[0]
        if backend not in _DRIVERS:
            raise UncheckedError(f"{parsed.drivername} is neither SQLite nor PostgreSQL")
        parsed = parsed.set(drivername=_DRIVERS[backend])
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise UncheckedError(f"there is no SQLite file {parsed.database or ':memory:'}")
    return parsed


def _why(error: Exception) -> str:
    """Return the driver's own words, on one line; SQLAlchemy adds the statement and a link."""
    words = str(getattr(error, "orig", None) or error).strip()
    return words.splitlines()[0] if words else type(error).__name__


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was found as JSON; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pinchpoint.app.stock",
        description="Check that nothing was oversold and that stock and orders of the inventory add up.",
    )
    parser.add_argument("url", nargs="?", metavar="DATABASE_URL", help=f"default: {' or '.join(_VARIABLES)}")
    url = parser.parse_args(argv).url or next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), None)
    if url is None:
        parser.error(f"name a database, or set {' or '.join(_VARIABLES)}")
    try:
        found = asyncio.run(audit(url))
    except UncheckedError as error:
        sys.stderr.write(f"The stock was not checked: {error}.\n")
        return 2
    sys.stdout.write(f"{json.dumps(found.as_json())}\n")
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())
