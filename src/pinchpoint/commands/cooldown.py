"""Wait between two runs until the machine is quiet, so that the end of one does not slow the start of the next."""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pinchpoint.monitoring.host import parse_cpu_times

QUIET_SHARE = 0.1
"""Of the cores' time, over `QUIET_FOR_S`: a stopping server or a report being written takes a core or more."""
QUIET_FOR_S = 1.0
LONGEST_S = 10.0
"""A machine that is never quiet is measured all the same; the table says so."""
_TICK_S = 0.25


@dataclass(frozen=True, slots=True)
class Rest:
    """How the wait went."""

    seconds: float
    busy: float
    """Share of the cores' time in use during the last second."""
    quiet: bool

    def __str__(self) -> str:
        if self.quiet:
            return f"quiet after {self.seconds:.1f} s"
        return f"not quiet after {self.seconds:.0f} s: {self.busy:.0%} of the cores' time is in use"


def busy_seconds() -> float:
    """Return the seconds that the cores we may use were busy since boot, summed."""
    times = parse_cpu_times(Path("/proc/stat").read_bytes()).per_cpu_busy_s
    return sum(times[cpu] for cpu in os.sched_getaffinity(0) if cpu < len(times))


def cool_down(
    busy_s: Callable[[], float] = busy_seconds,
    cores: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Rest:
    """Return once the cores were quiet for a second, or after `LONGEST_S`."""
    cores = cores or len(os.sched_getaffinity(0))
    began_s = clock()
    looks = deque([(began_s, busy_s())])
    while True:
        sleep(_TICK_S)
        now_s, now_busy_s = clock(), busy_s()
        looks.append((now_s, now_busy_s))
        while len(looks) > 2 and now_s - looks[1][0] >= QUIET_FOR_S:  # noqa: PLR2004 - two make a span
            looks.popleft()
        share = (now_busy_s - looks[0][1]) / ((now_s - looks[0][0]) * cores)
        if now_s - looks[0][0] >= QUIET_FOR_S and share <= QUIET_SHARE:
            return Rest(now_s - began_s, share, quiet=True)
        if now_s - began_s >= LONGEST_S:
            return Rest(now_s - began_s, share, quiet=False)
