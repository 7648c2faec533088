"""pool/*: every member of a bounded pool is out, requests wait, and nothing deeper is full."""

from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.readings import evidence, hold_growth, hold_of
from pinchpoint.diagnosis.saturation import (
    POOL_FULL,
    cpu_use,
    pool_full,
    pool_use,
)
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.records import Evidence, PoolFigures, Step

HOLD_GROWTH = 1.5
"""Holding time at the limit over holding time at low load: above, the pool's members wait for something deeper."""


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
    low_hold = facts.low(lambda server: hold_of(server.pools.get("db")))
    hold = low_hold if low_hold is not None else pool.hold_ms
    found = _pool_evidence(facts, pool, grown, step)
    summary = _pool_summary("The connection pool binds", "connections", pool, hold)
    strength = (margin(pool_use(pool), POOL_FULL, 1.0) + (margin(-(grown or HOLD_GROWTH), -HOLD_GROWTH, -1.0))) / 2
    return Candidate(
        "pool", "db-pool", summary, "db-pool", ("threadpool", "db"), found, strength,
        agrees=row is not None and row.ceiling_rps is not None, conflicts=conflicts,
    )  # fmt: skip


def _pool_evidence(facts: Facts, pool: PoolFigures, grown: float | None, step: Step) -> list[Evidence]:
    size, busy, waiting = pool.size or 0.0, pool.busy or 0.0, pool.waiting or 0.0
    found = [
        evidence(
            f"{busy:.3g} of {size:g} connections in use, {waiting:.0f} requests waiting",
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
    use = cpu_use(step, facts.machine)
    if use is not None:
        found.append(evidence(f"CPU running or runnable only {use:.0%}", "cpu.running+runnable", use, "share", step))
    return found


def _pool_summary(lead: str, members: str, pool: PoolFigures, hold_ms: float | None) -> str:
    size = pool.size or 0.0
    text = f"{lead}: {pool.busy or 0.0:.3g} of {size:g} {members} busy, {pool.waiting or 0.0:.0f} requests waiting"
    if hold_ms is None or hold_ms <= 0:
        return f"{text}."
    per_request = pool.checkouts_per_request or 1.0
    total = hold_ms * per_request
    text += f"; each is held {show_ms(hold_ms)}"
    uses = f" x {per_request:.2f} per request" if abs(per_request - 1.0) > 0.02 else ""  # noqa: PLR2004 - prints the same
    return f"{text}{uses}, so {size:g} / {show_ms(total)} = {1000 * size / total:.0f} requests/s."


def threadpool(facts: Facts, step: Step) -> Candidate | None:
    """pool/threadpool: every token out and requests waiting for one, with the CPU idle."""
    pool = step.server.pools.get("threadpool")
    if pool is None or not pool_full(pool):
        return None
    hold = facts.low(lambda server: hold_of(server.pools.get("threadpool")))
    use = cpu_use(step, facts.machine)
    found = [
        evidence(
            f"{pool.busy or 0:.3g} of {pool.size or 0:g} threads in use, {pool.waiting or 0:.0f} requests waiting",
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
