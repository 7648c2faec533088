"""A till: every receipt is read from the shop's database and passed through one fiscal unit, one at a time."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from .settings import cured, database_url, scratch, severity

SIGN_S = 0.012 * severity()
"""What the fiscal unit takes to sign."""

engine = create_engine(database_url("sqlite"), pool_timeout=60)
make_session = sessionmaker(engine)
journal = scratch() / "fiscal.journal"
app = FastAPI()


def get_session() -> Iterator[Session]:
    """Give a request its session."""
    with make_session() as session:
        yield session


@contextlib.contextmanager
def fiscal_unit() -> Iterator[None]:
    """Have the unit to oneself: other tills of this shop may be other processes."""
    with journal.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def signed(number: int, total_cents: int) -> str:
    """Return the unit's signature."""
    with contextlib.nullcontext() if cured() else fiscal_unit():
        time.sleep(SIGN_S)
    return f"{number:x}-{total_cents:x}"


@app.get("/")
def root() -> PlainTextResponse:
    """Say that the till is open."""
    return PlainTextResponse("open\n")


@app.get("/receipts/{number}")
def receipt(number: int, session: Annotated[Session, Depends(get_session)]) -> PlainTextResponse:
    """Return a signed receipt."""
    total = session.scalar(text("SELECT :number * 119"), {"number": number})
    return PlainTextResponse(f"{number} {total} {signed(number, int(total or 0))}\n")
