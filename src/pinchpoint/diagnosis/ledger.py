"""The ledger: X <= capacity / demand for every resource that was measured (METHOD §4; utilisation law).

Flow resources (CPU, loops) get their ceiling from a fit of utilisation over throughput, because their demand per
request falls as load rises. Held resources (pools, tokens) get theirs from the holding time at low load, where it
contains no queueing (DESIGN §6).
"""

from collections.abc import Callable, Sequence

from pinchpoint.diagnosis.memory import Growth
from pinchpoint.diagnosis.saturation import (
    CPU_SATURATED,
    Machine,
    cpu_use,
    loop_threads,
    loop_use,
    narrowest,
    pool_full,
    pool_use,
    same_pool,
)
from pinchpoint.diagnosis.steps import Ladder, enough, load_of, low_steps
from pinchpoint.diagnosis.words import counted
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import BottleneckClass, Resource
from pinchpoint.statistics import Estimate, ratio_estimate, utilisation_ceiling

FIT_STEPS = 5
"""Unsaturated steps nearest to the limit that the utilisation fit uses: demand at 5 % load says nothing about 90 %."""

FIT_HIGHEST_USE = 0.97
"""Above this a step is saturated and its throughput is itself the ceiling."""

MIN_HELD = 1e-4
"""Mean members of a pool in use below which its demand is noise."""

DEPTH = {
    "worker-slots": 1, "loop": 2, "threadpool": 3, "executor": 3, "db-pool": 4, "http-pool": 4, "lock": 5, "db": 5,
    "downstream": 5, "cpu": 6, "memory": 7,
}  # fmt: skip
"""A resource held while waiting for another has the smaller number (layered queueing, METHOD §4.1)."""


def build_ledger(sorted_out: Ladder, machine: Machine, leak: Growth | None) -> list[Resource]:
    """Return the measured resources, lowest ceiling first; those without a ceiling last."""
    limit = sorted_out.limit
    if limit is None:
        return []
    low = low_steps(sorted_out)
    rows = [
        _cpu(sorted_out, limit, low, machine),
        _loop(sorted_out, limit, low),
        _held(limit, low, "threadpool", "threadpool", "tokens"),
        _held(limit, low, "db", "db-pool", "connections"),
        _held(limit, low, "slots", "worker-slots", "slots"),
        _held(limit, low, "executor", "executor", "threads"),
        _held(limit, low, "http", "http-pool", "connections"),
        _lock(limit),
        _database(limit, low),
        _memory(limit, leak),
    ]
    return sorted(
        (row for row in rows if row is not None), key=lambda row: (row.ceiling_rps or float("inf"), row.depth)
    )


def _throughput(step: Step) -> float:
    """Return the requests per second that cost the server something: failures included, as the server saw them."""
    if step.server.requests_rps is not None:
        return step.server.requests_rps
    failed = (step.error_rate or 0.0) * step.goodput_rps / max(1e-9, 1.0 - (step.error_rate or 0.0))
    return step.goodput_rps + (failed if (step.error_rate or 0.0) < 1.0 else 0.0)


def _flow_ceiling(sorted_out: Ladder, limit: Step, use: Callable[[Step], float | None]) -> tuple[Estimate | None, str]:
    points = []
    for step in sorted(sorted_out.passed, key=load_of):
        value = use(step)
        if value is not None and value < FIT_HIGHEST_USE and enough(step):
            points.append((_throughput(step), value))
    chosen = points[-FIT_STEPS:]
    fitted = utilisation_ceiling([x for x, _ in chosen], [u for _, u in chosen])
    at_limit = use(limit)
    if at_limit is None or at_limit < CPU_SATURATED or limit.goodput_rps <= 0:
        return fitted, "fit of utilisation over the steps that held"
    # Full at the limit: what it served there is the ceiling, measured and not extrapolated.
    held = sorted_out.sustained.goodput_rps if sorted_out.sustained is not None else 0.0
    reached = max(held, limit.goodput_rps)
    low = reached if fitted is None else min(reached, fitted.value)
    high = reached if fitted is None else max(reached, fitted.value)
    note = "measured: full at the limit"
    if fitted is not None:
        note += f"; the fit from the steps that held says {fitted.value:.0f}/s"
    return Estimate(reached, low, high, len(chosen)), note


def _cpu(sorted_out: Ladder, limit: Step, low: Sequence[Step], machine: Machine) -> Resource | None:
    if machine.cores is None or limit.server.cpu_cores is None:
        return None
    ceiling, note = _flow_ceiling(sorted_out, limit, lambda step: cpu_use(step, machine))
    demand = _demand(low, lambda server: server.cpu_cores)
    return _resource(
        "cpu", "cpu", machine.cores, "cores", demand, ceiling, cpu_use(limit, machine), limit.server.runq_cores, note
    )


def _loop(sorted_out: Ladder, limit: Step, low: Sequence[Step]) -> Resource | None:
    if loop_use(limit.server) is None:
        return None
    ceiling, note = _flow_ceiling(sorted_out, limit, lambda step: loop_use(step.server))
    demand = _demand(low, _loop_seconds)
    loops = float(loop_threads(limit.server))
    return _resource("loop", "cpu", loops, "loops", demand, ceiling, loop_use(limit.server), None, note)


def _loop_seconds(server: ServerFigures) -> float | None:
    """Busy loops, summed over the workers."""
    if server.loop_busy_mean is not None:
        return server.loop_busy_mean * loop_threads(server)
    return server.loop_cpu_cores


def _held(limit: Step, low: Sequence[Step], key: str, name: str, unit: str) -> Resource | None:
    which, pool = narrowest(limit.server, key)
    if pool is None or not pool.size:
        return None
    demand = _demand(low, lambda server: _busy(same_pool(server, key, which)))
    if demand is None or demand.value * _throughput(limit) < MIN_HELD:
        return _resource(name, "pool", pool.size, unit, None, None, pool_use(pool), pool.waiting, "hardly used")
    size = pool.size
    high = size / demand.low if demand.low > 0 else size / demand.value
    ceiling = Estimate(size / demand.value, size / demand.high, high, demand.n)
    note = f"holding time at low load, from {counted(demand.n, 'step')}"
    return _resource(name, "pool", size, unit, demand, ceiling, pool_use(pool), pool.waiting, note)


def _lock(limit: Step) -> Resource | None:
    """Return the fullest lock's row. Its holders are counted only while somebody waits, so only a full one is known."""
    pool = narrowest(limit.server, "lock")[1]
    if pool is None or not pool.size:
        return None
    full = pool_full(pool) and _throughput(limit) > 0
    ceiling = None
    if full:
        rate = _throughput(limit) / (pool_use(pool) or 1.0)
        ceiling = Estimate(rate, _throughput(limit), rate, 1)
    demand = (
        Estimate(pool.size / ceiling.value, pool.size / ceiling.high, pool.size / ceiling.low, 1) if ceiling else None
    )
    note = "measured: full at the limit" if full else "holders are counted only while somebody waits"
    return _resource("lock", "lock", pool.size, "holders", demand, ceiling, pool_use(pool), pool.waiting, note)


def _busy(pool: PoolFigures | None) -> float | None:
    return None if pool is None else pool.busy


def _database(limit: Step, low: Sequence[Step]) -> Resource | None:
    server = limit.server
    if server.db_active is None:
        return None
    demand = _demand(low, lambda figures: figures.db_active)
    note = "runs inside the workers: its CPU is theirs" if server.db_embedded else "capacity unknown from outside"
    return _resource("db", "io", None, "calls in progress", demand, None, None, server.db_active, note)


def _memory(limit: Step, leak: Growth | None) -> Resource | None:
    if limit.server.pss_bytes is None:
        return None
    if leak is None:
        return None
    capacity = None if leak.free_bytes is None else limit.server.pss_bytes + leak.free_bytes
    use = None if not capacity else min(1.0, limit.server.pss_bytes / capacity)
    note = f"grows {leak.bytes_per_request.value / 1e3:.1f} kB per request"
    if leak.seconds_to_limit is not None:
        note += f"; full after {leak.seconds_to_limit:.0f} s at the sustainable rate"
    return _resource("memory", "memory", capacity, "bytes", None, None, use, None, note)


def _demand(low: Sequence[Step], busy: Callable[[ServerFigures], float | None]) -> Estimate | None:
    """Busy seconds per request over the light steps, each weighted by its length."""
    busy_s, requests = [], []
    for step in low:
        value, seconds = busy(step.server), step.t_end_s - step.t_start_s - step.settle_s
        if value is not None and _throughput(step) > 0:
            busy_s.append(value * seconds)
            requests.append(_throughput(step) * seconds)
    return ratio_estimate(busy_s, requests)


def _resource(
    name: str,
    kind: BottleneckClass,
    capacity: float | None,
    unit: str,
    demand: Estimate | None,
    ceiling: Estimate | None,
    use: float | None,
    queue: float | None,
    note: str,
) -> Resource:
    return Resource(
        resource=name,
        kind=kind,
        capacity=capacity,
        unit=unit,
        demand_s_per_request=demand.value if demand else None,
        ceiling_rps=ceiling.value if ceiling else None,
        ceiling_ci_rps=(ceiling.low, ceiling.high) if ceiling else None,
        utilisation=use,
        queue=queue,
        depth=DEPTH[name],
        note=note,
    )
