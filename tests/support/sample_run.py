"""A made-up but plausible run: a connection pool of 4 that binds at 98/s. For the tests of the outputs."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pinchpoint import histograms
from pinchpoint.measures import (
    ClientFigures,
    EndpointFigures,
    Latency,
    PeerFigures,
    PoolFigures,
    RouteFigures,
    ServerFigures,
    Step,
    WorkerFigures,
)
from pinchpoint.recording import Recording
from pinchpoint.records import (
    Advice,
    AwaitPlace,
    AwaitShares,
    Capacity,
    Diagnosis,
    Evidence,
    Finding,
    Gate,
    HotFrame,
    Location,
    Profile,
    Recovery,
    Resource,
    SloResult,
    TimePart,
    TimeShares,
    Validity,
    Verdict,
    Wall,
)
from pinchpoint.rows import DigestRow, EventRow, SampleRow

ORIGIN_S = 5000.0
CEILING_RPS = 98.0
PIDS = (4201, 4202)
LEVELS: tuple[tuple[str, float, float], ...] = (
    ("warmup", 20.0, 4.0),
    ("baseline", 10.0, 6.0),
    ("ramp", 20.0, 4.0),
    ("ramp", 40.0, 4.0),
    ("ramp", 80.0, 4.0),
    ("ramp", 160.0, 4.0),
    ("search", 113.0, 6.0),
    ("search", 94.0, 6.0),
    ("profile-baseline", 20.0, 4.0),
    ("profile-limit", 94.0, 4.0),
    ("overload", 140.0, 6.0),
    ("recovery", 10.0, 6.0),
)
"""Phase, offered rate per second, seconds."""


def sample_steps() -> list[Step]:
    """Return the steps of the run, figures from the arithmetic of the pool."""
    steps, at = [], ORIGIN_S
    for index, (phase, rate, seconds) in enumerate(LEVELS):
        steps.append(_step(index, phase, rate, at, at + seconds))
        at += seconds
    return steps


def sample_diagnosis(name: str = "/items/[id]") -> Diagnosis:
    """Return what diagnosis would say; `name` is the endpoint's name, hostile where a test wants it so."""
    steps = [_renamed(step, name) for step in sample_steps()]
    latency = steps[7].latency_ms
    gates = [
        Gate("generator-cpu", "ok", 0.12, 0.9, "share", "the busiest load process used 12 % of a core"),
        Gate("send-lag", "ok", 0.4, 2.05, "ms", "requests left on time"),
        Gate("psi", "unavailable", None, None, "share", "this kernel tells no CPU pressure"),
        Gate("samples", "warn", 0.93, 0.95, "share", "the collector missed a few ticks"),
    ]
    slo = [SloResult("p95 <= 500 ms", ok=True, observed=210.0), SloResult("errors <= 1 %", ok=True, observed=0.0)]
    return Diagnosis(
        validity=Validity("suspect", gates),
        capacity=Capacity(
            sustainable_rps=93.6,
            lower_bound_rps=94.0,
            upper_bound_rps=113.0,
            saturation_rps=97.8,
            breaking_rps=113.0,
            breaking_reason="p95 1.9 s above 500 ms",
            knee_rps=80.0,
            reached=True,
            slo=slo,
            latency_at_sustainable_ms=latency,
            error_rate=0.0,
        ),
        recovery=Recovery(recovered=True, seconds=1.4, latency_ratio=1.03, memory_ratio=1.01),
        steps=steps,
        ledger=_ledger(),
        time=TimeShares(
            low={"database": 0.78, "compute": 0.12, "connect and accept": 0.06, "unexplained": 0.04},
            limit={"pool wait": 0.71, "database": 0.2, "compute": 0.03, "loop queue": 0.02, "unexplained": 0.04},
            ms_low=52.0,
            ms_limit=205.0,
        ),
        verdict=_verdict(name),
        findings=[Finding("worker-imbalance", "worker 4201 served 61 % of the requests", 0.61, "share")],
    )


def sample_profiles() -> list[Profile]:
    """Return two profiles whose flame graphs `sample_folder` writes."""
    hot = [
        HotFrame("read_item", "app/items.py", 41, "app", 0.02, 0.4),
        HotFrame("select", "selectors.py", 468, "stdlib", 0.3, 0.3),
    ]
    return [
        Profile("profile-baseline", 4201, "cpu", 388, "profiles/low.folded", "profiles/low.svg"),
        Profile("profile-limit", 4201, "cpu", 391, "profiles/limit.folded", "profiles/limit.svg", hot),
    ]


def sample_awaits() -> AwaitShares:
    """Return what requests awaited: at the limit, the pool."""
    return AwaitShares(
        low={"GET /items/{item_id}": {"database": 0.8, "ready": 0.15, "connection pool": 0.05}},
        limit={
            "GET /items/{item_id}": {"connection pool": 0.7, "database": 0.28, "ready": 0.02},
            "GET /": {"ready": 1.0},
        },
        met_low={"GET /items/{item_id}": 200},
        met_limit={"GET /items/{item_id}": 1900, "GET /": 100},
        places=[
            AwaitPlace("connection pool", 0.665, "GET /items/{item_id}", "read_item", "app/items.py", 41, "get"),
            AwaitPlace("database", 0.266, "GET /items/{item_id}", "read_item", "app/items.py", 43, "execute"),
            AwaitPlace("ready", 0.069, "GET /"),
        ],
    )


def sample_run() -> dict[str, Any]:
    """Return `run.json`."""
    return {
        "id": "20260101-120000-000",
        "started_at": "2026-01-01T12:00:00+00:00",
        "duration_s": 61.2,
        "budget_s": 60.0,
        "argv": ["pinchpoint", "run", "--budget", "60s"],
        "partial": False,
        "problem": None,
        "versions": {"python": "3.11.7", "pinchpoint": "0.1.0"},
        "host": {"cpus": 2, "kernel": "6.1"},
        "target": {
            "command": "the reference app",
            "workers": 2,
            "worker_class": "uvicorn",
            "python": "python3",
            "pids": list(PIDS),
            "server_cpus": None,
        },
        "load": {"model": "rate", "scenario": "items", "locustfile": None, "processes": 1, "load_cpus": None},
        "slo": {"p95_ms": 500.0, "max_error_rate": 0.01},
    }


def sample_recording(root: Path, name: str = "/items/[id]") -> Recording:
    """Return the rows behind the steps; between seconds 20 and 23 the collector was silent."""
    end_s = ORIGIN_S + sum(seconds for _, _, seconds in LEVELS)
    steps = sample_steps()
    events: list[dict[str, Any]] = [{"kind": "target-start", "t_s": ORIGIN_S - 2, "data": {"pid": 4200}}]
    keys = ("index", "phase", "model", "offered_rps", "users", "t_start_s", "t_end_s", "settle_s", "passed", "breaches")
    events += [
        {"kind": "step", "t_s": step.t_end_s, "data": {key: getattr(step, key) for key in keys}} for step in steps
    ]
    ticks = (ORIGIN_S - 2 + tick / 5 for tick in range(int((end_s - ORIGIN_S + 2) * 5)))
    samples = [_sample(at, steps) for at in ticks if not 20 <= at - ORIGIN_S < 23]
    digests = [_digest(step, second, name) for step in steps for second in range(int(step.t_end_s - step.t_start_s))]
    return Recording(
        events=cast("list[EventRow]", events),
        samples=samples,
        digests=digests,
        settings={"load": sample_run()["load"], "slo": sample_run()["slo"]},
        root=root,
    )


def _latency(rate: float) -> Latency:
    """Response times that grow like 1/(1-rho) below the ceiling, and are a standing queue above it."""
    mean = (
        50 / max(0.12, 1 - 0.85 * min(1.0, rate / CEILING_RPS))
        if rate < CEILING_RPS
        else 700 + 9 * (rate - CEILING_RPS)
    )
    return Latency(p50=mean * 0.8, p90=mean * 1.6, p95=mean * 1.75, p99=mean * 2.6, max=mean * 3.4)


def _step(index: int, phase: str, rate: float, start_s: float, end_s: float) -> Step:
    broke = rate > CEILING_RPS
    goodput = min(rate, CEILING_RPS) * 0.997
    latency = _latency(rate)
    busy = min(4.0, goodput * 0.041)
    waiting = 14.0 if broke else max(0.0, busy - 3.2)
    requests = int(goodput * (end_s - start_s))
    client = ClientFigures(
        cpu_share=0.02 + rate / 1200,
        cpu_cores=0.02 + rate / 1200,
        runq_share=0.01,
        send_lag_ms_p99=0.4,
        scheduled=int(rate * (end_s - start_s)),
        started=requests,
        unsent=40 if broke else 0,
        ok=requests,
        failed=0,
        inflight_mean=goodput * latency.p50 / 1000,
        users=24,
        service_ms_p50=latency.p50,
        endpoints=[
            EndpointFigures("/items/[id]", requests, 0, latency, mean_ms=1.1 * latency.p50),
            EndpointFigures("setup: /login", 16, 0, None),
        ],
    )
    return Step(
        index=index,
        phase=cast("Any", phase),
        model="rate",
        t_start_s=start_s,
        t_end_s=end_s,
        settle_s=0.5,
        offered_rps=rate,
        users=None,
        started_rps=goodput,
        goodput_rps=goodput,
        error_rate=0.0,
        latency_ms=latency,
        client=client,
        server=_server(goodput, busy, waiting, latency),
        passed=not broke,
        breaches=["p95 above 500 ms"] if broke else [],
    )


def _server(goodput: float, busy: float, waiting: float, latency: Latency) -> ServerFigures:
    workers = [
        WorkerFigures(pid, goodput * 0.001, 0.01, goodput * 0.0012, goodput / 2, 8.1e7, 6.2e7, busy / 2) for pid in PIDS
    ]
    pool = PoolFigures(
        size=4.0,
        busy=busy,
        waiting=waiting,
        wait_ms=waiting / max(goodput, 1) * 1000,
        hold_ms=41.0,
        checkouts_per_request=1.0,
    )
    return ServerFigures(
        cpu_cores=goodput * 0.002,
        runq_cores=0.02,
        loop_cpu_cores=goodput * 0.0016,
        loop_runq_cores=0.01,
        loop_busy=goodput * 0.0012,
        loop_busy_mean=goodput * 0.0011,
        loop_blocked=0.0,
        loop_lag_ms=0.6,
        loop_lag_max_ms=4.0,
        rss_bytes=1.62e8,
        pss_bytes=1.24e8,
        inflight=busy + waiting,
        requests_rps=goodput,
        service_ms=latency.p50,
        handler_cpu_ms=None,
        db_ms_per_request=40.0,
        db_calls_per_request=1.0,
        db_active=busy,
        db_embedded=True,
        off_loop_cpu_cores=0.02,
        pools={"db": pool},
        gates={"db-pool postgresql 127.0.0.1:5432/shop": pool},
        routes=[RouteFigures("GET /items/{item_id}", goodput, latency.p50, 0.0, 0.0)],
        calls=[PeerFigures("db postgresql 127.0.0.1:5432/shop", goodput, 40.0, busy, 0.0)],
        thread_states={"running": 0.25, "socket": 0.75},
        socket_peers={"127.0.0.1:5432": 0.75},
        psi={"cpu_some": 0.04},
        samples_received=30,
        samples_expected=30,
        per_worker=workers,
    )


def _ledger() -> list[Resource]:
    return [
        Resource("cpu", "cpu", 2.0, "cores", 0.0020, 1000.0, (880.0, 1130.0), 0.2, None, 5),
        Resource(
            "db-pool", "pool", 4.0, "connections", 0.041, 97.6, (96.1, 99.0), 0.99, 14.0, 3, "held 41 ms per checkout"
        ),
        Resource("loop", "cpu", 2.0, "event loops", 0.0024, 833.0, (700.0, 980.0), 0.12, None, 2),
        Resource("threadpool", "pool", 80.0, "threads", None, None, None, None, None, 2, "never used"),
    ]


def _verdict(name: str) -> Verdict:
    return Verdict(
        class_="pool",
        cause="db-pool",
        status="supported",
        confidence=0.93,
        summary="The connection pool binds: 4 of 4 connections busy, 14 requests waiting; each holds one for 41 ms, "
        "so 4 / 41 ms = 98 requests/s.",
        dominant_time=TimePart("pool wait", 0.71),
        location=Location(endpoint=name, function="read_item", file="app/items.py", line=41, knob="pool_size"),
        next_wall=Wall("loop", 833.0),
        evidence=[
            Evidence("4 of 4 connections busy on average", "probe.pool_busy_s", 3.98, "connections", 10),
            Evidence("14 requests wait for a connection", "probe.pool_waiting_s", 14.0, "requests", 10),
            Evidence("the CPU is idle", "schedstat", 0.2, "cores", 10),
            Evidence("a connection is held as long as at low load", "probe.pool_hold_s", 41.0, "ms", 10),
        ],
        advice=[
            Advice("Give each worker a bigger connection pool.", "pool_size", "4", "8", "+100 %, up to 196/s"),
            Advice("Or hold a connection for less time: 95 % of the hold is the query."),
        ],
        would_flip_if=["the hold time grew with the number of connections"],
    )


def _renamed(step: Step, name: str) -> Step:
    endpoints = [replace(one, name=name) if one.name == "/items/[id]" else one for one in step.client.endpoints]
    return replace(step, client=replace(step.client, endpoints=endpoints))


def _rate_at(at_s: float, steps: list[Step]) -> float:
    for step in steps:
        if step.t_start_s <= at_s < step.t_end_s:
            return step.goodput_rps
    return 0.0


def _served(at_s: float, steps: list[Step]) -> float:
    """Requests served since the start: the integral of the steps' goodput."""
    return sum(step.goodput_rps * max(0.0, min(at_s, step.t_end_s) - step.t_start_s) for step in steps)


def _sample(at_s: float, steps: list[Step]) -> SampleRow:
    served, uptime = _served(at_s, steps), at_s - ORIGIN_S + 10
    processes = [_process(pid, served * share, uptime) for pid, share in zip(PIDS, (0.61, 0.39), strict=True)]
    host = {"psi_us": {"cpu_some": int(uptime * 4e4 + served * 300)}, "cpu_busy_s": served * 0.003}
    row = {"t_s": at_s, "host": host, "cgroup": None, "processes": processes, "collector_cpu_s": 0.0, "late_s": 0.0}
    return cast("SampleRow", row)


def _process(pid: int, served: float, uptime_s: float) -> dict[str, Any]:
    probe = {
        "loop_busy_s": served * 0.0024,
        "inflight_s": served * 0.06,
        "pool_busy_s": served * 0.041,
        "pool_size": 2.0,
        "pool_waiting_s": max(0.0, served * 0.02 - uptime_s * 0.2),
    }
    return {
        "pid": pid,
        "role": "worker",
        "cpu_s": served * 0.002,
        "runq_s": served * 0.0001,
        "rss_bytes": 81_000_000,
        "pss_bytes": 62_000_000 if math.isclose(uptime_s % 1, 0, abs_tol=0.05) else None,
        "probe": probe,
        "probe_age_s": 0.02,
    }


def _digest(step: Step, second: int, name: str) -> DigestRow:
    assert step.latency_ms is not None
    assert step.offered_rps is not None
    ok = round(step.goodput_rps)
    spread = [int(step.latency_ms.p50 * 1000 * (0.5 + 1.4 * index / ok)) for index in range(ok)]
    entry = {
        "ok": ok,
        "failed": 0,
        "errors": {},
        "bytes": 0,
        "latency_ok": histograms.encode_values(spread),
        "latency_failed": None,
        "service_ok": None,
    }
    row = {
        "process": 0,
        "pid": 4300,
        "segment": step.index,
        "t0_s": step.t_start_s + second,
        "t1_s": step.t_start_s + second + 1,
        "scheduled": round(step.offered_rps),
        "started": ok,
        "unsent": 0,
        "inflight": 5,
        "inflight_s": ok * step.latency_ms.p50 / 1000,
        "users": 24,
        "cpu_s": 0.02 + step.offered_rps / 1200,
        "runq_s": 0.0,
        "send_lag": None,
        "names": {name: entry},
    }
    return cast("DigestRow", row)
