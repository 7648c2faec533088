"""The ledger: X <= capacity / demand for every resource that was measured (METHOD §4; utilisation law).

Flow resources (CPU, loops, the disk) get their ceiling from a fit of utilisation over throughput, because their demand
per request falls as load rises. Held resources (pools, tokens) get theirs from the holding time at low load, where it
contains no queueing (DESIGN §6). What every worker has of its own counts as much less as requests are spread unevenly.
"""

from collections.abc import Sequence

from pinchpoint.diagnosis.ledger_others import (
    admission_row,
    backlog_row,
    disk_row,
    downstream_row,
    generator_row,
    gil_row,
    sqlite_row,
)
from pinchpoint.diagnosis.ledger_parts import DEPTH, demand, flow_ceiling, held_row, resource, throughput
from pinchpoint.diagnosis.memory import Growth
from pinchpoint.diagnosis.saturation import (
    Machine,
    cpu_use,
    loop_threads,
    loop_use,
    narrowest,
    pool_full,
    pool_use,
    same_pool,
)
from pinchpoint.diagnosis.steps import Ladder, low_steps
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import Resource
from pinchpoint.statistics import Estimate

__all__ = ["DEPTH", "build_ledger"]

OTHERS_CORES = 0.1
"""CPU of others on the target's cores that is worth a word."""


def build_ledger(
    sorted_out: Ladder, machine: Machine, leak: Growth | None, generator_rps: float | None = None
) -> list[Resource]:
    """Return the measured resources, lowest ceiling first; those without a ceiling last.

    Args:
        sorted_out: the steps that set capacity.
        machine: what the target may run on; a quota has already cut its cores.
        leak: memory that grows with the requests, if any does.
        generator_rps: requests per second that the generator manages against a server that does nothing.

    """
    limit = sorted_out.limit
    if limit is None:
        return []
    low = low_steps(sorted_out)
    rows = [
        _cpu(sorted_out, limit, low, machine),
        _loop(sorted_out, limit, low),
        gil_row(sorted_out, limit, low),
        _held(limit, low, "threadpool", "threadpool", "tokens"),
        _held(limit, low, "db", "db-pool", "connections"),
        _held(limit, low, "slots", "worker-slots", "slots"),
        _held(limit, low, "executor", "executor", "threads"),
        _held(limit, low, "http", "http-pool", "connections"),
        admission_row(limit, low),
        backlog_row(limit),
        _lock(limit),
        sqlite_row(limit),
        _database(limit, low),
        downstream_row(limit, low),
        disk_row(sorted_out, limit, low),
        _memory(limit, leak),
        generator_row(limit, generator_rps),
    ]
    return sorted(
        (row for row in rows if row is not None), key=lambda row: (row.ceiling_rps or float("inf"), row.depth)
    )


def _cpu(sorted_out: Ladder, limit: Step, low: Sequence[Step], machine: Machine) -> Resource | None:
    server = limit.server
    if machine.cores is None or server.cpu_cores is None:
        return None
    ceiling, note = flow_ceiling(sorted_out, limit, lambda step: cpu_use(step, machine))
    needed = demand(low, lambda figures: figures.cpu_cores)
    if (server.rival_cpu_cores or 0.0) >= OTHERS_CORES:
        note += f"; others used {server.rival_cpu_cores:.1f} of these cores"
    if server.throttled_cores:
        note += f"; the quota stopped it for {server.throttled_cores:.0%} of the time"
    use = cpu_use(limit, machine)
    return resource("cpu", "cpu", machine.cores, "cores", needed, ceiling, use, server.runq_cores, note)


def _loop(sorted_out: Ladder, limit: Step, low: Sequence[Step]) -> Resource | None:
    if loop_use(limit.server) is None:
        return None
    # The busiest loop's use, so that an uneven spread is already in the ceiling.
    ceiling, note = flow_ceiling(sorted_out, limit, lambda step: loop_use(step.server))
    needed = demand(low, _loop_seconds)
    loops = float(loop_threads(limit.server))
    return resource("loop", "cpu", loops, "loops", needed, ceiling, loop_use(limit.server), None, note)


def _loop_seconds(server: ServerFigures) -> float | None:
    """Busy loops, summed over the workers."""
    if server.loop_busy_mean is not None:
        return server.loop_busy_mean * loop_threads(server)
    return server.loop_cpu_cores


def _held(limit: Step, low: Sequence[Step], key: str, name: str, unit: str) -> Resource | None:
    which, pool = narrowest(limit.server, key)
    return held_row(limit, low, name, unit, pool, lambda server: _busy(same_pool(server, key, which)))


def _busy(pool: PoolFigures | None) -> float | None:
    return None if pool is None else pool.busy


def _lock(limit: Step) -> Resource | None:
    """Return the fullest lock's row. Its holders are counted only while somebody waits, so only a full one is known."""
    pool = narrowest(limit.server, "lock")[1]
    if pool is None or not pool.size:
        return None
    full = pool_full(pool) and throughput(limit) > 0
    ceiling = None
    if full:
        rate = throughput(limit) / (pool_use(pool) or 1.0)
        ceiling = Estimate(rate, throughput(limit), rate, 1)
    needed = (
        Estimate(pool.size / ceiling.value, pool.size / ceiling.high, pool.size / ceiling.low, 1) if ceiling else None
    )
    note = "measured: full at the limit" if full else "holders are counted only while somebody waits"
    return resource("lock", "lock", pool.size, "holders", needed, ceiling, pool_use(pool), pool.waiting, note)


def _database(limit: Step, low: Sequence[Step]) -> Resource | None:
    server = limit.server
    if server.db_active is None:
        return None
    needed = demand(low, lambda figures: figures.db_active)
    note = "runs inside the workers: its CPU is theirs" if server.db_embedded else "capacity unknown from outside"
    return resource("db", "io", None, "calls in progress", needed, None, None, server.db_active, note)


def _memory(limit: Step, leak: Growth | None) -> Resource | None:
    """Return memory, which is no flow: growth says when it is full, else the control group says how full it is."""
    server = limit.server
    if leak is None:
        if server.memory_use is None:
            return None
        return resource("memory", "memory", None, "bytes", None, None, min(1.0, server.memory_use), None, "no growth")
    if server.pss_bytes is None:
        return None
    capacity = None if leak.free_bytes is None else server.pss_bytes + leak.free_bytes
    use = None if not capacity else min(1.0, server.pss_bytes / capacity)
    note = f"grows {leak.bytes_per_request.value / 1e3:.1f} kB per request"
    if leak.seconds_to_limit is not None:
        note += f"; full after {leak.seconds_to_limit:.0f} s at the sustainable rate"
    return resource("memory", "memory", capacity, "bytes", None, None, use, None, note)
