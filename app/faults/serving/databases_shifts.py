"""Shifts worked and hours paid: plain functions, SQLAlchemy's ORM on PostgreSQL through psycopg."""

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from .databases_schema import migrate
from .settings import cured, database_url, severity

SHIFTS = round(40_000 * severity())
_TABLE = (
    "DROP TABLE IF EXISTS shifts",
    "CREATE TABLE shifts (id int PRIMARY KEY, worker int, starts timestamp, minutes int)",
    f"""INSERT INTO shifts
    SELECT i, i % 2000, timestamp '2025-01-01' + (i::bigint * 7919 % 500000) * interval '1 minute', 240 + i % 300
    FROM generate_series(1, {SHIFTS}) i""",  # noqa: S608 - a number of ours
)
_INDEX = ("CREATE INDEX shifts_by_start ON shifts (starts DESC)",) if cured() else ()

make_session: sessionmaker[Session] = sessionmaker()


class Base(DeclarativeBase):
    """All tables."""


class Shift(Base):
    """Hours that somebody worked."""

    __tablename__ = "shifts"

    id: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[int]
    starts: Mapped[dt.datetime]
    minutes: Mapped[int]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the table, open the engine and close it."""
    migrate(*_TABLE, *_INDEX, "VACUUM ANALYZE shifts")
    engine = create_engine(
        database_url("postgresql+psycopg"),
        pool_size=40,
        max_overflow=0,
        connect_args={"options": "-c max_parallel_workers_per_gather=0"},
    )
    make_session.configure(bind=engine)
    yield
    engine.dispose()


def session() -> Iterator[Session]:
    """Yield a session for one request."""
    with make_session() as opened:
        yield opened


app = FastAPI(lifespan=lifespan)


@app.get("/shifts/latest")
def latest(database: Annotated[Session, Depends(session)], count: int = 5) -> list[dict[str, object]]:
    """Return the shifts that start last."""
    found = database.scalars(select(Shift).order_by(Shift.starts.desc()).limit(count))
    return [{"id": one.id, "worker": one.worker, "starts": one.starts.isoformat()} for one in found]
