"""What the collector sees of a target from outside, as metrics. Figures that were not measured have no sample."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pinchpoint.monitoring.probe.exposition import COUNTER, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pinchpoint.rows import ProcessRow, SampleRow

ENDED_KEPT = 64
"""So many ended processes keep their counters, as with pages."""
_US_PER_S = 1e6
_PROCESS = (
    ("pinchpoint_process_cpu_seconds_total", "cpu_s", "CPU used."),
    ("pinchpoint_process_runqueue_wait_seconds_total", "runq_s", "Time ready to run, waiting for a CPU."),
    ("pinchpoint_process_threads", "threads", "Threads."),
    ("pinchpoint_process_open_fds", "fds", "Open file descriptors."),
    ("pinchpoint_process_resident_bytes", "rss_bytes", "Memory resident, shared pages in full."),
    ("pinchpoint_process_proportional_bytes", "pss_bytes", "Memory, shared pages divided among those who share them."),
    ("pinchpoint_process_context_switches_voluntary_total", "ctx_voluntary", "Times it gave up the CPU."),
    ("pinchpoint_process_context_switches_involuntary_total", "ctx_involuntary", "Times the CPU was taken from it."),
    ("pinchpoint_process_major_faults_total", "major_faults", "Page faults that had to read from a disk."),
    ("pinchpoint_process_read_bytes_total", "read_bytes", "Bytes read from disks."),
    ("pinchpoint_process_written_bytes_total", "write_bytes", "Bytes written to disks."),
)
_HOST = (
    ("pinchpoint_host_memory_total_bytes", "memory_total_bytes", "The machine's memory."),
    ("pinchpoint_host_memory_available_bytes", "memory_available_bytes", "Memory to be had without swapping."),
    ("pinchpoint_host_received_bytes_total", "net_rx_bytes", "Bytes received over all interfaces, loopback included."),
    ("pinchpoint_host_sent_bytes_total", "net_tx_bytes", "Bytes sent over all interfaces, loopback included."),
    ("pinchpoint_host_retransmits_total", "retransmits", "TCP segments sent again."),
    ("pinchpoint_host_listen_overflows_total", "listen_overflows", "Connections that met a full accept queue."),
    ("pinchpoint_host_listen_drops_total", "listen_drops", "Connections dropped before they were accepted."),
    ("pinchpoint_listen_queue_connections", "listen_queue", "Connections that wait to be accepted by the target."),
    ("pinchpoint_listen_queue_limit", "listen_limit", "How many connections may wait."),
)
_CGROUP = (
    ("pinchpoint_cgroup_cpu_limit_cores", "cpu_limit_cores", "CPU the target's control group may use."),
    ("pinchpoint_cgroup_periods_total", "periods", "Enforcement periods of the CPU limit."),
    ("pinchpoint_cgroup_throttled_periods_total", "throttled_periods", "Periods in which the group was throttled."),
    ("pinchpoint_cgroup_throttled_seconds_total", "throttled_s", "Time the group was throttled."),
    ("pinchpoint_cgroup_memory_limit_bytes", "memory_limit_bytes", "Memory the target's control group may use."),
    ("pinchpoint_cgroup_memory_bytes", "memory_bytes", "Memory of the group that cannot be dropped at will."),
    ("pinchpoint_cgroup_oom_kills_total", "oom_kills", "Processes of the group killed for want of memory."),
)
_CPU = ("pinchpoint_host_cpu_seconds_total", "CPU time of the machine, by what it went to.")
_CPU_STATES = {"busy": "cpu_busy_s", "iowait": "cpu_iowait_s", "steal": "cpu_steal_s"}
_PRESSURE = ("pinchpoint_host_pressure_seconds_total", "Time that some or all tasks were stalled, by resource (PSI).")
_INFO = ("pinchpoint_process_info", "Always 1; says what each process of the target is for.")
_THREADS = ("pinchpoint_process_thread_looks_total", "Looks at threads, by what they were doing.")
_COLLECTOR = (
    ("pinchpoint_collector_cpu_seconds_total", "collector_cpu_s", "CPU used by the collector's thread."),
    ("pinchpoint_collector_late_seconds", "late_s", "How late the collector's newest look was."),
)
_AGE = ("pinchpoint_sample_age_seconds", "Time since the collector's newest look.")
NAMES = frozenset(
    [row[0] for table in (_PROCESS, _HOST, _CGROUP, _COLLECTOR) for row in table]
    + [_CPU[0], _PRESSURE[0], _INFO[0], _THREADS[0], _AGE[0]]
)
"""Every metric that may stand in the answer."""


class Outside:
    """Turns the collector's rows into metrics; remembers what the newest leaves out, and who has ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._row: SampleRow | None = None
        self._processes: dict[int, dict[str, Any]] = {}  # the oldest death first, then the living
        self._alive: set[int] = set()

    def observe(self, row: SampleRow) -> None:
        """Take the next row."""
        self._row = row
        self._remember(row["processes"])

    def families(self) -> list[Family]:
        """Return the metrics as of the newest row; none before the first."""
        row = self._row
        if row is None:
            return []
        found = [*self._of_processes(), *_plain(_HOST, row["host"])]
        found += [_cpu(row["host"]), _pressure(row["host"])]
        found += _plain(_CGROUP, row["cgroup"] or {})
        found += _collector(row, self._clock())
        return found

    def _remember(self, processes: list[ProcessRow]) -> None:
        """Keep the last known figures of each process."""
        for process in processes:
            before = self._processes.pop(process["pid"], {})
            # PSS is read less often than the rest; a new process with an old pid has used less CPU than the old one.
            pss = before.get("pss_bytes") if process["cpu_s"] >= before.get("cpu_s", 0.0) else None
            now = dict(process)
            if now["pss_bytes"] is None:
                now["pss_bytes"] = pss
            self._processes[process["pid"]] = now
        self._alive = {process["pid"] for process in processes if not process.get("gone")}
        ended = [pid for pid in self._processes if pid not in self._alive]
        for pid in ended[:-ENDED_KEPT]:
            del self._processes[pid]

    def _of_processes(self) -> Iterable[Family]:
        for name, column, text in _PROCESS:
            family = Family(name, text)
            for pid, process in self._processes.items():
                if family.kind == COUNTER or pid in self._alive:
                    family.add(process[column], pid=pid)
            yield family
        info, looks = Family(*_INFO), Family(*_THREADS)
        for pid, process in self._processes.items():
            if pid in self._alive:
                info.add(1, pid=pid, role=process["role"])
            for state, count in (process.get("thread_states") or {}).items():
                if state != "samples":
                    looks.add(count, pid=pid, state=state)
        yield info
        yield looks


def _plain(table: tuple[tuple[str, str, str], ...], figures: Mapping[str, Any]) -> Iterable[Family]:
    for name, column, text in table:
        family = Family(name, text)
        family.add(figures.get(column))
        yield family


def _cpu(host: Mapping[str, Any]) -> Family:
    family = Family(*_CPU)
    for state, column in _CPU_STATES.items():
        family.add(host[column], state=state)
    return family


def _pressure(host: Mapping[str, Any]) -> Family:
    family = Family(*_PRESSURE)
    for name, total_us in (host["psi_us"] or {}).items():
        resource, _, share = name.partition("_")
        family.add(total_us / _US_PER_S, resource=resource, share=share)
    return family


def _collector(row: SampleRow, now_s: float) -> Iterable[Family]:
    yield from _plain(_COLLECTOR, row)
    age = Family(*_AGE)
    age.add(max(0.0, now_s - row["t_s"]))
    yield age
