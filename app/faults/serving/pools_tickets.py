"""Support tickets: FastAPI `def` endpoints that return rows of SQLite through a response model."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from .settings import cured, database_url, severity

TRANSLATE_S = 0.04 * severity()
engine = create_engine(
    database_url("sqlite"), connect_args={"check_same_thread": False}, pool_size=64 if cured() else 4, max_overflow=0
)


class Base(DeclarativeBase):
    """The tables."""


class Ticket(Base):
    """What a customer wrote."""

    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    body: Mapped[str]


class TicketOut(BaseModel):
    """What is shown of it."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    subject: str
    body: str


def fill() -> None:
    """Make the table and a few rows."""
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        if session.scalar(select(Ticket.id).limit(1)) is None:
            session.add_all(Ticket(id=number, subject=f"Order {number}", body="Where?") for number in range(1, 101))


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Prepare the database."""
    fill()
    yield
    engine.dispose()


def get_db() -> Iterator[Session]:
    """Give a request its session, for as long as its answer takes."""
    session = Session(engine)
    try:
        yield session
    finally:
        session.close()


app = FastAPI(title="Tickets", lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "tickets"}


def translated(_text: str) -> None:
    """Wait for the translation desk."""
    time.sleep(TRANSLATE_S)


@app.get("/tickets/{number}", response_model=TicketOut)
def ticket(number: int, db: Annotated[Session, Depends(get_db)]) -> Ticket:
    """Return a ticket."""
    found = db.get(Ticket, number)
    if found is None:
        raise HTTPException(404)
    translated(found.body)
    return found
