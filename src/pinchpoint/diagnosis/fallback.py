"""The app is too slow although nothing is full (question 3 of DESIGN §3): the dominant time names the class."""

from pinchpoint.diagnosis.bounds import above
from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.pool_rules import HOLD_GROWTH
from pinchpoint.diagnosis.readings import grown_by, hold_of
from pinchpoint.diagnosis.saturation import pool_full, pool_use
from pinchpoint.diagnosis.time_shares import (
    BLOCKED,
    COMPUTE,
    DATABASE,
    DOWNSTREAM,
    HTTP_POOL_WAIT,
    LOCK_WAIT,
    POOL_WAIT,
    SLOT_WAIT,
    THREAD_WAIT,
    TOKENS,
    dominant,
)
from pinchpoint.diagnosis.words import ms
from pinchpoint.measures import ServerFigures
from pinchpoint.records import BottleneckClass, Evidence

DOMINANT = 0.5
"""Half of the response time: no other part can be larger."""

CLASS_OF_PART: dict[str, tuple[BottleneckClass, str, str]] = {
    DATABASE: ("io", "slow-query", "db"),
    COMPUTE: ("cpu", "python-code", "cpu"),
    BLOCKED: ("blocking", "sync-call", "loop"),
    POOL_WAIT: ("pool", "db-pool", "db-pool"),
    TOKENS: ("pool", "threadpool", "threadpool"),
    THREAD_WAIT: ("pool", "threadpool", "executor"),
    DOWNSTREAM: ("io", "downstream", "downstream"),
    HTTP_POOL_WAIT: ("pool", "http-pool", "http-pool"),
    LOCK_WAIT: ("lock", "python-lock", "lock"),
    SLOT_WAIT: ("pool", "worker-slots", "worker-slots"),
}


def latency_bound(facts: Facts) -> Candidate | None:
    """Return the class of the dominant time when the threshold broke at every load, or users without pause wait for it.

    Errors are no latency: a step that mostly failed is not explained by where its time went.
    """
    limit = facts.ladder.limit
    if limit is None or (limit.error_rate or 0.0) > (facts.slo_errors or 0.0):
        return None
    if facts.ladder.passed and limit.model != "users":
        return None
    part = dominant(facts.time.limit)
    if part is None or part.share < DOMINANT or part.part not in CLASS_OF_PART:
        return None
    class_, cause, resource = CLASS_OF_PART[part.part]
    total = facts.time.ms_limit
    text = f"{part.share:.0%} of a request's {ms(total)} is {part.part}"
    summary = f"No resource is full, but a request takes {ms(total)}: {part.share:.0%} of it is {part.part}."
    found = [Evidence(text, "time", part.share, "share", limit.index)]
    decides = above(f"the share of a request's time that is {part.part}", part.share, DOMINANT)
    return Candidate(class_, cause, summary, resource, (), found, part.share, agrees=True, deciding=(decides,))


WAITED = 0.4
"""Share of a request's time inside the app that it waits at pools, from which these bind, if only at times."""

PART_OF_IT = 0.3
"""Share of that waiting from which a pool is a bottleneck of its own beside the one most waited for."""

AT_TIMES = 0.3
"""Mean use of a pool that is full at times; below, a burst fills it once."""

STANDS_STILL = 0.3
"""Share of time in which a loop stands still that is full at times."""

ROW_OF_POOL = {
    "db": (POOL_WAIT, "db-pool"), "threadpool": (TOKENS, "threadpool"), "executor": (THREAD_WAIT, "executor"),
    "http": (HTTP_POOL_WAIT, "http-pool"), "slots": (SLOT_WAIT, "worker-slots"),
}  # fmt: skip
"""Kind of pool -> the part of a request's time that is the wait for it, and its row of the ledger."""


def full_at_times(facts: Facts) -> Candidate | None:
    """Return the pool most waited for although none is full on average: loads that take turns fill one after the other.

    A pool nobody ever finds full makes nobody wait, so waiting alone shows that it was (METHOD §4.1, Malkowski et al.).
    """
    limit = facts.ladder.limit
    if limit is None or not limit.server.service_ms or (limit.error_rate or 0.0) > (facts.slo_errors or 0.0):
        return None
    waits = sorted(_waits(facts, limit.server), reverse=True)
    total = sum(wait for wait, _ in waits)
    share = total / (limit.server.service_ms + (limit.server.queue_ms or 0.0))
    if not waits or share < WAITED:
        return None
    most, key = waits[0]
    part, row = ROW_OF_POOL[key]
    pool = limit.server.pools[key]
    also = [ROW_OF_POOL[other][1] for wait, other in waits[1:] if wait >= PART_OF_IT * total]
    also += ["loop"] if (limit.server.loop_blocked or 0.0) >= STANDS_STILL else []
    class_, cause, _ = CLASS_OF_PART[part]
    text = f"requests wait {ms(most)} for it on average, although {pool_use(pool) or 0.0:.0%} of it is in use"
    summary = (
        f"Nothing is full all the time, but {row} is at times: {text}; waiting is {share:.0%} of a request's time."
    )
    found = [Evidence(text, "probe.pool_wait", most, "ms", limit.index)]
    return Candidate(
        class_, cause, summary, row, (), found, margin(share, WAITED, 1.0), agrees=True, also=tuple(also),
        conflicts=("the pool, which has members to spare on average, was never full for a moment",),
        deciding=(above("the share of a request's time that it waits at pools", share, WAITED),),
    )  # fmt: skip


def _waits(facts: Facts, server: ServerFigures) -> list[tuple[float, str]]:
    """Return (milliseconds per request, kind) of the pools that are waited for and well used, for as long as ever.

    What is full all the time has a rule of its own, which had its reasons not to name it.
    """
    found = []
    for key in ROW_OF_POOL:
        pool = server.pools.get(key)
        if pool is None or pool.wait_ms is None or pool_full(pool) or (pool_use(pool) or 0.0) < AT_TIMES:
            continue
        grown = grown_by(pool.hold_ms, facts.low(lambda figures, key=key: hold_of(figures.pools.get(key))))  # type: ignore[misc]
        if grown is not None and grown >= HOLD_GROWTH:
            continue
        found.append((pool.wait_ms * (pool.checkouts_per_request or 0.0), key))
    return [(wait, key) for wait, key in found if wait > 0]
