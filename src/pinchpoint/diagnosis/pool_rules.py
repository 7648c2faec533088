"""pool/*: every member of a bounded pool is out, requests wait, and nothing deeper is full."""

from dataclasses import dataclass, replace

from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.readings import evidence, hold_growth, hold_of
from pinchpoint.diagnosis.saturation import (
    POOL_FULL,
    cpu_use,
    pool_full,
    pool_use,
    slots_full,
)
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import BottleneckClass, Evidence

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
    found = [
        evidence(
            f"{_of(pool.busy)} of {_of(pool.size)} connections in use, {_of(pool.waiting)} requests waiting",
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
    text = f"{lead}: {_of(pool.busy)} of {_of(pool.size)} {members} busy"
    if pool.waiting:
        text += f", {pool.waiting:.0f} requests waiting"
    size = pool.size
    if hold_ms is None or hold_ms <= 0 or size is None:
        return f"{text}."
    per_request = pool.checkouts_per_request or 1.0
    total = hold_ms * per_request
    text += f"; each is held {show_ms(hold_ms)}"
    uses = f" x {per_request:.2f} per request" if abs(per_request - 1.0) > 0.02 else ""  # noqa: PLR2004 - prints the same
    return f"{text}{uses}, so {size:g} / {show_ms(total)} = {1000 * size / total:.0f} requests/s."


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
LOCK = Bounded(
    "lock", "lock", "python-lock", "lock", "A lock binds", "holders", "probe.lock_busy",
    ("db", "db-pool", "threadpool", "executor", "worker-slots"),
)  # fmt: skip


def threadpool(facts: Facts, step: Step) -> Candidate | None:
    """pool/threadpool: every token out and requests waiting for one, with the CPU idle."""
    return _bounded(facts, step, TOKENS)


def executor(facts: Facts, step: Step) -> Candidate | None:
    """pool/threadpool: the same of a `ThreadPoolExecutor`, the loop's default one included."""
    return _bounded(facts, step, EXECUTOR)


def client_pool(facts: Facts, step: Step) -> Candidate | None:
    """pool/http-pool; io/downstream when the calls behind it take longer than at low load, so that it fills."""
    pool = step.server.pools.get("http")
    if pool is None or not pool_full(pool):
        return None
    then, now = facts.low(_call_ms), _call_ms(step.server)
    if then is None or now is None or now < HOLD_GROWTH * then:
        return _bounded(facts, step, CLIENTS)
    peer = step.server.calls[0].name if step.server.calls else "a service"
    text = f"a call takes {show_ms(now)}, {now / then:.1f} times as long as at low load ({show_ms(then)})"
    summary = f"What the app calls binds: {peer}; {text}."
    found = [evidence(text, "probe.http_s", now / then, "ratio", step)]
    fed = ("http-pool", *CLIENTS.fed_by)
    strength = margin(now / then, HOLD_GROWTH, 3.0)
    return Candidate("io", "downstream", summary, "downstream", fed, found, strength, agrees=True)


def _call_ms(server: ServerFigures) -> float | None:
    if server.http_ms_per_request is None or not server.http_calls_per_request:
        return None
    return server.http_ms_per_request / server.http_calls_per_request


def lock(facts: Facts, step: Step) -> Candidate | None:
    """lock/python-lock, lock/file-lock: holders take turns; pool/admission-limit when the lock admits several."""
    pool = step.server.pools.get("lock")
    if pool is None or not pool_full(pool):
        return None
    held = {name: gate for name, gate in step.server.gates.items() if name.startswith("lock ")}
    name = max(held, key=lambda key: held[key].waiting or 0.0, default="")
    size = held[name].size if name else pool.size
    if name.startswith("lock file "):
        return _bounded(facts, step, replace(LOCK, cause="file-lock", lead=f"The file lock binds ({name[10:]})"))
    if size is not None and size > 1:
        lead = f"A semaphore binds ({name[5:]})"
        return _bounded(facts, step, replace(LOCK, class_="pool", cause="admission-limit", lead=lead))
    return _bounded(facts, step, replace(LOCK, lead=f"A lock binds ({name[5:]})" if name else LOCK.lead))


def worker_slots(facts: Facts, step: Step) -> Candidate | None:
    """pool/worker-slots: every thread or process that serves is taken, and requests queue for one."""
    return _bounded(facts, step, SLOTS) if slots_full(step.server) else None


def _bounded(facts: Facts, step: Step, kind: Bounded) -> Candidate | None:
    pool = step.server.pools.get(kind.key)
    if pool is None or not (pool_full(pool) or kind is SLOTS):
        return None
    hold = facts.low(lambda server: hold_of(server.pools.get(kind.key)))
    waiting = _of(_waiting(step, pool, kind))
    text = f"{_of(pool.busy)} of {_of(pool.size)} {kind.members} in use, {waiting} requests waiting"
    found = [evidence(text, kind.signal, pool_use(pool), "share", step)]
    use = cpu_use(step, facts.machine)
    if use is not None:
        found.append(evidence(f"CPU running or runnable only {use:.0%}", "cpu.running+runnable", use, "share", step))
    row = facts.resource(kind.resource)
    return Candidate(
        kind.class_,
        kind.cause,
        _pool_summary(kind.lead, kind.members, pool, hold),
        kind.resource,
        kind.fed_by,
        found,
        margin(pool_use(pool), POOL_FULL, 1.0),
        agrees=row is not None and row.ceiling_rps is not None,
    )


def _waiting(step: Step, pool: PoolFigures, kind: Bounded) -> float | None:
    """Return who waits; before a worker's slots, also in the accept queue, where a sync worker's requests wait."""
    known = [pool.waiting, step.server.listen_queue if kind is SLOTS else None]
    return sum(value for value in known if value is not None) if any(value is not None for value in known) else None


def _of(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"
