"""Albums and their tracks: FastAPI, SQLAlchemy's async ORM on SQLite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from .settings import cured, database_url, severity

ALBUMS = 200
TRACKS = round(30 * severity())

make_session: async_sessionmaker[AsyncSession] = async_sessionmaker()


class Base(AsyncAttrs, DeclarativeBase):
    """All tables."""


class Album(Base):
    """A record."""

    __tablename__ = "albums"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    tracks: Mapped[list["Track"]] = relationship()


class Artist(Base):
    """Who plays."""

    __tablename__ = "artists"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Track(Base):
    """One piece of a record."""

    __tablename__ = "tracks"

    id: Mapped[int] = mapped_column(primary_key=True)
    album_id: Mapped[int] = mapped_column(ForeignKey("albums.id"), index=True)
    artist_id: Mapped[int] = mapped_column(ForeignKey("artists.id"))
    artist: Mapped[Artist] = relationship()


async def seed(session: AsyncSession) -> None:
    """Fill the tables, unless that has been done."""
    if await session.scalar(select(func.count()).select_from(Album)):
        return
    session.add_all(Artist(id=number, name=f"artist {number}") for number in range(ALBUMS))
    session.add_all(Album(id=number, name=f"album {number}") for number in range(ALBUMS))
    await session.flush()
    for album in range(ALBUMS):
        session.add_all(Track(album_id=album, artist_id=(album + number) % ALBUMS) for number in range(TRACKS))
    await session.commit()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Open the database and close it."""
    engine = create_async_engine(database_url("sqlite+aiosqlite"), pool_size=20, max_overflow=0, pool_timeout=60)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    make_session.configure(bind=engine)
    async with make_session() as session:
        await seed(session)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/albums/{album_id}")
async def album(album_id: int) -> dict[str, object]:
    """Return an album and who plays on it."""
    options = [selectinload(Album.tracks).selectinload(Track.artist)] if cured() else []
    async with make_session() as session:
        found = await session.get(Album, album_id, options=options)
        if found is None:
            raise HTTPException(404, "no such album")
        artists = []
        for track in await found.awaitable_attrs.tracks:
            artist = await track.awaitable_attrs.artist
            artists.append(artist.name)
    return {"id": found.id, "name": found.name, "artists": artists}
