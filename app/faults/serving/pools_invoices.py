"""Invoices: FastAPI `def` endpoints with a session per request and a `def` dependency that loads the customer first."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

import requests
from fastapi import Depends, FastAPI, HTTPException
from requests.adapters import HTTPAdapter
from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from .settings import companion_url, cured, database_url

RATES = companion_url("RATES_URL")
engine = create_engine(database_url("postgresql+psycopg"), pool_size=60 if cured() else 5, max_overflow=0)
new_session = sessionmaker(engine, expire_on_commit=False)
rates = requests.Session()
rates.mount("http://", HTTPAdapter(pool_maxsize=64))


class Base(DeclarativeBase):
    """The tables."""


class Customer(Base):
    """Who pays."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    currency: Mapped[str]


class Invoice(Base):
    """What is to be paid."""

    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    cents: Mapped[int]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the tables and a few rows."""
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with new_session.begin() as session:
        session.add(Customer(id=1, name="Ada", currency="EUR"))
        session.flush()
        session.add_all(Invoice(id=number, customer_id=1, cents=100 * number) for number in range(1, 51))
    yield
    engine.dispose()


def get_db() -> Iterator[Session]:
    """Give a request its session."""
    with new_session() as session:
        yield session


Db = Annotated[Session, Depends(get_db)]


def current_customer(db: Db) -> Customer:
    """Return who asks."""
    customer = db.get(Customer, 1)
    if customer is None:
        raise HTTPException(401)
    return customer


app = FastAPI(title="Invoices", lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "invoices"}


@app.get("/invoices/{number}", response_model=None)
def invoice(number: int, customer: Annotated[Customer, Depends(current_customer)], db: Db) -> dict[str, object]:
    """Return an invoice in the customer's currency, at today's rate."""
    found = db.get(Invoice, number)
    if found is None or found.customer_id != customer.id:
        raise HTTPException(404)
    rate = rates.get(f"{RATES}/rates/{customer.currency}", timeout=20).json()["rate"]
    return {"number": found.id, "customer": customer.name, "amount": found.cents * rate / 100}
