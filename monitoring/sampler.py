"""The collector: one thread that looks at the target from outside, ten times a second, and never asks the target.

A blocked loop, a full pool or a stopped worker cannot blind it. Ticks have absolute deadlines, so they do not drift; a
missed deadline is skipped, not made up for, and `late_s` tells. Between the ticks it looks at all threads (20 Hz), at
moments spread within their slots, because an app that sleeps 20 ms at a time would otherwise be met in step.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from pinchpoint.monitoring.cgroup import CgroupReader
from pinchpoint.monitoring.host import HostReader, network_folder, shares_network
from pinchpoint.monitoring.listen import ListenQueue
from pinchpoint.monitoring.procfs import DescriptorBudget
from pinchpoint.monitoring.sockets import SocketPeers
from pinchpoint.monitoring.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pinchpoint.monitoring.process_reader import PageLike
    from pinchpoint.monitoring.target import Tables
    from pinchpoint.rows import HostRow, SampleRow

LOOKS_PER_TICK = 2
"""Beside nine workers a look costs a fifth of what a tick does: most of it is waking up to cold caches."""
TREE_INTERVAL_S = 1.0
_GOLDEN = 0.6180339887
"""Multiples of the golden ratio, modulo 1, are the evenest spread without a period (Weyl sequence)."""
_JOIN_TIMEOUT_S = 5.0


class _Halt:
    """Cuts a wait short. An Event makes a lock for every wait, at three times the cost, forty times a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._set = False

    def set(self) -> None:
        """End the wait in progress and all later ones."""
        self._set = True
        with contextlib.suppress(RuntimeError):  # a second time
            self._lock.release()

    def is_set(self) -> bool:
        """Say whether `set` was called."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Wait; True as soon as it is set. For one thread."""
        return self._set or self._lock.acquire(timeout=timeout_s)


class Sampler:
    """Writes one `SampleRow` per tick to `sink`, from its own daemon thread.

    Args:
        root_pid: the server's command; all its descendants are followed, and every process that has a page.
        root_pids: more of them, or instead of it: a server that runs already (`find_listener`).
        port: the TCP port it listens on, for the accept queue, and to find a server that left its parent; None leaves
            that out.
        pages: returns the newest probe page of each process; None without a probe.
        tables: returns the tables of one process's page (`PageReader.tables`).
        forget: is told when a dead process's page has been recorded for the last time (`PageReader.forget`).
        sink: takes each row; an exception of it ends the sampling and stands in `error`.
        interval_s: between ticks.
        clock: must be the clock that the probe and the events use.
        waiter: sleeps so many seconds, or returns True as soon as the sampler shall stop.

    """

    def __init__(
        self,
        *,
        root_pid: int | None = None,
        root_pids: Iterable[int] = (),
        port: int | None,
        pages: Callable[[], Mapping[int, PageLike]] | None,
        sink: Callable[[SampleRow], None],
        tables: Callable[[int], Tables | None] | None = None,
        forget: Callable[[int], None] | None = None,
        interval_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
        waiter: Callable[[float], bool] | None = None,
    ) -> None:
        self._stop = _Halt()
        self._pages = pages
        self._sink = sink
        self._interval_s = interval_s
        self._clock = clock
        self._wait = waiter if waiter is not None else self._stop.wait
        self._latest: SampleRow | None = None
        self._error: Exception | None = None
        self._tree_due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="pinchpoint-sampler", daemon=True)
        roots = [*([] if root_pid is None else [root_pid]), *root_pids]
        budget = DescriptorBudget()
        first = roots[0] if roots else os.getpid()
        net, same = network_folder(first), shares_network(first)
        self._sockets = SocketPeers(net_folder=net, same_network=same)
        self._target = Target(
            roots, budget, sockets=self._sockets, port=port if same else None, tables=tables, forget=forget
        )
        self._host = HostReader(first, budget)
        self._cgroup = CgroupReader(first, budget)
        self._listen = None if port is None else ListenQueue(port, net_folder=net, same_network=same)
        self._cpus: list[int] = []

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
            self._cpus = self._target.cpus()
            self._tree_due_s = t_s + TREE_INTERVAL_S
        processes, died = self._target.read(t_s)
        if died:
            self._tree_due_s = 0.0
        row: SampleRow = {
            "t_s": t_s,
            "host": self._read_host(),
            "cgroup": self._cgroup.read(),
            "processes": processes,
            "collector_cpu_s": time.thread_time(),
            "late_s": max(t_s - due_s, 0.0),
        }
        self._latest = row
        self._sink(row)

    def _read_host(self) -> HostRow:
        row = self._host.read(self._listen.read() if self._listen is not None else None)
        per_cpu = row["per_cpu_busy_s"]
        known = bool(self._cpus) and self._cpus[-1] < len(per_cpu)
        row["server_cpus"] = self._cpus
        row["foreign_busy_s"] = sum(per_cpu[cpu] for cpu in self._cpus) - self._target.cpu_s() if known else None
        return row

    def _close(self) -> None:
        self._target.close()
        self._host.close()
        self._cgroup.close()
        if self._listen is not None:
            self._listen.close()
        self._sockets.close()
