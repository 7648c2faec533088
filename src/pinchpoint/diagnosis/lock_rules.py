"""lock/*: holders take turns; pool/admission-limit where a semaphore admits several; io/downstream behind a call."""

from pinchpoint.diagnosis.bounds import above, under
from pinchpoint.diagnosis.device_rules import CLIENTS
from pinchpoint.diagnosis.facts import FRONT, Candidate, Facts, margin
from pinchpoint.diagnosis.pool_rules import HOLD_GROWTH, behind, held_by_requests
from pinchpoint.diagnosis.readings import cpu_beside, evidence, grown_by, hold_of, net_call_ms
from pinchpoint.diagnosis.saturation import (
    POOL_FULL,
    POOL_WAITING,
    fullness,
    loop_threads,
    narrowest,
    pool_full,
    pool_use,
    slots_full,
)
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import BottleneckClass

CALLS_DOMINATE = 0.5
"""Share of a request's time inside the app that makes the calls it sends the thing to look at."""

FELT = 0.5
"""Of what a call has become longer, at least so much more time inside the app: else nobody waits for it there."""

HELD_UP = 0.5
"""Calls that SQLite's lock holds up: on average, and as a share of the calls in progress."""

FILE = "lock file "
UNHELD = (FILE, "lock threading.Semaphore ")
"""Locks whose holders are not reported (`monitoring/probe/blocking_locks.py`)."""

ALWAYS_WAITED_FOR = 1.0
"""Mean number of requests waiting for a lock from which it is often taken ..."""

WAITED_FOR_BY = 0.3
"""... and their share of the requests in progress: a lock that is free a third of the time has one waiting, too
(M/M/1), but then most requests are elsewhere."""

LOCKED_SHARE = 0.5
"""Of the threads that are up to something, those that wait for a lock."""

TAKING_TURNS = 2.0
"""Threads per worker that do not wait although all are taken: one has the lock. More have a pool of their own."""

QUEUE = 2.0
"""Threads that wait for one lock, on average, from which that is a queue."""

UNNAMED = ("unknown", "(other)")
"""Peers of sockets that were gone before they were looked up, or too many to count one by one."""

FED = ("db", "db-pool", "threadpool", *FRONT)


def lock(facts: Facts, step: Step) -> Candidate | None:
    """lock/python-lock, lock/file-lock; pool/admission-limit when it admits several."""
    name, gate = narrowest(step.server, "lock")
    if gate is None or not pool_full(gate) or behind(step.server, "lock", gate) or not held_by_requests(step, gate):
        return None
    class_, cause, lead = _kind(name or "", gate, loop_threads(step.server))
    row = facts.resource("lock")
    found = [evidence(f"{_use(gate)}, {gate.waiting or 0.0:.3g} requests waiting", "probe.lock_busy", pool_use(gate),
                      "share", step), *cpu_beside(facts, step)]  # fmt: skip
    return Candidate(
        class_, cause, _summary(lead, gate), "lock", FED, found, margin(fullness(gate), POOL_FULL, 1.0),
        agrees=row is not None and row.ceiling_rps is not None,
        deciding=(
            above("the share of time for which it is held", fullness(gate), POOL_FULL),
            above("the number of requests that wait for it", gate.waiting, POOL_WAITING, "requests"),
        ),
    )  # fmt: skip


def unheld_lock(facts: Facts, step: Step) -> Candidate | None:
    """lock/file-lock, lock/python-lock, pool/admission-limit: somebody always waits for it, so it is always held.

    Of file locks and of semaphores between threads, only who waits is seen, and not who holds.
    """
    server = step.server
    gates = {name: gate for name, gate in server.gates.items() if name.startswith(UNHELD) and gate.busy is None}
    name = max(gates, key=lambda one: gates[one].waiting or 0.0, default=None)
    waiting = gates[name].waiting if name is not None else None
    if name is None or waiting is None or waiting < ALWAYS_WAITED_FOR:
        return None
    gate = gates[name]
    if server.inflight and waiting < WAITED_FOR_BY * server.inflight:
        return None
    found = [evidence(f"{waiting:.3g} requests wait for it", "probe.lock_waiting", waiting, "requests", step)]
    wait = f", {show_ms(gate.wait_ms)} each" if gate.wait_ms else ""
    class_, cause, lead = _kind(name, gate, loop_threads(server))
    summary = f"{lead}: {waiting:.3g} requests wait for it on average{wait}."
    return Candidate(
        class_, cause, summary, "lock", FED, [*found, *cpu_beside(facts, step)],
        margin(waiting, ALWAYS_WAITED_FOR, 2 * ALWAYS_WAITED_FOR), agrees=True,
        deciding=(above("the number of requests that wait for it", waiting, ALWAYS_WAITED_FOR, "requests"),),
    )  # fmt: skip


def _admits(name: str, gate: PoolFigures, workers: int) -> float:
    """Return how many are inside at once in one worker: every worker has a lock of its own, and sizes are summed up."""
    return 1.0 if "Lock" in name.partition(" ")[2].partition(" ")[0] else (gate.size or 1.0) / workers


def _kind(name: str, gate: PoolFigures, workers: int) -> tuple[BottleneckClass, str, str]:
    if name.startswith(FILE):
        return "lock", "file-lock", f"A file lock binds ({name.removeprefix(FILE)})"
    which = f" ({name.removeprefix('lock ')})" if name else ""
    if _admits(name, gate, workers) > 1:
        return "pool", "admission-limit", f"A semaphore binds{which}"
    return "lock", "python-lock", f"A lock binds{which}"


def _use(gate: PoolFigures) -> str:
    if (gate.size or 0.0) > 1:
        return f"{gate.busy or 0.0:.3g} of the {gate.size:g} it admits are inside"
    return f"held {pool_use(gate) or 0.0:.0%} of the time"


def _summary(lead: str, gate: PoolFigures) -> str:
    """Its holding time is that of the limit: only there, where somebody always waits, are all holders counted."""
    text = f"{lead}: {_use(gate)}, {gate.waiting or 0.0:.0f} requests wait"
    if not gate.hold_ms or not gate.size:
        return f"{text}."
    rate = 1000 * gate.size / gate.hold_ms
    return f"{text}; each holds it {show_ms(gate.hold_ms)}, so {gate.size:g} / {show_ms(gate.hold_ms)} = {rate:.0f}/s."


def sqlite_writer(facts: Facts, step: Step) -> Candidate | None:
    """lock/sqlite-writer: most database calls in progress sleep until the one writer is done."""
    server = step.server
    held_up, active = server.sqlite_busy, server.db_active
    if not server.db_embedded or held_up is None or not active or held_up < HELD_UP or held_up < HELD_UP * active:
        return None
    share = min(1.0, held_up / active)
    text = f"{held_up:.1f} of {active:.1f} calls in progress wait for SQLite's lock"
    summary = (
        f"SQLite's lock binds: it lets one writer in at a time, and {text}; between two tries they sleep, up to 0.1 s."
    )
    found = [evidence(text, "probe.sqlite_busy", share, "share", step), *cpu_beside(facts, step)]
    return Candidate(
        "lock", "sqlite-writer", summary, "db", FED, found, margin(share, HELD_UP, 1.0), agrees=True,
        deciding=(
            above("the share of database calls that wait for SQLite's lock", share, HELD_UP),
            above("the number of calls that wait for it", held_up, HELD_UP, "calls"),
        ),
    )  # fmt: skip


def thread_lock(facts: Facts, step: Step) -> Candidate | None:
    """lock/python-lock of `threading`: of the threads that serve, all but one or two wait for a lock.

    Seen from outside only, so never more than `ambiguous`: a queue between threads looks the same.
    """
    server = step.server
    serving = _serving(server)
    if serving is None:
        return None
    key, pool = serving
    grown = grown_by(pool.hold_ms, facts.low(lambda figures: hold_of(figures.pools.get(key))))
    busy, workers = pool.busy or 0.0, loop_threads(server)
    # Who waits for a connection of a pool between threads stands at a lock as well: that queue has a gate of its own.
    pooled = sum(server.pools[kind].waiting or 0.0 for kind in ("db", "http") if kind in server.pools)
    waiting = min(busy, server.threads_in.get("lock", 0.0) - pooled)
    share = waiting / busy
    if waiting < QUEUE or share < LOCKED_SHARE or grown is None or grown < HOLD_GROWTH:
        return None
    if busy - waiting > TAKING_TURNS * workers:
        return None
    text = f"{waiting:.0f} of the {busy:.0f} busy threads wait for a lock"
    summary = (
        f"A lock between threads binds: {text}, one at a time goes on, and a request holds its thread {grown:.1f} "
        "times as long as at low load. More threads would wait for the same lock."
    )
    found = [evidence(text, "threads.lock", share, "share", step), *cpu_beside(facts, step)]
    doubt = "the lock itself, which was not measured, was a queue between threads or a pool of one"
    return Candidate(
        "lock", "python-lock", summary, None, FED, found, margin(share, LOCKED_SHARE, 1.0), agrees=True,
        conflicts=(doubt,),
        deciding=(
            above("the share of busy threads that wait at a lock", share, LOCKED_SHARE),
            above("the time a thread is held over that at low load", grown, HOLD_GROWTH, "ratio"),
            under("the number of busy threads that do not wait", busy - waiting, TAKING_TURNS * workers, "threads"),
        ),
    )  # fmt: skip


def silent_service(facts: Facts, step: Step) -> Candidate | None:
    """io/downstream over a client the probe does not know: all threads are taken, most of them wait at a socket."""
    server = step.server
    taken = _taken(server)
    share, clients = server.thread_states.get("socket"), server.socket_peers.get(CLIENTS, 0.0)
    known = (server.db_active or 0.0) + sum(call.active or 0.0 for call in server.calls)
    if taken is None or share is None or share - clients < LOCKED_SHARE:
        return None
    # Calls that were counted are judged by their own times; here are those at sockets that nobody counted.
    if known >= HELD_UP and known >= HELD_UP * server.threads_in.get("socket", 0.0):
        return None
    key, pool = taken
    grown = grown_by(pool.hold_ms, facts.low(lambda figures: hold_of(figures.pools.get(key))))
    if grown is None or grown < HOLD_GROWTH:
        return None
    text = f"{share:.0%} of the threads that are up to something wait for an answer at a socket{_mostly(server)}"
    summary = (
        f"What the app calls binds: {text}, and a request holds its thread {grown:.1f} times as long as at low load "
        f"({show_ms(pool.hold_ms)})."
    )
    found = [evidence(text, "threads.socket", share, "share", step), *cpu_beside(facts, step)]
    return Candidate(
        "io", "downstream", summary, None, FED, found, margin(share, LOCKED_SHARE, 1.0), agrees=True,
        conflicts=("the calls themselves, whose client the probe does not know, took no longer than at low load",),
        deciding=(
            above("the share of threads up to something that wait at a socket", share, LOCKED_SHARE),
            above("the time a thread is held over that at low load", grown, HOLD_GROWTH, "ratio"),
        ),
    )  # fmt: skip


def _mostly(server: ServerFigures) -> str:
    """Return ` of HOST:PORT` when most of the sockets whose peer was seen lead there; short ones are often not seen."""
    named = {peer: share for peer, share in server.socket_peers.items() if peer not in (*UNNAMED, CLIENTS)}
    peer = max(named, key=lambda name: named[name], default=None)
    return f" of {peer}" if peer is not None and named[peer] > LOCKED_SHARE * sum(named.values()) else ""


def _serving(server: ServerFigures) -> tuple[str, PoolFigures] | None:
    """Return the kind of threads that requests are served by, taken or not, where several are busy; its figures."""
    for key in ("threadpool", "executor", "slots"):
        pool = server.pools.get(key)
        if pool is not None and (pool.busy or 0.0) >= QUEUE:
            return key, pool
    return None


def _taken(server: ServerFigures) -> tuple[str, PoolFigures] | None:
    """Return the kind of threads that requests queue for, and its figures."""
    for key in ("threadpool", "executor", "slots"):
        pool = server.pools.get(key)
        if pool is not None and (slots_full(server) if key == "slots" else pool_full(pool)):
            return key, pool
    return None


def downstream(facts: Facts, step: Step) -> Candidate | None:
    """io/downstream: what the app calls answers later and later, and that is most of a request's time."""
    server = step.server
    then, now = facts.low(net_call_ms), net_call_ms(server)
    spent, service = server.http_ms_per_request, server.service_ms
    if then is None or now is None or spent is None or not service or now < HOLD_GROWTH * then:
        return None
    if not _felt(facts, server, now - then):
        return None
    clients = narrowest(server, "http")[1]
    # A client's full pool keeps requests from calling: then their time goes into its queue.
    if spent < CALLS_DOMINATE * service and not pool_full(clients):
        return None
    peer = next((call.name.partition(" ")[2] for call in server.calls if call.name.startswith("http ")), "a service")
    text = f"a call takes {show_ms(now)}, {now / then:.1f} times as long as at low load ({show_ms(then)})"
    found = [evidence(text, "probe.http_s", now / then, "ratio", step), *cpu_beside(facts, step)]
    return Candidate(
        "io", "downstream", f"What the app calls binds: {peer}; {text}.", "downstream",
        ("http-pool", "lock", "db", "db-pool", "threadpool", *FRONT), found, margin(now / then, HOLD_GROWTH, 3.0),
        agrees=True,
        deciding=(
            above("the time of a call over that at low load", now / then, HOLD_GROWTH, "ratio"),
            above("the share of a request's time in calls", spent / service, CALLS_DOMINATE),
        ),
    )  # fmt: skip


def _felt(facts: Facts, server: ServerFigures, longer_ms: float) -> bool:
    """Return False where calls take longer and requests do not: webhooks and checks that an app makes beside them."""
    before, now, calls = facts.low(lambda figures: figures.service_ms), server.service_ms, server.http_calls_per_request
    if before is None or now is None or calls is None:
        return True
    return now - before >= FELT * longer_ms * min(calls, 1.0)
