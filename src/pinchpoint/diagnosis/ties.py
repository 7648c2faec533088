"""Co-bottlenecks: what would bind at the same rate if the binding resource grew; and symptoms: what only fills up.

A held resource (pool, tokens, slots) that is full says nothing: its holders may wait for what binds. Its ceiling from
the holding time at low load, where nobody waits, does: when that is as low as the capacity that was measured, growing
the binding resource alone gains nothing (METHOD §4.4, case F). Unless its holders are busy *with* the binding resource
all the time they hold it: then both are the same thing seen twice.
"""

from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.readings import evidence, hold_of, per_request_ms, uses_of
from pinchpoint.diagnosis.saturation import LOOP_SATURATED, narrowest, pool_full, same_pool
from pinchpoint.diagnosis.time_shares import blocked_loops
from pinchpoint.measures import ServerFigures, Step
from pinchpoint.records import Evidence, Resource

TIE = 1.1
"""Ceilings within 10 % of each other are co-bottlenecks: the search resolves no finer."""

FULL = 0.9
"""Use at the limit from which a resource counts as full (`saturation.POOL_FULL`, `saturation.CPU_SATURATED`)."""

BUSY_WITH_IT = 0.5
"""Share of its holding time that a holder spends with the binding resource, from which both are one."""

KEY_OF_ROW = {
    "db-pool": "db", "threadpool": "threadpool", "worker-slots": "slots", "executor": "executor", "http-pool": "http",
}  # fmt: skip
COMPUTES = frozenset({"cpu", "loop"})
NAMES = {
    "db": "connection pool", "threadpool": "threadpool", "slots": "worker slots", "executor": "thread pool",
    "http": "HTTP client's pool", "lock": "lock or semaphore",
}  # fmt: skip


def ties(facts: Facts, candidate: Candidate, ceiling: float | None, step: Step) -> list[str]:
    """Return the rows of the ledger that bind as well, in the ledger's order."""
    if ceiling is None or ceiling <= 0 or not step.goodput_rps:
        return []
    return [row.resource for row in facts.ledger if _binds_too(facts, candidate, row, ceiling)]


def _binds_too(facts: Facts, candidate: Candidate, row: Resource, ceiling: float) -> bool:
    full = LOOP_SATURATED if row.resource == "loop" else FULL
    if row.resource == candidate.resource or row.ceiling_rps is None or (row.utilisation or 0.0) < full:
        return False
    if {row.resource, candidate.resource} <= {*COMPUTES, "gil"} or row.resource not in {*KEY_OF_ROW, *COMPUTES}:
        return False
    low, high = row.ceiling_ci_rps or (row.ceiling_rps, row.ceiling_rps)
    near = row.ceiling_rps <= TIE * ceiling or low <= ceiling <= high
    return near and not _same_thing(facts, candidate, row)


def _same_thing(facts: Facts, candidate: Candidate, row: Resource) -> bool:
    """Return True when holders of the one are busy with the other all the time, or nobody knows."""
    key = KEY_OF_ROW.get(row.resource)
    if key is None:
        # The CPU beside a pool that binds: full by itself, unless it was not measured which of both waits.
        return candidate.class_ in {"blocking", "lock", "io"}
    if candidate.resource in KEY_OF_ROW:
        return False
    held = _held_ms(facts, key)
    inside = facts.low(lambda server: _spent_ms(server, candidate))
    return not held or inside is None or inside >= BUSY_WITH_IT * held


def no_walls(facts: Facts, candidate: Candidate) -> list[str]:
    """Return the rows that a cure of this bottleneck does not uncover: itself, and the same thing seen from elsewhere.

    What fills up because of it today is a wall all the same, when its ceiling comes from the holding time at low load.
    """
    held = {row.resource: row for row in facts.ledger if row.resource in KEY_OF_ROW}
    hidden = [name for name in candidate.same if name not in held or _same_thing(facts, candidate, held[name])]
    return [candidate.resource or "", *hidden]


def _held_ms(facts: Facts, key: str) -> float | None:
    """Milliseconds per request for which a member is held at low load."""
    limit = facts.ladder.limit
    name = narrowest(limit.server, key)[0] if limit is not None else None
    hold = facts.low(lambda server: hold_of(same_pool(server, key, name)))
    uses = facts.low(lambda server: uses_of(same_pool(server, key, name)))
    return None if hold is None or uses is None else hold * uses


def _spent_ms(server: ServerFigures, candidate: Candidate) -> float | None:
    """Milliseconds per request with the binding resource, at low load."""
    if candidate.class_ == "cpu":
        return per_request_ms(server.cpu_cores, server)
    if candidate.class_ == "blocking":
        return per_request_ms(blocked_loops(server), server)
    if candidate.cause == "downstream":
        return server.http_ms_per_request
    return server.db_ms_per_request


def symptoms(candidate: Candidate, step: Step, co_bottlenecks: list[str]) -> list[Evidence]:
    """Name what is full as well, but only because of what binds."""
    found: list[Evidence] = []
    if candidate.class_ == "memory" and candidate.cause == "leak":
        return found  # nothing waits for memory that merely grows
    for row, key in (*KEY_OF_ROW.items(), ("lock", "lock")):
        if row == candidate.resource or row in co_bottlenecks:
            continue
        pool = narrowest(step.server, key)[1]
        if pool is not None and pool_full(pool):
            text = (
                f"the {NAMES[key]} in front of it {'are' if key == 'slots' else 'is'} full, too ({pool.busy:.3g} of "
                f"{pool.size:g}, {pool.waiting or 0.0:.3g} waiting): a symptom"
            )
            found.append(evidence(text, f"probe.{key}_busy", pool.busy, "members", step))
    return found
