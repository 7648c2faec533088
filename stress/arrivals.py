"""When requests are due: one schedule of arrivals for an open load. Pure: no clock, no sleep.

Arrival `k` is due where the integral of the rate reaches `S_k`, so a linear ramp keeps its exact integral. Poisson
arrivals take `S_k` as uniform order statistics (time rescaling of a Poisson process, given its count), even ones
`k + phase`.
"""

import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Spacing = Literal["poisson", "even"]
CHUNK_ARRIVALS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Arrivals per second over one segment: constant, or a straight line from start to end."""

    start_rps: float
    end_rps: float
    duration_s: float

    def __post_init__(self) -> None:
        """Refuse what has no schedule.

        Raises:
            ValueError: a negative or endless rate, or a duration that is not positive.

        """
        numbers = (self.start_rps, self.end_rps, self.duration_s)
        if not all(math.isfinite(number) for number in numbers) or min(numbers) < 0 or self.duration_s == 0:
            message = f"no schedule from {self.start_rps} to {self.end_rps} requests/s over {self.duration_s} s"
            raise ValueError(message)

    def total(self) -> float:
        """Return the expected number of arrivals: the integral of the rate."""
        return (self.start_rps + self.end_rps) / 2 * self.duration_s

    def reached_s(self, arrivals: float) -> float:
        """Return the seconds after which the integral reaches `arrivals`; infinite when it never does.

        Root of `start t + slope t² / 2 = arrivals`, in the form that stays exact when the slope goes to 0.
        """
        if arrivals > self.total():
            return math.inf
        slope = (self.end_rps - self.start_rps) / self.duration_s
        root = math.sqrt(max(0.0, self.start_rps**2 + 2 * slope * arrivals))
        divisor = self.start_rps + root
        if divisor == 0:
            return 0.0 if arrivals == 0 and self.total() > 0 else math.inf
        return min(2 * arrivals / divisor, self.duration_s)


def poisson_marks(seed: int | str, total: float, part: int = 0, parts: int = 1) -> Iterator[float]:
    """Yield the growing marks of a Poisson process given its count, round(total); after the last one infinity.

    Given their number, the points of a Poisson process are independent and uniform. Fixing the number keeps the bursts
    and takes away what only blurs a short step: 100/s for 2 s is 200 arrivals, not 200 ± 14. A long segment is drawn
    in chunks, so that an hour of it needs no memory.

    Args:
        seed: of the source; each part needs its own.
        total: integral of the whole rate.
        part: which share of the points to yield, 0-based. All parts together have exactly round(total), and because
            points of any part are independent and uniform, so are those of all parts together.
        parts: how many shares there are.

    """
    source = random.Random(seed)  # noqa: S311 - a schedule needs a repeatable source, not a secret one
    first = 0.0
    while first < total:
        last = min(first + CHUNK_ARRIVALS, total)
        count = share_users(round(last) - round(first), part, parts)
        yield from sorted(source.uniform(first, last) for _ in range(count))
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

    def __init__(self, rate: Rate, start_s: float, marks: Iterator[float]) -> None:
        """Start a schedule at `start_s` (any clock; the same one is given to `advance`)."""
        self._rate = rate
        self._start_s = start_s
        self._marks = marks
        self._next_s = self._draw()
        self._waiting: deque[float] = deque()
        self.end_s = start_s + rate.duration_s

    @property
    def next_due_s(self) -> float | None:
        """When the next arrival is due; None once the schedule is exhausted."""
        return self._next_s

    @property
    def waiting(self) -> int:
        """Arrivals that are due and unclaimed."""
        return len(self._waiting)

    def advance(self, now_s: float) -> int:
        """Let time pass; return how many arrivals became due up to and at `now_s`."""
        count = 0
        while self._next_s is not None and self._next_s <= now_s:
            self._waiting.append(self._next_s)
            self._next_s = self._draw()
            count += 1
        return count

    def claim(self) -> float | None:
        """Take the oldest arrival that is due and return when it was due; None when there is none."""
        return self._waiting.popleft() if self._waiting else None

    def give_back(self, due_s: float) -> None:
        """Return a claim that could not be taken; it is the oldest again."""
        self._waiting.appendleft(due_s)

    def close(self) -> int:
        """End the schedule; return how many due arrivals nobody claimed."""
        unsent = len(self._waiting)
        self._waiting.clear()
        self._next_s = None
        return unsent

    def _draw(self) -> float | None:
        reached_s = self._rate.reached_s(next(self._marks))
        return None if math.isinf(reached_s) else self._start_s + reached_s


def share_users(total: int, part: int, parts: int) -> int:
    """Return share `part` (0-based) of `total` users or arrivals split over `parts`; the shares sum to the total."""
    return total // parts + (1 if part < total % parts else 0)
