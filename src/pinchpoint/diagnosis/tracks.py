"""One process through one time window: its first and last row, and what grew between them.

Counters are cumulative per process, so a quantity is last minus first. Probe counters are timed by the moment their
page was published, not by the tick that read it: a worker whose threads starve publishes late. A counter that falls (a
pid used again) gives no figure for that process.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pinchpoint.rows import ProcessRow, SampleRow

MIN_LOOKS = 20
"""Looks at a loop thread needed before their shares mean anything: the standard error of a half is then 0.11."""

STANDING_STILL = ("sleep", "socket", "disk")
"""States of a loop's thread, seen from outside, in which a call inside the loop blocks it."""


@dataclass(frozen=True, slots=True)
class Track:
    """One process's first and last row in a window."""

    pid: int
    role: str
    seconds: float
    first: ProcessRow
    last: ProcessRow
    probe_seconds: float | None
    """Time between the two published probe pages; None when the page did not change or there is none."""
    rss: list[float]
    pss: list[float]

    def delta(self, key: str) -> float | None:
        """Growth of one of the row's counters, or None."""
        return difference(self.first.get(key), self.last.get(key))

    def rate(self, key: str) -> float | None:
        """Growth per second of one of the row's counters."""
        return per(self.delta(key), self.seconds)

    def probe_delta(self, key: str) -> float | None:
        """Growth of a probe counter."""
        if self.probe_seconds is None:
            return None
        before = self.first["probe"] or {}
        after = self.last["probe"] or {}
        # A hook's counter appears with its first event: before that it had counted nothing.
        start = before.get(key, 0.0 if key in after else None)
        return difference(start, after.get(key))

    def probe_rate(self, key: str) -> float | None:
        """Growth per second of a probe counter: the mean of a gauge, when the counter is its integral."""
        return per(self.probe_delta(key), self.probe_seconds)

    def gauge(self, key: str) -> float | None:
        """Last value of a probe gauge."""
        return (self.last["probe"] or {}).get(key)

    def looks(self) -> dict[str, float] | None:
        """Shares of the loop thread's states, or None when it was looked at too rarely."""
        before, after = self.first.get("loop_states") or {}, self.last.get("loop_states")
        if not after:
            return None
        counts = {key: after[key] - before.get(key, 0) for key in after if key != "samples"}
        total = sum(counts.values())
        if total < MIN_LOOKS or min(counts.values()) < 0:
            return None
        return {key: count / total for key, count in counts.items()}

    def has_loop(self) -> bool | None:
        """Say whether the process serves on an event loop; None when its probe has not said."""
        page = self.last["probe"] or {}
        if "loop_tid" in page:
            return True
        return False if "requests_started" in page else None

    def loop_busy(self) -> float | None:
        """Busy share of the event loop: from the probe, else (uvloop, no probe) from looks at its thread."""
        if self.has_loop() is False:
            return None
        busy = self.probe_rate("loop_busy_s")
        if busy is not None:
            return min(busy, 1.0)
        looks = self.looks()
        return None if looks is None else 1.0 - looks.get("idle", 0.0)

    def loop_blocked(self) -> float | None:
        """Share of time the loop was busy, but neither running nor runnable nor waiting for the GIL.

        A loop that shares its process with computing threads waits for the GIL at a futex, which is computing and not a
        blocking call (METHOD §3.2); but only for as long as those threads run or want to. The rest is a lock.
        """
        busy, cpu, runq = self.loop_busy(), self.rate("loop_cpu_s"), self.rate("loop_runq_s")
        looks = self.looks()
        if busy is None:
            return None
        if cpu is None or runq is None:
            # Starved of CPU and blocked would look the same; the looks tell them apart.
            return None if looks is None else sum(looks.get(state, 0.0) for state in STANDING_STILL)
        return max(0.0, busy - cpu - runq - min((looks or {}).get("futex", 0.0), self._others_run(cpu, runq)))

    def _others_run(self, loop_cpu: float, loop_runq: float) -> float:
        """Return for how long its other threads ran or wanted to, per second; where nobody knows, all the time."""
        cpu, runq = self.rate("cpu_s"), self.rate("runq_s")
        return math.inf if cpu is None or runq is None else max(0.0, cpu + runq - loop_cpu - loop_runq)


def difference(before: object, after: object) -> float | None:
    """Return the growth of a counter; None when a reading is missing or it fell."""
    if not isinstance(before, (int, float)) or not isinstance(after, (int, float)):
        return None
    return after - before if after >= before else None


def per(amount: float | None, base: float | None) -> float | None:
    """Return a ratio; None when a part is missing or the base is not positive."""
    return None if amount is None or base is None or base <= 0 else amount / base


def tracks(rows: Sequence[SampleRow]) -> list[Track]:
    """First and last row of every process in the window, in pid order; processes seen once are left out."""
    seen: dict[int, list[tuple[float, ProcessRow]]] = {}
    for row in rows:
        for process in row["processes"]:
            seen.setdefault(process["pid"], []).append((row["t_s"], process))
    found = []
    for pid, entries in sorted(seen.items()):
        (t_first, first), (t_last, last) = entries[0], entries[-1]
        if t_last <= t_first:
            continue
        found.append(
            Track(
                pid=pid,
                role=last["role"],
                seconds=t_last - t_first,
                first=first,
                last=last,
                probe_seconds=_probe_seconds(entries),
                rss=[float(p["rss_bytes"]) for _, p in entries if p["rss_bytes"] is not None],
                pss=[float(p["pss_bytes"]) for _, p in entries if p["pss_bytes"] is not None],
            )
        )
    return found


def _probe_seconds(entries: Sequence[tuple[float, ProcessRow]]) -> float | None:
    (t_first, first), (t_last, last) = entries[0], entries[-1]
    if not last["probe"]:
        return None
    # A page that appeared inside the window has counted since then; its counters started at 0.
    end = t_last - (last["probe_age_s"] or 0.0)
    start = t_first - (first["probe_age_s"] or 0.0) if first["probe"] else t_first
    return end - start if end > start else None
