"""Locks of asyncio.

`Lock.acquire` and `Semaphore.acquire` ask for their loop only when they have to wait (read: CPython 3.10 to 3.13; 3.9
does not, and is left alone). That is where waits are seen, at no cost to those who need not wait; a release costs
0.2 us more. Holders are counted while somebody waits: those who hold the lock when a wait begins, and those who got it
by waiting. A lock nobody waits for has no row. Which of several holders lets go is not known, nor needed: the sum of
hold times does not depend on it.
"""

from __future__ import annotations

import collections
import functools
import itertools
from typing import Any

from .outgoing import Door, site, watch

KIND = "lock"
_WATCHED, _LIMIT = "_pinchpoint_watched", "_pinchpoint_limit"
_PASSED = ("asyncio.locks", "asyncio.tasks", "asyncio.timeouts", "asyncio.queues", "contextlib")
ASYNC = watch("asyncio locks")


class Watched:
    """One asyncio lock that somebody had to wait for, and those who hold it. Used by its loop's thread only."""

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self.door = Door(KIND, name, limit)
        self.holders: collections.deque[int] = collections.deque()

    def ask(self, lock: Any) -> float:
        """Count one that begins to wait, and those it waits for: since when they hold is unknown, so from now on."""
        while len(self.holders) < self._holding(lock):
            self.holders.append(self.door.enter(self.door.gate.took()))
        return self.door.gate.ask()

    def done(self, began: float, future: Any) -> None:
        """Count a wait that ended, just before its task goes on. Never raises."""
        try:
            if future.cancelled():
                self.door.gate.gave_up(began, timed_out=False)
                return
            self.holders.append(self.door.enter(self.door.gate.got(began)))
            if len(self.holders) > self.limit:  # one that was cancelled just when it got in never came back
                self.door.leave(self.holders.popleft())
        except Exception as error:
            ASYNC.fail(error)

    def released(self, lock: Any) -> None:
        """Count a holder out, unless it may be one that came in when nobody waited. Never raises."""
        try:
            if lock._waiters or len(self.holders) > self._holding(lock):  # noqa: SLF001
                self.door.leave(self.holders.popleft())
        except Exception as error:
            ASYNC.fail(error)

    def _holding(self, lock: Any) -> int:
        """Return how many hold it, without the places of a semaphore that were handed on to waiters not yet awake."""
        value = getattr(lock, "_value", None)
        if value is None:
            return int(lock.locked())
        woken = itertools.takewhile(lambda waiter: waiter.done(), lock._waiters or ())  # noqa: SLF001
        return int(self.limit - value - sum(not waiter.cancelled() for waiter in woken))


class _WaitingLoop:
    """A loop as `acquire` sees it: the one future made by it is watched."""

    __slots__ = ("_lock", "_loop", "_watched")

    def __init__(self, loop: Any, lock: Any, watched: Watched) -> None:
        self._loop = loop
        self._lock = lock
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_future(self) -> Any:
        """Return a future whose end is noticed."""
        future = self._loop.create_future()
        ASYNC.safely(self._watch, future)
        return future

    def _watch(self, future: Any) -> None:
        began = self._watched.ask(self._lock)
        future.add_done_callback(functools.partial(self._watched.done, began))


def hook_asyncio(module: Any) -> None:
    """Watch the waits for `Lock`, `Semaphore` and `BoundedSemaphore`."""
    if not hasattr(module.Lock, "_get_loop"):
        ASYNC.alive = False
        return
    _hook_limit(module.Semaphore)
    for owner in (module.Lock, module.Semaphore):
        _hook_loop(owner)
        _hook_release(owner)


def _hook_limit(semaphore: Any) -> None:
    original = semaphore.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it takes its place
        original(self, *args, **kwargs)
        ASYNC.safely(_note_limit, self)

    semaphore.__init__ = __init__


def _note_limit(semaphore: Any) -> None:
    semaphore.__dict__[_LIMIT] = semaphore._value  # noqa: SLF001


def _hook_loop(owner: Any) -> None:
    original = owner._get_loop  # noqa: SLF001

    @functools.wraps(original)
    def _get_loop(self: Any) -> Any:
        loop = original(self)
        return ASYNC.safely(_contended, self, loop) or loop

    owner._get_loop = _get_loop  # noqa: SLF001


def _contended(lock: Any, loop: Any) -> _WaitingLoop | None:
    watched = lock.__dict__.get(_WATCHED)
    if watched is None:
        # A semaphore that starts at 0 is a signal, and who waits for it waits for no holder.
        limit = lock.__dict__.get(_LIMIT, 0) if hasattr(lock, "_value") else 1
        if limit < 1:
            return None
        name = "asyncio.%s %s" % (type(lock).__name__, site(*_PASSED))
        watched = lock.__dict__[_WATCHED] = Watched(name.strip(), limit)
    return _WaitingLoop(loop, lock, watched)


def _hook_release(owner: Any) -> None:
    original = owner.release

    @functools.wraps(original)
    def release(self: Any) -> Any:
        result = original(self)
        watched = self.__dict__.get(_WATCHED)
        if watched is not None and watched.holders:
            watched.released(self)
        return result

    owner.release = release
