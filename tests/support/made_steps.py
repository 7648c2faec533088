"""Steps made by hand: an idle server and a calm generator, of which single figures are changed; and facts from them."""

from typing import Any

from pinchpoint.diagnosis.capacity import capacity
from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.ledger import build_ledger
from pinchpoint.diagnosis.saturation import Machine
from pinchpoint.diagnosis.steps import ladder
from pinchpoint.diagnosis.time_shares import time_shares
from pinchpoint.diagnosis.validity import validity
from pinchpoint.measures import ClientFigures, PoolFigures, ServerFigures, Step

SLO_MS, SLO_ERRORS = 500.0, 0.01


def client(**changes: Any) -> ClientFigures:
    """Return what a generator that keeps up sees."""
    quiet: dict[str, Any] = {
        "cpu_share": 0.1, "cpu_cores": 0.1, "runq_share": 0.01, "send_lag_ms_p99": 0.5, "scheduled": 1000,
        "started": 1000, "unsent": 0,
        "ok": 1000, "failed": 0, "inflight_mean": 1.0, "users": 16, "service_ms_p50": 5.0,
    }  # fmt: skip
    return ClientFigures(**{**quiet, **changes})


def server(**changes: Any) -> ServerFigures:
    """Return an idle server with one worker on a machine that nobody else uses."""
    idle: dict[str, Any] = {
        "cpu_cores": 0.2, "runq_cores": 0.0, "loop_cpu_cores": 0.2, "loop_runq_cores": 0.0, "loop_busy": 0.2,
        "loop_busy_mean": 0.2, "loop_blocked": 0.0, "loop_lag_ms": 0.5, "loop_lag_max_ms": 2.0, "rss_bytes": 6e7,
        "pss_bytes": 5e7, "inflight": 1.0, "requests_rps": 100.0, "service_ms": 5.0, "handler_cpu_ms": 1.0,
        "db_ms_per_request": None, "db_calls_per_request": None, "db_active": None, "db_embedded": None,
        "off_loop_cpu_cores": 0.0, "foreign_cpu_cores": 0.0, "rival_cpu_cores": 0.0, "has_loop": True,
        "samples_received": 20, "samples_expected": 20,
    }  # fmt: skip
    return ServerFigures(**{**idle, **changes})


def pool(size: float, busy: float, waiting: float, hold_ms: float, wait_ms: float = 0.0) -> PoolFigures:
    """Return a pool of which a request takes one member."""
    return PoolFigures(size, busy, waiting, wait_ms, hold_ms, 1.0, 0.0)


def step(load: float, *, passed: bool = True, goodput: float | None = None, index: int = 0, **changes: Any) -> Step:
    """Return a step of two seconds; `client_…` and `server_…` change the figures of one side."""
    sides = {side: {key.removeprefix(side): value for key, value in changes.items() if key.startswith(side)}
             for side in ("client_", "server_")}  # fmt: skip
    served = load if goodput is None else goodput
    one = client(
        **{"ok": round(2 * served), "scheduled": round(2 * load), "started": round(2 * load), **sides["client_"]}
    )
    done = one.ok + one.failed
    return Step(
        index=index, phase=changes.get("phase", "ramp"), model="rate", t_start_s=10.0 * index,
        t_end_s=10.0 * index + 2.0, settle_s=0.0, offered_rps=load, users=None, started_rps=load, goodput_rps=served,
        error_rate=one.failed / done if done else None, latency_ms=None, client=one,
        server=server(**{"requests_rps": served, **sides["server_"]}), passed=passed,
        breaches=[] if passed else ["p95 900 ms above the limit of 500 ms"],
    )  # fmt: skip


def facts(*steps: Step, cores: float = 1.0, **changes: Any) -> Facts:
    """Return the facts of a run of these steps."""
    ordered = list(steps)
    sorted_out = ladder(ordered)
    machine = Machine(cores=cores, shared=False)
    known: dict[str, Any] = {
        "steps": ordered, "ladder": sorted_out, "machine": machine,
        "validity": validity(sorted_out, machine, SLO_MS, SLO_ERRORS),
        "capacity": capacity(ordered, sorted_out, SLO_MS, SLO_ERRORS),
        "ledger": build_ledger(sorted_out, machine, None),
        "time": time_shares(sorted_out), "leak": None, "profiles": (), "slo_errors": SLO_ERRORS, "target_killed": False,
    }  # fmt: skip
    return Facts(**{**known, **changes})
