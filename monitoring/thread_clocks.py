"""What the threads of one process used so far: CPU, waits for one, context switches. The sums never fall.

Listing the threads costs as much as reading two of them, so it is done when their number changed, when one of them is
gone, and once a second. A thread that came and went in between is found by the process's own clock (`process_reader`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinchpoint.monitoring.procfs import NS_PER_S, KeptFile, parse_schedstat, parse_switches

if TYPE_CHECKING:
    from pinchpoint.monitoring.procfs import DescriptorBudget

LIST_EVERY = 10
"""Reads between two listings, whatever the number of threads says."""
SWITCHES_EVERY = 5
"""Reads between two readings of the context switches: they cost six times what the clock costs."""


class ThreadClock:
    """What one thread used so far."""

    __slots__ = (
        "_budget",
        "_counted_slices",
        "_raw",
        "_schedstat",
        "_status",
        "_status_path",
        "gone",
        "moved",
        "run_ns",
        "slices",
        "switches",
        "tid",
        "wait_ns",
    )

    def __init__(self, pid: int, tid: int, budget: DescriptorBudget) -> None:
        self.tid = tid
        self._budget = budget
        self._status_path = f"/proc/{pid}/task/{tid}/status"
        self._status: KeptFile | None = None
        self._schedstat = KeptFile(f"/proc/{pid}/task/{tid}/schedstat", budget)
        self._raw: bytes | None = None
        self._counted_slices = -1
        self.run_ns = self.wait_ns = self.slices = 0
        self.switches: tuple[int, int] | None = None
        self.gone = False
        self.moved = False
        """Between the last two reads."""

    def read(self) -> bool:
        """Read the clock again; says whether it moved. A thread that is gone keeps its last figures."""
        data = self._schedstat.read()
        if data == self._raw:
            self.moved = False
            return False
        clock = parse_schedstat(data) if data is not None else None
        if clock is None:
            self.gone, self.moved = True, False
            return False
        self._raw = data
        self.run_ns, self.wait_ns, self.slices = clock
        self.moved = True
        return True

    def read_switches(self) -> None:
        """Read the context switches again; a thread that was not put on a CPU cannot have switched."""
        if self.slices == self._counted_slices:
            return
        self._counted_slices = self.slices
        if self._status is None:
            self._status = KeptFile(self._status_path, self._budget)
        data = self._status.read()
        self.switches = (parse_switches(data) if data is not None else None) or self.switches

    def close(self) -> None:
        """Give the descriptors back."""
        self._schedstat.close()
        if self._status is not None:
            self._status.close()


class ThreadClocks:
    """The clocks of all threads of a process, ended ones included in the sums."""

    def __init__(self, pid: int, budget: DescriptorBudget) -> None:
        self._pid = pid
        self._budget = budget
        self.alive: dict[int, ThreadClock] = {}
        self._ended_run_ns = self._ended_wait_ns = 0
        self._ended_switches = (0, 0)
        self._reads = 0

    def read(self, threads: int) -> None:
        """Read every thread again; `threads` is how many there are."""
        if len(self.alive) != threads or self._reads % LIST_EVERY == 0:
            self._list()
        switches = self._reads % SWITCHES_EVERY == 0
        self._reads += 1
        lost = False
        for clock in self.alive.values():
            clock.read()
            lost |= clock.gone
            if switches or clock.switches is None:
                clock.read_switches()
        if lost:
            self._list()

    def _list(self) -> None:
        try:
            tids = {int(name) for name in os.listdir(f"/proc/{self._pid}/task")}  # noqa: PTH208 - hot
        except OSError:
            return
        for tid in [tid for tid, clock in self.alive.items() if clock.gone or tid not in tids]:
            self.retire(self.alive.pop(tid))
        for tid in tids - self.alive.keys():
            clock = self.alive[tid] = ThreadClock(self._pid, tid, self._budget)
            clock.read()
            clock.read_switches()

    def retire(self, clock: ThreadClock) -> None:
        """Keep in the sums what an ended thread used."""
        self._ended_run_ns += clock.run_ns
        self._ended_wait_ns += clock.wait_ns
        if clock.switches is not None:
            voluntary, involuntary = self._ended_switches
            self._ended_switches = (voluntary + clock.switches[0], involuntary + clock.switches[1])
        clock.close()

    def sched(self) -> tuple[float, float] | None:
        """Return (CPU, run-queue wait) in seconds over all threads seen; None where the kernel does not count.

        A kernel without scheduler statistics prints zeros, and a living process was put on a CPU at least once.
        """
        run_ns, wait_ns, counted = self._ended_run_ns, self._ended_wait_ns, False
        for clock in self.alive.values():
            run_ns += clock.run_ns
            wait_ns += clock.wait_ns
            counted = counted or clock.slices > 0
        return (run_ns / NS_PER_S, wait_ns / NS_PER_S) if counted else None

    def switches(self) -> tuple[int, int] | None:
        """Return (voluntary, involuntary) context switches over all threads seen; None before the first."""
        voluntary, involuntary = self._ended_switches
        known = False
        for clock in self.alive.values():
            if clock.switches is not None:
                known = True
                voluntary += clock.switches[0]
                involuntary += clock.switches[1]
        return (voluntary, involuntary) if known else None

    def close(self) -> None:
        """Give every descriptor back."""
        for clock in self.alive.values():
            clock.close()
        self.alive.clear()
