"""Parcels and when they arrive: FastAPI, SQLAlchemy's ORM on SQLite, one session per request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .settings import cured, database_url, severity

PARCELS = 2_000
CARRIER_S = 0.040 * severity()


class Base(DeclarativeBase):
    """All tables."""


class Parcel(Base):
    """Something on its way."""

    __tablename__ = "parcels"

    id: Mapped[int] = mapped_column(primary_key=True)
    carrier: Mapped[str]
    postcode: Mapped[str]
    grams: Mapped[int]


def make_engine() -> AsyncEngine:
    """Return the engine: a fixed number of connections."""
    return create_async_engine(
        database_url("sqlite+aiosqlite"), pool_size=60 if cured() else 5, max_overflow=0, pool_timeout=60
    )


async def seed(engine: AsyncEngine) -> None:
    """Make the table and fill it, unless that has been done."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        if not await session.scalar(select(func.count()).select_from(Parcel)):
            session.add_all(
                Parcel(carrier=f"carrier {number % 7}", postcode=f"{10_000 + number}", grams=100 + number % 900)
                for number in range(PARCELS)
            )
            await session.commit()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Open the database and close it."""
    engine = make_engine()
    await seed(engine)
    sessions.factory = async_sessionmaker(engine)
    yield
    await engine.dispose()


class Sessions:
    """One session per request, as a dependency."""

    factory: async_sessionmaker[AsyncSession]

    async def __call__(self) -> AsyncIterator[AsyncSession]:
        """Yield a session that ends with the request."""
        async with self.factory() as session:
            yield session


sessions = Sessions()
app = FastAPI(lifespan=lifespan)


async def days_to(postcode: str) -> int:
    """Ask the carrier; it takes its time."""
    await asyncio.sleep(CARRIER_S)
    return 1 + int(postcode) % 4


@app.get("/parcels/{parcel_id}")
async def parcel(parcel_id: int, session: Annotated[AsyncSession, Depends(sessions)]) -> dict[str, object]:
    """Return a parcel and the days until it arrives."""
    found = await session.get(Parcel, parcel_id)
    if found is None:
        raise HTTPException(404, "no such parcel")
    return {"id": found.id, "carrier": found.carrier, "days": await days_to(found.postcode)}
