"""The tables, the engine and the seed.

A request runs one statement wherever one will do, so connections are in autocommit: no BEGIN and no ROLLBACK travel
(three round trips become one), and SQLite never has to turn a read into a write. Who needs more than one asks the
engine for a stricter isolation level.
"""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    from fastapi import Request

ID_MAX = 2**31 - 1
"""The Integer column of PostgreSQL."""
NO_NUL = r"^[^\x00]*$"
"""For texts that go into the database or are looked for there: PostgreSQL knows no NUL."""
SEED_ITEMS = 10_000
SEED_USER = "test_user"
SEED_PASSWORD = "password"  # noqa: S105 - the public login of the load packs
SQLITE_BUSY_TIMEOUT_MS = 5_000
_SEED_LOCK = 0x70696E63  # any constant: PostgreSQL's advisory lock that all workers ask for


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC on every database: SQLite stores no time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware datetime."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


# One statement, one core: a ceiling counted in cores must not depend on what the planner makes of the table's size.
_CONNECT_ARGS: dict[str, dict[str, Any]] = {
    "postgresql+asyncpg": {"server_settings": {"max_parallel_workers_per_gather": "0"}},
    "postgresql+psycopg": {"options": "-c max_parallel_workers_per_gather=0"},
}

metadata = MetaData()
items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("description", String(2000), nullable=False),
    Column("price", Float, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("username", String(150), nullable=False, unique=True),
    Column("password_hash", String(300), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)


def now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


def make_engine(url: str, *, pool_size: int, max_overflow: int, pool_timeout_s: float) -> AsyncEngine:
    """Make an engine with a bounded queue pool per worker (SQLAlchemy's default for servers and SQLite files)."""
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout_s,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        connect_args=_CONNECT_ARGS.get(make_url(url).drivername, {}),
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # In WAL mode NORMAL loses at most the last commits on a power cut and never corrupts (sqlite.org/pragma.html).
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def engine_of(request: "Request") -> AsyncEngine:
    """Return the engine of the app that serves `request`."""
    engine: AsyncEngine = request.app.state.engine
    return engine


async def prepare_database(engine: AsyncEngine, hash_password: Callable[[str], str]) -> None:
    """Create and seed the tables once, however many workers boot together.

    One connection and one transaction: it works with a pool of one, and a worker killed meanwhile leaves nothing
    half done. (SQLite commits the empty tables first; what counts as seeded is the user, inserted last.)
    """
    server = engine.dialect.name == "postgresql"
    # READ COMMITTED: a stricter snapshot would be taken before the lock is won, and show the tables still missing.
    isolation = "READ COMMITTED" if server else "SERIALIZABLE"
    async with _exclusive_file(engine), engine.execution_options(isolation_level=isolation).begin() as connection:
        if server:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SEED_LOCK})
        await connection.run_sync(metadata.create_all)
        if await connection.scalar(select(users.c.id).where(users.c.username == SEED_USER)) is not None:
            return
        await connection.execute(insert(items), seed_items())
        await connection.execute(
            insert(users),
            {"username": SEED_USER, "password_hash": hash_password(SEED_PASSWORD), "created_at": now()},
        )


def seed_items() -> list[dict[str, Any]]:
    """Return the same 10,000 items each time: about 100 bytes of text each, prices from 1 to 500."""
    created = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        {
            "name": f"Item {number:05d}",
            "description": f"Item number {number} of the catalogue, shelf {number % 97}, batch {number % 13}.",
            "price": 1.0 + (number * 7919 % 49_901) / 100,
            "created_at": created,
        }
        for number in range(1, SEED_ITEMS + 1)
    ]


@contextlib.asynccontextmanager
async def _exclusive_file(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold a lock file beside a SQLite database; a server's database locks by itself."""
    if engine.dialect.name != "sqlite":
        yield
        return
    manager = _locked(Path(f"{engine.url.database}.lock"))
    await asyncio.to_thread(manager.__enter__)
    try:
        yield
    finally:
        manager.__exit__(None, None, None)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
