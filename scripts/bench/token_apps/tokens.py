"""N tokens, each held for a known time: a capacity that is arithmetic, not measured. Standard library only.

A token's holds end at deadlines that lie at least `hold_s` apart, so that no window ever holds more than
`count / hold_s` completions per second. Timers, threads and hand-overs are late by a millisecond now and then; a hold
that begins at most `SLIP_S` after the token's last deadline counts from that deadline, so that such lateness is made
good and the ceiling is reached as well as never passed. What is later than that (the token idled, or the host was
away) begins now: lost time stays lost.
"""

import heapq
import threading
import time

SLIP_S = 0.02
"""Longer than a timer, a thread switch or a garbage collection is late; much shorter than a stolen second."""


class Tokens:
    """Who holds how long; the caller sees to it that no more than `count` are taken at once. Thread-safe."""

    def __init__(self, count: int, hold_s: float) -> None:
        self.count = count
        self.hold_s = hold_s
        self._ends = [0.0] * count
        self._lock = threading.Lock()

    @property
    def ceiling_rps(self) -> float:
        """The most completions per second."""
        return self.count / self.hold_s

    def take(self) -> float:
        """Take the token that has idled longest; return when (`time.monotonic`) the hold is over."""
        now_s = time.monotonic()
        with self._lock:
            end_s = heapq.heappop(self._ends)
        return (end_s if now_s - end_s < SLIP_S else now_s) + self.hold_s

    def give(self, end_s: float) -> None:
        """Give back the token whose hold was over at `end_s`."""
        with self._lock:
            heapq.heappush(self._ends, end_s)
