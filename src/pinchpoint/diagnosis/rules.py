"""One pure function per kind of bottleneck: (facts, step) -> candidate or None. Thresholds are constants with a reason.

The order in `RULES` is the nesting order, deepest first: a pool full because its holders compute is CPU (METHOD §4.4).
"""

from collections.abc import Callable

from pinchpoint.diagnosis.bounds import Bound, above
from pinchpoint.diagnosis.cpu_causes import THREADS_SHARE, cpu_cause, gil_full
from pinchpoint.diagnosis.database_rules import remote_database, row_lock
from pinchpoint.diagnosis.device_rules import disk, network
from pinchpoint.diagnosis.door_rules import admission, backlog, refusal
from pinchpoint.diagnosis.embedded_rules import database_in_worker, database_on_loop, embedded_database
from pinchpoint.diagnosis.exhaustion import reclaim
from pinchpoint.diagnosis.facts import FRONT, Candidate, Facts, margin
from pinchpoint.diagnosis.lock_rules import downstream, lock, silent_service, sqlite_writer, thread_lock, unheld_lock
from pinchpoint.diagnosis.pool_rules import (
    client_pool,
    connection_pool,
    executor,
    threadpool,
    worker_slots,
)
from pinchpoint.diagnosis.readings import (
    BLOCKED_SHARE,
    blocked,
    evidence,
    grown_by,
    hold_of,
    per_request_ms,
)
from pinchpoint.diagnosis.saturation import (
    CPU_SATURATED,
    LOOP_SATURATED,
    ONE_GIL,
    busiest_loop,
    cpu_use,
    loop_threads,
    loop_use,
    narrowest,
    pool_full,
    running_use,
    same_pool,
    worker_full,
)
from pinchpoint.diagnosis.time_shares import blocked_loops
from pinchpoint.diagnosis.words import counted
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.measures import PeerFigures, ServerFigures, Step
from pinchpoint.records import Evidence

STORM_ERRORS = 0.5
STORM_GOODPUT = 0.5
"""A step that mostly fails, with less than half the goodput that held before, burns its CPU on errors (DESIGN §6)."""

STORM_PRIOR_USE = 0.75
"""Unless the CPU was that full already at the load that held."""


def _storm(facts: Facts, step: Step, use: Callable[[Step], float | None]) -> bool:
    if (step.error_rate or 0.0) < STORM_ERRORS:
        return False
    held = facts.ladder.sustained
    if held is None:
        return True
    prior = use(held) or 0.0
    return step.goodput_rps < STORM_GOODPUT * held.goodput_rps and prior < STORM_PRIOR_USE


ON_LOOP_MOST = 1.05
"""Calls in progress per loop up to which they may all be the loop's own."""


def blocking_call(facts: Facts, step: Step) -> Candidate | None:
    """blocking/sync-call: the loop is busy all the time, yet its thread neither runs nor wants to."""
    server = step.server
    if not blocked(server) or server.loop_blocked is None or server.loop_busy is None:
        return None
    per_call = _blocked_ms(facts)
    cost = f": {show_ms(per_call)} per request" if per_call is not None else ""
    found = _blocking_evidence(server, server.loop_busy, server.loop_blocked, step)
    summary = (
        f"A blocking call inside the event loop binds{cost}. The loop is busy {server.loop_busy:.0%} of the time, but "
        f"stands still without using CPU for {server.loop_blocked:.0%}; every other request waits behind it."
    )
    peer = _called_on_loop(server)
    if peer is not None and peer.call_ms is not None:
        text = f"calls to {peer.name} fill it: {show_ms(peer.call_ms)} each, one at a time"
        found.insert(2, evidence(text, "probe.calls", peer.active, "calls", step))
        summary += f" The call goes to {peer.name}."
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
        deciding=(
            above("the busiest event loop's busy share", server.loop_busy, LOOP_SATURATED),
            above("the share of time for which it stands still", server.loop_blocked, BLOCKED_SHARE * server.loop_busy),
        ),
    )


def _called_on_loop(server: ServerFigures) -> PeerFigures | None:
    """Return whom the loop's thread waits for: most of the blocked time, and one at a time, unlike awaited ones."""
    loops = loop_threads(server)
    stuck = (server.loop_blocked or 0.0) * loops
    for peer in server.calls:
        if peer.active is not None and BLOCKED_SHARE * stuck <= peer.active <= ON_LOOP_MOST * loops:
            return peer
    return None


def _blocking_evidence(server: ServerFigures, busy: float, stuck: float, step: Step) -> list[Evidence]:
    found = [
        evidence(
            f"the event loop was busy {busy:.0%} of the time",
            "probe.loop_busy",
            busy,
            "share",
            step,
        ),
        evidence(
            f"for {stuck:.0%} of the time its thread was busy without CPU",
            "loop.blocked",
            stuck,
            "share",
            step,
        ),
    ]
    if server.cpu_cores is not None:
        found.append(
            evidence(f"the app used only {server.cpu_cores:.2f} cores", "cpu.running", server.cpu_cores, "cores", step)
        )
    return found


def _blocked_ms(facts: Facts) -> float | None:
    return facts.low(lambda figures: per_request_ms(blocked_loops(figures), figures))


def cpu(facts: Facts, step: Step) -> Candidate | None:
    """Report cpu/*: the allowed cores, or every event loop's one core, are running or runnable all the time."""
    server = step.server
    use, loop = cpu_use(step, facts.machine), loop_use(server)
    throttled = (server.throttled_share or 0.0) >= ALWAYS_THROTTLED
    cores_full = throttled or (use is not None and use >= CPU_SATURATED and not _unhurried(facts, step))
    loop_full = loop is not None and loop >= LOOP_SATURATED and not blocked(server) and _loop_computes(server)
    locked = gil_full(server)
    worker = worker_full(server) and (_runs_all_the_time(server) or not _unhurried(facts, step))
    if not (cores_full or loop_full or locked or worker) or _storm(
        facts, step, lambda s: max(cpu_use(s, facts.machine) or 0.0, loop_use(s.server) or 0.0)
    ):
        return None
    cause, found = cpu_cause(facts, step, cores_full=cores_full)
    if use is not None:
        text = f"CPU running or runnable: {use:.0%} of {counted(facts.cores, 'core')}"
        found.insert(0, evidence(text, "cpu.running+runnable", use, "share", step))
    if loop is not None:
        found.insert(
            0,
            evidence(f"the busiest event loop was busy {loop:.0%} of the time", "probe.loop_busy", loop, "share", step),
        )
    cost = facts.low(lambda figures: per_request_ms(figures.cpu_cores, figures))
    at_limit = per_request_ms(server.cpu_cores, server)
    where = _where(facts, cause, server, loop_full=loop_full, locked=locked, worker=worker and not cores_full)
    spent = f"; a request costs {show_ms(at_limit or cost)} of CPU" if (at_limit or cost) is not None else ""
    strength = max(
        margin(use, CPU_SATURATED, 1.0) if cores_full else 0.0,
        margin(server.throttled_share, ALWAYS_THROTTLED, 1.0) if throttled else 0.0,
        margin(loop, LOOP_SATURATED, 1.0) if loop_full or locked else 0.0,
        0.5 if worker else 0.0,
    )
    names = ("loop", "gil", "cpu", "db-pool", "threadpool", "db", *FRONT)
    resource = _resource(facts, loop=loop_full or locked, worker=worker and not cores_full)
    return Candidate(
        "cpu", cause, f"CPU binds: {where}{spent}.", resource, names, found, strength, agrees=True,
        deciding=_cpu_bounds(
            server, use if cores_full and not throttled else None, loop if loop_full or locked else None
        ),
    )  # fmt: skip


def _resource(facts: Facts, *, loop: bool, worker: bool) -> str:
    """Return the row of the ledger that binds: a loop's or an interpreter's one core, or all the cores there are."""
    for name, full in (("loop", loop), ("gil", worker)):
        row = facts.resource(name)
        if full and row is not None and (name == "loop" or row.ceiling_rps is not None):
            return name
    return "cpu"


def _cpu_bounds(server: ServerFigures, use: float | None, loop: float | None) -> tuple[Bound, ...]:
    """Return the thresholds that were passed: of the cores, the loop and the quota, those that decided."""
    throttled = server.throttled_share
    bounds = [
        above("CPU running or runnable", use, CPU_SATURATED) if use is not None else None,
        above("the busiest event loop's busy share", loop, LOOP_SATURATED) if loop is not None else None,
        above("the share of quota periods that stopped it", throttled, ALWAYS_THROTTLED)
        if (throttled or 0.0) >= ALWAYS_THROTTLED
        else None,
    ]
    return tuple(bound for bound in bounds if bound is not None)


ALWAYS_THROTTLED = 0.5
"""Share of the quota's periods in which the target was stopped: it wants more than it may have, whatever it uses."""

UNHURRIED = 1.2
"""Holding time at the limit over that at low load, up to which the holders of a full pool do not queue for the CPU."""


def _runs_all_the_time(server: ServerFigures) -> bool:
    return max((worker.cpu_cores or 0.0 for worker in server.per_worker), default=0.0) >= ONE_GIL[0]


QUEUES_FOR_CPU = 0.3
"""Threads that run or are runnable, as a share of the requests inside: below, most of these wait for something else."""


def _unhurried(facts: Facts, step: Step) -> bool:
    """Return True when the target runs less than its cores, and hardly a request waits for them.

    What others take of its cores then fills up the sum, but keeps nobody waiting: the holders of a full pool are as
    fast as at low load, or most requests inside do not want to run.
    """
    server = step.server
    if (running_use(server, facts.cores) or 0.0) >= CPU_SATURATED:
        return False
    if server.inflight and server.runq_cores is not None and (loop_use(server) or 0.0) < LOOP_SATURATED:
        wanted = (server.cpu_cores or 0.0) + server.runq_cores
        if wanted < QUEUES_FOR_CPU * server.inflight:
            return True
    for key in ("threadpool", "executor", "http", "db", "slots"):
        name, pool = narrowest(step.server, key)
        low = facts.low(lambda server, key=key, name=name: hold_of(same_pool(server, key, name)))  # type: ignore[misc]
        grown = grown_by(pool.hold_ms, low) if pool is not None and pool_full(pool) else None
        if grown is not None and grown <= UNHURRIED:
            return True
    return False


def _where(facts: Facts, cause: str, server: ServerFigures, *, loop_full: bool, locked: bool, worker: bool) -> str:
    burnt_off_loop = (server.off_loop_cpu_cores or 0.0) >= THREADS_SHARE * (server.cpu_cores or 0.0) > 0
    if worker:
        return "a worker computes without a pause, and its GIL gives it no more than one core"
    if locked and cause == "gil":
        return "Python code in threads holds the GIL all the time, so a worker gets no more than one core"
    if locked:
        return "Python code in threads keeps the event loop from the GIL"
    if loop_full and burnt_off_loop:
        return (
            f"threads beside the event loop use up {counted(facts.cores, 'allowed core')}, and the loop waits its turn"
        )
    return (
        "the event loop computes without a pause"
        if loop_full
        else f"{counted(facts.cores, 'allowed core')} in use, all there is"
    )


def _loop_computes(server: ServerFigures) -> bool:
    """Judge whether a busy loop is busy with CPU: its worker runs, or wants to, for most of the time."""
    busiest = busiest_loop(server)
    if busiest is not None and busiest.cpu_cores is not None:
        return busiest.cpu_cores + (busiest.runq_share or 0.0) >= BLOCKED_SHARE
    if server.cpu_cores is None:
        return False
    wanted = server.cpu_cores + (server.runq_cores or 0.0)
    return wanted / loop_threads(server) >= BLOCKED_SHARE


Rule = Callable[[Facts, Step], Candidate | None]


RULES: tuple[Rule, ...] = (
    # Memory that is taken back makes everything above it wait, the disk first.
    reclaim,
    disk,
    # A database: its rows, then itself, wherever it runs.
    row_lock,
    remote_database,
    embedded_database,
    database_on_loop,
    database_in_worker,
    # The loop, then the CPU, then whose share of it.
    blocking_call,
    cpu,
    # Locks, and what is called while one is held.
    sqlite_writer,
    downstream,
    unheld_lock,
    lock,
    # Pools of connections, then threads, then slots.
    client_pool,
    connection_pool,
    thread_lock,
    silent_service,
    executor,
    threadpool,
    # The way in, the slots behind it, and the way out.
    backlog,
    worker_slots,
    admission,
    network,
    refusal,
)
"""Deepest first: worker slot > threadpool > pool > lock > database > disk, and loop > CPU > core share. Whoever holds a
resource of the left while waiting for one of the right fills up the left one, which is a symptom then."""

BETWEEN: frozenset[Rule] = frozenset({network, backlog, refusal})
"""Those that rest on what passes between client and server."""
