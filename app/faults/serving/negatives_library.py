"""A library: FastAPI and SQLAlchemy's async ORM on SQLite, with an index on what is looked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .settings import database_url, severity

SHELVES = 40
PER_SHELF = round(10 * severity())

engine = create_async_engine(database_url("sqlite+aiosqlite"))
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The tables."""


class Book(Base):
    """A book and where it stands."""

    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf: Mapped[int] = mapped_column(index=True)
    title: Mapped[str]


class BookOut(BaseModel):
    """What is shown of a book."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Fill the shelves."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with new_session.begin() as session:
        if await session.scalar(select(Book.id).limit(1)) is None:
            session.add_all(
                Book(shelf=shelf, title=f"Volume {volume}") for shelf in range(SHELVES) for volume in range(PER_SHELF)
            )
    yield
    await engine.dispose()


async def database() -> AsyncIterator[AsyncSession]:
    """Give a request its session."""
    async with new_session() as session:
        yield session


Database = Annotated[AsyncSession, Depends(database)]
app = FastAPI(title="Library", lifespan=lifespan)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "library"}


@app.get("/books/{book_id}")
async def book(book_id: int, database: Database) -> BookOut:
    """Return a book."""
    found = await database.get(Book, book_id)
    if found is None:
        raise HTTPException(404)
    return BookOut.model_validate(found)


@app.get("/shelves/{shelf}")
async def shelf(shelf: int, database: Database) -> list[BookOut]:
    """Return what stands on a shelf."""
    found = await database.scalars(select(Book).where(Book.shelf == shelf).order_by(Book.id))
    return [BookOut.model_validate(one) for one in found]
