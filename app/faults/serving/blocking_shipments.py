"""A tracking service on SQLAlchemy's sessions, as they are written for `def` endpoints."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from .settings import cured, database_url, severity

CARRIER_S = 0.012 * severity()
# The wait stands for a carrier's foreign table: PostgreSQL is idle meanwhile.
LAST_SCAN = text("SELECT :parcel AS parcel, 'Leipzig' AS place, 'in transit' AS state FROM pg_sleep(:seconds)")


def make_engine() -> Engine:
    """Return an engine with connections for all of a worker's threads."""
    return create_engine(database_url("postgresql+psycopg"), pool_size=40, max_overflow=0)


new_session = sessionmaker(make_engine(), expire_on_commit=False)
app = FastAPI(title="tracking")


def session() -> Iterator[Session]:
    """Yield a session for one request."""
    with new_session() as opened:
        yield opened


def last_scan(opened: Session, parcel: int) -> dict[str, Any]:
    """Return where a parcel was seen last."""
    row = opened.execute(LAST_SCAN, {"parcel": parcel, "seconds": CARRIER_S}).mappings().one()
    return dict(row)


async def track(parcel: int, opened: Annotated[Session, Depends(session)]) -> dict[str, Any]:
    """Track a parcel."""
    return last_scan(opened, parcel)


def track_in_thread(parcel: int, opened: Annotated[Session, Depends(session)]) -> dict[str, Any]:
    """Track a parcel."""
    return last_scan(opened, parcel)


app.get("/parcels/{parcel}")(track_in_thread if cured() else track)
