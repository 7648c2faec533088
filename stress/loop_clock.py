"""How busy gevent's event loop is: the time it does anything but wait for events.

CPU time does not show a load process that is stopped, cut by a quota, or blocked in a call that gevent does not know:
its loop has no time left all the same. Two watchers note when the loop begins to wait and when it goes on, and a
heartbeat tells how long a wait may last: one that lasts longer was no wait, the process stood still.
"""

import time
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

HEARTBEAT_S = 0.01
SLACK_S = 0.003
"""How late a heartbeat may come: libev rounds epoll's timeout up to a millisecond, and a core takes a while to wake."""


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
        self._heartbeat = loop.timer(HEARTBEAT_S, HEARTBEAT_S, ref=False)
        self._before.start(self._wait)
        self._after.start(self._go_on)
        self._due_s = self._began_s + HEARTBEAT_S
        self._heartbeat.start(self._beat)

    def busy_s(self) -> float:
        """Return the seconds since the start in which the loop did not wait; cumulative."""
        return self._clock() - self._began_s - self._idle_s

    def close(self) -> None:
        """Stop counting."""
        for watcher in (self._before, self._after, self._heartbeat):
            watcher.close()

    def _beat(self) -> None:
        self._due_s = self._clock() + HEARTBEAT_S

    def _wait(self) -> None:
        self._waits_since_s = self._clock()

    def _go_on(self) -> None:
        since_s = self._waits_since_s
        if since_s is None:
            return
        self._waits_since_s = None
        until_s = self._clock()
        if until_s > self._due_s + SLACK_S:
            until_s = max(since_s, self._due_s)  # from here on it would have gone on, had it been let
        self._idle_s += until_s - since_s
