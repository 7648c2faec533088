"""Refunds: plain functions, a SQLAlchemy session per request, a rate looked up between reading and answering."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from .databases_schema import migrate
from .settings import cured, database_url, severity

RATES_S = 0.060 * severity()
_TABLE = "CREATE TABLE IF NOT EXISTS refunds (id int PRIMARY KEY, cents int NOT NULL, reason text NOT NULL)"
_ROWS = (
    "INSERT INTO refunds SELECT i, 50 + i, 'reason ' || i % 9 FROM generate_series(1, 3000) i ON CONFLICT DO NOTHING"
)

make_session: sessionmaker[Session] = sessionmaker(expire_on_commit=False)


class Base(DeclarativeBase):
    """All tables."""


class Refund(Base):
    """Money that goes back."""

    __tablename__ = "refunds"

    id: Mapped[int] = mapped_column(primary_key=True)
    cents: Mapped[int]
    reason: Mapped[str]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Open the engine and close it."""
    migrate(_TABLE, _ROWS)
    engine = create_engine(database_url("postgresql+psycopg"), pool_size=4, max_overflow=2, pool_timeout=60)
    make_session.configure(bind=engine)
    yield
    engine.dispose()


app = FastAPI(lifespan=lifespan)


def exchange_rate() -> float:
    """Return today's rate, from a service that is far away."""
    time.sleep(RATES_S)
    return 1.08


@app.get("/refunds/{refund_id}")
def refund(refund_id: int) -> dict[str, object]:
    """Return a refund in the customer's currency."""
    with make_session.begin() as session:
        found = session.get(Refund, refund_id)
        if found is None:
            raise HTTPException(404, "no such refund")
        if not cured():
            rate = exchange_rate()
    if cured():
        rate = exchange_rate()
    return {"id": found.id, "cents": round(found.cents * rate), "reason": found.reason}
