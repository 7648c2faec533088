"""Ceilings that a core's speed sets, and how fast a core is now.

Costs in CPU time are true for the machine they were measured on, at its best. A virtual core runs at half that when its
host is busy, so whoever compares such a ceiling with a measurement also measures the pace before and after it.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from .case import Rate

STEPS = 20_000
STEPS_S = 0.00091
"""Wall time of STEPS at pace 1: the machine of docs/faults.md with nothing else on it, Python 3.11."""


@dataclass(frozen=True)
class CpuRate:
    """A ceiling in requests per second: full cores over CPU time per request."""

    cost_ms: float
    """CPU time per request and unit of severity, in milliseconds at pace 1."""
    base_ms: float
    """CPU time per request whatever the severity."""
    cores: float = 1.0

    def __call__(self, severity: float) -> float:
        """Return the ceiling at pace 1."""
        return 1000.0 * self.cores / (self.cost_ms * severity + self.base_ms)


@dataclass(frozen=True)
class SharedRate:
    """The ceiling of a core that is cut in pieces, one over `severity` (a quota) or over `others + severity`."""

    base_ms: float
    cores: float = 1.0
    others: float = 0.0

    def __call__(self, severity: float) -> float:
        """Return the ceiling at pace 1."""
        return 1000.0 * self.cores / ((self.others + severity) * self.base_ms)


def pace(seconds: float = 0.5, *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the speed of this core over the next `seconds`: 1 is `STEPS` in `STEPS_S`, less is slower.

    The median of many rounds: a host that stops this machine for a second says nothing about the seconds beside it.
    """
    begun = now = clock()
    took: list[float] = []
    while now - begun < seconds or not took:
        _work()
        before, now = now, clock()
        took.append(now - before)
    return STEPS_S / statistics.median(took)


def pace_of(cpu: int, seconds: float = 0.5) -> float:
    """Return the pace of one CPU, which nothing else of ours should keep busy; this thread goes there meanwhile."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        return pace(seconds)
    finally:
        os.sched_setaffinity(0, allowed)


def paced(rate: Rate | None, severity: float, measured: float | None) -> float | None:
    """Return a ceiling at the pace that was measured; None without a ceiling, and as stated without a pace."""
    if rate is None or measured is None or not isinstance(rate, CpuRate | SharedRate):
        return None if rate is None else rate(severity)
    return measured * rate(severity)


def _work() -> int:
    total = 0
    for number in range(STEPS):
        total = (total * 31 + number) % 1_000_003
    return total
