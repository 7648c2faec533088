"""SQLAlchemy's connection pools, sync and async: who holds, who waits, and for how long.

There is no event for the start of a checkout, so the record's own `checkout` and `connect` are timed. The classes are
hooked: engines made earlier or later, and pools made anew by `engine.dispose()`, are all seen.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
import weakref
from typing import Any

from .database import watch_dialect
from .level import Level
from .runtime import RUNTIME, Hook

_now = time.monotonic
_HELD_SINCE = "_pinchpoint_held_since"
_CONNECT_S = "_pinchpoint_connect_s"


class Pools:
    """Figures of all queue pools of this process, summed. Pools without a size (NullPool, StaticPool) are left out."""

    def __init__(self) -> None:
        self.pools: weakref.WeakSet[Any] = weakref.WeakSet()
        self.reset()

    def reset(self) -> None:
        """Start at zero; the pools stay, as a forked child may use those its parent made."""
        self.lock = threading.RLock()
        self.busy = Level()
        self.waiting = Level()
        self.wait_s = self.hold_s = self.connect_s = 0.0
        self.checkouts = self.timeouts = self.connects = 0
        self.generation = object()

    def ask(self, pool: Any) -> float:
        """Count a checkout that begins; return when."""
        if pool not in self.pools:
            self.pools.add(pool)
        at = _now()
        self.waiting.shift(1, at)
        return at

    def got(self, began: float, record: Any) -> None:
        """Count a connection handed out: the wait for it is what was not spent connecting."""
        at = _now()
        connecting = record.__dict__.pop(_CONNECT_S, 0.0)
        self.waiting.shift(-1, at)
        self.busy.shift(1, at)
        with self.lock:
            self.wait_s += max(0.0, at - began - connecting)
            self.checkouts += 1
        record.__dict__[_HELD_SINCE] = (self.generation, at)

    def failed(self, began: float, timed_out: bool) -> None:
        """Count a checkout that came to nothing; a wait that timed out was a wait."""
        at = _now()
        self.waiting.shift(-1, at)
        if timed_out:
            with self.lock:
                self.timeouts += 1
                self.wait_s += at - began

    def returned(self, record: Any) -> None:
        """Count a connection that comes back, unless its checkout was never counted here."""
        generation, since = record.__dict__.pop(_HELD_SINCE, (None, 0.0))
        if generation is not self.generation:
            return
        at = _now()
        self.busy.shift(-1, at)
        with self.lock:
            self.hold_s += at - since

    def connecting(self) -> float:
        """Whoever connects does not wait for the pool meanwhile; return when it began."""
        at = _now()
        self.waiting.shift(-1, at)
        return at

    def connected(self, began: float, record: Any) -> None:
        """Count a connect, successful or not."""
        at = _now()
        self.waiting.shift(1, at)
        record.__dict__[_CONNECT_S] = record.__dict__.get(_CONNECT_S, 0.0) + at - began
        with self.lock:
            self.connects += 1
            self.connect_s += at - began

    def size(self) -> float | None:
        """Return how many connections the pools in use may open; None when one of them has no limit."""
        total = 0
        for pool in list(self.pools):
            overflow = pool._max_overflow  # noqa: SLF001 - SQLAlchemy shows the current overflow only
            if overflow < 0:
                return None
            total += pool.size() + overflow
        return total

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish; no figures before a pool is used."""
        if not self.pools:
            return
        fields.update(
            pool_busy=self.busy.value,
            pool_busy_s=self.busy.area(at),
            pool_waiting=self.waiting.value,
            pool_waiting_s=self.waiting.area(at),
            pool_wait_s=self.wait_s,
            pool_hold_s=self.hold_s,
            pool_checkouts=self.checkouts,
            pool_timeouts=self.timeouts,
            pool_connects=self.connects,
            pool_connect_s=self.connect_s,
        )
        size = self.size()
        if size is not None:
            fields["pool_size"] = size


POOLS = Pools()
HOOK = Hook("connection pool", POOLS.fill, POOLS.reset)
RUNTIME.add(HOOK)


def hook_sqlalchemy(module: Any) -> None:
    """Time `_ConnectionRecord.checkout` and its connect, and QueuePool's return; forget pools that are disposed of."""
    record_class = sys.modules["sqlalchemy.pool.base"]._ConnectionRecord  # noqa: SLF001 - the one place all pools share
    _hook_checkout(record_class, module.QueuePool)
    _hook_connect(record_class, module.QueuePool)
    _hook_return(module.QueuePool)


def _hook_checkout(record_class: Any, queue_pool: Any) -> None:
    pool_timeout = sys.modules["sqlalchemy.exc"].TimeoutError
    original = record_class.__dict__["checkout"].__func__

    @functools.wraps(original)
    def checkout(cls: Any, pool: Any) -> Any:
        watch_dialect(pool._dialect)  # noqa: SLF001 - every engine passes here, whatever made it
        began = HOOK.safely(POOLS.ask, pool) if isinstance(pool, queue_pool) else None
        if began is None:
            return original(cls, pool)
        try:
            fairy = original(cls, pool)
        except BaseException as error:
            HOOK.safely(POOLS.failed, began, isinstance(error, pool_timeout))
            raise
        HOOK.safely(POOLS.got, began, fairy._connection_record)  # noqa: SLF001 - its public name came later
        return fairy

    record_class.checkout = classmethod(checkout)


def _hook_connect(record_class: Any, queue_pool: Any) -> None:
    original = record_class._ConnectionRecord__connect  # noqa: SLF001 - all ways to connect, pool and reconnect

    @functools.wraps(original)
    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        pool = self._ConnectionRecord__pool
        began = HOOK.safely(POOLS.connecting) if isinstance(pool, queue_pool) else None
        try:
            return original(self, *args, **kwargs)
        finally:
            if began is not None:
                HOOK.safely(POOLS.connected, began, self)

    record_class._ConnectionRecord__connect = connect  # noqa: SLF001


def _hook_return(queue_pool: Any) -> None:
    give_back, dispose = queue_pool._do_return_conn, queue_pool.dispose  # noqa: SLF001 - `detach` calls only this

    @functools.wraps(give_back)
    def _do_return_conn(self: Any, record: Any) -> Any:
        HOOK.safely(POOLS.returned, record)
        return give_back(self, record)

    @functools.wraps(dispose)
    def disposed(self: Any, *args: Any, **kwargs: Any) -> Any:
        HOOK.safely(POOLS.pools.discard, self)
        return dispose(self, *args, **kwargs)

    queue_pool._do_return_conn = _do_return_conn  # noqa: SLF001
    queue_pool.dispose = disposed
