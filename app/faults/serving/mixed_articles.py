"""A catalogue on SQLite: articles looked up by the number on the supplier's list."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .settings import cured, database_url, severity

ARTICLES = round(200_000 * severity())

engine = create_async_engine(database_url("sqlite+aiosqlite"), pool_size=3, max_overflow=0, pool_timeout=60)
session_of = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The tables."""


class Article(Base):
    """Something to sell."""

    __tablename__ = "articles"

    id: Mapped[int] = mapped_column(primary_key=True)
    supplier_number: Mapped[int] = mapped_column(index=cured())
    title: Mapped[str]
    price_cents: Mapped[int]


async def fill(session: AsyncSession) -> None:
    """Write the supplier's list, once."""
    if await session.scalar(select(func.count()).select_from(Article)):
        return
    rows = [
        {"supplier_number": 7 * number, "title": f"Article {number}", "price_cents": 100 + number % 9000}
        for number in range(ARTICLES)
    ]
    await session.execute(insert(Article), rows)
    await session.commit()


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with session_of() as session:
        await fill(session)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, int]:
    """Return the size of the catalogue."""
    return {"articles": ARTICLES}


@app.get("/suppliers/articles/{number}")
async def by_supplier_number(number: int) -> dict[str, object]:
    """Return what it costs under our own number."""
    async with session_of() as session:
        found = await session.execute(select(Article.id, Article.price_cents).where(Article.supplier_number == number))
        row = found.first()
    if row is None:
        raise HTTPException(404)
    return {"article": row.id, "price_cents": row.price_cents}
