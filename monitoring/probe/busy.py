"""How long SQLite's busy handler held calls up.

SQLite tells nobody: it sleeps inside the call (1, 2, 5, 10 ... 100 ms) until the lock is free or the timeout over. A
clock around the call cannot tell that from the disk or from the interpreter lock, and a hook on SQLite's own sleep
would run Python, signal handlers included, in the middle of it. So the page's thread looks, each time it publishes, at
the threads inside a call: what the kernel has put to sleep by a timer is waiting for a lock, and each look stands for
the time since the last one. Waits much longer than that interval, and sums over many waits, are right to a few
percent; a single short one is not.
"""

from __future__ import annotations

import time
from _thread import get_native_id  # before anybody can patch it
from typing import Iterator

from .real import RLock, sleep, start_thread
from .runtime import RUNTIME, Hook

_now = time.monotonic
_OLD_ENOUGH_S = 0.001
"""The busy handler's first sleep; younger calls are not looked at."""
_LOOKS = 64
"""At most so many threads are looked at each time."""
_ASLEEP = (b"hrtimer_nanosleep", b"do_nanosleep", b"common_nsleep")
_TRIAL_S = 0.05
_WCHAN = "/proc/self/task/%d/wchan"


class Busy:
    """Calls in progress, and what was seen of them."""

    def __init__(self) -> None:
        self.watching = False
        self.reset()

    def reset(self) -> None:
        """Start at zero in a forked child, where no call is in progress."""
        self.inside: dict[int, float] = {}  # native thread id -> when its call began
        self.seen: dict[int, float] = {}  # of these, the held up ones -> seconds between two looks
        self.calls = self.seconds = 0.0
        self.lock = RLock()
        self._looked: float | None = None

    def watch(self) -> None:
        """Begin to look, where the kernel says what a thread sleeps in; called at every connect."""
        if not self.watching:
            self.watching = True
            start_thread(self._try_out, ())

    def _try_out(self) -> None:
        """Publish nothing where a thread known to sleep does not look asleep (no /proc, names hidden)."""
        found: list[int] = []
        start_thread(_nap, (found,))
        sleep(_TRIAL_S / 2)
        if found and _asleep(found[0]):
            RUNTIME.add(HOOK)

    def enter(self, at: float) -> int:
        """Note a call that begins; return what `leave` wants. Never raises."""
        try:
            thread = get_native_id()
            self.inside[thread] = at
        except Exception as error:
            HOOK.fail(error)
            return 0
        return thread

    def leave(self, thread: int, locked: bool) -> None:
        """Note its end; `locked`: it failed because the database was locked. Never raises."""
        try:
            self._leave(thread, locked)
        except Exception as error:
            HOOK.fail(error)

    def _leave(self, thread: int, locked: bool) -> None:
        began = self.inside.pop(thread, None)
        if not locked and not self.seen:
            return
        between = self.seen.pop(thread, None)
        stands_for = 1.0 if locked else 0.0
        if not locked and between is not None and began is not None:
            # A call half as long as the time between two looks had half a chance to be seen: it stands for two.
            stands_for = max(1.0, between / max(_now() - began, _OLD_ENOUGH_S))
        with self.lock:
            self.calls += stands_for

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Look once, and publish."""
        since, self._looked = self._looked, at
        if since is not None:
            for thread in self._asleep(at):
                self.seconds += at - since
                self.seen[thread] = at - since
        fields["sqlite_busy_n"] = self.calls
        fields["sqlite_busy_s"] = self.seconds

    def _asleep(self, at: float) -> Iterator[int]:
        for thread, began in list(self.inside.items())[:_LOOKS]:
            if at - began >= _OLD_ENOUGH_S and _asleep(thread) and self.inside.get(thread) == began:
                yield thread


def _nap(found: list[int]) -> None:
    found.append(get_native_id())
    sleep(_TRIAL_S)


def _asleep(thread: int) -> bool:
    """Say whether a thread of this process sleeps by a timer. About 10 us."""
    try:
        with open(_WCHAN % thread, "rb") as file:  # noqa: PTH123 - no pathlib in other people's processes
            return file.read().startswith(_ASLEEP)
    except OSError:
        return False


BUSY = Busy()
HOOK = Hook("sqlite busy", BUSY.fill, BUSY.reset)
