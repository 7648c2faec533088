"""pool/token-pool-deadlock: everything is taken, nobody works, and nothing is answered any more.

Threads hold the tokens that whoever holds a connection needs to give it back, or wait for a token while they hold one
(METHOD §5.2). Nothing is busy then, so every figure looks idle but the pools.
"""

from collections.abc import Sequence

from pinchpoint.diagnosis.bounds import under
from pinchpoint.diagnosis.facts import FRONT, Candidate, Facts, margin
from pinchpoint.diagnosis.readings import evidence
from pinchpoint.diagnosis.saturation import narrowest, pool_full, pool_use, running_use
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import Evidence

STOPPED = 0.2
"""Goodput over what was sustained, below which the app has all but stopped; a full pool goes on at its ceiling."""

WORKING = 0.2
"""Calls in progress over the connections that are out, from which their holders do what they hold them for."""

CALLING = 0.5
"""Calls to services, or threads at a socket, over the connections that are out: from here on they wait for those."""

IDLE_CPU = 0.5
"""Share of its cores that an app in a deadlock stays under; what still runs answers health checks."""

WAITING_THREADS = 0.7
"""Of the busy threads, those that wait at a lock or queue, from which they wait for each other."""

THREADS = ("threadpool", "executor", "slots")


def stuck(facts: Facts, steps: Sequence[Step]) -> tuple[Candidate, Step] | None:
    """Return the deadlock and the lightest step that shows it."""
    for step in steps:
        found = _deadlock(facts, step)
        if found is not None:
            return found, step
    return None


def _deadlock(facts: Facts, step: Step) -> Candidate | None:
    server = step.server
    threads = next((pool for key in THREADS if pool_full(pool := server.pools.get(key))), None)
    share = _goodput_share(facts, step)
    use = running_use(server, facts.cores)
    if threads is None or share is None or share >= STOPPED or (use is not None and use >= IDLE_CPU):
        return None
    pool = narrowest(server, "db")[1]
    if pool is not None and pool_full(pool) and _idle_holders(server, pool) and not _calling(server, pool):
        found = _evidence(server, threads, pool, share, step)
        summary = (
            f"The threadpool and the connection pool wait for each other: all {threads.size:g} threads and all "
            f"{pool.size:g} connections are taken, no statement is in progress, and the app has all but stopped: it "
            f"answers {step.goodput_rps:.3g} requests/s."
        )
        return _candidate(summary, found, share, server, facts)
    waiting = server.threads_in.get("lock", 0.0)
    # Calls only excuse here: the threads themselves were seen to wait, whether or not calls are counted.
    calls = sum(one for one in (server.db_active, *(call.active for call in server.calls)) if one is not None)
    if waiting >= WAITING_THREADS * (threads.busy or 0.0) and calls < 1.0 and pool is None:
        found = _evidence(server, threads, None, share, step)
        summary = (
            f"Threads wait for each other: all {threads.size:g} are taken, {waiting:.0f} of them wait at a lock or "
            f"queue, and the app has all but stopped: it answers {step.goodput_rps:.3g} requests/s."
        )
        return _candidate(summary, found, share, server, facts)
    return None


def _idle_holders(server: ServerFigures, pool: PoolFigures) -> bool:
    """Return True when hardly a connection that is out does anything; not counted is not idle."""
    return server.db_active is not None and server.db_active < WORKING * (pool.busy or 0.0)


def _calling(server: ServerFigures, pool: PoolFigures) -> bool:
    """Return True when as many other calls are in progress as connections are out: their holders wait for a service."""
    calls = sum(call.active or 0.0 for call in server.calls if not call.name.startswith("db "))
    at_sockets = server.threads_in.get("socket", 0.0)
    return max(calls, at_sockets) >= CALLING * (pool.busy or 0.0)


def _candidate(summary: str, found: list[Evidence], share: float, server: ServerFigures, facts: Facts) -> Candidate:
    return Candidate(
        "pool", "token-pool-deadlock", summary, "threadpool", ("db-pool", "db", "lock", *FRONT), found,
        margin(-share, -STOPPED, 0.0), agrees=True,
        deciding=(
            under("goodput over what was sustained", share, STOPPED),
            under("the CPU in use", running_use(server, facts.cores), IDLE_CPU),
        ),
    )  # fmt: skip


def _goodput_share(facts: Facts, step: Step) -> float | None:
    """Return the step's goodput over that of the highest load that held, or over what was asked where none held."""
    held = facts.ladder.sustained.goodput_rps if facts.ladder.sustained is not None else step.offered_rps
    return step.goodput_rps / held if held else None


def _evidence(
    server: ServerFigures, threads: PoolFigures, pool: PoolFigures | None, share: float, step: Step
) -> list[Evidence]:
    text = f"{threads.busy or 0.0:.3g} of {threads.size:g} threads taken, {threads.waiting or 0.0:.3g} requests wait"
    found = [
        evidence(f"goodput fell to {share:.0%} of what was sustained", "goodput", share, "share", step),
        evidence(text, "probe.tokens_busy", pool_use(threads), "share", step),
    ]
    if pool is not None:
        text = f"{pool.busy or 0.0:.3g} of {pool.size:g} connections out, {pool.waiting or 0.0:.3g} requests wait"
        found.append(evidence(text, "probe.pool_busy", pool_use(pool), "share", step))
    if pool is not None and server.db_active is not None:
        text = f"{server.db_active:.2g} statements in progress"
        found.append(evidence(text, "probe.db_active", server.db_active, "calls", step))
    return found
