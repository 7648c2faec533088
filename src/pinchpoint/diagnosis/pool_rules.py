"""pool/*: every member of a bounded pool is out, requests wait, and nothing deeper is full."""

from dataclasses import dataclass

from pinchpoint.diagnosis.bounds import Bound, above, under
from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.readings import cpu_beside, evidence, grown_by, hold_of, uses_of
from pinchpoint.diagnosis.saturation import (
    POOL_FULL,
    POOL_WAITING,
    fullness,
    narrowest,
    pool_full,
    pool_use,
    same_pool,
    slots_full,
)
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import BottleneckClass, Evidence

HOLD_GROWTH = 1.5
"""Holding time at the limit over that at low load: above, the pool's members wait for something deeper."""

HOLD_FOREIGN = 2.5
"""From here on members surely wait for something else, whatever it is: a larger pool would only let more of them wait.
Their own queue never lengthens the holding time; a busy CPU may, by less than this."""

INNER_HOLD = 0.9
"""Holding times this close say nothing about which of two pools is inside the other."""

MORE_THAN_REQUESTS = 1.5
"""Members out and takers waiting, over the requests in progress, from which they are not all of requests; the two are
means over slightly different moments."""

BY_CHANCE = 1.0
"""... and one more, where there are few of both."""

ONE_EACH = 0.1
"""Uses per request within this of 1 are 1: the edges of a short window cut some off."""


def connection_pool(facts: Facts, step: Step) -> Candidate | None:
    """pool/db-pool: every connection out, requests waiting, and a connection is held no longer than at low load."""
    name, pool = narrowest(step.server, "db")
    if pool is None or not pool_full(pool) or behind(step.server, "db", pool) or not held_by_requests(step, pool):
        return None
    low_hold = facts.low(lambda server: hold_of(same_pool(server, "db", name)))
    grown = grown_by(pool.hold_ms, low_hold)
    if grown is not None and grown >= HOLD_FOREIGN:
        return None
    row = facts.resource("db-pool")
    conflicts = (
        ()
        if grown is not None and grown <= HOLD_GROWTH
        else ("connections are held longer at the limit than at low load, so something behind the pool may bind",)
    )
    found = _pool_evidence(facts, pool, grown, step)
    which = f" ({name.removeprefix('db-pool ')})" if name is not None else ""
    uses = facts.low(lambda server: uses_of(same_pool(server, "db", name)))
    hold = low_hold if low_hold is not None else pool.hold_ms
    summary = _pool_summary(f"The connection pool binds{which}", "connections", pool, hold, uses)
    strength = (margin(fullness(pool), POOL_FULL, 1.0) + (margin(-(grown or HOLD_GROWTH), -HOLD_GROWTH, -1.0))) / 2
    return Candidate(
        "pool", "db-pool", summary, "db-pool", ("threadpool", "db"), found, strength,
        agrees=row is not None and row.ceiling_rps is not None, conflicts=conflicts,
        deciding=_full("connections", pool, pool.waiting, grown, HOLD_GROWTH),
    )  # fmt: skip


def _full(
    members: str, pool: PoolFigures, waiting: float | None, grown: float | None, most: float
) -> tuple[Bound, ...]:
    """Return the thresholds that every pool passes: all out, somebody waiting, held no longer than at low load."""
    found = [
        above(f"the share of the {members} in use{_where(pool)}", fullness(pool), POOL_FULL),
        above("the number of requests that wait for one", waiting, POOL_WAITING, "requests"),
    ]
    if grown is not None and grown < most:
        found.append(under("the holding time over that at low load", grown, most, "ratio"))
    return tuple(found)


def _where(pool: PoolFigures) -> str:
    """Return of which worker a share is told, where that is not of all."""
    return " in the busiest worker" if pool.uneven > 1.0 else ""


def _in_use(pool: PoolFigures, members: str, waiting: str) -> str:
    text = f"{_of(pool.busy)} of {_of(pool.size)} {members} in use, {waiting} requests waiting"
    return text if pool.uneven <= 1.0 else f"{text}; in the busiest worker {fullness(pool) or 0.0:.0%} are in use"


def _pool_evidence(facts: Facts, pool: PoolFigures, grown: float | None, step: Step) -> list[Evidence]:
    text = _in_use(pool, "connections", _of(pool.waiting))
    found = [evidence(text, "probe.pool_busy", pool_use(pool), "share", step)]
    if grown is not None:
        text = f"a connection is held {grown:.2f} times as long as at low load"
        found.append(evidence(text, "probe.pool_hold", grown, "ratio", step))
    return [*found, *cpu_beside(facts, step)]


def _pool_summary(lead: str, members: str, pool: PoolFigures, hold_ms: float | None, uses: float | None) -> str:
    """Say how full it is, and the arithmetic of its ceiling; `uses` of it per request, at low load where known."""
    text = f"{lead}: {_of(pool.busy)} of {_of(pool.size)} {members} busy"
    if pool.waiting:
        text += f", {pool.waiting:.0f} requests waiting"
    size = pool.size
    if hold_ms is None or hold_ms <= 0 or size is None:
        return f"{text}."
    # A queue that grows counts more takers than finished requests, so the figure of the limit itself is too high.
    per_request = uses or pool.checkouts_per_request or 1.0
    per_request = 1.0 if abs(per_request - 1.0) <= ONE_EACH else per_request
    total = hold_ms * per_request
    text += f"; each is held {show_ms(hold_ms)}"
    factor = f" x {per_request:.2f} per request" if per_request != 1.0 else ""
    return f"{text}{factor}, so {size:g} / {show_ms(total)} = {1000 * size / total:.0f} requests/s."


@dataclass(frozen=True)
class Bounded:
    """A kind of pool that is judged like every other: full, with requests waiting, and nothing deeper is."""

    key: str
    class_: BottleneckClass
    cause: str
    resource: str
    lead: str
    members: str
    signal: str
    fed_by: tuple[str, ...]
    """Rows of the ledger that fill up because of this one, or are the same thing seen from elsewhere."""


TOKENS = Bounded(
    "threadpool", "pool", "threadpool", "threadpool", "The threadpool binds", "threads", "probe.tokens_busy",
    ("db", "executor", "worker-slots"),
)  # fmt: skip
EXECUTOR = Bounded(
    "executor", "pool", "threadpool", "executor", "The app's thread pool binds", "threads", "probe.executor_busy",
    ("db", "threadpool", "worker-slots"),
)  # fmt: skip
CLIENTS = Bounded(
    "http", "pool", "http-pool", "http-pool", "The HTTP client's connection pool binds", "connections",
    "probe.http_pool_busy", ("downstream", "threadpool", "executor", "worker-slots"),
)  # fmt: skip
SLOTS = Bounded(
    "slots", "pool", "worker-slots", "worker-slots", "The worker slots bind", "slots", "probe.slots_busy",
    ("db", "db-pool", "downstream"),
)  # fmt: skip


def threadpool(facts: Facts, step: Step) -> Candidate | None:
    """pool/threadpool: every token out and requests waiting for one, with the CPU idle."""
    return _bounded(facts, step, TOKENS)


def executor(facts: Facts, step: Step) -> Candidate | None:
    """pool/threadpool: the same of a `ThreadPoolExecutor`, the loop's default one included."""
    return _bounded(facts, step, EXECUTOR)


def client_pool(facts: Facts, step: Step) -> Candidate | None:
    """pool/http-pool: every connection of an HTTP client out, and what it calls answers as fast as at low load."""
    return _bounded(facts, step, CLIENTS)


def worker_slots(facts: Facts, step: Step) -> Candidate | None:
    """pool/worker-slots: every thread or process that serves is taken, and requests queue for one."""
    return _bounded(facts, step, SLOTS) if slots_full(step.server) else None


def _bounded(facts: Facts, step: Step, kind: Bounded) -> Candidate | None:
    name, pool = narrowest(step.server, kind.key)
    if pool is None or not (pool_full(pool) or kind is SLOTS) or behind(step.server, kind.key, pool):
        return None
    if kind is not SLOTS and not held_by_requests(step, pool):
        return None
    hold = facts.low(lambda server: hold_of(same_pool(server, kind.key, name)))
    grown = grown_by(pool.hold_ms, hold)
    if grown is not None and grown >= HOLD_FOREIGN:
        return None
    waiting = _of(_waiting(step, pool, kind))
    text = _in_use(pool, kind.members, waiting)
    found = [evidence(text, kind.signal, pool_use(pool), "share", step), *cpu_beside(facts, step)]
    doubt = f"its {kind.members} are held longer at the limit than at low load, so something behind it may bind"
    row = facts.resource(kind.resource)
    uses = facts.low(lambda server: uses_of(same_pool(server, kind.key, name)))
    which = f" ({name.partition(' ')[2]})" if name is not None and kind is not SLOTS else ""
    return Candidate(
        kind.class_,
        kind.cause,
        _pool_summary(kind.lead + which, kind.members, pool, hold, uses),
        kind.resource,
        kind.fed_by,
        found,
        margin(fullness(pool), POOL_FULL, 1.0),
        agrees=row is not None and row.ceiling_rps is not None,
        conflicts=(doubt,) if grown is not None and grown > HOLD_GROWTH else (),
        deciding=_full(kind.members, pool, _waiting(step, pool, kind), grown, HOLD_FOREIGN),
    )


def held_by_requests(step: Step, pool: PoolFigures) -> bool:
    """Return False when more stand at a pool than requests in progress could: jobs beside them fill it up.

    A request may hold several members at once, as many as it takes in all; that many are allowed for each.
    """
    inflight = step.server.inflight
    if inflight is None or pool.busy is None:
        return True
    each = max(1.0, pool.checkouts_per_request or 1.0)
    return pool.busy + (pool.waiting or 0.0) <= MORE_THAN_REQUESTS * each * inflight + BY_CHANCE


def behind(server: ServerFigures, key: str, pool: PoolFigures) -> bool:
    """Return True when another full pool is inside this one: of two nested ones the inner is held for less time."""
    if pool.hold_ms is None:
        return False
    others = [narrowest(server, other)[1] for other in ("lock", "http", "db", "executor", "threadpool") if other != key]
    holds = [other.hold_ms for other in others if other is not None and other.hold_ms is not None and pool_full(other)]
    return any(hold < INNER_HOLD * pool.hold_ms for hold in holds)


def _waiting(step: Step, pool: PoolFigures, kind: Bounded) -> float | None:
    """Return who waits; before a worker's slots, also in the accept queue, where a sync worker's requests wait."""
    known = [pool.waiting, step.server.listen_queue if kind is SLOTS else None]
    return sum(value for value in known if value is not None) if any(value is not None for value in known) else None


def _of(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"
