"""Tables for the services that keep theirs in PostgreSQL: made once, whichever worker comes first."""

import psycopg

from .settings import database_url

_ASKED_BY_ALL = 0x7A6F6F  # any constant: the advisory lock that all workers ask for


def migrate(*statements: str) -> None:
    """Run `statements` in order while no other process does; they must bear being run again.

    Raises psycopg.Error if the server refuses one.
    """
    with psycopg.connect(database_url("postgresql"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_ASKED_BY_ALL,))
        for statement in statements:
            connection.execute(statement.encode())
