"""How busy gevent's event loop is: the time it does anything but wait for events.

CPU time does not show a load process that is stopped, cut by a quota, or blocked in a call that gevent does not know:
its loop has no time left all the same. Two watchers note when the loop begins to wait and when it goes on.
"""

import time
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub


class LoopClock:
    """Counts the busy seconds of the calling thread's loop, from now on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start counting."""
        self._clock = clock
        self._began_s = clock()
        self._idle_s = 0.0
        self._waits_since_s: float | None = None
        loop: Any = get_hub().loop
        # gevent runs what is ready in a watcher of the same kind: ours comes after it, and first on the way back.
        self._before = loop.prepare(ref=False, priority=loop.MINPRI)
        self._after = loop.check(ref=False, priority=loop.MAXPRI)
        self._before.start(self._wait)
        self._after.start(self._go_on)

    def busy_s(self) -> float:
        """Return the seconds since the start in which the loop did not wait; cumulative."""
        return self._clock() - self._began_s - self._idle_s

    def close(self) -> None:
        """Stop counting."""
        self._before.close()
        self._after.close()

    def _wait(self) -> None:
        self._waits_since_s = self._clock()

    def _go_on(self) -> None:
        if self._waits_since_s is not None:
            self._idle_s += self._clock() - self._waits_since_s
            self._waits_since_s = None
