"""Ceilings that a core's speed sets, and how fast a core is now.

Costs in CPU time are true for the machine they were measured on, at its best. A virtual core runs at half that when its
host is busy, for seconds at a time: whoever compares such a ceiling with a measurement measures the pace meanwhile.
"""

import json
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from .case import Rate

Kind = Literal["loop", "objects"]
"""What a core is busy with: arithmetic in a loop, which fits into its nearest cache, or objects, strings and rows."""

STEPS = 10_000
PAGES, READS, WIDE = 3, 250, 400_000
AT_PACE_1_S: dict[Kind, float] = {"loop": 0.00046, "objects": 0.00059}
"""CPU time of each kind of work at pace 1: the machine of docs/faults.md with nothing else on it, Python 3.11."""

Paces = Mapping[Kind, float]
Reading = tuple[float, dict[Kind, float]]
"""(`time.monotonic()`, pace of each kind)."""


@dataclass(frozen=True)
class CpuRate:
    """A ceiling in requests per second: full cores over CPU time per request."""

    cost_ms: float
    """CPU time per request and unit of severity, in milliseconds at pace 1."""
    base_ms: float
    """CPU time per request whatever the severity."""
    cores: float = 1.0
    kind: Kind = "objects"

    def __call__(self, severity: float) -> float:
        """Return the ceiling at pace 1."""
        return 1000.0 * self.cores / (self.cost_ms * severity + self.base_ms)


@dataclass(frozen=True)
class SharedRate:
    """The ceiling of a core that is cut in pieces, one over `severity` (a quota) or over `others + severity`."""

    base_ms: float
    cores: float = 1.0
    others: float = 0.0
    kind: Kind = "objects"

    def __call__(self, severity: float) -> float:
        """Return the ceiling at pace 1."""
        return 1000.0 * self.cores / ((self.others + severity) * self.base_ms)


EVERY_S = 0.5
"""Between two readings of a `PaceMeter`: 2 ms of work each, 0.4 % of the core."""

LEAST_READINGS = 3


class PaceMeter:
    """Reads the pace of one CPU, now and then, while something else keeps it busy; a context manager.

    By the CPU time of its own thread, so that waiting for the core counts for nothing.
    """

    def __init__(
        self, cpu: int, every_s: float = EVERY_S, works: Mapping[Kind, Callable[[], int]] | None = None
    ) -> None:
        """Read the pace of `cpu` every `every_s` seconds; each of `works` takes `AT_PACE_1_S` at pace 1."""
        self._cpu = cpu
        self._every_s = every_s
        self._works = works or {"loop": count_up, "objects": Work()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pace-meter", daemon=True)
        self.readings: list[Reading] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; the readings stay."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        os.sched_setaffinity(0, {self._cpu})  # of this thread alone
        while not self._stop.wait(self._every_s):
            found: dict[Kind, float] = {}
            for kind, work in self._works.items():
                work()  # brings its code and data back into the caches
                before_s = time.thread_time()
                work()
                found[kind] = AT_PACE_1_S[kind] / max(time.thread_time() - before_s, 1e-9)
            self.readings.append((time.monotonic(), found))


def mean_pace(readings: Sequence[Reading], windows: Sequence[tuple[float, float]]) -> dict[Kind, float] | None:
    """Return the mean paces within some windows, over all readings where those hold fewer than three; None for none."""
    inside = [one for at_s, one in readings if any(start_s <= at_s < end_s for start_s, end_s in windows)]
    taken = inside if len(inside) >= LEAST_READINGS else [one for _, one in readings]
    return {kind: statistics.fmean(one[kind] for one in taken) for kind in taken[0]} if taken else None


def paced(rate: Rate | None, severity: float, measured: Paces | None) -> float | None:
    """Return a ceiling at the pace that was measured; None without a ceiling, and as stated without a pace."""
    if rate is None or measured is None or not isinstance(rate, CpuRate | SharedRate):
        return None if rate is None else rate(severity)
    return measured[rate.kind] * rate(severity)


def count_up() -> int:
    """Return a remainder, after a loop of small sums."""
    total = 0
    for number in range(STEPS):
        total = (total * 31 + number) % 1_000_003
    return total


class Work:
    """What a small endpoint does, a few times: read JSON, make objects, sort them, write JSON; and walk a wide table.

    A host that is busy slows code that misses the caches by more than it slows arithmetic.
    """

    def __init__(self) -> None:
        source = random.Random(1)  # noqa: S311 - a fixed order, no secret
        rows = [{"id": one, "name": f"Item {one}", "price": one * 1.25, "tags": ["a", str(one)]} for one in range(150)]
        self._text = json.dumps(rows)
        self._wide = [str(one) for one in range(WIDE)]
        self._walk = [source.randrange(WIDE) for _ in range(READS)]

    def __call__(self) -> int:
        """Do it once; return something that depends on all of it."""
        size = sum(len(self._wide[place]) for place in self._walk)
        for _ in range(PAGES):
            made = [Row(one["id"], one["name"].upper(), one["price"]) for one in json.loads(self._text)]
            by_name = {one.name: one for one in made}
            ranked = sorted(by_name.values(), key=lambda one: -one.price)
            size += len(json.dumps([{"id": one.id, "name": one.name} for one in ranked]))
        return size


@dataclass
class Row:
    """One row of a page."""

    id: int
    name: str
    price: float
