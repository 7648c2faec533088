"""When requests are due: one schedule of arrivals for an open load. Pure: no clock, no sleep.

Arrival `k` is due where the integral of the rate (see `curves`) reaches `S_k`, so every curve keeps its exact integral.
Poisson arrivals take `S_k` as uniform order statistics (time rescaling of a Poisson process, given its count), even
ones `k + 0.5`.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from pinchpoint.stress.curves import Curve, Line

Spacing = Literal["poisson", "even"]
CHUNK_ARRIVALS = 10_000
"""Drawn at once: 0.7 ms of work."""


def poisson_marks(seed: int | Sequence[int], total: float, part: int = 0, parts: int = 1) -> Iterator[float]:
    """Yield the growing marks of a Poisson process given its count, round(total); after the last one infinity.

    Given their number, the points of a Poisson process are independent and uniform. Fixing the number keeps the bursts
    and takes away what only blurs a short step: 100/s for 2 s is 200 arrivals, not 200 ± 14. A long segment is drawn
    in chunks, so that an hour of it needs no memory.

    Args:
        seed: of the source, not negative; each part needs its own.
        total: integral of the whole rate.
        part: which share of the points to yield, 0-based. All parts together have exactly round(total), and because
            points of any part are independent and uniform, so are those of all parts together.
        parts: how many shares there are.

    """
    source = np.random.default_rng(seed)
    first = 0.0
    while first < total:
        last = min(first + CHUNK_ARRIVALS, total)
        count = share_users(round(last) - round(first), part, parts)
        yield from np.sort(source.uniform(first, last, count)).tolist()
        first = last
    while True:
        yield math.inf


def even_marks(part: int = 0, parts: int = 1) -> Iterator[float]:
    """Yield every `parts`-th of 0.5, 1.5, 2.5, ..., from the `part`-th (0-based) on: the parts interleave."""
    mark = part + 0.5
    while True:
        yield mark
        mark += parts


class Arrivals:
    """The arrivals of one segment: due ones wait in order until a user claims them."""

    def __init__(self, curve: Curve, start_s: float, marks: Iterator[float]) -> None:
        """Start a schedule at `start_s` (any clock; the same one is given to `advance`)."""
        self._due = _due(curve, start_s, marks)
        self._waiting: deque[float] = deque()
        self.next_due_s: float | None = next(self._due, None)
        """When the next arrival is due; None once the schedule is exhausted."""
        self.end_s = start_s + curve.seconds

    @property
    def waiting(self) -> int:
        """Arrivals that are due and unclaimed."""
        return len(self._waiting)

    def any_due(self, now_s: float) -> bool:
        """Tell whether an arrival is due and unclaimed at `now_s`."""
        return bool(self._waiting) or (self.next_due_s is not None and self.next_due_s <= now_s)

    def advance(self, now_s: float) -> int:
        """Let time pass; return how many arrivals became due up to and at `now_s`."""
        count = 0
        while self.next_due_s is not None and self.next_due_s <= now_s:
            self._waiting.append(self.next_due_s)
            self.next_due_s = next(self._due, None)
            count += 1
        return count

    def claim(self) -> float | None:
        """Take the oldest arrival that is due and return when it was due; None when there is none."""
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> list[float]:
        """End the schedule; return when those were due that nobody claimed."""
        unsent = list(self._waiting)
        self._waiting.clear()
        self.next_due_s = None
        return unsent


def _due(curve: Curve, start_s: float, marks: Iterator[float]) -> Iterator[float]:
    """Yield when the arrivals are due. A constant rate, the usual case, needs no more than a division."""
    first = curve.pieces[0]
    if len(curve.pieces) == 1 and isinstance(first, Line) and first.start_rps == first.end_rps:
        rate_rps, total = first.start_rps, curve.total
        for mark in marks:
            if mark > total or not rate_rps:
                return
            yield start_s + mark / rate_rps
    for mark in marks:
        reached_s = curve.reached_s(mark)
        if reached_s == math.inf:
            return
        yield start_s + reached_s


def share_users(total: int, part: int, parts: int) -> int:
    """Return share `part` (0-based) of `total` users or arrivals split over `parts`; the shares sum to the total."""
    return total // parts + (1 if part < total % parts else 0)
