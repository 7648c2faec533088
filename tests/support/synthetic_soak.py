"""Soaks with a known truth: two loads and none, a worker's memory, descriptors and time per request written down."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pinchpoint import histograms
from pinchpoint.recording import Recording

TICK_S = 0.1
SLICE_S = 2.0
START_S = 1000.0


@dataclass(kw_only=True)
class Steeped:
    """What the app does while it is soaked; `memory(requests, seconds, inflight)` is bytes besides 80 MB."""

    rate_rps: float = 100.0
    loads: tuple[tuple[float, float], ...] = ((1.0, 60.0), (0.5, 30.0), (0.0, 10.0))
    """(share of the rate, seconds)."""
    memory: Callable[[float, float, float], float] = lambda _requests, _seconds, _inflight: 0.0
    fds: Callable[[float], float] = lambda _requests: 20.0
    latency_ms: Callable[[float], float] = lambda _requests: 20.0
    cpu_ms: Callable[[float], float] = lambda _requests: 2.0
    restart_every: int | None = None
    """The worker is replaced by a fresh one after so many requests."""
    noise_bytes: float = 2e4
    seed: int = 7
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _digests: list[dict[str, Any]] = field(default_factory=list)
    _events: list[dict[str, Any]] = field(default_factory=list)

    def recording(self) -> Recording:
        """Play it."""
        draw, t_s, requests, cpu_s, born = random.Random(self.seed), START_S, 0.0, 1.0, 0.0  # noqa: S311
        for share, seconds in self.loads:
            rate = share * self.rate_rps
            for tick in range(round(seconds / TICK_S)):
                t_s += TICK_S
                requests += rate * TICK_S
                cpu_s += rate * TICK_S * self.cpu_ms(requests) / 1000
                if self.restart_every and requests - born >= self.restart_every:
                    born = requests
                generation = int(born // self.restart_every) if self.restart_every else 0
                inflight = rate * self.latency_ms(requests) / 1000
                grown = self.memory(requests - born, t_s - START_S, inflight)
                memory = 80e6 + grown + draw.gauss(0, self.noise_bytes)
                self._rows.append(_sample(t_s, 101 + generation, cpu_s, memory, round(self.fds(requests - born))))
                if (tick + 1) % round(1 / TICK_S) == 0 and rate:
                    self._digests.append(digest(t_s, round(rate), self.latency_ms(requests)))
            self._slices(t_s - seconds, seconds, rate)
        events, samples, digests = (cast("Any", one) for one in (self._events, self._rows, self._digests))
        return Recording(events, samples, digests, {"load": {"model": "rate", "processes": 1}, "slo": {}}, Path())

    def _slices(self, start_s: float, seconds: float, rate: float) -> None:
        for number in range(round(seconds / SLICE_S)):
            data = {
                "index": len(self._events), "phase": "soak", "model": "rate", "segment": 1, "offered_rps": rate,
                "users": None, "t_start_s": start_s + number * SLICE_S, "t_end_s": start_s + (number + 1) * SLICE_S,
                "settle_s": 0.0, "passed": True, "breaches": [],
            }  # fmt: skip
            self._events.append({"kind": "step", "t_s": data["t_end_s"], "data": data})


def _sample(t_s: float, pid: int, cpu_s: float, memory: float, fds: int) -> dict[str, Any]:
    second = round(t_s / TICK_S) % 20 == 0
    worker = {
        "pid": pid, "role": "worker", "cpu_s": cpu_s, "runq_s": 0.0, "loop_cpu_s": cpu_s, "loop_runq_s": 0.0,
        "loop_states": None, "threads": 4, "fds": fds, "rss_bytes": int(memory + 1e7),
        "pss_bytes": int(memory) if second else None, "ctx_voluntary": 0, "ctx_involuntary": 0, "major_faults": 0,
        "read_bytes": 0, "write_bytes": 0, "probe": None, "probe_age_s": None,
    }  # fmt: skip
    host = {
        "cpu_busy_s": cpu_s, "cpu_iowait_s": 0.0, "cpu_steal_s": 0.0, "per_cpu_busy_s": [cpu_s], "psi_us": None,
        "memory_total_bytes": 16_000_000_000, "memory_available_bytes": 2_000_000_000, "swap_in_pages": 0,
        "net_rx_bytes": 0, "net_tx_bytes": 0, "retransmits": 0, "listen_overflows": 0, "listen_drops": 0,
        "listen_queue": 0, "listen_limit": 2048,
    }  # fmt: skip
    return {"t_s": t_s, "host": host, "cgroup": None, "processes": [worker], "collector_cpu_s": 0.0, "late_s": 0.0}


def digest(t_s: float, ok: int, latency_ms: float) -> dict[str, Any]:
    """Return a load process's row of the second that ends at `t_s`."""
    shape = histograms.encode_values([round(latency_ms * 1000 * (0.8 + 0.4 * k / 10)) for k in range(11)])
    named = {
        "ok": ok, "failed": 0, "errors": {}, "bytes": 0, "latency_ok": shape, "latency_failed": None,
        "service_ok": shape,
    }  # fmt: skip
    return {
        "process": 0, "pid": 50, "segment": 1, "t0_s": t_s - 1.0, "t1_s": t_s, "scheduled": ok, "started": ok,
        "unsent": 0, "inflight": 2, "inflight_s": 2.0, "users": 16, "cpu_s": 0.1, "runq_s": 0.0,
        "send_lag": histograms.encode_values([300] * 5), "names": {"/": named},
    }  # fmt: skip
