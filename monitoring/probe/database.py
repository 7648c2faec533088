"""Time in databases, as the caller sees it: one count for a call, however many layers it passes.

An ORM calls a driver, which may call another: the outermost one we know is timed, and what happens inside it is part
of it. Which one is outermost is kept in a context variable: it follows threads, greenlets and tasks alike.
"""

from __future__ import annotations

import functools
import os
from contextvars import ContextVar
from typing import Any, Callable

from . import peers
from .peers import DATABASE, Peer, _now
from .routes import TALLY

_SQL_CALLS = ("do_execute", "do_execute_no_params", "do_executemany")
_SLOW_S = 20e-6
"""What is brief and takes less is not worth the bookkeeping."""
_ENGINES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_PORTS = {"postgresql": 5432, "mysql": 3306}
_MARK = "_pinchpoint_watched"
_NAME = "_pinchpoint_name"

NESTED: "ContextVar[bool]" = ContextVar("pinchpoint_nested", default=False)
_is_nested, _set_nested = NESTED.get, NESTED.set
_tally = TALLY.get

PeerOf = Callable[[Any], "Peer | None"]
"""The first argument of a call (a connection, a cursor) -> whom it calls; None: not to be counted."""


def timed(original: Any, peer_of: PeerOf, calls: int = 1) -> Any:
    """Return the function `original` timed. `calls` is 0 for what takes time but is no call of the app's own."""

    @functools.wraps(original)
    def call(subject: Any, *args: Any, **kwargs: Any) -> Any:
        begun = None if _is_nested() else _begin(peer_of, subject)
        if begun is None:
            return original(subject, *args, **kwargs)
        failed = False
        _set_nested(True)
        try:
            return original(subject, *args, **kwargs)
        except Exception:
            failed = True
            raise
        finally:
            _set_nested(False)
            _end(begun, failed, calls)

    return call


def timed_async(original: Any, peer_of: PeerOf, calls: int = 1) -> Any:
    """Return the coroutine function `original` timed, from its first step to its last."""

    @functools.wraps(original)
    async def call(subject: Any, *args: Any, **kwargs: Any) -> Any:
        begun = None if _is_nested() else _begin(peer_of, subject)
        if begun is None:
            return await original(subject, *args, **kwargs)
        failed = False
        _set_nested(True)
        try:
            return await original(subject, *args, **kwargs)
        except Exception:
            failed = True
            raise
        finally:
            _set_nested(False)
            _end(begun, failed, calls)

    return call


def brief(original: Any, peer_of: PeerOf) -> Any:
    """Return `original`, which is no call of its own and mostly takes no time, timed after the event.

    For rows that are at hand already and rollbacks of nothing: 0.2 us instead of 1.5.
    """

    @functools.wraps(original)
    def call(subject: Any, *args: Any, **kwargs: Any) -> Any:
        began = _now()
        try:
            return original(subject, *args, **kwargs)
        finally:
            if _now() - began > _SLOW_S and not _is_nested():
                peers.HOOK.safely(_add, peer_of, subject, began)

    return call


def _add(peer_of: PeerOf, subject: Any, began: float) -> None:
    found = peer_of(subject)
    if found is not None:
        found.active.shift(1, began)  # an integral does not mind the order
        found.leave(began, False, 0)


def _begin(peer_of: PeerOf, subject: Any) -> tuple[Peer, float] | None:
    hook = peers.HOOK
    if not hook.alive:
        return None
    try:
        peer = peer_of(subject)
        return None if peer is None else (peer, peer.enter())
    except Exception as error:
        hook.fail(error)
        return None


def _end(begun: tuple[Peer, float], failed: bool, calls: int) -> None:
    peer, at = begun
    try:
        peer.leave(at, failed, calls)
        tally = _tally() if calls else None
        if tally is not None:
            tally.statements += 1
    except Exception as error:
        peers.HOOK.fail(error)


def hook_methods(owner: Any, names: tuple[str, ...], peer_of: PeerOf, calls: int, wrap: Any = timed) -> None:
    """Time the methods of `owner` that it defines itself; another version of it may lack some."""
    for name in names:
        original = owner.__dict__.get(name)
        if original is not None:
            setattr(owner, name, wrap(original, peer_of, calls))


def peer(name: str) -> Peer:
    """Return the database of this name."""
    return peers.PEERS.get(DATABASE, name)


def server_name(engine: str, host: Any, port: Any, database: Any) -> str:
    """Return `postgresql 127.0.0.1:5432/shop`; without a host the driver picks a local socket."""
    port = port or _PORTS.get(engine, "")
    return f"{engine} {host or 'local'}{':' if port else ''}{port}/{database or ''}"


def sqlite_name(database: Any) -> str:
    """Return `sqlite /x/shop.db` for a path, a `file:` URI or `:memory:`."""
    path = os.fsdecode(database) if database else ":memory:"
    if path.startswith("file:"):
        path = path[5:].partition("?")[0]
    if path in ("", ":memory:"):
        return "sqlite :memory:"
    return "sqlite " + os.path.abspath(path)  # noqa: PTH100 - no pathlib in other people's processes


def url_name(dialect_name: str, url: Any) -> str:
    """Return the name of the database of a SQLAlchemy URL, without its user and password."""
    engine = _ENGINES.get(dialect_name, dialect_name)
    if engine == "sqlite":
        return sqlite_name(url.database)
    query = getattr(url, "query", None) or {}
    return server_name(engine, url.host or query.get("host"), url.port or query.get("port"), url.database)


def hook_engine(module: Any) -> None:
    """Note every SQLAlchemy engine's URL on its dialect, which all that follows passes by."""
    original = module.Engine.__init__

    @functools.wraps(original)
    def __init__(self: Any, pool: Any, dialect: Any, url: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        peers.HOOK.safely(_note_name, dialect, url)
        original(self, pool, dialect, url, *args, **kwargs)

    module.Engine.__init__ = __init__


def _note_name(dialect: Any, url: Any) -> None:
    if hasattr(dialect, "__dict__") and hasattr(url, "database"):  # neither holds for a mock engine
        dialect.__dict__[_NAME] = url_name(dialect.name, url)


def dialect_name(dialect: Any) -> str:
    """Return the name of a dialect's database; only that of its engine, if it was made before the probe."""
    found: str | None = dialect.__dict__.get(_NAME)
    return found if found is not None else _ENGINES.get(dialect.name, dialect.name)


def watch_dialect(dialect: Any) -> None:
    """Time the calls of one engine's dialect, once. Never raises.

    The dialect's own methods are timed, not the engine's events: a cancelled call fires no event, and would count as
    active for ever.
    """
    if _MARK not in getattr(dialect, "__dict__", {_MARK: True}):
        peers.HOOK.safely(_watch, dialect)


def _watch(dialect: Any) -> None:
    dialect.__dict__[_MARK] = True
    found = peer(dialect_name(dialect))
    for name in _SQL_CALLS:
        setattr(dialect, name, timed(getattr(dialect, name), lambda _: found))
    dialect.do_commit = timed(dialect.do_commit, lambda _: found, 0)
    dialect.do_rollback = brief(dialect.do_rollback, lambda _: found)
