"""sqlite3, used directly or below something else: the time of its calls, and how long its busy handler held them up.

The types are C and closed, so `connect` hands out subclasses, named like what they replace. SQLite computes rows as
they are fetched: `fetch*` is part of a statement's time; a `for` loop over a cursor is not, because a clock would cost
more than the row.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from . import peers
from .busy import BUSY
from .database import _begin, _end, _is_nested, _set_nested, brief, peer, sqlite_name
from .peers import Peer, _now

PEER = "_pinchpoint_peer"
_CALLS = ("execute", "executemany", "executescript")
_FETCHES = ("fetchone", "fetchmany", "fetchall")
_ENDS = ("commit", "__exit__")
_FACTORY_POSITION = 5
_MOST_CLASSES = 100
"""An app that makes a class for every connection must not make us keep them all; the rest goes untimed."""
_BUSY_MESSAGES = ("database is locked", "database table is locked", "database schema is locked")


def hook_sqlite3(module: Any) -> None:
    """Make `sqlite3.connect` hand out connections that are timed."""
    original = module.connect
    classes = Classes(module)

    @functools.wraps(original)
    def connect(*args: Any, **kwargs: Any) -> Any:
        ours = peers.HOOK.safely(_arguments, classes, args, kwargs)
        if ours is None:
            return original(*args, **kwargs)
        connection = original(*ours[0], **ours[1])
        peers.HOOK.safely(_name, connection, args, kwargs)
        return connection

    module.connect = connect
    package = sys.modules.get("sqlite3")
    if getattr(package, "connect", None) is original:
        package.connect = connect  # type: ignore[union-attr]


def _arguments(classes: Classes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
    """Return the arguments with the factory replaced by one of ours; None: it is no class, so it stays."""
    BUSY.watch()
    at = _FACTORY_POSITION
    if len(args) > at:
        ours = classes.connection(args[at])
        return ((*args[:at], ours, *args[at + 1 :]), kwargs) if ours else None
    ours = classes.connection(kwargs.get("factory", classes.module.Connection))
    return (args, {**kwargs, "factory": ours}) if ours else None


def _name(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    connection.__dict__[PEER] = peer(sqlite_name(args[0] if args else kwargs.get("database")))


def _peer_of(connection: Any) -> Peer | None:
    """None while it connects, and in aiosqlite's thread: there the caller's time counts."""
    return connection.__dict__.get(PEER)  # type: ignore[no-any-return]


def _cursor_peer(cursor: Any) -> Peer | None:
    return cursor.connection.__dict__.get(PEER)  # type: ignore[no-any-return]


class Classes:
    """Our subclass of every connection and cursor class in use."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self._made: dict[Any, Any] = {}

    def connection(self, factory: Any) -> Any:
        """Return a subclass of the connection class `factory`; None when it is not one."""
        base = self.module.Connection
        if not isinstance(factory, type) or not issubclass(factory, base):
            return None
        if base not in self._made:
            self._made[base] = self._base_connection(base)
        if factory not in self._made:
            if len(self._made) >= _MOST_CLASSES:
                return None
            # Ours goes behind the app's own class: that one's `super` must find our `cursor`, not the other way round.
            self._made[factory] = _like(factory, (factory, self._made[base]), {})
        return self._made[factory]

    def _base_connection(self, base: Any) -> Any:
        def cursor(connection: Any, factory: Any = self.module.Cursor) -> Any:
            ours = peers.HOOK.safely(self.cursor, factory)
            return base.cursor(connection, factory if ours is None else ours)

        methods = {name: self._watched(getattr(base, name), _peer_of, 0) for name in _ENDS}
        methods["rollback"] = brief(base.rollback, _peer_of)
        shortcuts = {name: _shortcut(base, name) for name in _CALLS}
        return _like(base, (base,), {"cursor": functools.wraps(base.cursor)(cursor), **shortcuts, **methods})

    def cursor(self, factory: Any) -> Any:
        """Return a subclass of the cursor class `factory`, or itself when it is a mere function."""
        if not isinstance(factory, type):
            return factory
        made = self._made.get(factory)
        return self._new_cursor(factory) if made is None else made

    def _new_cursor(self, factory: Any) -> Any:
        if not issubclass(factory, self.module.Cursor) or len(self._made) >= _MOST_CLASSES:
            return factory
        methods = {name: self._watched(getattr(factory, name), _cursor_peer, 1) for name in _CALLS}
        methods.update({name: brief(getattr(factory, name), _cursor_peer) for name in _FETCHES})
        made = self._made[factory] = _like(factory, (factory,), {"__slots__": (), **methods})
        return made

    def _watched(self, original: Any, peer_of: Any, calls: int) -> Any:
        """Return `original` timed, its thread watched meanwhile."""
        error_class = self.module.OperationalError

        @functools.wraps(original)
        def call(subject: Any, *args: Any, **kwargs: Any) -> Any:
            begun = None if _is_nested() else _begin(peer_of, subject)
            thread = BUSY.enter(begun[1] if begun else _now())
            if begun:
                _set_nested(True)
            failed = locked = False
            try:
                return original(subject, *args, **kwargs)
            except Exception as error:
                failed = True
                locked = isinstance(error, error_class) and str(error) in _BUSY_MESSAGES
                raise
            finally:
                BUSY.leave(thread, locked)
                if begun:
                    _set_nested(False)
                    _end(begun, failed, calls)

        return call


def _shortcut(base: Any, name: str) -> Any:
    """Return a connection's own `execute`: what C does as well, except that some versions pass by our `cursor`."""

    @functools.wraps(getattr(base, name))
    def call(connection: Any, *args: Any, **kwargs: Any) -> Any:
        cursor = connection.cursor()
        getattr(cursor, name)(*args, **kwargs)
        return cursor

    return call


def _like(original: Any, bases: tuple[Any, ...], methods: dict[str, Any]) -> Any:
    names = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    return type(original.__name__, bases, {**names, **methods})
