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

from pinchpoint.monitoring.procfs import NS_PER_S, DescriptorBudget, KeptFile, number_after, parse_stat, read_once
from pinchpoint.monitoring.thread_clocks import ThreadClocks
from pinchpoint.monitoring.thread_states import LOOP_STATE, ThreadStates
from pinchpoint.monitoring.threads import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinchpoint.monitoring.sockets import SocketPeers
    from pinchpoint.rows import ProcessRow

SLOW_EVERY = 5
"""Ticks between two readings of descriptors and bytes on disk; in between the last figures stand."""
PSS_INTERVAL_S = 2.0
PSS_MOVED = 0.005
PSS_STILL_S = 8.0
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
    def fields(self) -> dict[str, float]:
        """Available fields, by the names of `monitoring/probe/layout.py`; nobody changes them."""


class ProcessReader:
    """Reads one process until it is gone."""

    def __init__(
        self,
        pid: int,
        budget: DescriptorBudget,
        *,
        sockets: SocketPeers | None = None,
        pss_offset_s: float = 0.0,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pid = pid
        self._budget = budget
        self._timer = timer
        self._stat = KeptFile(f"/proc/{pid}/stat", budget)
        self._io = KeptFile(f"/proc/{pid}/io", budget)
        self._clocks = ThreadClocks(pid, budget)
        self._states = ThreadStates(pid, self._clocks, budget, sockets, timer) if sockets is not None else None
        self._stopped = False
        self._published_s = -1.0
        self._looked_page: PageLike | None = None
        self._named = False
        self._rests: bool | None = None
        self._ticks = 0
        self._fds: int | None = None
        self._io_bytes: tuple[int | None, int | None] = (None, None)
        self._unseen_s = 0.0
        self._watch: LoopWatch | None = None
        self._loop_base_ns = (0, 0)
        self._pss_due_s = timer() + pss_offset_s
        self._pss_again_s = 0.0
        self._pss_rss_bytes = 0
        self._pss_bytes: int | None = None

    def look(self, page: PageLike | None, *, loop: bool) -> None:
        """Look once at what the threads are doing; `loop`: count the loop's (or the leader's) by itself as well."""
        states, watch = self._states, self._watch
        if watch is None or page is not self._looked_page:
            watch = self._use_page(page)
        if states is not None:
            states.look(resting=self._rests, stopped=self._stopped)
            if self._rests:
                self._rests = False  # nothing newer was published by the next look
        if not loop:
            return
        state = states.state_of(watch.tid) if states is not None else None
        if state is None:
            watch.look(has_loop=self._named)
        else:
            watch.record(LOOP_STATE.get(state, state))

    def _use_page(self, page: PageLike | None) -> LoopWatch:
        """Take from a page, once, what the looks until the next one need to know."""
        self._looked_page = page
        watch = self._follow_loop(page)
        self._named = page is not None and "loop_tid" in page.fields
        if self._states is not None and self._named:
            self._states.mark_loop(watch.tid)
        if self._states is not None and page is not None and "probe_tid" in page.fields:
            self._states.leave_out(int(page.fields["probe_tid"]))
        self._rests = self._resting(page)
        return watch

    def _resting(self, page: PageLike | None) -> bool | None:
        """Say whether the process published, since the last look, that no request was in flight."""
        if page is None or "inflight" not in page.fields:
            return None
        fresh = page.published_s > self._published_s
        self._published_s = page.published_s
        return fresh and page.fields["inflight"] == 0

    def read(self, t_s: float, role: str, page: PageLike | None) -> ProcessRow | None:
        """Return the process's row at `t_s`, or None when it has ended."""
        data = self._stat.read()
        stat = parse_stat(data) if data is not None else None
        if stat is None or stat.state in "ZX":
            return None
        self._stopped = stat.state in "Tt"
        self._clocks.read(stat.threads)
        watch = self._follow_loop(page)
        runs, loop = self._clocks.sched(), self._loop_clock(watch.tid)
        switches = self._clocks.switches()
        if self._ticks % SLOW_EVERY == 0:
            self._fds = self._count_fds()
            self._io_bytes = self._read_io()
        self._ticks += 1
        row: ProcessRow = {
            "pid": self.pid,
            "role": role,
            "cpu_s": self._cpu(stat.cpu_s, runs),
            "runq_s": runs[1] if runs else None,
            "loop_cpu_s": loop[0] if loop else None,
            "loop_runq_s": loop[1] if loop else None,
            "loop_states": watch.counts(),
            "threads": stat.threads,
            "fds": self._fds,
            "rss_bytes": stat.rss_bytes,
            "pss_bytes": self._read_pss(stat.rss_bytes),
            "ctx_voluntary": switches[0] if switches else None,
            "ctx_involuntary": switches[1] if switches else None,
            "major_faults": stat.major_faults,
            "read_bytes": self._io_bytes[0],
            "write_bytes": self._io_bytes[1],
            "probe": page.fields if page is not None else None,
            "probe_age_s": max(t_s - page.published_s, 0.0) if page is not None else None,
        }
        if self._states is not None:
            row["thread_states"] = self._states.counts()
            row["peers"] = self._states.peers()
        return row

    def close(self) -> None:
        """Give every descriptor back."""
        for kept in (self._stat, self._io, self._watch, self._states, self._clocks):
            if kept is not None:
                kept.close()

    def _follow_loop(self, page: PageLike | None) -> LoopWatch:
        tid = int(page.fields.get("loop_tid", self.pid)) if page is not None else self.pid
        if self._watch is None:
            self._watch = LoopWatch(self.pid, tid, self._budget)
        elif self._watch.tid != tid:
            old, new = self._clocks.alive.get(self._watch.tid), self._clocks.alive.get(tid)
            # The counter goes on from where the other thread left it: readers take differences.
            run, wait = self._loop_base_ns
            self._loop_base_ns = (
                run + (old.run_ns if old else 0) - (new.run_ns if new else 0),
                wait + (old.wait_ns if old else 0) - (new.wait_ns if new else 0),
            )
            self._watch.follow(self.pid, tid, self._budget)
        return self._watch

    def _loop_clock(self, tid: int) -> tuple[float, float] | None:
        clock = self._clocks.alive.get(tid)
        if clock is None or clock.slices == 0:
            return None
        run, wait = self._loop_base_ns
        return (run + clock.run_ns) / NS_PER_S, (wait + clock.wait_ns) / NS_PER_S

    def _cpu(self, ticks_s: float, runs: tuple[float, float] | None) -> float:
        seen = (runs[0] if runs else 0.0) + self._unseen_s
        self._unseen_s += max(ticks_s - seen, 0.0)
        return max(seen, ticks_s)

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

    def _read_pss(self, rss_bytes: int) -> int | None:
        """Return the share of memory, when it is due; of a process whose resident memory stands still, the last one."""
        started_s = self._timer()
        if started_s < self._pss_due_s:
            return None
        moved = abs(rss_bytes - self._pss_rss_bytes) > rss_bytes * PSS_MOVED
        if not moved and started_s < self._pss_again_s:
            self._pss_due_s = started_s + PSS_INTERVAL_S
            return self._pss_bytes
        # Opened anew: a kept one stays with the memory that a process leaves behind when it execs.
        data = (read_once(f"/proc/{self.pid}/smaps_rollup") or "").encode()
        spent_s = self._timer() - started_s
        self._pss_due_s = started_s + max(PSS_INTERVAL_S, spent_s / PSS_COST_SHARE)
        self._pss_again_s = started_s + PSS_STILL_S
        kib = number_after(data, b"\nPss:")
        self._pss_rss_bytes, self._pss_bytes = rss_bytes, None if kib is None else kib * 1024
        return self._pss_bytes
