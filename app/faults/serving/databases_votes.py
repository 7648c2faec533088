"""Votes in a poll: Starlette and SQLAlchemy's async engine on SQLite, transactions that start as writers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, event, insert, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .settings import cured, database_url, severity

CHECK_S = 0.012 * severity()
metadata = MetaData()
options = Table("options", metadata, Column("id", Integer, primary_key=True), Column("votes", Integer))


def make_engine() -> AsyncEngine:
    """Return the engine, set up as SQLAlchemy's pages on SQLite say."""
    engine = create_async_engine(
        database_url("sqlite+aiosqlite"), pool_size=40, max_overflow=0, pool_timeout=60, connect_args={"timeout": 0.1}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def opened(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the database and close it."""
    engine = make_engine()
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(options), [{"id": number, "votes": 0} for number in range(20)])
    app.state.engine = engine
    yield
    await engine.dispose()


async def is_allowed(option: int) -> bool:
    """Ask the electoral roll."""
    await asyncio.sleep(CHECK_S)
    return option >= 0


async def count(engine: AsyncEngine, option: int) -> bool:
    """Count a vote if it is allowed."""
    async with engine.begin() as connection:
        await connection.execute(update(options).where(options.c.id == option).values(votes=options.c.votes + 1))
        return cured() or await is_allowed(option)


async def vote(request: Request) -> JSONResponse:
    """Count a vote; while others write, try again."""
    option = request.path_params["option"]
    if cured():
        await is_allowed(option)
    for _ in range(600):
        try:
            counted = await count(request.app.state.engine, option)
        except OperationalError:
            continue
        return JSONResponse({"option": option, "counted": counted})
    return JSONResponse({"error": "busy"}, 503)


app = Starlette(routes=[Route("/options/{option:int}/vote", vote)], lifespan=lifespan)
