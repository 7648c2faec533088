"""Connection pools as gates, and SQLAlchemy's in particular, sync and async: who holds, who waits, and for how long.

SQLAlchemy (read: 1.4.54, 2.1.9) has no event for the start of a checkout, so the record's own `checkout` and `connect`
are timed. The classes are hooked: engines made earlier or later, and pools made anew by `engine.dispose()`, are all
seen.
"""

from __future__ import annotations

import functools
import os
import sys
import weakref
from typing import Any, Callable

from . import gates
from .database import _is_nested, _set_nested, dialect_name, watch_dialect
from .gates import POOL, Gate
from .peers import _now
from .real import RLock

_PLACE = "_pinchpoint_place"
HELD = "_pinchpoint_held"
_CONNECT_S = "_pinchpoint_connect_s"
_NO_ENGINE = ("_ConnDialect", "_AsyncConnDialect")
"""SQLAlchemy's stand-ins for a dialect, shared by all pools that belong to no engine."""


class Owners:
    """Whose gate is whose: one per engine or pool, passed on to the next of the same name when its owner is gone."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._known: list[tuple[weakref.ref[Any], str, Gate]] = []

    def gate(self, owner: Any, name: str, size: Callable[[], float | None]) -> Gate:
        """Return a gate for `owner`, whom it does not keep alive (neither must `size`)."""
        with self.lock:
            same = [entry for entry in self._known if entry[1] == name]
            gone = next((entry for entry in same if entry[0]() is None), None)
            if gone is None:
                gate = gates.GATES_OPEN.open(POOL, "%s #%d" % (name, len(same) + 1) if same else name, size)
            else:
                self._known.remove(gone)
                gate = gone[2]
                gate.size = size
            self._known.append((weakref.ref(owner), name, gate))
            return gate

    def after_fork(self) -> None:
        """Renew the lock, which may have been held."""
        self.lock = RLock()


OWNERS = Owners()
os.register_at_fork(after_in_child=OWNERS.after_fork)


class Place:
    """What an engine's pools share: the gate, and which of them are in use."""

    def __init__(self, owner: Any, name: str) -> None:
        self.pools: tuple[weakref.ref[Any], ...] = ()
        self.gate = OWNERS.gate(owner, name, self.size)

    def add(self, pool: Any) -> None:
        """Count the pool's connections."""
        self.pools = (*(ref for ref in self.pools if ref() not in (None, pool)), weakref.ref(pool))

    def discard(self, pool: Any) -> None:
        """Do so no longer: it was disposed of."""
        self.pools = tuple(ref for ref in self.pools if ref() not in (None, pool))

    def size(self) -> float | None:
        """Return how many connections the pools in use may open; None when one of them has no limit."""
        total = 0
        for pool in [ref() for ref in self.pools]:
            if pool is None:
                continue
            overflow = pool._max_overflow  # noqa: SLF001 - SQLAlchemy shows the current overflow only
            if overflow < 0:
                return None
            total += pool.size() + overflow
        return total


_OF_RECORD = ("checkout", "_ConnectionRecord__connect")
_OF_POOL = ("_do_return_conn", "dispose", "size")


def hook_sqlalchemy(module: Any) -> None:
    """Time `_ConnectionRecord.checkout` and its connect, and QueuePool's return; forget pools that are disposed of."""
    record_class = sys.modules["sqlalchemy.pool.base"]._ConnectionRecord  # noqa: SLF001 - the one place all pools share
    # All of it or nothing: a pool whose returns are not seen would look full for ever.
    for owner, names in ((record_class, _OF_RECORD), (module.QueuePool, _OF_POOL)):
        for name in names:
            getattr(owner, name)
    _hook_checkout(record_class, module.QueuePool)
    _hook_connect(record_class)
    _hook_return(module.QueuePool)


def _place(pool: Any, queue_pool: Any) -> Place | None:
    """Return the pool's place, made at its first use; None for pools that admit everybody (NullPool, StaticPool)."""
    dialect = pool._dialect  # noqa: SLF001 - every engine passes here, whatever made it
    watch_dialect(dialect)
    place = None
    if isinstance(pool, queue_pool):
        engineless = type(dialect).__name__ in _NO_ENGINE
        owner, name = (pool, pool.logging_name or "pool") if engineless else (dialect, dialect_name(dialect))
        with OWNERS.lock:
            place = owner.__dict__.get(_PLACE)
            if place is None:
                place = owner.__dict__[_PLACE] = Place(owner, name)
            place.add(pool)
    pool.__dict__[_PLACE] = place
    return place


def _hook_checkout(record_class: Any, queue_pool: Any) -> None:
    pool_timeout = sys.modules["sqlalchemy.exc"].TimeoutError
    original = record_class.__dict__["checkout"].__func__

    @functools.wraps(original)
    def checkout(cls: Any, pool: Any) -> Any:
        safely = gates.HOOK.safely
        try:
            place = pool.__dict__[_PLACE]
        except KeyError:
            place = safely(_place, pool, queue_pool)
        if place is None:
            return original(cls, pool)
        gate = place.gate
        began = safely(gate.ask)
        if began is None:
            return original(cls, pool)
        try:
            fairy = original(cls, pool)
        except BaseException as error:
            safely(gate.gave_up, began, isinstance(error, pool_timeout))
            raise
        safely(_got, gate, began, fairy)
        return fairy

    record_class.checkout = classmethod(checkout)


def _got(gate: Gate, began: float, fairy: Any) -> None:
    figures = fairy._connection_record.__dict__  # noqa: SLF001 - its public name came later
    figures[HELD] = (gate, gate.got(began, figures.pop(_CONNECT_S, 0.0)))


def _hook_connect(record_class: Any) -> None:
    original = record_class._ConnectionRecord__connect  # noqa: SLF001 - all ways to connect, pool and reconnect

    @functools.wraps(original)
    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = gates.HOOK.safely(_connecting, self)
        try:
            return original(self, *args, **kwargs)
        finally:
            if begun is not None:
                gates.HOOK.safely(_connected, *begun)

    record_class._ConnectionRecord__connect = connect  # noqa: SLF001


def _connecting(record: Any) -> tuple[Any, Gate | None, bool, float]:
    pool, figures = record._ConnectionRecord__pool, record.__dict__  # noqa: SLF001
    # What is asked of a new connection belongs to its opening. Under asyncio the transport would inherit that mark.
    quiet = not (_is_nested() or getattr(pool._dialect, "is_async", False))  # noqa: SLF001
    if quiet:
        _set_nested(True)
    place = pool.__dict__.get(_PLACE)
    if place is None:
        return None, None, quiet, 0.0
    # Whoever holds one already (its ping failed) waits no more.
    waits = HELD not in figures
    return figures if waits else None, place.gate, quiet, place.gate.pause() if waits else _now()


def _connected(figures: Any, gate: Gate | None, quiet: bool, began: float) -> None:
    if quiet:
        _set_nested(False)
    if gate is None:
        return
    if figures is None:
        gate.opened_in(_now() - began)
    else:
        figures[_CONNECT_S] = figures.get(_CONNECT_S, 0.0) + gate.resume(began)


def back(figures: dict[str, Any]) -> None:
    """Count as returned what has these attributes, if its taking was counted."""
    held = figures.pop(HELD, None)
    if held is not None:
        held[0].back(held[1])


def _hook_return(queue_pool: Any) -> None:
    give_back, dispose = queue_pool._do_return_conn, queue_pool.dispose  # noqa: SLF001 - `detach` calls only this

    @functools.wraps(give_back)
    def _do_return_conn(self: Any, record: Any) -> Any:
        gates.HOOK.safely(back, record.__dict__)
        return give_back(self, record)

    @functools.wraps(dispose)
    def disposed(self: Any, *args: Any, **kwargs: Any) -> Any:
        gates.HOOK.safely(_disposed, self)
        return dispose(self, *args, **kwargs)

    queue_pool._do_return_conn = _do_return_conn  # noqa: SLF001
    queue_pool.dispose = disposed


def _disposed(pool: Any) -> None:
    place = pool.__dict__.pop(_PLACE, None)
    if place is not None:
        place.discard(pool)
