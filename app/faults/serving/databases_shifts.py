"""Shifts worked and hours paid: plain functions, SQLAlchemy's ORM on PostgreSQL through psycopg."""

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, func, literal_column, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from .databases_schema import migrate
from .settings import cured, database_url, severity

SHIFTS = round(80_000 * severity())
_TABLE = (
    "DROP TABLE IF EXISTS shifts",
    "CREATE TABLE shifts (id int PRIMARY KEY, worker int, starts timestamp, minutes int)",
    f"""INSERT INTO shifts
    SELECT i, i % 2000, timestamp '2025-01-01' + (i::bigint * 7919 % 500000) * interval '1 minute', 240 + i % 300
    FROM generate_series(1, {SHIFTS}) i""",  # noqa: S608 - a number of ours
)
_INDEX = ("CREATE INDEX shifts_by_week ON shifts (date_trunc('week', starts))",) if cured() else ()

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


@app.get("/weeks/{monday}/hours")
def hours(monday: dt.date, database: Annotated[Session, Depends(session)]) -> list[dict[str, object]]:
    """Return who worked most in a week."""
    worked = func.sum(Shift.minutes)
    most = (
        select(Shift.worker, worked)
        .where(func.date_trunc(literal_column("'week'"), Shift.starts) == dt.datetime.combine(monday, dt.time()))
        .group_by(Shift.worker)
        .order_by(worked.desc(), Shift.worker)
        .limit(5)
    )
    return [{"worker": worker, "minutes": minutes} for worker, minutes in database.execute(most)]
