"""io/slow-query: a statement that fills the database, wherever it runs; lock/db-row: it waits in an idle one."""

from dataclasses import dataclass

from pinchpoint.diagnosis.bounds import above, under
from pinchpoint.diagnosis.cpu_causes import gil_full
from pinchpoint.diagnosis.facts import FRONT, Candidate, Facts, margin
from pinchpoint.diagnosis.readings import blocked, calm_db_ms, db_growth, evidence, net_db_ms
from pinchpoint.diagnosis.saturation import (
    CPU_SATURATED,
    cpu_use,
    loop_running,
    one_interpreter_full,
    pool_full,
    running_use,
)
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.measures import ServerFigures, Step
from pinchpoint.records import Evidence

DB_GROWTH = 1.5
"""Database time per request at the limit over low load, loop lag taken off: above, the database itself queues."""

DB_DOMINATES = 0.5
"""Share of the service time, at low load or at the limit, that makes the database the thing to look at."""

REMOTE_MAX_RUNNING = 0.75
"""A target that itself runs this much of its cores (or loops) is not merely waiting for a database."""

IDLE_DATABASE = 0.3
"""Cores used by all processes but the app and pinchpoint, below which no database on this machine computes much."""

QUEUED_CALLS = 3.0
"""Calls in the database from which some would wait for a CPU all the time if they computed (on one or two of them)."""

CPU_PRESSURE = 0.5
"""Share of time in which somebody on the machine waited for a CPU; beside computing statements that queue: 0.8 to 1."""

ONE_CORE = 0.8
"""Cores that everything on the machine uses together, below which no statement that computes can lack a core: one that
does fills it, alone or with others."""

FULL_PRESSURE = 0.8
"""The same, from which the machine has no CPU left."""

COMPUTES_CORES = 0.5
"""Cores that others use more at the limit than at low load, from which they work for the app and are no neighbours."""

DISK_PRESSURE = 0.1
"""Share of time in which somebody waited for a disk, from which that may be what statements wait for."""

SINCE_THE_LOAD = 0.5
"""CPU of others on the app's cores at the lightest load over that at the limit, below which they work for the app."""

HERE = ("127.", "localhost", "[::1]", "::1", "/")
"""How the address of a database on this machine begins."""

HOST_FULL = 0.9
"""Foreign CPU of the cores that the target leaves over: a database on this machine has used them up."""


def row_lock(facts: Facts, step: Step) -> Candidate | None:
    """lock/db-row: statements queue in a database on this machine, yet neither for its CPU nor for its disk.

    The database itself was not asked who waits for whom, so never more than `ambiguous`.
    """
    server = step.server
    waits = _remote(facts, step)
    if waits is None or waits.grown < DB_GROWTH or not _on_this_machine(server):
        return None
    why = _not_the_machine(facts, step)
    if why is None or (server.db_active or 0.0) < QUEUED_CALLS:
        return None
    found = [*_remote_evidence(waits.low_ms, waits.grown, waits.running, step), why]
    summary = (
        f"Statements wait for each other in the database, as for a locked row: a request's {show_ms(waits.low_ms)} of "
        f"database time at low load became {show_ms(server.db_ms_per_request)}, yet it runs on this machine and "
        f"{why.statement}."
    )
    doubt = "the database, which was not asked, named no waits for locks (pg_stat_activity, pg_blocking_pids)"
    return Candidate(
        "lock", "db-row", summary, "db", ("db-pool", "threadpool", "loop", "cpu", *FRONT), found,
        margin(waits.grown, DB_GROWTH, 3.0), agrees=True, conflicts=(doubt,),
        deciding=(
            above("database time over that at low load", waits.grown, DB_GROWTH, "ratio"),
            above("the number of calls in the database", server.db_active, QUEUED_CALLS, "calls"),
            under("the time in which anybody here waited for a CPU", server.psi.get("cpu_some"), CPU_PRESSURE),
        ),
    )  # fmt: skip


def _not_the_machine(facts: Facts, step: Step) -> Evidence | None:
    """Say why queued statements do not wait for a CPU or a disk of this machine; None when they may."""
    server = step.server
    disk = server.psi.get("io_some", server.disk_busy)
    if disk is None or disk >= DISK_PRESSURE:
        return None  # statements may wait for it; where nobody measured, that is not ruled out
    used = _used_cores(facts, step)
    if used is not None and used < ONE_CORE:
        text = f"all that runs there used {used:.2f} cores together, less than one"
        return Evidence(text, "host.cpu", used, "cores", step.index)
    waited, foreign = server.psi.get("cpu_some"), server.foreign_cpu_cores
    if waited is not None:
        text = f"only for {waited:.0%} of the time did anybody there wait for a CPU"
        return Evidence(text, "psi.cpu_some", waited, "share", None) if waited < CPU_PRESSURE else None
    if foreign is None or foreign >= IDLE_DATABASE:
        return None
    text = f"all other processes there used {foreign:.2f} cores"
    return Evidence(text, "host.foreign_cpu", foreign, "cores", None)


def _used_cores(facts: Facts, step: Step) -> float | None:
    """Return what the app and all others used or were robbed of; the generator too, where it shares the cores."""
    foreign, own = step.server.foreign_cpu_cores, step.server.cpu_cores
    beside = step.client.cpu_cores if facts.machine.shared else 0.0
    if foreign is None or own is None or beside is None:
        return None
    return foreign + own + beside + (step.server.steal_cores or 0.0)


def _on_this_machine(server: ServerFigures) -> bool:
    """Return True when every database that was called is reached over loopback or a Unix socket."""
    called = [call.name for call in server.calls if call.name.startswith("db ") and call.calls_rps > 0]
    # `db ENGINE PLACE`; of a connection that was lost, or one of too many, the place is not known.
    return bool(called) and all(name.split(" ", 2)[2:] and name.split(" ", 2)[2].startswith(HERE) for name in called)


def _unseen(server: ServerFigures) -> tuple[str, ...]:
    """Say that statements on another machine may as well wait for each other: from here a hot row looks like work."""
    if not any(call.name.startswith("db ") for call in server.calls) or _on_this_machine(server):
        return ()
    return ("the database runs elsewhere; whether its statements work or wait for locks, it was not asked",)


@dataclass(frozen=True)
class Remote:
    """What a database in another process shows to an app that waits for it."""

    low_ms: float | None
    grown: float
    running: float
    crowded: bool


def _remote(facts: Facts, step: Step) -> Remote | None:
    """Return the figures when database time is most of a request's and the app itself does not fill its CPU."""
    server = step.server
    if server.db_embedded is not False or blocked(server) or one_interpreter_full(server) or gil_full(server):
        return None
    running = max(running_use(server, facts.cores) or 0.0, loop_running(server) or 0.0)
    grown = db_growth(facts, step)
    low_db, low_service = facts.low(calm_db_ms), facts.low(lambda figures: figures.service_ms)
    dominates = _is_most(low_db, low_service) or _is_most(net_db_ms(server), server.service_ms)
    if running >= REMOTE_MAX_RUNNING or grown is None or not dominates or _wants_more_than_database(facts, step):
        return None
    return Remote(low_db, grown, running, _host_full(facts, step))


def remote_database(facts: Facts, step: Step) -> Candidate | None:
    """io/slow-query behind a connection to another process: its time per request grows while the target waits."""
    server = step.server
    waits = _remote(facts, step)
    if waits is None:
        return None
    outrun = _outrun(facts, step)
    # A pool smaller than the database's cores keeps the queries' time flat although the database is full.
    if waits.grown < DB_GROWTH and not outrun and not (waits.crowded and pool_full(server.pools.get("db"))):
        return None
    found = _remote_evidence(waits.low_ms, waits.grown, waits.running, step)
    summary = (
        f"The database binds: a request's {show_ms(waits.low_ms)} of database time at low load became "
        f"{show_ms(server.db_ms_per_request)} at the limit, while the app itself ran {waits.running:.0%} of its CPU."
    )
    strength = max(margin(waits.grown, DB_GROWTH, 3.0), 0.5 if waits.crowded or outrun else 0.0)
    return Candidate(
        "io",
        "slow-query",
        summary,
        "db",
        ("db-pool", "threadpool", "loop", "cpu", *FRONT),
        found,
        strength,
        agrees=True,
        conflicts=_unseen(server),
        deciding=(
            above("database time over that at low load", waits.grown, DB_GROWTH, "ratio")
            if waits.grown >= DB_GROWTH or server.rival_cpu_cores is None
            else above(
                "the CPU of others on the app's cores", server.rival_cpu_cores, server.cpu_cores or 0.0, "cores"
            ),
            under("the CPU that the app itself runs", waits.running, REMOTE_MAX_RUNNING),
        ),
    )


def _remote_evidence(low_db: float | None, grown: float, running: float, step: Step) -> list[Evidence]:
    server = step.server
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
    return found


def _is_most(part: float | None, whole: float | None) -> bool:
    return part is not None and whole is not None and part >= DB_DOMINATES * whole


def _wants_more_than_database(facts: Facts, step: Step) -> bool:
    """Judge whether the target's own wish for CPU is full, and not because a database on this machine outruns it."""
    server = step.server
    wants = (cpu_use(step, facts.machine) or 0.0) >= CPU_SATURATED
    return wants and (server.foreign_cpu_cores or 0.0) <= (server.cpu_cores or 0.0)


def _host_full(facts: Facts, step: Step) -> bool:
    """Judge whether a database on this machine has used it up: others are busy, and were not before, or CPUs queue."""
    foreign, pressure = step.server.foreign_cpu_cores, step.server.psi.get("cpu_some")
    if foreign is None or facts.cores is None or foreign < HOST_FULL * facts.cores or not _cpus_full(facts, step):
        return False
    before = facts.low(lambda server: server.foreign_cpu_cores)
    grown = before is not None and foreign - before >= COMPUTES_CORES
    return grown or (pressure is not None and pressure >= FULL_PRESSURE)


def _cpus_full(facts: Facts, step: Step) -> bool:
    """Judge whether the CPUs that the app may run on are full of it and of others; a quota is no number of CPUs."""
    beside, own, cpus = _beside(step), step.server.cpu_cores, facts.machine.cpus
    return beside is None or own is None or cpus is None or beside + own >= HOST_FULL * cpus


def _beside(step: Step) -> float | None:
    """Return what others than the app and the load generator used of the app's CPUs."""
    rival, foreign = step.server.rival_cpu_cores, step.server.foreign_cpu_cores
    return rival if foreign is None or rival is None else min(rival, foreign)


def _outrun(facts: Facts, step: Step) -> bool:
    """Judge whether a database on the app's own cores uses them up: more than the app, and only since the load came.

    Then the loop is late by what the database takes, and no time of a call says how much of it was the database's.
    """
    rival, own, lightest = _beside(step), step.server.cpu_cores, facts.ladder.low
    if rival is None or own is None or facts.cores is None or lightest is None or lightest is step:
        return False
    before = _beside(lightest)
    full = _cpus_full(facts, step) and rival + own >= CPU_SATURATED * facts.cores
    return full and rival >= own and before is not None and before < SINCE_THE_LOAD * rival
