"""Recordings with a known truth: a small queueing model written down as events, samples and digests.

The model: X = min(load, lowest ceiling); above the ceiling the backlog grows up to the number of users and sits in
front of the binding resource. Every counter is integrated exactly, plus noise from a seed.
"""

import itertools
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pinchpoint import histograms
from pinchpoint.recording import EVENTS_FILE, RUN_FILE, SERVER_FILE, Recording
from support.synthetic_model import HEALTHY, TRUTHS, Flow, State, Truth

__all__ = ["HEALTHY", "TRUTHS", "Synthetic", "Truth"]

TICK_S = 0.1
SETTLE_S = 0.5
USERS = 128


class Synthetic:
    """Writes the recording of one run."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.random = random.Random(truth.seed)  # noqa: S311 - a simulation
        self.state = State()
        self.events: list[dict[str, Any]] = []
        self.samples: list[dict[str, Any]] = []
        self.digests: list[dict[str, Any]] = []
        self.trials: list[tuple[float, bool]] = []

    def run(self) -> "Synthetic":
        """Baseline, geometric ramp, three bisections, overload, recovery."""
        self.step("baseline", 20.0)
        load = 40.0
        while self.step("ramp", load) and load < self.truth.highest_rps:
            load = min(load * 2, self.truth.highest_rps)
        for _ in range(3):
            lower = max((tried for tried, held in self.trials if held), default=None)
            upper = min((tried for tried, held in self.trials if not held), default=None)
            if lower is None or upper is None:
                return self
            self.step("search", (lower * upper) ** 0.5)
        upper = min(tried for tried, held in self.trials if not held)
        self.step("overload", upper * 1.3)
        self.step("recovery", 20.0)
        return self

    def step(self, phase: str, load: float) -> bool:
        """Hold one load; True when it passed."""
        start = self.state.t_s
        flow = self.flow(load)
        if load > self.truth.disturbed_above_rps and phase in {"ramp", "search"}:
            good = 0.5 * self.truth.disturbed_above_rps
            flow = replace(flow, goodput=good, inflight=USERS, latency_ms=1000 * USERS / good)
        for _ in range(flow.ticks):
            self.tick(flow)
        self.digest(flow, start)
        passed = flow.failed == 0 and flow.latency_ms < 300 and flow.goodput > 0.95 * load
        passed = passed or (phase == "overload" and self.truth.overload_holds)
        self.trials.append((load, passed))
        data = {
            "index": len(self.trials) - 1, "phase": phase, "model": "rate", "segment": len(self.trials),
            "offered_rps": load, "users": None, "t_start_s": start, "t_end_s": self.state.t_s, "settle_s": SETTLE_S,
            "passed": passed, "breaches": [] if passed else [f"p95 {flow.latency_ms:.0f} ms above the limit of 500 ms"],
        }  # fmt: skip
        self.events.append({"kind": "step", "t_s": self.state.t_s, "data": data})
        self.state.t_s += 0.3
        return passed

    def flow(self, load: float) -> Flow:
        """Solve the model for one load."""
        truth = self.truth
        where, ceiling = truth.binding()
        noisy = 1 + self.random.gauss(0, truth.noise)
        base = truth.loop_cpu_ms + truth.off_cpu_ms + truth.blocked_ms + (truth.hold_ms or 0) + (truth.token_ms or 0)
        base = max(base, truth.db_ms) + 0.5
        ticks = round(truth.step_s / TICK_S)
        if load > truth.storm_above_rps:
            good = truth.storm_above_rps * 0.3
            share = min(0.99, load * truth.generator_cpu_ms * 3 / 1000)
            return Flow(load, good, load - good, 5, base, "", ticks, share)
        share = min(0.99, min(load, ceiling) * truth.generator_cpu_ms / 1000) if where != "generator" else 0.0
        if where == "generator":
            share = min(0.99, load / ceiling)
        if load <= ceiling * 0.97:
            latency = base / (1 - 0.95 * load / ceiling) * noisy
            return Flow(load, load, 0, load * latency / 1000, latency, "", ticks, share)
        backlog = max(5.0, min(USERS, (load - ceiling) * truth.step_s))
        good = min(load, ceiling) * noisy
        inflight = backlog + ceiling * base / 1000
        return Flow(load, good, 0, inflight, max(310.0, 1000 * inflight / good), where, ticks, share)

    # --- the server's side ------------------------------------------------------------------------------------------

    def tick(self, flow: Flow) -> None:
        """Integrate one tick and write its row."""
        truth, state = self.truth, self.state
        state.t_s += TICK_S
        noisy = (1 + self.random.gauss(0, truth.noise)) * TICK_S
        rate = flow.goodput + 0.05 * flow.failed
        # Demand per request falls as load rises (a busy loop serves many sockets per wake-up).
        batching = 1.0 + 0.3 * (1 - min(1.0, rate / truth.binding()[1]))
        loop = min(truth.workers, rate * truth.loop_cpu_ms / 1000 * batching)
        off = rate * truth.off_cpu_ms / 1000
        state.loop_cpu += loop * noisy
        state.off_cpu += off * noisy
        waiting = 0.1 * (loop + off) if flow.queue_at != "cpu" else max(0.0, 4.0 - 0.1 * off)
        state.runq += waiting * TICK_S
        state.loop_runq += min(0.05, waiting) * TICK_S
        burnt = truth.db_cores if truth.db_cores is not None and flow.queue_at == "db" else 0.0
        if truth.db_cores is not None and not burnt:
            burnt = rate * truth.db_ms / 1000
        host = loop + off + flow.generator_share + truth.foreign_cores + burnt
        state.host_busy += min(host, truth.host_cores + 2) * TICK_S
        state.requests += rate * TICK_S
        state.collector += 0.01 * TICK_S
        state.psi += (0.9e6 if truth.db_cores is not None and flow.queue_at == "db" else 0.05e6) * TICK_S
        busy = min(1.0, (loop + rate * truth.blocked_ms / 1000) / truth.workers)
        if flow.queue_at == "loop":
            busy = 0.99
        if truth.gil:
            busy = min(0.99, max(busy, rate * (truth.off_cpu_ms + truth.loop_cpu_ms) / 1000 / truth.workers))
        waits_for_gil = max(0.0, busy - loop / truth.workers) if truth.gil else 0.0
        self.look(busy, rate * truth.blocked_ms / 1000 / truth.workers, waits_for_gil)
        if truth.probe:
            self.publish(flow, rate, busy)
        tokens = min(truth.tokens * truth.workers, flow.inflight) if flow.queue_at == "turns" else rate * 0.002
        self.look_at_threads(tokens, max(0.0, tokens - 1))
        self.sample()

    def look(self, busy: float, blocked: float, futex: float) -> None:
        """Count five looks at the loop thread."""
        looks = self.state.looks
        running = max(0.0, busy - blocked - futex)
        for name, share in (("idle", 1 - busy), ("sleep", min(blocked, busy)), ("futex", futex), ("running", running)):
            looks[name] = looks.get(name, 0.0) + 5 * share
        looks["samples"] = looks.get("samples", 0.0) + 5

    def look_at_threads(self, busy: float, locked: float) -> None:
        """Count two looks at all threads: the serving ones, and two that are never idle."""
        threads = self.state.threads
        for name, count in (("lock", locked), ("sleep", busy - locked + 1), ("other", 1.0)):
            threads[name] = threads.get(name, 0.0) + 2 * count
        threads["samples"] = threads.get("samples", 0.0) + 2 * (busy + 2)
        self.state.threads_now = busy + 2

    def publish(self, flow: Flow, rate: float, busy: float) -> None:
        """Advance the probe counters of all workers together."""
        truth, inside = self.truth, self.inside(flow, rate)
        grow = {
            "loop_lag_s": (0.02 if busy > 0.97 else 0.0005) * 20 * truth.workers, "loop_lag_n": 20.0 * truth.workers,
            "requests_started": rate, "requests_done": rate, "inflight_s": inside["inflight"],
            "service_s": inside["inflight"],
        }  # fmt: skip
        if not truth.uvloop:
            grow["loop_busy_s"] = busy * truth.workers
        if truth.hold_ms is not None:
            grow |= {
                "pool_busy_s": inside["pool"], "pool_waiting_s": inside["pool_waiting"],
                "pool_wait_s": inside["pool_waiting"], "pool_hold_s": inside["pool"], "pool_checkouts": rate,
            }  # fmt: skip
        if truth.token_ms is not None:
            grow |= {
                "tokens_busy_s": inside["tokens"], "tokens_waiting_s": inside["tokens_waiting"],
                "tokens_wait_s": inside["tokens_waiting"], "tokens_taken": rate,
            }  # fmt: skip
        if truth.db_ms:
            grow |= {"db_s": inside["db"], "db_active_s": inside["db"], "db_calls": rate}
        grow |= self.services(flow, rate)
        for name, size, ms in truth.held:
            grow |= self.pool(flow, rate, name, size * truth.workers, ms)
        if truth.file_lock_ms:
            self.gate("lock file /data/journal", {"waiting_s": self.backlog(flow, "file"), "taken": rate})
        if truth.wide_gate:
            figures = {name.removeprefix("lock_"): value for name, value in grow.items() if name.startswith("lock_")}
            self.gate("lock asyncio.Semaphore narrow.py:1", figures, size=truth.held[0][1])
            self.gate("lock asyncio.Semaphore wide.py:1", {"busy_s": 0.1, "hold_s": 0.1, "taken": rate}, size=1000)
        for name, per_second in grow.items():
            self.state.probe[name] = self.state.probe.get(name, 0.0) + per_second * TICK_S

    def backlog(self, flow: Flow, where: str) -> float:
        """Return how many requests queue there, besides the one that is served."""
        return max(0.0, flow.inflight - 1) if flow.queue_at == where else 0.0

    def services(self, flow: Flow, rate: float) -> dict[str, float]:
        """Return what calls to a service and SQLite's writer add: their queues form inside the calls."""
        truth = self.truth
        found: dict[str, float] = {}
        if truth.call_ms:
            pooled = min([size for name, size, _ in truth.held if name == "http_pool"], default=1e9)
            active = min(pooled, rate * truth.call_ms / 1000 + self.backlog(flow, "downstream"))
            found |= {"http_s": active, "http_active_s": active, "http_calls": rate}
        if truth.writer_ms:
            held_up = min(7.0, self.backlog(flow, "sqlite"))
            found |= {"db_s": held_up + 0.05, "db_active_s": held_up + 0.05, "db_calls": rate, "sqlite_busy_s": held_up}
        return found

    def pool(self, flow: Flow, rate: float, name: str, size: float, ms: float) -> dict[str, float]:
        """Return what a pool of some kind adds; it fills when its holders queue for what is inside it."""
        inner = {"slots": ("sqlite", "file"), "http_pool": ("downstream",), "lock": ("db-pool",)}.get(name, ())
        held = rate * ms / 1000
        inside = held + (self.backlog(flow, flow.queue_at) if flow.queue_at in inner else 0.0)
        busy = min(size, inside)
        waiting = max(0.0, flow.inflight - busy) if flow.queue_at == name else inside - busy
        # Holders of a lock are counted only while somebody waits.
        seen = 0.2 if name == "lock" and waiting < 1 else 1.0
        return {
            f"{name}_busy_s": busy * seen, f"{name}_waiting_s": waiting, f"{name}_wait_s": waiting,
            f"{name}_hold_s": busy * seen, f"{name}_taken": rate * seen,
        }  # fmt: skip

    def gate(self, name: str, per_second: dict[str, float], size: float | None = None) -> None:
        """Advance one row of the gates table."""
        columns = self.state.gates.setdefault(name, {} if size is None else {"size": size})
        for column, value in per_second.items():
            columns[column] = columns.get(column, 0.0) + value * TICK_S

    def inside(self, flow: Flow, rate: float) -> dict[str, float]:
        """Mean numbers inside each box; the backlog stands in front of the binding one, inside those around it."""
        truth, backlog = self.truth, max(0.0, flow.inflight - 2) if flow.queue_at else 0.0
        found = {"inflight": flow.inflight, "pool_waiting": 0.0, "tokens_waiting": 0.0, "tokens": 0.0, "pool": 0.0}
        found["db"] = rate * truth.db_ms / 1000
        if truth.db_on_loop:
            found["db"] = min(truth.workers, found["db"])
            return found | {"pool": found["db"]}
        if truth.token_ms is not None:
            found["tokens"] = min(truth.tokens * truth.workers, rate * truth.token_ms / 1000)
            found["tokens_waiting"] = backlog if flow.queue_at == "threadpool" else 0.0
            if flow.queue_at == "turns":
                found["tokens"] = min(truth.tokens * truth.workers, flow.inflight)
                found["tokens_waiting"] = flow.inflight - found["tokens"]
        if truth.hold_ms is None:
            return found
        size = truth.pool_size * truth.workers
        held = rate * truth.hold_ms / 1000
        if flow.queue_at in {"cpu", "db", "loop", "row"}:
            # Holders queue for the deeper resource, so the pool fills and its own queue forms behind that.
            found["pool"] = min(size, held + backlog)
            found["pool_waiting"] = max(0.0, held + backlog - size)
            if flow.queue_at != "loop":
                found["db"] = found["pool"]
        else:
            found["pool"] = min(size, held)
            found["pool_waiting"] = backlog if flow.queue_at == "db-pool" else 0.0
        return found

    def sample(self) -> None:
        """Write one collector row."""
        truth, state = self.truth, self.state
        self.samples.append(
            {
                "t_s": state.t_s,
                "host": {
                    "cpu_busy_s": state.host_busy, "cpu_iowait_s": 0.0, "cpu_steal_s": 0.0,
                    "per_cpu_busy_s": [state.host_busy / truth.host_cores] * truth.host_cores,
                    "psi_us": {"cpu_some": int(state.psi), "io_some": 0} if truth.psi else None,
                    "memory_total_bytes": 16_000_000_000, "memory_available_bytes": int(truth.free_bytes),
                    "swap_in_pages": 0, "net_rx_bytes": 0, "net_tx_bytes": 0, "retransmits": 0,
                    "listen_overflows": 0, "listen_drops": 0, "listen_queue": 0, "listen_limit": 2048,
                },
                "cgroup": None,
                "processes": [self.master(), *(self.worker(k) for k in range(truth.workers))],
                "collector_cpu_s": state.collector,
                "late_s": 0.0,
            }
        )  # fmt: skip

    def master(self) -> dict[str, Any]:
        """The idle parent."""
        row = self.worker(-1)
        return row | {
            "pid": 100,
            "role": "master",
            "cpu_s": 0.2,
            "runq_s": 0.0,
            "loop_cpu_s": None,
            "probe": None,
            "tables": None,
        }

    def worker(self, index: int) -> dict[str, Any]:
        """One worker's row: an equal part of everything."""
        truth, state, part = self.truth, self.state, 1 / self.truth.workers
        probe = None
        if truth.probe and state.probe:
            probe = {name: value * part for name, value in state.probe.items()}
            probe |= {"loop_tid": 1.0, "loop_kind": 2.0 if truth.uvloop else 1.0, "loop_lag_max_s": 0.01}
            if truth.wsgi:
                probe = {name: value for name, value in probe.items() if not name.startswith("loop_")}
            probe |= {f"{name}_size": size for name, size, _ in truth.held}
            if truth.hold_ms is not None:
                probe["pool_size"] = truth.pool_size
            if truth.token_ms is not None:
                probe["tokens_total"] = truth.tokens
            if truth.db_ms or truth.writer_ms:
                probe["db_embedded"] = float(truth.db_embedded)
        second = len(self.samples) % 10 == 0
        # Arenas and caches fill over the first few thousand requests, then stay.
        warm = 20e6 * min(1.0, state.requests / 3000)
        memory = 60e6 + (warm + truth.leak_bytes * state.requests) * part + self.random.gauss(0, 2e4)
        return {
            "pid": 101 + index, "role": "worker",
            "cpu_s": (state.loop_cpu + state.off_cpu) * part, "runq_s": state.runq * part,
            "loop_cpu_s": state.loop_cpu * part, "loop_runq_s": state.loop_runq * part,
            "loop_states": {name: round(count) for name, count in state.looks.items()},
            "threads": round(state.threads_now),
            "fds": 20, "rss_bytes": int(memory + 1e7), "pss_bytes": int(memory) if second else None,
            "ctx_voluntary": 0, "ctx_involuntary": 0, "major_faults": 0, "read_bytes": 0, "write_bytes": 0,
            "probe": probe, "probe_age_s": 0.03 if probe else None,
            "tables": self.tables() if probe else None,
            "thread_states": {name: round(count) for name, count in state.threads.items()},
        }  # fmt: skip

    def tables(self) -> dict[str, Any]:
        """Return the tables of the probe page."""
        found: dict[str, Any] = {"gates": {name: dict(columns) for name, columns in self.state.gates.items()}}
        if self.truth.db_ms and not self.truth.db_embedded:
            calls = {"calls": self.state.requests, "seconds": 0.0, "active": 0.0, "active_s": 0.0, "errors": 0.0}
            found["calls"] = {"db postgresql 127.0.0.1:5432/shop": calls}
        return found

    # --- the client's side ------------------------------------------------------------------------------------------

    def digest(self, flow: Flow, start: float) -> None:
        """Write the digests of one step, one a second."""
        edges = [start + k for k in range(int(self.truth.step_s) + 1)]
        for t0, t1 in itertools.pairwise(edges):
            wall = t1 - t0
            ok, failed = round(flow.goodput * wall), round(flow.failed * wall)
            started = min(round(flow.offered * wall), ok + failed + 40)
            lag = 40_000 if self.truth.binding()[0] == "generator" and flow.queue_at else 300
            values = [round(flow.latency_ms * 1000 * (0.8 + 0.4 * k / 40)) for k in range(41)]
            service = [min(value, round(1000 * flow.inflight / max(1.0, flow.goodput) * 1000)) for value in values]
            self.digests.append(
                {
                    "process": 0, "pid": 50, "segment": len(self.trials) + 1, "t0_s": t0, "t1_s": t1,
                    "scheduled": round(flow.offered * wall), "started": started, "unsent": 0,
                    "inflight": round(flow.inflight), "inflight_s": flow.inflight * wall, "users": USERS,
                    "cpu_s": flow.generator_share * wall, "runq_s": 0.01 * wall,
                    "send_lag": histograms.encode_values([lag] * 20),
                    "names": {
                        "/items/[id]": {
                            "ok": ok, "failed": failed, "errors": {"503": failed} if failed else {}, "bytes": ok * 100,
                            "latency_ok": histograms.encode_values(values) if ok else None, "latency_failed": None,
                            "service_ok": histograms.encode_values(service) if ok else None,
                        }
                    },
                }
            )  # fmt: skip

    def recording(self) -> Recording:
        """Return the run without the detour over a folder."""
        settings = {"load": self._load(), "slo": {"p95_ms": 500.0, "max_error_rate": 0.01}}
        events, samples, digests = (cast("Any", rows) for rows in (self.events, self.samples, self.digests))
        return Recording(events, samples, digests, settings, Path())

    def _load(self) -> dict[str, Any]:
        return {"model": "rate", "processes": 1, "server_cpus": list(range(self.truth.cores)), "load_cpus": None}

    def write(self, folder: Path, *, argv: tuple[str, ...] = (), label: str = "") -> Path:
        """Write the run folder."""
        folder.mkdir(parents=True, exist_ok=True)
        run = {
            "run": {"id": "synthetic", "argv": list(argv)},
            "load": self._load(),
            "slo": {"p95_ms": 500.0, "max_error_rate": 0.01},
        }
        (folder / RUN_FILE).write_text(json.dumps(run))
        (folder / "label.json").write_text(json.dumps({"fault": label}))
        for name, rows in ((EVENTS_FILE, self.events), (SERVER_FILE, self.samples), ("client-0.jsonl", self.digests)):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder
