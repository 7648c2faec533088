"""What requests await names a cause where nothing that was measured does; and says where, in the app's own code.

The await profile counts requests that do not run. It does not measure what they wait for, so a cause that it alone
names is `ambiguous`, and a measurement that says otherwise wins.
"""

from dataclasses import dataclass

from pinchpoint.diagnosis.bounds import above
from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.saturation import pool_full
from pinchpoint.diagnosis.time_shares import (
    BLOCKED,
    COMPUTE,
    DATABASE,
    DOWNSTREAM,
    HTTP_POOL_WAIT,
    LOCK_WAIT,
    LOOP_QUEUE,
    POOL_WAIT,
    TOKENS,
)
from pinchpoint.measures import Step
from pinchpoint.records import AwaitPlace, AwaitShares, BottleneckClass, Evidence

PILED_UP = 5.0
"""Requests inside the app, on average, that wait for something: more than a burst leaves."""

DOMINANT = 0.5
"""Half of the requests' waiting: nothing else can be larger."""

SURE = 2.58
"""Standard deviations by which a share must lie above one half: 99 %, for requests met independently."""

MIN_MET = 20
"""Requests met waiting, below which nothing is said: chance moves a share by a fifth."""

WORTH_TELLING = 0.1

GROWN = 1.5
"""Waiting at the limit over waiting at low load: below, it is not what made requests slow."""

COMPUTES = 0.5
"""Share of a request's time that runs or queues for the loop, from which what it awaits is not what it lacks."""


@dataclass(frozen=True)
class Named:
    """A cause that a kind of waiting may name."""

    class_: BottleneckClass
    cause: str
    resource: str
    what: str
    part: str
    """The part of a request's time that measures the same."""


CAUSE_OF_KIND = {
    "downstream": Named("io", "downstream", "downstream", "an answer of another service", DOWNSTREAM),
    "lock": Named("lock", "python-lock", "lock", "a lock", LOCK_WAIT),
    "thread token": Named("pool", "threadpool", "threadpool", "a thread of the threadpool", TOKENS),
    "database": Named("io", "slow-query", "db", "an answer of the database", DATABASE),
    "connection pool": Named("pool", "db-pool", "db-pool", "a connection of a pool", POOL_WAIT),
    "HTTP connection pool": Named("pool", "http-pool", "http-pool", "a connection of the HTTP client", HTTP_POOL_WAIT),
}
"""Clients that the probe does not measure (Redis, MongoDB, MySQL) are seen in the await chains all the same."""
POOL_OF_KIND = {"thread token": "threadpool", "connection pool": "db", "HTTP connection pool": "http"}
"""What its pool is called, where it is measured."""
KIND_OF_CAUSE = {
    "db-pool": "connection pool",
    "http-pool": "HTTP connection pool",
    "threadpool": "thread token",
    "downstream": "downstream",
    "python-lock": "lock",
    "admission-limit": "lock",
    "slow-query": "database",
}
"""Cause -> what requests await because of it: where to look when no profile of running code says."""


def awaited(facts: Facts) -> Candidate | None:
    """Return what most of the waiting at the limit is for, unless a measurement contradicts it."""
    limit, awaits = facts.ladder.limit, facts.awaits
    if limit is None or awaits is None or not facts.ladder.reached or not piled_up(limit):
        return None
    kind, share = next(iter(awaits.overall().items()), ("", 0.0))
    named = CAUSE_OF_KIND.get(kind)
    if (
        named is None
        or not _dominant(share, sum(awaits.met_limit.values()))
        or _contradicted(facts, limit, awaits, kind, named, share)
    ):
        return None
    place = next((one for one in awaits.places if one.kind == kind), None)
    text = f"{share:.0%} of the requests that wait inside the app wait for {named.what}"
    summary = f"No resource that is measured is full, but {text}{_where(place)}."
    return Candidate(
        named.class_,
        named.cause,
        summary,
        named.resource,
        (),
        [Evidence(text, "probe.awaits", share, "share", limit.index)],
        share,
        agrees=True,
        conflicts=(f"{kind}, seen only in what requests await, showed no use of its own when measured",),
        place=place,
        deciding=(above(f"the share of waiting requests that wait for {named.what}", share, DOMINANT),),
    )


def _dominant(share: float, met: int) -> bool:
    return met >= MIN_MET and share - SURE * (share * (1 - share) / met) ** 0.5 >= DOMINANT


def piled_up(step: Step) -> bool:
    """Return True when more requests than a burst leaves were inside the app."""
    return (step.server.inflight or 0.0) >= PILED_UP


def _contradicted(facts: Facts, limit: Step, awaits: AwaitShares, kind: str, named: Named, share: float) -> bool:
    time = facts.time.limit
    measured = time.get(named.part)
    if measured and measured < DOMINANT * share:
        return True
    if sum(time.get(part, 0.0) for part in (COMPUTE, BLOCKED, LOOP_QUEUE)) >= COMPUTES:
        return True
    pool = limit.server.pools.get(POOL_OF_KIND.get(kind, ""))
    if pool is not None:
        return not pool_full(pool)
    if kind == "lock" and not _one_at_a_time(limit, awaits):
        return True
    return _not_grown(facts, limit, awaits, kind, share)


def _one_at_a_time(limit: Step, awaits: AwaitShares) -> bool:
    """Tell a lock from a semaphore that admits several: its size stands in the gate of that name, if it was seen."""
    vias = [one.via or "" for one in awaits.places if one.kind == "lock"]
    if not vias or "Condition" in vias[0]:
        return False
    if "Semaphore" not in vias[0]:
        return True
    sizes = [gate.size for name, gate in limit.server.gates.items() if name.startswith("lock ") and "Semaphore" in name]
    return bool(sizes) and all(size == 1 for size in sizes)


def _not_grown(facts: Facts, limit: Step, awaits: AwaitShares, kind: str, share: float) -> bool:
    """Return True when a request waited about as long for it at low load."""
    met, now = sum(awaits.met_low.values()), limit.server.service_ms
    then = facts.low(lambda server: server.service_ms)
    if met < MIN_MET or now is None or not then:
        return False
    before = sum(shares.get(kind, 0.0) * awaits.met_low[name] for name, shares in awaits.low.items()) / met
    return share * now < GROWN * before * then


def _where(place: AwaitPlace | None) -> str:
    """Return ` in f (app/x.py:7)`, or nothing when no function of the app awaits it itself."""
    if place is None or place.function is None:
        return ""
    return f" in {place.function} ({place.file}:{place.line})"


def told(facts: Facts) -> str:
    """Say what requests inside the app wait for and where, largest share first; empty when too few were met."""
    awaits = facts.awaits
    if awaits is None or sum(awaits.met_limit.values()) < MIN_MET:
        return ""
    parts = []
    for kind, share in awaits.overall().items():
        place = next((one for one in awaits.places if one.kind == kind), None)
        if share >= WORTH_TELLING:
            parts.append(f"{share:.0%} {_words(kind, place)}{_where(place)}")
    return ", ".join(parts)


def _words(kind: str, place: AwaitPlace | None) -> str:
    if place is not None and place.via is not None and place.via.startswith("Condition."):
        return "for a condition to be notified"
    return _WORDS.get(kind, f"for {kind}")


_WORDS = {
    "ready": "for their turn on the event loop",
    "sleep": "in a sleep",
    "thread": "for work in a thread",
    "thread token": "for a free thread of the threadpool",
    "connection pool": "for a connection of a pool",
    "HTTP connection pool": "for a connection of an HTTP client",
    "downstream": "for an answer of another service",
    "lock": "for a lock or semaphore",
    "queue": "at a queue",
    "event": "for an event",
    "client": "for the client",
    "process": "for another process",
    "database": "for the database",
    "network": "at a socket",
    "other": "for something of the app's own",
}


def main_place(facts: Facts) -> AwaitPlace | None:
    """Return where the app awaits what most of the waiting is for; None unless most of it is for one thing."""
    awaits, limit = facts.awaits, facts.ladder.limit
    if awaits is None or limit is None or not piled_up(limit):
        return None
    kind, share = next(iter(awaits.overall().items()), ("", 0.0))
    if not _dominant(share, sum(awaits.met_limit.values())):
        return None
    return next((one for one in awaits.places if one.kind == kind and one.function is not None), None)


def place_of(facts: Facts, candidate: Candidate) -> AwaitPlace | None:
    """Return where the app awaits what binds: the candidate's own place, or the one that its cause names."""
    if candidate.place is not None:
        return candidate.place if candidate.place.function is not None else None
    kind = KIND_OF_CAUSE.get(candidate.cause)
    if facts.awaits is None or kind is None or sum(facts.awaits.met_limit.values()) < MIN_MET:
        return None
    return next(
        (
            one
            for one in facts.awaits.places
            if one.kind == kind and one.function is not None and one.share >= WORTH_TELLING
        ),
        None,
    )
