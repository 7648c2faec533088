"""Locks of asyncio.

`Lock.acquire` and `Semaphore.acquire` ask for their loop only when they have to wait (read: CPython 3.10 to
3.13; 3.9 does not, and is left alone). That is where waits are seen, at no cost to those who need not wait. From its
first wait on, a lock also counts who gets in at once. A release costs about 50 ns more. Which of several holders lets
go is not known, nor needed: the sum of hold times does not depend on it. Uncontended acquires through an
asyncio.Condition are missed.
"""

from __future__ import annotations

import collections
import functools
from typing import Any

from .outgoing import Door, site, watch

KIND = "lock"
_WATCHED, _LIMIT = "_pinchpoint_watched", "_pinchpoint_limit"
_PASSED = ("asyncio.locks", "asyncio.tasks", "asyncio.timeouts", "asyncio.queues", "contextlib")
ASYNC = watch("asyncio locks")


class Watched:
    """One asyncio lock that somebody had to wait for, and those who hold it. Used by its loop's thread only."""

    def __init__(self, name: str, limit: int, holders: int) -> None:
        self.limit = limit
        self.door = Door(KIND, name, limit)
        self._holders: collections.deque[int] = collections.deque()
        for _ in range(holders):  # since when is unknown: from now on
            self.walked_in()

    def walked_in(self) -> None:
        """Count a holder that did not wait."""
        self.entered(self.door.gate.took())

    def entered(self, taken: tuple[object, float]) -> None:
        """Count a holder. One that was cancelled just when it got in never comes back: the oldest makes room."""
        self._holders.append(self.door.enter(taken))
        while len(self._holders) > self.limit:
            self.released()

    def released(self) -> None:
        """Count a holder out. Never raises."""
        try:
            if self._holders:
                self.door.leave(self._holders.popleft())
        except Exception as error:
            ASYNC.fail(error)

    def done(self, began: float, future: Any) -> None:
        """Count a wait that ended, just before its task goes on. Never raises."""
        try:
            if future.cancelled():
                self.door.gate.gave_up(began, timed_out=False)
            else:
                self.entered(self.door.gate.got(began))
        except Exception as error:
            ASYNC.fail(error)


class _WaitingLoop:
    """A loop as `acquire` sees it: the one future made by it is watched."""

    __slots__ = ("_loop", "_watched")

    def __init__(self, loop: Any, watched: Watched) -> None:
        self._loop = loop
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_future(self) -> Any:
        """Return a future whose end is noticed."""
        future = self._loop.create_future()
        ASYNC.safely(self._watch, future)
        return future

    def _watch(self, future: Any) -> None:
        began, watched = self._watched.door.gate.ask(), self._watched
        future.add_done_callback(functools.partial(watched.done, began))


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
        self.__dict__[_LIMIT] = self._value

    semaphore.__init__ = __init__


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
        watched = Watched(name.strip(), limit, limit - max(0, lock._value) if hasattr(lock, "_value") else 1)  # noqa: SLF001
        lock.__dict__[_WATCHED] = watched
        lock.acquire = _counted(lock.acquire, watched)
    return _WaitingLoop(loop, watched)


def _counted(acquire: Any, watched: Watched) -> Any:
    """Return a lock's own `acquire` that also counts those who need not wait."""
    lock = acquire.__self__

    @functools.wraps(acquire)
    async def counted() -> Any:
        free = not (lock.locked() or lock._waiters)  # noqa: SLF001 - in 3.9 and 3.10 `locked` knows of no waiters
        result = await acquire()
        if free:
            ASYNC.safely(watched.walked_in)
        return result

    return counted


def _hook_release(owner: Any) -> None:
    original = owner.release

    @functools.wraps(original)
    def release(self: Any) -> Any:
        result = original(self)
        if _WATCHED in self.__dict__:
            self.__dict__[_WATCHED].released()
        return result

    owner.release = release
