"""Database drivers written in Python, used directly: psycopg 3, asyncpg, aiosqlite, PyMySQL.

Read: psycopg 3.3.9, asyncpg 0.32.0, aiosqlite 0.22.1. Private methods that another version lacks are left out.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import peers
from .database import _begin, _end, _is_nested, hook_methods, peer, server_name, sqlite_name, timed_async

if TYPE_CHECKING:
    from .peers import Peer

_PEER = "_pinchpoint_peer"
_ENGINE = "postgresql"
_NO_CALL = ("notifies",)
"""psycopg's generators that wait for something other than an answer."""


# psycopg 3: everything a connection says to its server passes `wait`, as a generator named after what it does.


def hook_psycopg(module: Any) -> None:
    """Time `Connection.wait`."""
    original = module.Connection.wait

    @functools.wraps(original)
    def wait(self: Any, gen: Any, *args: Any, **kwargs: Any) -> Any:
        name = getattr(gen, "__name__", "")
        begun = None if _is_nested() or name in _NO_CALL else _begin(_psycopg_peer, self)
        if begun is None:
            return original(self, gen, *args, **kwargs)
        failed = False
        try:
            return original(self, gen, *args, **kwargs)
        except Exception:
            failed = True
            raise
        finally:
            _end(begun, failed, _psycopg_calls(name))

    module.Connection.wait = wait


def hook_psycopg_async(module: Any) -> None:
    """Time `AsyncConnection.wait`."""
    original = module.AsyncConnection.wait

    @functools.wraps(original)
    async def wait(self: Any, gen: Any, *args: Any, **kwargs: Any) -> Any:
        name = getattr(gen, "__name__", "")
        begun = None if _is_nested() or name in _NO_CALL else _begin(_psycopg_peer, self)
        if begun is None:
            return await original(self, gen, *args, **kwargs)
        failed = False
        try:
            return await original(self, gen, *args, **kwargs)
        except Exception:
            failed = True
            raise
        finally:
            _end(begun, failed, _psycopg_calls(name))

    module.AsyncConnection.wait = wait


def _psycopg_calls(name: str) -> int:
    """Return 1 for the generators that send a statement: all others fetch, copy data, begin or end transactions."""
    return name.startswith(("_execute", "_declare", "_stream_send", "_start_copy"))


def _psycopg_peer(connection: Any) -> Peer:
    found: Peer | None = connection.__dict__.get(_PEER)
    if found is None:
        try:
            info = connection.info
            name = server_name(_ENGINE, info.host, info.port, info.dbname)
        except Exception:  # a connection already lost knows no host
            return peer(_ENGINE)
        found = connection.__dict__[_PEER] = peer(name)
    return found


# asyncpg: its protocol is compiled, so every method that speaks to it is timed; the innermost ones are private.

_ASYNCPG_PEERS: "dict[Any, Peer]" = {}


def hook_asyncpg(module: Any) -> None:
    """Time the connection's calls; `fetch*` all end in `_execute`."""
    calls = ("execute", "_execute", "_executemany", "_copy_in", "_copy_out", "copy_records_to_table")
    hook_methods(module.Connection, calls, _asyncpg_peer, 1, timed_async)
    hook_methods(module.Connection, ("prepare", "reset"), _asyncpg_peer, 0, timed_async)


def hook_asyncpg_statement(module: Any) -> None:
    """Time the calls of prepared statements."""
    owner = module.PreparedStatement
    name = "_PreparedStatement__do_execute"
    names = (name,) if name in owner.__dict__ else ("_PreparedStatement__bind_execute", "executemany")
    hook_methods(owner, names, _asyncpg_resource_peer, 1, timed_async)


def hook_asyncpg_cursor(module: Any) -> None:
    """Time cursors: opening one is a call, fetching more from it is not."""
    hook_methods(module.BaseCursor, ("_bind_exec", "_bind"), _asyncpg_resource_peer, 1, timed_async)
    hook_methods(module.BaseCursor, ("_exec",), _asyncpg_resource_peer, 0, timed_async)


def hook_asyncpg_transaction(module: Any) -> None:
    """Time begin, commit and rollback, which are no calls of the app's own."""
    names = ("start", "_Transaction__commit", "_Transaction__rollback")
    hook_methods(module.Transaction, names, _asyncpg_resource_peer, 0, timed_async)


def asyncpg_name(connection: Any) -> str:
    """Return the name of the server an asyncpg connection speaks to."""
    address = connection._addr  # noqa: SLF001 - not public; a socket's path, or host and port
    host, port = (address[0], address[1]) if isinstance(address, tuple) else (address, None)
    return server_name(_ENGINE, host, port, connection._params.database)  # noqa: SLF001


def _asyncpg_peer(connection: Any) -> Peer:
    key = (connection._addr, connection._params.database)  # noqa: SLF001 - it has no room for a mark of ours
    found = _ASYNCPG_PEERS.get(key)
    if found is None:
        found = _ASYNCPG_PEERS[key] = peer(asyncpg_name(connection))
    return found


def _asyncpg_resource_peer(resource: Any) -> Peer:
    return _asyncpg_peer(resource._connection)  # noqa: SLF001


# aiosqlite: the caller waits for a thread. The sqlite3 connection in that thread is watched for busy waits only.

_AIOSQLITE_CALLS = ("execute", "executemany", "executescript", "_execute_insert", "_execute_fetchall")


def hook_aiosqlite(module: Any) -> None:
    """Time `Connection._execute`, which all others call."""
    owner = module.Connection
    original = owner._execute  # noqa: SLF001

    @functools.wraps(original)
    async def _execute(self: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        begun = None if _is_nested() else _begin(_aiosqlite_peer, self)
        if begun is None:
            return await original(self, function, *args, **kwargs)
        failed = False
        try:
            return await original(self, function, *args, **kwargs)
        except Exception:
            failed = True
            raise
        finally:
            _end(begun, failed, getattr(function, "__name__", "") in _AIOSQLITE_CALLS)

    owner._execute = _execute  # noqa: SLF001
    _hook_connector(owner)


def _hook_connector(owner: Any) -> None:
    original = owner.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        peers.HOOK.safely(_own, self)

    owner.__init__ = __init__


def _own(connection: Any) -> None:
    """Let the connection to be made in the thread keep its calls to itself, and tell us its name."""
    connector = connection._connector  # noqa: SLF001

    @functools.wraps(connector)
    def connect() -> Any:
        made = connector()
        attributes = getattr(made, "__dict__", {})
        connection.__dict__[_PEER] = attributes.pop(_PEER, None) or peer(sqlite_name(None))
        return made

    connection._connector = connect  # noqa: SLF001


def _aiosqlite_peer(connection: Any) -> Peer | None:
    return connection.__dict__.get(_PEER)  # type: ignore[no-any-return]


# PyMySQL: plain Python, no layers.


def hook_pymysql_cursor(module: Any) -> None:
    """Time the cursor's calls."""
    hook_methods(module.Cursor, ("execute", "executemany", "callproc"), _pymysql_cursor_peer, 1)


def hook_pymysql_connection(module: Any) -> None:
    """Time begin, commit and rollback."""
    hook_methods(module.Connection, ("begin", "commit", "rollback"), _pymysql_peer, 0)


def _pymysql_cursor_peer(cursor: Any) -> Peer | None:
    return _pymysql_peer(cursor.connection) if cursor.connection is not None else None


def _pymysql_peer(connection: Any) -> Peer:
    found: Peer | None = connection.__dict__.get(_PEER)
    if found is None:
        host = getattr(connection, "unix_socket", None) or connection.host
        name = server_name("mysql", host, connection.port, _text(connection.db))
        found = connection.__dict__[_PEER] = peer(name)
    return found


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
