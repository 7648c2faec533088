"""psycopg2, used directly. Its types are C and closed, so `connect` hands out subclasses, named like what they replace.

Read: psycopg2 2.9.13. Rows are fetched with the statement, except through named cursors, whose `fetch*` ask the server.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import peers
from .database import hook_methods, peer, server_name, timed
from .sqlite import PEER, _like

if TYPE_CHECKING:
    from .peers import Peer

_CALLS = ("execute", "executemany", "callproc", "copy_expert", "copy_from", "copy_to")
_FETCHES = ("fetchone", "fetchmany", "fetchall")


def hook_psycopg2(module: Any) -> None:
    """Replace the factory that `psycopg2.connect` passes to `_connect`: every way to connect comes by there."""
    original = module._connect  # noqa: SLF001
    classes = Classes(module.extensions.connection, module.extensions.cursor)

    @functools.wraps(original)
    def _connect(dsn: Any, connection_factory: Any = None, **kwargs: Any) -> Any:
        ours = peers.HOOK.safely(classes.connection, connection_factory)
        connection = original(dsn, connection_factory=ours or connection_factory, **kwargs)
        if ours:
            peers.HOOK.safely(_name, connection)
        return connection

    module._connect = _connect  # noqa: SLF001


def _name(connection: Any) -> None:
    given = connection.get_dsn_parameters()
    name = server_name("postgresql", given.get("host"), given.get("port"), given.get("dbname"))
    connection.__dict__[PEER] = peer(name)


def _peer_of(connection: Any) -> Peer | None:
    return connection.__dict__.get(PEER)  # type: ignore[no-any-return]


def _cursor_peer(cursor: Any) -> Peer | None:
    return getattr(cursor.connection, PEER, None)


class Classes:
    """Our subclass of every connection and cursor class in use."""

    def __init__(self, connection: Any, cursor: Any) -> None:
        self._cursor = cursor
        self._made: dict[Any, Any] = {}
        self._connection = connection
        self._ours = self._base_connection(connection)

    def connection(self, factory: Any) -> Any:
        """Return a subclass of the connection class `factory` (None: psycopg2's own); None when it is no class."""
        if factory is None or factory is self._connection:
            return self._ours
        if not isinstance(factory, type) or not issubclass(factory, self._connection):
            return None
        if factory not in self._made:
            # Behind the app's own class, whose `cursor` may choose a factory and calls `super`.
            self._made[factory] = _like(factory, (factory, self._ours), {})
        return self._made[factory]

    def _base_connection(self, base: Any) -> Any:
        @functools.wraps(base.cursor)
        def cursor(connection: Any, name: Any = None, cursor_factory: Any = None, **kwargs: Any) -> Any:
            wanted = cursor_factory or connection.cursor_factory or self._cursor
            ours = peers.HOOK.safely(self.cursor, wanted, name is not None)
            return base.cursor(connection, name, cursor_factory=ours or wanted, **kwargs)

        made = _like(base, (base,), {"cursor": cursor, "commit": base.commit, "rollback": base.rollback})
        made.__exit__ = base.__exit__
        hook_methods(made, ("commit", "rollback", "__exit__"), _peer_of, 0)
        return made

    def cursor(self, factory: Any, named: bool) -> Any:
        """Return a subclass of the cursor class `factory`; None when it is none."""
        if not isinstance(factory, type) or not issubclass(factory, self._cursor):
            return None
        if (factory, named) not in self._made:
            counted = [(name, 1) for name in _CALLS] + [(name, 0) for name in _FETCHES if named]
            methods = {name: timed(getattr(factory, name), _cursor_peer, calls) for name, calls in counted}
            self._made[factory, named] = _like(factory, (factory,), methods)
        return self._made[factory, named]
