"""A database of a case's own on a PostgreSQL server that somebody else runs."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from pinchpoint.errors import MeasurementError

TIMEOUT_S = 30.0


@contextlib.contextmanager
def fresh(server: str) -> Iterator[str]:
    """Make an empty database, yield its URL, and drop it with whatever still uses it.

    Raises:
        MeasurementError: the server does not answer, or does not permit it.

    """
    name = f"zoo_{secrets.token_hex(6)}"
    execute(server, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with contextlib.suppress(MeasurementError):
            execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def execute(server: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement outside any transaction and return its rows.

    Raises:
        MeasurementError: the server does not answer, or refuses.

    """
    import asyncpg  # noqa: PLC0415 - only cases with PostgreSQL need it

    async def ask() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(server, timeout=TIMEOUT_S)
        try:
            return [tuple(row) for row in await connection.fetch(statement, timeout=TIMEOUT_S)]
        finally:
            await connection.close(timeout=TIMEOUT_S)

    try:
        return asyncio.run(ask())
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MeasurementError(f"PostgreSQL: {error}") from error
