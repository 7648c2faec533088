"""The collector: one thread that looks at the target from outside, ten times a second, and never asks the target.

A blocked loop, a full pool or a stopped worker cannot blind it. Ticks have absolute deadlines, so they do not drift; a
missed deadline is skipped, not made up for, and `late_s` tells. Between the ticks it looks at the loop threads (50 Hz),
at moments spread within their slots, because an app that sleeps 20 ms at a time would otherwise be met in step.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pinchpoint.monitoring.cgroup import CgroupReader
from pinchpoint.monitoring.host import HostReader, network_folder, shares_network
from pinchpoint.monitoring.listen import ListenQueue
from pinchpoint.monitoring.process_reader import PSS_INTERVAL_S, PageLike, ProcessReader
from pinchpoint.monitoring.processes_tree import assign_roles, find_members
from pinchpoint.monitoring.procfs import DescriptorBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pinchpoint.monitoring.processes_tree import Member
    from pinchpoint.rows import ProcessRow, SampleRow

LOOKS_PER_TICK = 5
TREE_INTERVAL_S = 1.0
_GOLDEN = 0.6180339887
"""Multiples of the golden ratio, modulo 1, are the evenest spread without a period (Weyl sequence)."""
_JOIN_TIMEOUT_S = 5.0


class Target:
    """The target's processes and their readers: follows births, deaths and roles."""

    def __init__(self, root_pid: int, budget: DescriptorBudget) -> None:
        self._root_pid = root_pid
        self._budget = budget
        self._members: dict[int, Member] = {}
        self._readers: dict[int, ProcessReader] = {}
        self._roles: dict[int, str] = {}
        self._pages: Mapping[int, PageLike] = {}
        self._births = 0

    def refresh(self) -> None:
        """Look for new processes. Known ones stay followed even when their parent is gone."""
        found = find_members([self._root_pid, *self._members])
        for pid, member in found.items():
            known = self._members.get(pid)
            if known is not None and known.started_ticks == member.started_ticks:
                continue
            self._drop(pid)
            offset_s = self._births * _GOLDEN % 1.0 * PSS_INTERVAL_S  # not every process in the same tick
            self._readers[pid] = ProcessReader(pid, self._budget, pss_offset_s=offset_s)
            self._births += 1
        for pid in self._members.keys() - found.keys():
            self._drop(pid)
        self._members = found
        self._assign()

    def use_pages(self, pages: Mapping[int, PageLike]) -> bool:
        """Take the newest probe pages; says whether they come from a process that is not known yet."""
        fresh = bool(pages.keys() - self._pages.keys() - self._members.keys())
        serving_before = {pid for pid, page in self._pages.items() if _serves(page)}
        self._pages = pages
        if {pid for pid, page in pages.items() if _serves(page)} != serving_before:
            self._assign()
        return fresh

    def _assign(self) -> None:
        self._roles = assign_roles(self._members, [pid for pid, page in self._pages.items() if _serves(page)])

    def look(self) -> None:
        """Look at what each worker's loop thread is doing."""
        for pid, reader in self._readers.items():
            if self._roles.get(pid) == "worker":
                reader.look(self._pages.get(pid))

    def read(self, t_s: float) -> tuple[list[ProcessRow], bool]:
        """Return a row for each living process, and whether one was found dead."""
        rows: list[ProcessRow] = []
        dead: list[int] = []
        for pid, reader in self._readers.items():
            row = reader.read(t_s, self._roles.get(pid, "other"), self._pages.get(pid))
            if row is None:
                dead.append(pid)
            else:
                rows.append(row)
        for pid in dead:
            self._drop(pid)
            self._members.pop(pid, None)
        return rows, bool(dead)

    def _drop(self, pid: int) -> None:
        reader = self._readers.pop(pid, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Give every descriptor back."""
        for pid in list(self._readers):
            self._drop(pid)


def _serves(page: PageLike) -> bool:
    return "loop_tid" in page.fields or page.fields.get("requests_started", 0.0) > 0


class Sampler:
    """Writes one `SampleRow` per tick to `sink`, from its own daemon thread.

    Args:
        root_pid: the server's command; all its descendants are followed.
        port: the TCP port it listens on, for the accept queue; None leaves that out.
        pages: returns the newest probe page of each process; None without a probe.
        sink: takes each row; an exception of it ends the sampling and stands in `error`.
        interval_s: between ticks.
        clock: must be the clock that the probe and the events use.
        waiter: sleeps so many seconds, or returns True as soon as the sampler shall stop.

    """

    def __init__(
        self,
        *,
        root_pid: int,
        port: int | None,
        pages: Callable[[], Mapping[int, PageLike]] | None,
        sink: Callable[[SampleRow], None],
        interval_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
        waiter: Callable[[float], bool] | None = None,
    ) -> None:
        self._stop = threading.Event()
        self._pages = pages
        self._sink = sink
        self._interval_s = interval_s
        self._clock = clock
        self._wait = waiter if waiter is not None else self._stop.wait
        self._latest: SampleRow | None = None
        self._error: Exception | None = None
        self._tree_due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="pinchpoint-sampler", daemon=True)
        budget = DescriptorBudget()
        self._target = Target(root_pid, budget)
        self._host = HostReader(root_pid, budget)
        self._cgroup = CgroupReader(root_pid, budget)
        self._listen = None if port is None else _listen_queue(port, root_pid)

    @property
    def latest(self) -> SampleRow | None:
        """The newest row."""
        return self._latest

    @property
    def error(self) -> Exception | None:
        """What ended the sampling, if anything did; a full disk shows here as the sink's MeasurementError."""
        return self._error

    def start(self) -> None:
        """Begin; the first tick is taken at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the tick in progress; stopping twice, or before the start, is fine."""
        self._stop.set()
        if self._thread.ident is None:
            self._close()
        elif self._thread is not threading.current_thread():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001 - the engine polls `error`; a thread has nobody else to tell
            self._error = error
        finally:
            self._close()

    def _loop(self) -> None:
        origin_s = self._clock()
        tick = 0
        while True:
            due_s = origin_s + tick * self._interval_s
            if self._wait_until(due_s):
                return
            self._tick(due_s)
            if self._look_between(due_s, tick):
                return
            tick = max(tick + 1, int((self._clock() - origin_s) / self._interval_s))

    def _wait_until(self, due_s: float) -> bool:
        """Wait for a moment; True means stop."""
        return self._wait(max(due_s - self._clock(), 0.0)) or self._stop.is_set()

    def _look_between(self, due_s: float, tick: int) -> bool:
        slot_s = self._interval_s / LOOKS_PER_TICK
        for slot in range(LOOKS_PER_TICK):
            spread = (tick * LOOKS_PER_TICK + slot) * _GOLDEN % 1.0
            look_s = due_s + (slot + spread) * slot_s
            if self._clock() > look_s + slot_s:
                continue
            if self._wait_until(look_s):
                return True
            self._target.look()
        return False

    def _tick(self, due_s: float) -> None:
        t_s = self._clock()
        fresh = self._target.use_pages(self._pages()) if self._pages is not None else False
        if fresh or t_s >= self._tree_due_s:
            self._target.refresh()
            self._tree_due_s = t_s + TREE_INTERVAL_S
        processes, died = self._target.read(t_s)
        if died:
            self._tree_due_s = 0.0
        row: SampleRow = {
            "t_s": t_s,
            "host": self._host.read(self._listen.read() if self._listen is not None else None),
            "cgroup": self._cgroup.read(),
            "processes": processes,
            "collector_cpu_s": time.thread_time(),
            "late_s": max(t_s - due_s, 0.0),
        }
        self._latest = row
        self._sink(row)

    def _close(self) -> None:
        self._target.close()
        self._host.close()
        self._cgroup.close()
        if self._listen is not None:
            self._listen.close()


def _listen_queue(port: int, pid: int) -> ListenQueue:
    return ListenQueue(port, net_folder=network_folder(pid), same_network=shares_network(pid))
