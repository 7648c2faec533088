"""The app is too slow although nothing is full (question 3 of DESIGN §3): the dominant time names the class."""

from pinchpoint.diagnosis.bounds import above
from pinchpoint.diagnosis.facts import Candidate, Facts
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
