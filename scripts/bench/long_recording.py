"""A recording of any length and number of workers, as wide as real ones.

    python long_recording.py FOLDER WORKERS SECONDS

A search of a minute and a half finds the limit, then a soak presses for the rest: the shape of `pinchpoint soak`. All
counters grow in proportion to time and load, so that the truth is known: a pool of 40 connections binds at 800/s.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from pinchpoint import histograms

TICK_S, START_S = 0.1, 1000.0
POOL_S, POOL_SIZE, LIMIT_RPS = 0.05, 40.0, 800.0
SEARCH = ((20.0, "baseline"), (100.0, "ramp"), (200.0, "ramp"), (400.0, "ramp"), (750.0, "ramp"), (1500.0, "ramp"),
          (1000.0, "search"), (790.0, "search"), (900.0, "search"))  # fmt: skip
SEARCH_S, SLICES = 10.0, 200
SHORT_S = 120.0
"""A recording shorter than this holds the search alone."""
COUNTERS = {
    "requests_started": 1.0, "requests_done": 1.0, "inflight_s": 0.06, "service_s": 0.06, "queue_s": 0.0002,
    "queue_n": 1.0, "handler_cpu_s": 0.0003, "handler_wall_s": 0.0004, "responses_4xx": 0.0, "responses_5xx": 0.0,
    "tokens_busy_s": 0.0001, "tokens_waiting_s": 0.0, "tokens_wait_s": 0.0, "tokens_taken": 0.02,
    "pool_busy_s": POOL_S, "pool_waiting_s": 0.001, "pool_wait_s": 0.001, "pool_hold_s": POOL_S, "pool_checkouts": 1.0,
    "db_calls": 1.0, "db_s": 0.05, "db_active_s": 0.05, "sqlite_busy_s": 0.0, "sqlite_busy_n": 0.0,
    "executor_busy_s": 1e-6, "executor_waiting_s": 1e-6, "executor_wait_s": 1e-6, "executor_hold_s": 1e-6,
    "lock_waiting_s": 1e-6, "lock_wait_s": 1e-6,
}  # fmt: skip
"""Of the probe's page: growth per request."""
GAUGES = {
    "loop_kind": 1.0, "loop_lag_max_s": 0.002, "inflight": 2.0, "tokens_total": 40.0, "tokens_busy": 0.0,
    "tokens_waiting": 0.0, "pool_busy": 2.0, "pool_waiting": 0.0, "pool_timeouts": 0.0, "pool_connects": 4.0,
    "pool_connect_s": 0.037, "db_active": 1.0, "db_embedded": 0.0, "db_errors": 0.0, "executor_size": 6.0,
    "executor_busy": 0.0, "executor_waiting": 0.0, "executor_taken": 1.0, "executor_timeouts": 0.0,
    "lock_waiting": 0.0, "lock_taken": 1.0, "lock_timeouts": 0.0,
}  # fmt: skip
ROUTES = [f"{verb} /shops/{{shop}}/orders{tail}" for verb in ("GET", "POST") for tail in ("", "/{order}", "/{order}/x")]
HOOKS = [f"some module or other {number}" for number in range(28)]
FRAMES = ";".join(
    f"Application.call_{number} (/srv/shop/.venv/lib/python3.11/site-packages/framework/part_{number}.py:{number}5)"
    for number in range(30)
)


def steps(seconds: float) -> Iterator[dict[str, Any]]:
    """Yield the data of all `step` events."""
    at_s = START_S
    search_s = SEARCH_S if seconds >= SHORT_S else seconds / len(SEARCH) - 0.5
    for index, (load, phase) in enumerate(SEARCH):
        held = load <= LIMIT_RPS
        yield _step(index, phase, at_s, at_s + search_s, load, held=held)
        at_s += search_s + 0.5
    if seconds < SHORT_S:
        return
    each = (START_S + seconds - at_s) / SLICES
    for number in range(SLICES):
        load = 500.0 if number < 0.6 * SLICES else 250.0 if number < 0.9 * SLICES else 0.0
        yield _step(len(SEARCH) + number, "soak", at_s + number * each, at_s + (number + 1) * each, load, held=True)


def _step(index: int, phase: str, start_s: float, end_s: float, load: float, *, held: bool) -> dict[str, Any]:
    return {
        "index": index, "phase": phase, "model": "rate", "segment": min(index, len(SEARCH)), "offered_rps": load,
        "users": None, "t_start_s": start_s, "t_end_s": end_s, "settle_s": 0.0 if phase == "soak" else 0.5,
        "passed": held, "breaches": [] if held else ["p95 900 ms above the limit of 500 ms"],
    }  # fmt: skip


class Writer:
    """Integrates the load and writes the lines."""

    def __init__(self, folder: Path, workers: int, seconds: float) -> None:
        self.folder, self.workers, self.seconds = folder, workers, seconds
        self.steps = list(steps(seconds))
        self.done = 0.0
        self.loop_s = 0.0
        self.waiting_s = 0.0

    def write(self) -> None:
        """Write the whole folder."""
        self.folder.mkdir(parents=True)
        load = {"model": "rate", "processes": 1, "server_cpus": None, "load_cpus": None}
        run = {"id": "long", "load": load, "slo": {"p95_ms": 500.0, "max_error_rate": 0.01}, "mode": "soak"}
        (self.folder / "run.json").write_text(json.dumps(run))
        with (self.folder / "events.jsonl").open("wb") as events:
            for step in self.steps:
                row = {"kind": "step", "t_s": step["t_end_s"], "data": step}
                events.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        with (
            (self.folder / "server.jsonl").open("wb") as samples,
            (self.folder / "client-0.jsonl").open("wb") as client,
            (self.folder / "awaits.jsonl").open("wb") as awaits,
        ):
            at = 0
            for tick in range(1, round(self.seconds / TICK_S) + 1):
                t_s = START_S + tick * TICK_S
                while at + 1 < len(self.steps) and self.steps[at]["t_end_s"] < t_s:
                    at += 1
                offered = self.steps[at]["offered_rps"]
                self._advance(offered)
                samples.write(orjson.dumps(self._sample(tick, t_s), option=orjson.OPT_APPEND_NEWLINE))
                if tick % round(1 / TICK_S) == 0:
                    client.write(orjson.dumps(self._digest(t_s, at), option=orjson.OPT_APPEND_NEWLINE))
                    for worker in range(self.workers):
                        awaits.write(orjson.dumps(_awaits(t_s, 100 + worker), option=orjson.OPT_APPEND_NEWLINE))

    def _advance(self, offered: float) -> None:
        served = min(offered, LIMIT_RPS)
        self.done += served * TICK_S / self.workers
        self.loop_s += (0.03 + served * 0.0004 / self.workers) * TICK_S
        self.waiting_s += max(0.0, offered - LIMIT_RPS) * TICK_S / self.workers

    def _sample(self, tick: int, t_s: float) -> dict[str, Any]:
        cpu_s = self.loop_s * self.workers
        host = {
            "cpu_busy_s": cpu_s, "cpu_iowait_s": 0.1, "cpu_steal_s": 0.0, "per_cpu_busy_s": [cpu_s / 16] * 16,
            "psi_us": {"cpu_some": 1000 * tick, "io_some": tick, "io_full": tick, "memory_some": 0, "memory_full": 0},
            "memory_total_bytes": 64_000_000_000, "memory_available_bytes": 50_000_000_000, "swap_in_pages": 0,
            "net_rx_bytes": 1000 * tick, "net_tx_bytes": 5000 * tick, "retransmits": 0, "listen_overflows": 0,
            "listen_drops": 0, "listen_queue": 0, "listen_limit": 2048, "foreign_busy_s": 0.01 * tick,
            "tcp_connects": tick, "tcp_accepts": tick, "tcp_timeouts": 0, "swap_out_pages": 0, "disk": "vda",
            "disk_read_bytes": 0, "disk_write_bytes": 4096 * tick, "disk_ios": tick, "disk_busy_s": 0.001 * tick,
            "tcp_time_wait": 12, "local_ports": 28232,
        }  # fmt: skip
        processes = [self._master(), *(self._worker(tick, 100 + number) for number in range(self.workers))]
        for process in processes:
            if (tick + process["pid"]) % 20 == 0:  # each at a tick of its own
                process["pss_bytes"] = 60_000_000
        return {
            "t_s": t_s, "host": host, "cgroup": None, "processes": processes, "collector_cpu_s": 0.0005 * tick,
            "late_s": 0.0,
        }  # fmt: skip

    def _master(self) -> dict[str, Any]:
        return _process(99, "master", 0.1) | {"probe": None, "probe_age_s": None, "loop_states": None}

    def _worker(self, tick: int, pid: int) -> dict[str, Any]:
        row = _process(pid, "worker", self.loop_s)
        page = {name: growth * self.done for name, growth in COUNTERS.items()}
        page["pool_busy_s"] = page["pool_hold_s"] = min(POOL_S * self.done, POOL_SIZE / self.workers * tick * TICK_S)
        # Who waits for the pool is inside the app meanwhile; else it would be the queue of something beside requests.
        for name in ("pool_waiting_s", "pool_wait_s", "inflight_s", "service_s"):
            page[name] += self.waiting_s
        row["probe"] = {
            "loop_tid": float(pid), "probe_tid": pid + 100.0, "loop_busy_s": self.loop_s * 1.1,
            "loop_lag_s": 0.01 * tick, "loop_lag_n": 2.0 * tick, "pool_size": POOL_SIZE / self.workers,
            **GAUGES, **page,
        }  # fmt: skip
        row["loop_states"] = {"running": tick, "idle": tick, "futex": 0, "sleep": 0, "socket": 0, "samples": 2 * tick}
        row["thread_states"] = {"running": tick, "runnable": 0, "gil": 0, "lock": tick, "idle": 30 * tick, "other": 4,
                                "samples": 32 * tick + 4}  # fmt: skip
        row["peers"] = {"127.0.0.1:5432": tick}
        if tick % 5 == 0:
            row["tables"] = self._tables()
        return row

    def _tables(self) -> dict[str, Any]:
        share = self.done / len(ROUTES)
        route = {"done": share, "responses_4xx": 0.0, "responses_5xx": 0.0, "service_s": 0.06 * share,
                 "service_max_s": 0.1}  # fmt: skip
        gate = {"size": POOL_SIZE / self.workers, "busy": 2.0, "busy_s": POOL_S * self.done, "waiting": 0.0,
                "waiting_s": self.waiting_s, "wait_s": self.waiting_s, "hold_s": POOL_S * self.done, "taken": self.done,
                "timeouts": 0.0, "opened": 4.0, "open_s": 0.04}  # fmt: skip
        call = {"calls": self.done, "errors": 0.0, "seconds": 0.05 * self.done, "active": 1.0,
                "active_s": 0.05 * self.done}  # fmt: skip
        return {
            "routes": dict.fromkeys(ROUTES, route),
            "gates": {"db-pool postgresql 127.0.0.1:5432/shop": gate},
            "calls": {"db postgresql 127.0.0.1:5432/shop": call},
            "hooks": {name: {"state": 1.0} for name in HOOKS},
        }

    def _digest(self, t_s: float, at: int) -> dict[str, Any]:
        offered = self.steps[at]["offered_rps"]
        served = min(offered, LIMIT_RPS)
        names = {}
        for number, route in enumerate(ROUTES if served else []):
            ok = round(served / len(ROUTES))
            names[route] = {"ok": ok, "failed": 0, "errors": {}, "bytes": 200 * ok, "latency_failed": None,
                            "latency_ok": SHAPES[number], "service_ok": SHAPES[number]}  # fmt: skip
        return {
            "process": 0, "pid": 50, "segment": self.steps[at]["segment"], "t0_s": t_s - 1.0, "t1_s": t_s,
            "scheduled": round(offered), "started": round(served), "unsent": round(offered - served),
            "inflight": 40 if served else 0,
            "inflight_s": 0.06 * served, "users": 64, "cpu_s": 0.2, "runq_s": 0.0, "send_lag": SHAPES[0], "fds": 90,
            "fd_limit": 65536, "loop_busy_s": 0.2, "names": names,
        }  # fmt: skip


SHAPES = [histograms.encode_values([round(40_000 + 37 * number * k) for k in range(300)]) for number in range(6)]


def _process(pid: int, role: str, cpu_s: float) -> dict[str, Any]:
    return {
        "pid": pid, "role": role, "cpu_s": cpu_s, "runq_s": 0.01 * cpu_s, "loop_cpu_s": cpu_s, "loop_runq_s": 0.0,
        "loop_states": None, "threads": 9, "fds": 83, "rss_bytes": 139_808_768, "pss_bytes": None,
        "ctx_voluntary": 44466, "ctx_involuntary": 33319, "major_faults": 9, "read_bytes": 6201344,
        "write_bytes": 6008832, "probe": None, "probe_age_s": 0.03,
    }  # fmt: skip


def _awaits(t_s: float, pid: int) -> dict[str, Any]:
    stacks = {f"{route};{FRAMES};[wait for database]": 3 for route in ROUTES}
    return {"t_s": t_s, "pid": pid, "ticks": 20, "tasks": 60, "walked": 18, "stacks": stacks}


def main() -> None:
    """Write one."""
    folder, workers, seconds = sys.argv[1:]
    Writer(Path(folder), int(workers), float(seconds)).write()


if __name__ == "__main__":
    main()
