"""The event loop: how busy, and how late.

Busy is exact on asyncio's selector loops: the time outside `selector.select`. A poll with timeout 0 counts as busy,
because the loop has work and does not wait. uvloop shows neither, so there only lateness is known.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from .runtime import RUNTIME, Hook

HEARTBEAT_S = 0.05
_SELECTOR_LOOP = 1
_UVLOOP = 2

_now = time.monotonic


class Watch:
    """Figures of the loop that runs the server."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the loop, as a forked child must."""
        self.loop: Any = None
        self.thread_id = 0
        self.kind = 0
        # Busy seconds, and since when it is busy again (None: waiting). One tuple, so that no reader sees half.
        self.busy: tuple[float, float | None] | None = None
        self.due = 0.0
        self.lag_s = 0.0
        self.beats = 0
        self._second = 0
        self._worst = 0.0
        self._worst_before = 0.0

    def start(self, loop: Any) -> None:
        """Watch `loop`, from a callback of which this is called."""
        self.loop = loop
        self.thread_id = threading.get_native_id()
        if type(loop).__module__.partition(".")[0] == "uvloop":
            self.kind = _UVLOOP
        elif hasattr(getattr(loop, "_selector", None), "select"):
            self.kind = _SELECTOR_LOOP
            self._watch_selector(loop._selector)  # noqa: SLF001 - asyncio has no public place for it
        self.due = _now() + HEARTBEAT_S
        loop.call_later(HEARTBEAT_S, self._beat, loop)

    def _watch_selector(self, selector: Any) -> None:
        original = selector.select
        before = self.busy[0] if self.busy is not None else 0.0
        self.busy = (before, _now())

        def select(timeout: Any = None) -> Any:
            busy = self.busy
            if timeout == 0 or busy is None or busy[1] is None:
                return original(timeout)
            total = busy[0] + _now() - busy[1]
            self.busy = (total, None)
            try:
                return original(timeout)
            finally:
                self.busy = (total, _now())

        selector.select = select

    def _beat(self, loop: Any) -> None:
        """Note how late this timer is, and set the next."""
        if loop is not self.loop:
            return
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
        if self.busy is not None:
            total, since = self.busy
            fields["loop_busy_s"] = total if since is None else total + max(0.0, at - since)


WATCH = Watch()
HOOK = Hook("event loop", WATCH.fill, WATCH.reset)
RUNTIME.add(HOOK)


def watch(loop: Any) -> None:
    """Watch the running loop, unless one that is still open is watched already."""
    if WATCH.loop is None or (WATCH.loop is not loop and WATCH.loop.is_closed()):
        HOOK.safely(WATCH.start, loop)
