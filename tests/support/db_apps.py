"""A program whose database figures are known: run under the probe, it measures itself and says so.

`python -m db_apps KIND URL` with a kind below. Phases, each ended by a line of JSON on stdout, after which the program
waits for a line on stdin: `contention` (8 holders of 50 ms each on 2 connections, each asking for `pg_sleep(0.05)`),
`trouble` (cancellations, a timeout, an error in a query), `closed`.
"""

import asyncio
import contextlib
import json
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

SLOW = "select pg_sleep(0.05)"
HOLDERS, SIZE, TIMEOUT_S = 8, 2, 0.2


class Sync(ABC):
    """A pool for threads."""

    cancels = False

    @abstractmethod
    def connection(self) -> AbstractContextManager[Any]:
        """Hold one connection."""

    @abstractmethod
    def query(self, connection: Any, sql: str) -> None:
        """Run one statement to its end."""

    @abstractmethod
    def close(self) -> None:
        """Close the pool."""


class SqlAlchemy(Sync):
    """SQLAlchemy's QueuePool on psycopg2 or psycopg."""

    def __init__(self, url: str, driver: str) -> None:
        import sqlalchemy as sa  # noqa: PLC0415 - each kind loads its own libraries only

        self.sa = sa
        url = url.replace("postgresql", "postgresql+" + driver)
        self.engine = sa.create_engine(url, pool_size=SIZE, max_overflow=0, pool_timeout=TIMEOUT_S)

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Hold one connection."""
        with self.engine.connect() as connection:
            yield connection

    def query(self, connection: Any, sql: str) -> None:
        """Run one statement to its end."""
        connection.execute(self.sa.text(sql)).all()

    def close(self) -> None:
        """Make the pool anew, use it, and let go of it."""
        self.engine.dispose()
        with self.connection():
            pass
        self.engine.dispose()


class PsycopgPool(Sync):
    """psycopg_pool.ConnectionPool."""

    def __init__(self, url: str) -> None:
        from psycopg_pool import ConnectionPool  # noqa: PLC0415

        self.pool = ConnectionPool(url, min_size=SIZE, max_size=SIZE, timeout=TIMEOUT_S, open=True)
        self.pool.wait()

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Hold one connection."""
        with self.pool.connection() as connection:
            yield connection

    def query(self, connection: Any, sql: str) -> None:
        """Run one statement to its end."""
        connection.execute(sql).fetchall()

    def close(self) -> None:
        """Close the pool."""
        self.pool.close()


class Async(ABC):
    """A pool for tasks."""

    @abstractmethod
    async def open(self, url: str) -> None:
        """Make the pool."""

    @abstractmethod
    def connection(self) -> AbstractAsyncContextManager[Any]:
        """Hold one connection."""

    @abstractmethod
    async def query(self, connection: Any, sql: str) -> None:
        """Run one statement to its end."""

    @abstractmethod
    async def close(self) -> None:
        """Close the pool."""


class SqlAlchemyAsync(Async):
    """SQLAlchemy's AsyncAdaptedQueuePool on asyncpg."""

    async def open(self, url: str) -> None:
        """Make the pool."""
        import sqlalchemy as sa  # noqa: PLC0415
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

        self.sa = sa
        url = url.replace("postgresql", "postgresql+asyncpg")
        self.engine = create_async_engine(url, pool_size=SIZE, max_overflow=0, pool_timeout=TIMEOUT_S)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Hold one connection."""
        async with self.engine.connect() as connection:
            yield connection

    async def query(self, connection: Any, sql: str) -> None:
        """Run one statement to its end."""
        await connection.execute(self.sa.text(sql))

    async def close(self) -> None:
        """Make the pool anew, use it, and let go of it."""
        await self.engine.dispose()
        async with self.connection():
            pass
        await self.engine.dispose()


class Asyncpg(Async):
    """asyncpg's own pool."""

    async def open(self, url: str) -> None:
        """Make the pool."""
        import asyncpg  # noqa: PLC0415

        self.pool = await asyncpg.create_pool(url, min_size=SIZE, max_size=SIZE)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Hold one connection."""
        async with self.pool.acquire(timeout=TIMEOUT_S) as connection:
            yield connection

    async def query(self, connection: Any, sql: str) -> None:
        """Run one statement to its end."""
        await connection.fetch(sql)

    async def close(self) -> None:
        """Close the pool."""
        await self.pool.close()


class PsycopgPoolAsync(Async):
    """psycopg_pool.AsyncConnectionPool."""

    async def open(self, url: str) -> None:
        """Make the pool."""
        from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415

        self.pool = AsyncConnectionPool(url, min_size=SIZE, max_size=SIZE, timeout=TIMEOUT_S, open=False)
        await self.pool.open(wait=True)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Hold one connection."""
        async with self.pool.connection() as connection:
            yield connection

    async def query(self, connection: Any, sql: str) -> None:
        """Run one statement to its end."""
        await (await connection.execute(sql)).fetchall()

    async def close(self) -> None:
        """Close the pool."""
        await self.pool.close()


class Truth:
    """What the program knows of itself."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wait_s = self.hold_s = self.query_s = 0.0

    def add(self, asked: float, got: float, sent: float, answered: float, gone: float) -> None:
        """Add one holder."""
        with self.lock:
            self.wait_s += got - asked
            self.hold_s += gone - got
            self.query_s += answered - sent


def say(phase: str, **figures: float) -> None:
    """Say what happened, and wait to be told to go on."""
    sys.stdout.write(json.dumps({"phase": phase, **figures}) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


def hold(pool: Sync, truth: Truth) -> None:
    """Hold one connection for one query."""
    asked = time.monotonic()
    with pool.connection() as connection:
        got = sent = time.monotonic()
        pool.query(connection, SLOW)
        answered = time.monotonic()
    truth.add(asked, got, sent, answered, time.monotonic())


def run(pool: Sync) -> None:
    """Run all phases in threads."""
    together(pool, Truth())
    say("warm")
    truth = Truth()
    together(pool, truth)
    say("contention", **{name: value for name, value in vars(truth).items() if name != "lock"})
    with contextlib.suppress(Exception), pool.connection() as connection:
        pool.query(connection, "select nonsense")
    with pool.connection(), pool.connection(), contextlib.suppress(Exception), pool.connection():
        pass
    say("trouble")
    pool.close()
    say("closed")


def together(pool: Sync, truth: Truth) -> None:
    """Start all holders at once."""
    threads = [threading.Thread(target=hold, args=(pool, truth)) for _ in range(HOLDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def hold_async(pool: Async, truth: Truth) -> None:
    """Hold one connection for one query."""
    asked = time.monotonic()
    async with pool.connection() as connection:
        got = sent = time.monotonic()
        await pool.query(connection, SLOW)
        answered = time.monotonic()
    truth.add(asked, got, sent, answered, time.monotonic())


async def run_async(pool: Async, url: str) -> None:
    """Run all phases in tasks."""
    await pool.open(url)
    await asyncio.gather(*[hold_async(pool, Truth()) for _ in range(HOLDERS)])
    say("warm")
    truth = Truth()
    await asyncio.gather(*[hold_async(pool, truth) for _ in range(HOLDERS)])
    say("contention", **{name: value for name, value in vars(truth).items() if name != "lock"})
    holders = asyncio.gather(*[hold_async(pool, truth) for _ in range(HOLDERS)])
    await asyncio.sleep(0.02)
    holders.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await holders
    with contextlib.suppress(Exception):
        async with pool.connection() as connection:
            await pool.query(connection, "select nonsense")
    async with pool.connection(), pool.connection():
        with contextlib.suppress(Exception):
            async with pool.connection():
                pass
    say("trouble")
    await pool.close()
    say("closed")


def main() -> None:
    """Run the kind of pool named on the command line."""
    kind, url = sys.argv[1:]
    if kind.startswith("sqlalchemy-sync-"):
        run(SqlAlchemy(url, kind.rpartition("-")[2]))
    elif kind == "psycopg-pool":
        run(PsycopgPool(url))
    else:
        kinds: dict[str, Callable[[], Async]] = {
            "sqlalchemy-async": SqlAlchemyAsync,
            "asyncpg": Asyncpg,
            "psycopg-pool-async": PsycopgPoolAsync,
        }
        asyncio.run(run_async(kinds[kind](), url))


if __name__ == "__main__":
    from _pinchpoint_probe.runtime import RUNTIME  # type: ignore[import-not-found]

    RUNTIME.activate()  # what a server's first request would do
    main()
