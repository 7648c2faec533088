"""io/slow-query where the database runs inside the worker (SQLite): its statements burn the app's own CPU."""

from dataclasses import dataclass

from pinchpoint.diagnosis.bounds import above
from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.readings import blocked, evidence, per_request_ms
from pinchpoint.diagnosis.saturation import (
    CPU_SATURATED,
    LOOP_SATURATED,
    cpu_use,
    loop_threads,
    loop_use,
    worker_full,
)
from pinchpoint.diagnosis.words import counted
from pinchpoint.diagnosis.words import ms as show_ms
from pinchpoint.measures import Step
from pinchpoint.records import Evidence

DB_CPU_SHARE = 0.7
"""Off-loop share of the CPU above which an embedded database burns it; a healthy SQLite app spends about half there."""

DB_EXPLAINS = 0.5
"""Database time per request at low load over the CPU per request: below, something else off the loop burns it."""

ON_LOOP_MAX_THREADS = 0.1
"""Off-loop share of the CPU up to which no thread can be running the embedded database: the loop itself does."""

ON_LOOP_ACTIVE = (0.6, 1.05)
"""Calls in progress per full loop that runs them itself: most of the time one, and never two, as awaited ones are."""

MOST_OF_CPU = (0.7, 1.15)
"""Database time over CPU time per request at low load, where no event loop tells them apart: below, the app's own
Python is a good part of it; above, statements wait for something instead of computing."""

WAITS_FOR_LOCK = 0.5
"""Share of the calls in progress that SQLite's lock holds up, from which they do not compute."""


@dataclass(frozen=True)
class Embedded:
    """What a database inside the worker shows when it burns the app's CPU."""

    use: float
    share: float
    """Of the app's CPU, burnt off the event loop."""
    low_ms: float
    """Database time per request at low load."""
    cpu_ms: float
    """CPU time per request at low load."""


def _embedded(facts: Facts, step: Step) -> Embedded | None:
    """Return the figures when the CPU is full, most of it off the loop, and the database's time explains that."""
    server = step.server
    use = cpu_use(step, facts.machine)
    if not server.db_embedded or use is None or use < CPU_SATURATED:
        return None
    if not server.cpu_cores or server.off_loop_cpu_cores is None:
        return None
    share = server.off_loop_cpu_cores / server.cpu_cores
    low_db = facts.low(lambda figures: figures.db_ms_per_request)
    cpu_ms = facts.low(lambda figures: per_request_ms(figures.cpu_cores, figures))
    if share < DB_CPU_SHARE or low_db is None or not cpu_ms or low_db < DB_EXPLAINS * cpu_ms:
        return None
    return Embedded(use, share, low_db, cpu_ms)


def embedded_database(facts: Facts, step: Step) -> Candidate | None:
    """io/slow-query inside the worker: the CPU is full, burnt off the loop by a costly statement."""
    burns = _embedded(facts, step)
    if burns is None:
        return None
    summary = (
        f"A costly statement binds: the database runs inside the worker and burns {burns.share:.0%} of the app's CPU; "
        f"at low load a request spends {show_ms(burns.low_ms)} in it."
    )
    strength = (margin(burns.use, CPU_SATURATED, 1.0) + margin(burns.share, DB_CPU_SHARE, 0.9)) / 2
    return Candidate(
        "io", "slow-query", summary, "cpu", ("db-pool", "loop", "threadpool", "db"),
        _embedded_evidence(facts, burns, step), strength, agrees=True,
        deciding=(
            above("CPU running or runnable", burns.use, CPU_SATURATED),
            above("the share of it that burns off the event loop", burns.share, DB_CPU_SHARE),
            above("database time over CPU time, at low load", burns.low_ms / burns.cpu_ms, DB_EXPLAINS, "ratio"),
        ),
    )  # fmt: skip


def _embedded_evidence(facts: Facts, burns: Embedded, step: Step) -> list[Evidence]:
    return [
        evidence(
            f"CPU running or runnable: {burns.use:.0%} of {counted(facts.cores, 'core')}",
            "cpu.running+runnable",
            burns.use,
            "share",
            step,
        ),
        evidence(
            f"{burns.share:.0%} of the app's CPU burns off the event loop, where the embedded database runs",
            "cpu.off_loop",
            burns.share,
            "share",
            step,
        ),
        evidence(
            f"a request spends {show_ms(burns.low_ms)} in the database at low load, of {show_ms(burns.cpu_ms)} CPU",
            "probe.db_s",
            burns.low_ms,
            "ms",
            step,
        ),
    ]


def database_on_loop(facts: Facts, step: Step) -> Candidate | None:
    """io/slow-query inside the event loop: a driver without `await` runs the embedded database on the loop's thread."""
    server, loop = step.server, loop_use(step.server)
    if not server.db_embedded or server.db_active is None or loop is None or loop < LOOP_SATURATED or blocked(server):
        return None
    if not server.cpu_cores or server.off_loop_cpu_cores is None:
        return None
    active, share = server.db_active / loop_threads(server), server.off_loop_cpu_cores / server.cpu_cores
    low_db = facts.low(lambda figures: figures.db_ms_per_request)
    cpu_ms = facts.low(lambda figures: per_request_ms(figures.cpu_cores, figures))
    in_turn = ON_LOOP_ACTIVE[0] <= active <= ON_LOOP_ACTIVE[1] and share <= ON_LOOP_MAX_THREADS
    if not in_turn or low_db is None or not cpu_ms or low_db < DB_EXPLAINS * cpu_ms:
        return None
    found = [
        evidence(f"the busiest event loop was busy {loop:.0%} of the time", "probe.loop_busy", loop, "share", step),
        evidence(f"{active:.2f} calls in the database per event loop", "probe.db_active", active, "calls", step),
        evidence(f"only {share:.0%} of the CPU burns off the loop", "cpu.off_loop", share, "share", step),
    ]
    summary = (
        f"A costly statement binds: the embedded database runs on the event loop itself and fills it; at low load a "
        f"request spends {show_ms(low_db)} in it, and every other request waits behind it."
    )
    return Candidate(
        "io", "slow-query", summary, "loop", ("db-pool", "cpu", "threadpool", "db"), found,
        margin(active, ON_LOOP_ACTIVE[0], 1.0), agrees=True,
        deciding=(
            above("the busiest event loop's busy share", loop, LOOP_SATURATED),
            above("the number of database calls in progress per loop", active, ON_LOOP_ACTIVE[0], "calls"),
            above("database time over CPU time, at low load", low_db / cpu_ms, DB_EXPLAINS, "ratio"),
        ),
    )  # fmt: skip


def database_in_worker(facts: Facts, step: Step) -> Candidate | None:
    """io/slow-query inside workers without an event loop: nearly all of a request's CPU passes in the database."""
    server, use = step.server, cpu_use(step, facts.machine)
    cores_full = use is not None and use >= CPU_SATURATED
    if server.has_loop is not False or not server.db_embedded or not (cores_full or worker_full(server)):
        return None
    if server.db_active and (server.sqlite_busy or 0.0) >= WAITS_FOR_LOCK * server.db_active:
        return None
    low_db = facts.low(lambda figures: figures.db_ms_per_request)
    cpu_ms = facts.low(lambda figures: per_request_ms(figures.cpu_cores, figures))
    if low_db is None or not cpu_ms or not MOST_OF_CPU[0] <= low_db / cpu_ms <= MOST_OF_CPU[1]:
        return None
    text = f"at low load a request spends {show_ms(low_db)} in the database and {show_ms(cpu_ms)} of CPU in all"
    row = facts.resource("gil")
    one_core = not cores_full and row is not None and row.ceiling_rps is not None
    found = [evidence(text, "probe.db_s", low_db, "ms", step)]
    if use is not None:
        said = f"CPU running or runnable: {use:.0%} of {counted(facts.cores, 'core')}"
        found.append(evidence(said, "cpu.running+runnable", use, "share", step))
    return Candidate(
        "io", "slow-query", f"A costly statement binds: the database runs inside the worker, and {text}.",
        "gil" if one_core else "cpu", ("db-pool", "gil", "cpu", "threadpool", "worker-slots", "db"), found,
        margin(low_db / cpu_ms, MOST_OF_CPU[0], 1.0), agrees=True,
        deciding=(above("database time over CPU time, at low load", low_db / cpu_ms, MOST_OF_CPU[0], "ratio"),),
    )  # fmt: skip
