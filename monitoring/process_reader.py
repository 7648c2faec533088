"""One process of the target, read ten times a second: cumulative counters that never fall, gauges as they are.

CPU comes from two lower bounds of the truth. `task/*/schedstat` counts nanoseconds but forgets threads that ended
between two reads; `/proc/PID/stat` keeps ended threads but truncates to clock ticks (10 ms). The sum over threads
leads, and whenever the ticks are ahead of it the difference is booked as the CPU of ended threads: exact while threads
live, at most two ticks short while they come and go, and never falling.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol

from pinchpoint.monitoring.procfs import (
    NS_PER_S,
    DescriptorBudget,
    KeptFile,
    number_after,
    parse_schedstat,
    parse_stat,
    parse_switches,
)
from pinchpoint.monitoring.threads import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pinchpoint.rows import ProcessRow

PSS_INTERVAL_S = 1.0
PSS_COST_SHARE = 0.002
"""`smaps_rollup` walks the page tables under the target's mmap lock: a big process is asked less than once a second."""


class PageLike(Protocol):
    """What the sampler needs of a probe page (`monitoring.pages.Page`)."""

    @property
    def pid(self) -> int:
        """The process that writes the page."""

    @property
    def published_s(self) -> float:
        """`time.monotonic()` of the last write."""

    @property
    def fields(self) -> Mapping[str, float]:
        """Available fields, by the names of `monitoring/probe/layout.py`."""


class _ThreadClock:
    """What one thread used so far."""

    def __init__(self, pid: int, tid: int, budget: DescriptorBudget) -> None:
        self._budget = budget
        self._status_path = f"/proc/{pid}/task/{tid}/status"
        self._status: KeptFile | None = None
        self._schedstat = KeptFile(f"/proc/{pid}/task/{tid}/schedstat", budget)
        self.run_ns = self.wait_ns = self.slices = 0
        self.switches: tuple[int, int] | None = None

    def read(self) -> None:
        """Read the thread again; one that is gone keeps its last figures."""
        data = self._schedstat.read()
        clock = parse_schedstat(data) if data is not None else None
        if clock is None:
            return
        active = clock[2] != self.slices or self.switches is None
        self.run_ns, self.wait_ns, self.slices = clock
        if active:  # a thread that was not put on a CPU cannot have switched: idle pool threads cost one read, not two
            self._read_switches()

    def _read_switches(self) -> None:
        if self._status is None:
            self._status = KeptFile(self._status_path, self._budget)
        data = self._status.read()
        self.switches = (parse_switches(data) if data is not None else None) or self.switches

    def close(self) -> None:
        self._schedstat.close()
        if self._status is not None:
            self._status.close()


class ProcessReader:
    """Reads one process until it is gone."""

    def __init__(
        self,
        pid: int,
        budget: DescriptorBudget,
        *,
        pss_offset_s: float = 0.0,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pid = pid
        self._budget = budget
        self._timer = timer
        self._stat = KeptFile(f"/proc/{pid}/stat", budget)
        self._io = KeptFile(f"/proc/{pid}/io", budget)
        self._smaps = KeptFile(f"/proc/{pid}/smaps_rollup", budget)
        self._threads: dict[int, _ThreadClock] = {}
        self._ended_run_ns = self._ended_wait_ns = 0
        self._ended_switches = (0, 0)
        self._unseen_s = 0.0
        self._watch: LoopWatch | None = None
        self._loop_base_ns = (0, 0)
        self._pss_due_s = timer() + pss_offset_s

    def look(self, page: PageLike | None) -> None:
        """Look once at what the loop thread (or the leader) is doing."""
        named = page is not None and "loop_tid" in page.fields
        self._follow_loop(page).look(has_loop=named)

    def read(self, t_s: float, role: str, page: PageLike | None) -> ProcessRow | None:
        """Return the process's row at `t_s`, or None when it has ended."""
        data = self._stat.read()
        stat = parse_stat(data) if data is not None else None
        if stat is None or stat.state in "ZX":
            return None
        self._read_threads()
        watch = self._follow_loop(page)
        runs, loop = self._sched(), self._loop_clock(watch.tid)
        switches = self._switches()
        read_bytes, write_bytes = self._read_io()
        return {
            "pid": self.pid,
            "role": role,
            "cpu_s": self._cpu(stat.cpu_s, runs),
            "runq_s": runs[1] if runs else None,
            "loop_cpu_s": loop[0] if loop else None,
            "loop_runq_s": loop[1] if loop else None,
            "loop_states": watch.counts(),
            "threads": stat.threads,
            "fds": self._count_fds(),
            "rss_bytes": stat.rss_bytes,
            "pss_bytes": self._read_pss(),
            "ctx_voluntary": switches[0] if switches else None,
            "ctx_involuntary": switches[1] if switches else None,
            "major_faults": stat.major_faults,
            "read_bytes": read_bytes,
            "write_bytes": write_bytes,
            "probe": dict(page.fields) if page is not None else None,
            "probe_age_s": max(t_s - page.published_s, 0.0) if page is not None else None,
        }

    def close(self) -> None:
        """Give every descriptor back."""
        for kept in (self._stat, self._io, self._smaps, self._watch, *self._threads.values()):
            if kept is not None:
                kept.close()
        self._threads.clear()

    def _follow_loop(self, page: PageLike | None) -> LoopWatch:
        tid = int(page.fields.get("loop_tid", self.pid)) if page is not None else self.pid
        if self._watch is None:
            self._watch = LoopWatch(self.pid, tid, self._budget)
        elif self._watch.tid != tid:
            old, new = self._threads.get(self._watch.tid), self._threads.get(tid)
            # The counter goes on from where the other thread left it: readers take differences.
            run, wait = self._loop_base_ns
            self._loop_base_ns = (
                run + (old.run_ns if old else 0) - (new.run_ns if new else 0),
                wait + (old.wait_ns if old else 0) - (new.wait_ns if new else 0),
            )
            self._watch.follow(self.pid, tid, self._budget)
        return self._watch

    def _read_threads(self) -> None:
        try:
            tids = {int(name) for name in os.listdir(f"/proc/{self.pid}/task")}  # noqa: PTH208 - likewise
        except OSError:
            return
        for tid in tids - self._threads.keys():
            self._threads[tid] = _ThreadClock(self.pid, tid, self._budget)
        for tid in self._threads.keys() - tids:
            self._retire(self._threads.pop(tid))
        for clock in self._threads.values():
            clock.read()

    def _retire(self, clock: _ThreadClock) -> None:
        self._ended_run_ns += clock.run_ns
        self._ended_wait_ns += clock.wait_ns
        if clock.switches is not None:
            voluntary, involuntary = self._ended_switches
            self._ended_switches = (voluntary + clock.switches[0], involuntary + clock.switches[1])
        clock.close()

    def _sched(self) -> tuple[float, float] | None:
        """Return (CPU, run-queue wait) in seconds over all threads seen; None where the kernel does not count.

        A kernel without scheduler statistics prints zeros, and a living process was put on a CPU at least once.
        """
        if not any(clock.slices for clock in self._threads.values()):
            return None
        run_ns = self._ended_run_ns + sum(clock.run_ns for clock in self._threads.values())
        wait_ns = self._ended_wait_ns + sum(clock.wait_ns for clock in self._threads.values())
        return run_ns / NS_PER_S, wait_ns / NS_PER_S

    def _loop_clock(self, tid: int) -> tuple[float, float] | None:
        clock = self._threads.get(tid)
        if clock is None or clock.slices == 0:
            return None
        run, wait = self._loop_base_ns
        return (run + clock.run_ns) / NS_PER_S, (wait + clock.wait_ns) / NS_PER_S

    def _cpu(self, ticks_s: float, runs: tuple[float, float] | None) -> float:
        seen = (runs[0] if runs else 0.0) + self._unseen_s
        self._unseen_s += max(ticks_s - seen, 0.0)
        return max(seen, ticks_s)

    def _switches(self) -> tuple[int, int] | None:
        counts = [clock.switches for clock in self._threads.values()]
        known = [count for count in counts if count is not None]
        if not known:
            return None
        voluntary, involuntary = self._ended_switches
        return voluntary + sum(count[0] for count in known), involuntary + sum(count[1] for count in known)

    def _read_io(self) -> tuple[int | None, int | None]:
        data = self._io.read()
        if data is None:
            return None, None
        return number_after(data, b"\nread_bytes:"), number_after(data, b"\nwrite_bytes:")

    def _count_fds(self) -> int | None:
        """Count descriptors: since Linux 6.2 the folder's size says it; before, its size is 0 and they are listed."""
        folder = f"/proc/{self.pid}/fd"
        try:
            return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 - ten times a second
        except OSError:
            return None

    def _read_pss(self) -> int | None:
        started_s = self._timer()
        if started_s < self._pss_due_s:
            return None
        data = self._smaps.read()
        spent_s = self._timer() - started_s
        self._pss_due_s = started_s + max(PSS_INTERVAL_S, spent_s / PSS_COST_SHARE)
        kib = number_after(data, b"\nPss:") if data is not None else None
        return None if kib is None else kib * 1024
