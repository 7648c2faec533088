"""The event loop: how busy, and how late.

Busy is exact on asyncio's selector loops: the time outside `selector.select`. A poll with timeout 0 counts as busy,
because the loop has work and does not wait. It is exact on uvloop, too: the time less what libuv counts as idle
(`uv_metrics`). Loops of other kinds show only lateness.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from . import awaits
from .runtime import RUNTIME, Hook, log
from .uv_metrics import IdleTime

HEARTBEAT_S = 0.05
_SELECTOR_LOOP = 1
_UVLOOP = 2

_now = time.monotonic


class SelectorBusy:
    """Busy seconds of one selector loop."""

    def __init__(self, selector: Any) -> None:
        # Busy seconds, and since when it is busy again (None: waiting). One tuple, so that no reader sees half.
        self._state: tuple[float, float | None] = (0.0, _now())
        self._selector = selector
        self._original = original = selector.select
        now = _now

        def select(timeout: Any = None) -> Any:
            if timeout == 0:
                return original(timeout)
            try:
                total, since = self._state
                if since is not None:
                    total += now() - since
                self._state = (total, None)
            except Exception as error:
                HOOK.fail(error)
                self.close()
                return original(timeout)
            try:
                return original(timeout)
            finally:
                self._state = (total, now())

        selector.select = select

    def seconds(self, at: float) -> float | None:
        """Return the busy time up to `at`."""
        total, since = self._state
        return total if since is None else total + max(0.0, at - since)

    def close(self) -> None:
        """Take the watch away again."""
        self._selector.select = self._original


class UvBusy:
    """Busy seconds of one uvloop: the time since it is watched, less libuv's idle time."""

    def __init__(self, loop: Any) -> None:
        self._idle = IdleTime(loop)
        self._since = _now() - (self._idle.seconds() or 0.0)

    def seconds(self, at: float) -> float | None:
        """Return the busy time up to now, which is a little after `at`; None once the loop is closed."""
        idle_s = self._idle.seconds()
        return None if idle_s is None else max(0.0, max(at, _now()) - self._since - idle_s)

    def close(self) -> None:
        """Nothing to take away: a libuv loop counts until it ends."""


class Watch:
    """Figures of the loop that runs the server."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the loop, as a forked child must."""
        self.loop: Any = None
        self.thread_id = 0
        self.kind = 0
        self.busy: SelectorBusy | UvBusy | None = None
        self._busy_before_s = 0.0
        self.due = 0.0
        self.lag_s = 0.0
        self.beats = 0
        self._second = 0
        self._worst = 0.0
        self._worst_before = 0.0

    def start(self, loop: Any) -> None:
        """Watch `loop`, from a callback of which this is called."""
        self._leave()
        self.loop = loop
        self.thread_id = threading.get_native_id()
        if type(loop).__module__.partition(".")[0] == "uvloop":
            self.kind = _UVLOOP
            try:
                self.busy = UvBusy(loop)
            except Exception as error:
                log(f"uvloop does not tell how busy it is: {error!r}")
        elif hasattr(getattr(loop, "_selector", None), "select"):
            self.kind = _SELECTOR_LOOP
            self.busy = SelectorBusy(loop._selector)  # noqa: SLF001 - asyncio has no public place for it
        self.due = _now() + HEARTBEAT_S
        loop.call_later(HEARTBEAT_S, self._beat, loop)
        awaits.start(loop)

    def _leave(self) -> None:
        """Keep what the loop watched before has been busy, so that the counter goes on with the next."""
        if self.busy is not None:
            self._busy_before_s += self.busy.seconds(_now()) or 0.0
            self.busy.close()
        self.busy, self.kind = None, 0

    def _beat(self, loop: Any) -> None:
        """Note how late this timer is, and set the next. Never raises, for the loop would tell the app's log."""
        if loop is self.loop:
            HOOK.safely(self._count_beat, loop)

    def _count_beat(self, loop: Any) -> None:
        at = _now()
        late = max(0.0, at - self.due)
        self.lag_s += late
        self.beats += 1
        self._roll(at)
        self._worst = max(self._worst, late)
        self.due = at + HEARTBEAT_S
        loop.call_later(HEARTBEAT_S, self._beat, loop)

    def _roll(self, at: float) -> None:
        second = int(at)
        if second != self._second:
            self._worst_before = self._worst if second == self._second + 1 else 0.0
            self._second, self._worst = second, 0.0

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish; an overdue heartbeat counts towards the worst, so a blocked loop shows while it is blocked."""
        if self.loop is None:
            return
        overdue = max(0.0, at - self.due)
        fields.update(
            loop_tid=self.thread_id,
            loop_lag_s=self.lag_s,
            loop_lag_n=self.beats,
            loop_lag_max_s=max(self._worst, self._worst_before, overdue),
        )
        if self.kind:
            fields["loop_kind"] = self.kind
        busy_s = self.busy.seconds(at) if self.busy is not None else None
        if busy_s is not None:
            fields["loop_busy_s"] = self._busy_before_s + busy_s


WATCH = Watch()
HOOK = Hook("event loop", WATCH.fill, WATCH.reset)
RUNTIME.add(HOOK)


def watch(loop: Any) -> None:
    """Watch the running loop, unless one that still runs is watched already."""
    if WATCH.loop is None or (WATCH.loop is not loop and not WATCH.loop.is_running()):
        HOOK.safely(WATCH.start, loop)
