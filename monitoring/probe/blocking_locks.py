"""Locks that stop a thread: on files, and threading's semaphores. Waits only.

Files: a blocking `flock` or `lockf` waits (filelock and portalocker call them). When a lock ends by closing its file
nobody is told, so the holders are unavailable.

threading.Semaphore waits on its own condition, and only when it has to: a subclass of that condition costs nothing to
those who need not wait (measured: 1 us for acquire and release, with and without). Its holders are unavailable too.

threading.Lock and RLock are made in C, with no such place. A proxy in Python that could time only `with` costs 84 ns
more (CPython 3.11: 158 -> 242 ns, enter and exit), one that times `acquire` as well 137 ns (137 -> 274 ns for acquire
and release), and neither is an instance of the type any more. They are left out: the outside view tells them apart by
futex address. Who waits for a queue or a condition mostly is a worker at rest, which says nothing of contention.
"""

from __future__ import annotations

import functools
import math
import os
from typing import TYPE_CHECKING, Any

from .outgoing import Door, family, site, watch

if TYPE_CHECKING:
    from .gates import Gate

KIND = "lock"
_LIMIT, _DOOR = "_pinchpoint_limit", "_pinchpoint_door"
FILES = watch("file locks")
THREADS = watch("threading semaphores")


class _Unknown:
    """The level of what nobody reports."""

    value = math.nan

    def shift(self, delta: int, at: float) -> None:
        """Nothing is known before, nor after."""

    def area(self, _at: float) -> float:
        """Return NaN."""
        return math.nan


_UNKNOWN: Any = _Unknown()


def hook_fcntl(module: Any) -> None:
    """Time blocking calls of `flock` and `lockf`."""
    for name in ("flock", "lockf"):
        setattr(module, name, _timed_lock(getattr(module, name), module.LOCK_NB | module.LOCK_UN))


def _timed_lock(original: Any, never_blocks: int) -> Any:
    @functools.wraps(original)
    def locked(*args: Any, **kwargs: Any) -> Any:
        asked = FILES.safely(_ask, args, never_blocks)
        if asked is None:
            return original(*args, **kwargs)
        gate, began = asked
        try:
            result = original(*args, **kwargs)
        except BaseException:
            FILES.safely(gate.gave_up, began, False)
            raise
        FILES.safely(gate.got, began)
        return result

    return locked


def _ask(args: tuple[Any, ...], never_blocks: int) -> tuple[Gate, float] | None:
    if len(args) < 2 or not isinstance(args[1], int) or args[1] & never_blocks:  # noqa: PLR2004 - file and operation
        return None
    try:
        descriptor = args[0] if isinstance(args[0], int) else args[0].fileno()
        path = os.readlink("/proc/self/fd/%d" % descriptor)  # noqa: PTH115 - no pathlib in other people's processes
    except (AttributeError, OSError, ValueError):
        return None  # no file, or a closed one: the call itself will say so
    gate = _unheld(family(KIND, "file " + path).gate)
    return gate, gate.ask()


def _unheld(gate: Gate) -> Gate:
    """Mark the holders of a gate as unavailable, again after a fork."""
    gate.busy, gate.hold_s = _UNKNOWN, math.nan
    return gate


def hook_threading(module: Any) -> None:
    """Time the waits for `Semaphore` and `BoundedSemaphore`, made from now on."""
    condition = _watched_condition(module.Condition)
    original = module.Semaphore.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it takes its place
        original(self, *args, **kwargs)
        THREADS.safely(watch_waits, self)

    def watch_waits(semaphore: Any) -> None:
        # One that starts at 0 is a signal, and who waits for it waits for no holder.
        inner, limit = semaphore._cond, semaphore._value  # noqa: SLF001
        if limit > 0 and type(inner) is module.Condition:
            inner.__dict__[_LIMIT] = limit
            inner.__class__ = condition

    module.Semaphore.__init__ = __init__


def _watched_condition(condition: Any) -> Any:
    class WatchedCondition(condition):  # type: ignore[misc]
        """What a semaphore's waiters wait on."""

        @functools.wraps(condition.wait)
        def wait(self, timeout: float | None = None) -> Any:
            asked = THREADS.safely(_ask_thread, self) if timeout is None or timeout > 0 else None
            if asked is None:
                return super().wait(timeout)
            gate, began = asked
            notified = False
            try:
                notified = super().wait(timeout)
                return notified
            finally:
                _waited(gate, began, notified, timeout)

    return WatchedCondition


def _ask_thread(condition: Any) -> tuple[Gate, float]:
    door = condition.__dict__.get(_DOOR)
    if door is None:
        name = "threading.Semaphore " + site("threading", "concurrent.futures")
        door = condition.__dict__[_DOOR] = Door(KIND, name.strip(), condition.__dict__[_LIMIT])
    gate = _unheld(door.gate)
    return gate, gate.ask()


def _waited(gate: Gate, began: float, notified: bool, timeout: float | None) -> None:
    """Count a wait out. One that was notified gets in, or is overtaken and waits again."""
    try:
        if notified:
            gate.got(began)
        else:
            gate.gave_up(began, timed_out=timeout is not None)
    except Exception as error:
        THREADS.fail(error)
