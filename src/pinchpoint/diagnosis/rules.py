"""One pure function per kind of bottleneck: (facts, step) -> candidate or None. Thresholds are constants with a reason.

The order in `RULES` is the nesting order, deepest first: a pool that is full because its holders compute is CPU (METHOD §4.4).
"""

from collections.abc import Callable

from pinchpoint.diagnosis.cpu_causes import cpu_cause
from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.saturation import (
    CPU_SATURATED,
    LOOP_SATURATED,
    POOL_FULL,
    cpu_use,
    loop_running,
    loop_threads,
    loop_use,
    pool_full,
    pool_use,
    running_use,
)
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.records import Evidence, PoolFigures, ServerFigures, Step

BLOCKED_SHARE = 0.5
"""Of the loop's busy time, spent neither running nor runnable: blocked more often than not."""

BLOCKED_MAX_CPU = 0.6
"""Cores per worker above which a 'blocked' loop may as well be waiting for the GIL behind its own threads."""

HOLD_GROWTH = 1.5
"""Holding time at the limit over holding time at low load: above, the pool's members wait for something deeper."""

DB_GROWTH = 1.5
"""Database time per request at the limit over low load, loop lag taken off: above, the database itself queues."""

DB_LOOP_TURNS = 2.0
"""An awaited database call passes the loop about twice (send, wake-up), each time late by the loop's lag."""

DB_DOMINATES = 0.5
"""Share of the service time at low load that makes the database the thing to look at."""

DB_CPU_SHARE = 0.6
"""Off-loop share of the target's CPU above which an embedded database, not Python on the loop, burns it."""

DB_EXPLAINS = 0.5
"""Database time per request at low load over the CPU per request: below, something else off the loop burns it."""

REMOTE_MAX_RUNNING = 0.75
"""A target that itself runs this much of its cores (or loops) is not merely waiting for a database."""

HOST_FULL = 0.9
"""Foreign CPU of the cores that the target leaves over: a database on this machine has used them up."""

STORM_ERRORS = 0.5
STORM_GOODPUT = 0.5
"""A step that mostly fails, with less than half the goodput of the load that held, burns its CPU on errors (DESIGN §6)."""

STORM_PRIOR_USE = 0.75
"""Unless the CPU was that full already at the load that held."""


def evidence(statement: str, signal: str, value: float | None, unit: str, step: Step) -> Evidence:
    """One measured statement."""
    return Evidence(statement, signal, value, unit, step.index)


# --- shared readings ------------------------------------------------------------------------------------------------


def net_db_ms(server: ServerFigures) -> float | None:
    """Database time per request without the loop's own lateness, which the caller of an async driver sees as well."""
    if server.db_ms_per_request is None:
        return None
    lag = (server.loop_lag_ms or 0.0) * (server.db_calls_per_request or 0.0) * DB_LOOP_TURNS
    return max(0.0, server.db_ms_per_request - lag)


def _growth(now: float | None, then: float | None) -> float | None:
    return None if now is None or not then else now / then


def hold_growth(facts: Facts, step: Step) -> float | None:
    """Holding time of a connection in the step over low load."""
    pool = step.server.pools.get("db")
    return _growth(pool.hold_ms if pool else None, facts.low(lambda server: _hold(server.pools.get("db"))))


def _hold(pool: PoolFigures | None) -> float | None:
    return None if pool is None else pool.hold_ms


def db_growth(facts: Facts, step: Step) -> float | None:
    """Net database time per request in the step over low load."""
    return _growth(net_db_ms(step.server), facts.low(net_db_ms))


def _storm(facts: Facts, step: Step, use: Callable[[ServerFigures], float | None]) -> bool:
    if (step.error_rate or 0.0) < STORM_ERRORS:
        return False
    held = facts.ladder.sustained
    if held is None:
        return True
    prior = use(held.server) or 0.0
    return step.goodput_rps < STORM_GOODPUT * held.goodput_rps and prior < STORM_PRIOR_USE


def _blocked(server: ServerFigures) -> bool:
    busy = server.loop_busy
    if server.loop_blocked is None or busy is None or busy < LOOP_SATURATED:
        return False
    per_worker = (server.cpu_cores or 0.0) / loop_threads(server)
    return server.loop_blocked >= BLOCKED_SHARE * busy and per_worker <= BLOCKED_MAX_CPU


# --- the rules ------------------------------------------------------------------------------------------------------


def remote_database(facts: Facts, step: Step) -> Candidate | None:
    """io/slow-query behind a connection to another process: its time per request grows while the target waits."""
    server = step.server
    if server.db_embedded is not False or _blocked(server):
        return None
    running = max(running_use(server, facts.cores) or 0.0, loop_running(server) or 0.0)
    grown = db_growth(facts, step)
    low_db, low_service = facts.low(net_db_ms), facts.low(lambda figures: figures.service_ms)
    dominates = low_db is not None and low_service is not None and low_db >= DB_DOMINATES * low_service
    crowded = _host_full(facts, step)
    if running >= REMOTE_MAX_RUNNING or grown is None or not dominates or _wants_more_than_database(facts, step):
        return None
    pool = server.pools.get("db")
    # A pool smaller than the database's cores keeps the queries' time flat although the database is full.
    if grown < DB_GROWTH and not (crowded and pool_full(pool)):
        return None
    found = [
        evidence(
            f"database time per request grew from {show_ms(low_db)} to {show_ms(server.db_ms_per_request)}",
            "probe.db_s",
            grown,
            "ratio",
            step,
        ),
        evidence(
            f"the target itself ran only {running:.0%} of its share of CPU", "cpu.running", running, "share", step
        ),
    ]
    if server.db_active is not None:
        found.append(
            evidence(
                f"{server.db_active:.1f} calls were in the database", "probe.db_active", server.db_active, "calls", step
            )
        )
    if server.foreign_cpu_cores is not None:
        text = f"other processes of the machine used {server.foreign_cpu_cores:.2f} cores"
        found.append(evidence(text, "host.foreign_cpu", server.foreign_cpu_cores, "cores", step))
    summary = (
        f"The database binds: a request's {show_ms(low_db)} of database time at low load became "
        f"{show_ms(server.db_ms_per_request)} at the limit, while the app itself ran {running:.0%} of its CPU."
    )
    strength = max(margin(grown, DB_GROWTH, 3.0), 0.5 if crowded else 0.0)
    return Candidate(
        "io", "slow-query", summary, "db", ("db-pool", "threadpool", "loop", "cpu"), found, strength, agrees=True
    )


def _wants_more_than_database(facts: Facts, step: Step) -> bool:
    """Judge whether the target's own wish for CPU is full, and not because a database on this machine outruns it."""
    server = step.server
    wants = (cpu_use(server, facts.cores) or 0.0) >= CPU_SATURATED
    return wants and (server.foreign_cpu_cores or 0.0) <= (server.cpu_cores or 0.0)


def _host_full(facts: Facts, step: Step) -> bool:
    foreign = step.server.foreign_cpu_cores
    return foreign is not None and facts.cores is not None and foreign >= HOST_FULL * facts.cores


def embedded_database(facts: Facts, step: Step) -> Candidate | None:
    """io/slow-query inside the worker: the CPU is full, burnt off the loop by a costly statement."""
    server = step.server
    use = cpu_use(server, facts.cores)
    if not server.db_embedded or use is None or use < CPU_SATURATED:
        return None
    if not server.cpu_cores or server.off_loop_cpu_cores is None:
        return None
    share = server.off_loop_cpu_cores / server.cpu_cores
    low_db = facts.low(net_db_ms)
    cpu_ms = facts.low(lambda figures: _per_request_ms(figures.cpu_cores, figures))
    if share < DB_CPU_SHARE or low_db is None or not cpu_ms or low_db < DB_EXPLAINS * cpu_ms:
        return None
    found = [
        evidence(
            f"CPU running or runnable: {use:.0%} of {facts.cores:g} core(s)", "cpu.running+runnable", use, "share", step
        ),
        evidence(
            f"{share:.0%} of the app's CPU burns off the event loop, where the embedded database runs",
            "cpu.off_loop",
            share,
            "share",
            step,
        ),
        evidence(
            f"a request spends {show_ms(low_db)} in the database at low load, of {show_ms(cpu_ms)} CPU",
            "probe.db_s",
            low_db,
            "ms",
            step,
        ),
    ]
    summary = (
        f"A costly statement binds: the database runs inside the worker and burns {share:.0%} of the app's CPU; at low load a "
        f"request spends {show_ms(low_db)} in it."
    )
    strength = (margin(use, CPU_SATURATED, 1.0) + margin(share, DB_CPU_SHARE, 0.9)) / 2
    return Candidate(
        "io", "slow-query", summary, "cpu", ("db-pool", "loop", "threadpool", "db"), found, strength, agrees=True
    )


def _per_request_ms(cores: float | None, server: ServerFigures) -> float | None:
    return None if cores is None or not server.requests_rps else cores / server.requests_rps * 1000.0


def blocking_call(facts: Facts, step: Step) -> Candidate | None:
    """blocking/sync-call: the loop is busy all the time, yet its thread neither runs nor wants to."""
    server = step.server
    if not _blocked(server) or server.loop_blocked is None or server.loop_busy is None:
        return None
    per_call = _blocked_ms(facts)
    found = [
        evidence(
            f"the event loop was busy {server.loop_busy:.0%} of the time",
            "probe.loop_busy",
            server.loop_busy,
            "share",
            step,
        ),
        evidence(
            f"for {server.loop_blocked:.0%} of the time its thread was busy without CPU",
            "loop.blocked",
            server.loop_blocked,
            "share",
            step,
        ),
    ]
    if server.cpu_cores is not None:
        found.append(
            evidence(f"the app used only {server.cpu_cores:.2f} cores", "cpu.running", server.cpu_cores, "cores", step)
        )
    cost = f": {show_ms(per_call)} per request" if per_call is not None else ""
    summary = (
        f"A blocking call inside the event loop binds{cost}. The loop is busy {server.loop_busy:.0%} of the time, but stands "
        f"still without using CPU for {server.loop_blocked:.0%}; every other request waits behind it."
    )
    row = facts.resource("loop")
    strength = (margin(server.loop_busy, LOOP_SATURATED, 1.0) + margin(server.loop_blocked, BLOCKED_SHARE, 0.9)) / 2
    return Candidate(
        "blocking",
        "sync-call",
        summary,
        "loop",
        ("db-pool", "threadpool", "db"),
        found,
        strength,
        agrees=row is not None,
    )


def _blocked_ms(facts: Facts) -> float | None:
    return facts.low(lambda f: _per_request_ms(None if f.loop_blocked is None else f.loop_blocked * loop_threads(f), f))


def cpu(facts: Facts, step: Step) -> Candidate | None:
    """Report cpu/*: the allowed cores, or every event loop's one core, are running or runnable all the time."""
    server = step.server
    use, loop = cpu_use(server, facts.cores), loop_use(server)
    cores_full = use is not None and use >= CPU_SATURATED
    loop_full = loop is not None and loop >= LOOP_SATURATED and not _blocked(server) and _loop_computes(server)
    if not (cores_full or loop_full) or _storm(
        facts, step, lambda f: max(cpu_use(f, facts.cores) or 0.0, loop_use(f) or 0.0)
    ):
        return None
    cause, found = cpu_cause(facts, step, cores_full=cores_full)
    if use is not None:
        text = f"CPU running or runnable: {use:.0%} of {facts.cores:g} core(s)"
        found.insert(0, evidence(text, "cpu.running+runnable", use, "share", step))
    if loop is not None:
        found.insert(
            0,
            evidence(f"the busiest event loop was busy {loop:.0%} of the time", "probe.loop_busy", loop, "share", step),
        )
    cost = facts.low(lambda figures: _per_request_ms(figures.cpu_cores, figures))
    at_limit = _per_request_ms(server.cpu_cores, server)
    where = (
        "the event loop computes without a pause" if loop_full else f"all {facts.cores:g} allowed core(s) are in use"
    )
    spent = f"; a request costs {show_ms(at_limit or cost)} of CPU" if (at_limit or cost) is not None else ""
    strength = max(
        margin(use, CPU_SATURATED, 1.0) if cores_full else 0.0, margin(loop, LOOP_SATURATED, 1.0) if loop_full else 0.0
    )
    names = ("loop", "cpu", "db-pool", "threadpool", "db")
    resource = "loop" if loop_full and facts.resource("loop") is not None else "cpu"
    return Candidate("cpu", cause, f"CPU binds: {where}{spent}.", resource, names, found, strength, agrees=True)


def _loop_computes(server: ServerFigures) -> bool:
    """Judge whether a busy loop is busy with CPU: its worker runs, or wants to, for most of the time."""
    if server.cpu_cores is None:
        return False
    wanted = server.cpu_cores + (server.runq_cores or 0.0)
    return wanted / loop_threads(server) >= BLOCKED_SHARE


def connection_pool(facts: Facts, step: Step) -> Candidate | None:
    """pool/db-pool: every connection out, requests waiting, and a connection is held no longer than at low load."""
    pool = step.server.pools.get("db")
    if pool is None or not pool_full(pool):
        return None
    grown = hold_growth(facts, step)
    row = facts.resource("db-pool")
    conflicts = (
        ()
        if grown is not None and grown <= HOLD_GROWTH
        else ("connections are held longer at the limit than at low load, so something behind the pool may bind",)
    )
    low_hold = facts.low(lambda server: _hold(server.pools.get("db")))
    hold = low_hold if low_hold is not None else pool.hold_ms
    size, busy, waiting = pool.size or 0.0, pool.busy or 0.0, pool.waiting or 0.0
    found = [
        evidence(
            f"{busy:.1f} of {size:g} connections in use, {waiting:.0f} requests waiting",
            "probe.pool_busy",
            pool_use(pool),
            "share",
            step,
        ),
    ]
    if grown is not None:
        found.append(
            evidence(
                f"a connection is held {grown:.2f} times as long as at low load",
                "probe.pool_hold",
                grown,
                "ratio",
                step,
            )
        )
    use = cpu_use(step.server, facts.cores)
    if use is not None:
        found.append(evidence(f"CPU running or runnable only {use:.0%}", "cpu.running+runnable", use, "share", step))
    summary = _pool_summary("The connection pool binds", "connections", pool, hold)
    strength = (margin(pool_use(pool), POOL_FULL, 1.0) + (margin(-(grown or HOLD_GROWTH), -HOLD_GROWTH, -1.0))) / 2
    return Candidate(
        "pool", "db-pool", summary, "db-pool", ("threadpool", "db"), found, strength,
        agrees=row is not None and row.ceiling_rps is not None, conflicts=conflicts,
    )  # fmt: skip


def _pool_summary(lead: str, members: str, pool: PoolFigures, hold_ms: float | None) -> str:
    size = pool.size or 0.0
    text = f"{lead}: {pool.busy or 0.0:.1f} of {size:g} {members} busy, {pool.waiting or 0.0:.0f} requests waiting"
    if hold_ms is None or hold_ms <= 0:
        return f"{text}."
    per_request = pool.checkouts_per_request or 1.0
    text += f"; each is held {show_ms(hold_ms)}"
    uses = f" x {per_request:.2f} per request" if abs(per_request - 1.0) > 0.02 else ""  # noqa: PLR2004 - prints the same
    return f"{text}{uses}, so {size:g} / {show_ms(hold_ms * per_request)} = {size / (hold_ms * per_request) * 1000:.0f} requests/s."


def threadpool(facts: Facts, step: Step) -> Candidate | None:
    """pool/threadpool: every token out and requests waiting for one, with the CPU idle."""
    pool = step.server.pools.get("threadpool")
    if pool is None or not pool_full(pool):
        return None
    hold = facts.low(lambda server: _hold(server.pools.get("threadpool")))
    use = cpu_use(step.server, facts.cores)
    found = [
        evidence(
            f"{pool.busy or 0:.1f} of {pool.size or 0:g} threads in use, {pool.waiting or 0:.0f} requests waiting",
            "probe.tokens_busy",
            pool_use(pool),
            "share",
            step,
        ),
    ]
    if use is not None:
        found.append(evidence(f"CPU running or runnable only {use:.0%}", "cpu.running+runnable", use, "share", step))
    row = facts.resource("threadpool")
    summary = _pool_summary("The threadpool binds", "threads", pool, hold)
    agrees = row is not None and row.ceiling_rps is not None
    return Candidate(
        "pool",
        "threadpool",
        summary,
        "threadpool",
        ("db",),
        found,
        margin(pool_use(pool), POOL_FULL, 1.0),
        agrees=agrees,
    )


Rule = Callable[[Facts, Step], Candidate | None]

RULES: tuple[Rule, ...] = (remote_database, embedded_database, blocking_call, cpu, connection_pool, threadpool)
"""Deepest first; a new class takes its place by what it is held behind."""
