"""Recordings of the checklist's three loads with a known truth: every counter grows by what each request adds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from pinchpoint.diagnosis.checklist.evidence import Evidence, Run, checklist
from pinchpoint.diagnosis.checklist.lines import ChecklistLine
from pinchpoint.diagnosis.checklist.load import Limits
from pinchpoint.recording import Recording
from pinchpoint.records import Gate, Validity
from support.digest_rows import START_S, digest, name_row
from support.sample_run import sample_diagnosis

TICK_S = 0.5
LEVELS = ((10.0, 6.0), (40.0, 9.0), (60.0, 9.0))
"""Arrivals per second, seconds: a light load, the peak, half as much again. The first second of each does not count."""

NAMES = ("/items/[id]", "/items/create")
ROUTES = ("GET /items/{id}", "POST /items/")
DATABASE = "db postgresql 127.0.0.1:5432/shop"
LIMITS = Limits(500.0, 0.01)
METHODS = {NAMES[0]: frozenset({"GET"}), NAMES[1]: frozenset({"POST"})}
PSS_BYTES, FREE_BYTES = 100 * 2**20, 900 * 2**20


@dataclass(kw_only=True)
class Shop:
    """An app of two endpoints, each asked half of the time; what a request takes of it, under any load."""

    latency_ms: Mapping[str, float] = field(default_factory=lambda: dict(zip(NAMES, (20.0, 60.0), strict=True)))
    slow_ms: Mapping[float, float] = field(default_factory=dict)
    """Load -> latency of every request under it, instead."""
    failures: Mapping[float, int] = field(default_factory=dict)
    """Load -> requests a second that fail, besides those that are answered."""
    left: Mapping[float, int] = field(default_factory=dict)
    """Load -> arrivals a second that no user is free for."""
    cpu_ms: float = 5.0
    pool_size: float | None = 5.0
    hold_ms: float = 10.0
    wait_ms: float = 0.0
    timeouts: float = 0.0
    """A second."""
    statements: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(ROUTES, 1.0))
    """Route -> statements of each request, of which two a second are counted; a route that is left out has none."""
    call_ms: float = 4.0
    call_errors: float = 0.0
    """A second."""
    database: bool = True
    overflows: Mapping[float, float] = field(default_factory=dict)
    """Load -> connections a second that the accept queue does not hold."""
    probe: bool = True
    free_bytes: int = FREE_BYTES
    dies_after_s: float | None = None

    def recording(self) -> Recording:
        """Play it."""
        seconds = sum(length_s for _, length_s in LEVELS)
        end_s = seconds if self.dies_after_s is None else self.dies_after_s
        digests = [self._digest(second) for second in range(int(end_s))]
        samples = [self._sample(tick * TICK_S) for tick in range(int(end_s / TICK_S) + 1)]
        settings = {"load": {"model": "rate", "server_cpus": [0], "load_cpus": [1]}, "slo": {}}
        return Recording(self._events(end_s), cast("Any", samples), cast("Any", digests), settings, Path())

    def run(self, invalid: str | None = None) -> Run:
        """Return it with a diagnosis, of which nothing but its validity matters here."""
        gates = [Gate("generator-cpu", "fail", 1.0, 0.9, "share", invalid)] if invalid is not None else []
        validity = Validity("valid" if invalid is None else "invalid", gates)
        return Run(self.recording(), replace(sample_diagnosis(), validity=validity))

    def _events(self, end_s: float) -> Any:
        stages, steps, at_s, before = [], [], 0.0, 0.0
        for index, (load, length_s) in enumerate(LEVELS):
            for start, seconds in ((before, 0.0), (load, length_s)):
                stage = {"name": "made", "kind": "line", "start_s": at_s, "seconds": seconds}
                stages.append({**stage, "from": start, "to": load})
            if at_s < end_s:
                step = {"index": index, "phase": "stage", "model": "rate", "segment": 1, "offered_rps": load}
                times = {"t_start_s": START_S + at_s, "t_end_s": START_S + min(end_s, at_s + length_s)}
                steps.append({"kind": "step", "t_s": times["t_end_s"], "data": {**step, **times, "users": None}})
            at_s, before = at_s + length_s, load
        begin = {"text": "made", "model": "rate", "t_start_s": START_S, "seconds": at_s, "stages": stages, "spikes": []}
        died = {"kind": "target-exit", "t_s": START_S + end_s, "data": {"code": 1, "message": "the target exited"}}
        return [
            {"kind": "stages", "t_s": START_S, "data": begin},
            *steps,
            *([died] if self.dies_after_s is not None else []),
        ]

    def _digest(self, second: int) -> Any:
        load = _level(second)
        left, failed = self.left.get(load, 0), self.failures.get(load, 0)
        row = digest(second, scheduled=round(load), started=round(load) - left, inflight=1)
        each = (round(load) - left) // len(NAMES)
        row["names"] = {}
        for number, name in enumerate(NAMES):
            took_ms = self.slow_ms.get(load, self.latency_ms[name])
            row["names"][name] = name_row([took_ms] * each, {"HTTP 503": failed} if failed and not number else {})
        return row

    def _grown(self, t_s: float, per_request: Mapping[float, float] | float, *, a_second: bool = False) -> float:
        """Integrate what each request adds, or what each second adds under some loads."""
        total, begun_s = 0.0, 0.0
        for load, length_s in LEVELS:
            held_s = max(0.0, min(t_s - begun_s, length_s))
            amount = per_request.get(load, 0.0) if isinstance(per_request, Mapping) else per_request
            total += held_s * amount * (1.0 if a_second else load)
            begun_s += length_s
        return total

    def _sample(self, t_s: float) -> Any:
        cpu_s = self._grown(t_s, self.cpu_ms / 1000)
        overflows = self._grown(t_s, self.overflows, a_second=True)
        host = {
            "cpu_busy_s": cpu_s, "cpu_iowait_s": 0.0, "cpu_steal_s": 0.0, "per_cpu_busy_s": [cpu_s, 0.0],
            "psi_us": None, "memory_total_bytes": 2 * self.free_bytes, "memory_available_bytes": self.free_bytes,
            "swap_in_pages": 0, "net_rx_bytes": 0, "net_tx_bytes": 0, "retransmits": 0,
            "listen_overflows": round(overflows), "listen_drops": 0, "listen_queue": 0, "listen_limit": 2048,
        }  # fmt: skip
        process = {
            "pid": 7, "role": "worker", "cpu_s": cpu_s, "runq_s": 0.0, "loop_cpu_s": cpu_s, "loop_runq_s": 0.0,
            "loop_states": None, "threads": 4, "fds": 20, "rss_bytes": 2 * PSS_BYTES, "pss_bytes": PSS_BYTES,
            "ctx_voluntary": 0, "ctx_involuntary": 0, "major_faults": 0, "read_bytes": 0, "write_bytes": 0,
            "probe": self._page(t_s, cpu_s) if self.probe else None, "probe_age_s": 0.05 if self.probe else None,
            "tables": self._tables(t_s) if self.probe else None,
        }  # fmt: skip
        row = {"t_s": START_S + t_s, "host": host, "cgroup": None, "processes": [process]}
        return {**row, "collector_cpu_s": 0.0, "late_s": 0.0}

    def _page(self, t_s: float, cpu_s: float) -> dict[str, float]:
        done = self._grown(t_s, 1.0)
        page = {"loop_tid": 7.0, "loop_busy_s": cpu_s, "requests_started": done, "requests_done": done}
        if self.database:
            page |= {"db_calls": done, "db_s": self._grown(t_s, self.call_ms / 1000)}
            page |= {
                "pool_busy_s": self._grown(t_s, self.hold_ms / 1000), "pool_waiting_s": 0.0,
                "pool_wait_s": self._grown(t_s, self.wait_ms / 1000), "pool_checkouts": done,
                "pool_hold_s": self._grown(t_s, self.hold_ms / 1000), "pool_timeouts": self.timeouts * t_s,
            }  # fmt: skip
            page |= {"pool_size": self.pool_size} if self.pool_size is not None else {}
        return page

    def _tables(self, t_s: float) -> dict[str, Any]:
        done = self._grown(t_s, 1.0) / len(ROUTES)
        routes = {}
        for name in ROUTES:
            columns = {"done": done, "responses_4xx": 0.0, "responses_5xx": 0.0, "service_s": done * 0.01}
            counted = 2.0 * t_s if name in self.statements else 0.0
            statements = {"counted": counted, "db_calls": counted * self.statements.get(name, 0.0)}
            routes[name] = {**columns, "service_max_s": 0.01, **statements}
        if not self.database:
            return {"routes": routes, "calls": {}}
        seconds = self._grown(t_s, self.call_ms / 1000)
        calls = {"calls": 2 * done, "seconds": seconds, "errors": self.call_errors * t_s, "active": 0.0}
        return {"routes": routes, "calls": {DATABASE: {**calls, "active_s": seconds}}}


def _level(second: float) -> float:
    begun_s = 0.0
    for load, length_s in LEVELS:
        begun_s += length_s
        if second < begun_s:
            return load
    return LEVELS[-1][0]


def lines(shop: Shop | None = None, **evidence: Any) -> dict[str, ChecklistLine]:
    """Return the checklist's lines of a shop by name."""
    known = {"load": (shop or Shop()).run(), "methods": METHODS, **evidence}
    return {line.name: line for line in checklist(Evidence(LIMITS, **known))}


def statuses(found: Mapping[str, ChecklistLine], *names: str) -> list[str]:
    """Return the status of each of these lines."""
    return [found[name].status for name in names]
