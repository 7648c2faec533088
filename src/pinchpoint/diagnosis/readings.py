"""Figures that several rules read in the same way."""

from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.saturation import (
    LOOP_SATURATED,
    busiest_loop,
    cpu_use,
    loop_threads,
)
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import Evidence

BLOCKED_SHARE = 0.5
"""Of the loop's busy time, spent neither running nor runnable: blocked more often than not."""

BLOCKED_MAX_CPU = 0.6
"""Cores per worker above which a 'blocked' loop may as well be waiting for the GIL behind its own threads."""

CPU_TO_SPARE = 0.7
"""Share of the allowed cores up to which the CPU is plainly not what is missing."""

CALM_SHARE = 0.5
"""Of the database's time at low load, that is its own at least."""

DB_LOOP_TURNS = 2.0
"""An awaited database call passes the loop about twice (send, wake-up), each time late by the loop's lag."""


def evidence(statement: str, signal: str, value: float | None, unit: str, step: Step) -> Evidence:
    """One measured statement."""
    return Evidence(statement, signal, value, unit, step.index)


def cpu_beside(facts: Facts, step: Step) -> list[Evidence]:
    """Say how full the CPU is beside something else that is full; nothing where that is unknown."""
    use = cpu_use(step, facts.machine)
    if use is None:
        return []
    text = f"CPU running or runnable {'only ' if use < CPU_TO_SPARE else ''}{use:.0%}"
    return [evidence(text, "cpu.running+runnable", use, "share", step)]


def net_db_ms(server: ServerFigures) -> float | None:
    """Database time per request without the loop's own lateness, which the caller of an async driver sees as well."""
    if server.db_ms_per_request is None:
        return None
    lag = (server.loop_lag_ms or 0.0) * (server.db_calls_per_request or 0.0) * DB_LOOP_TURNS
    return max(0.0, server.db_ms_per_request - lag)


def calm_db_ms(server: ServerFigures) -> float | None:
    """Return the database time per request at low load, without lateness but at least half of what was measured.

    There the loop's lateness is mostly its timer's and a core's on the way up; times the calls of a request it may be
    more than all of them took.
    """
    net = net_db_ms(server)
    return None if net is None else max(net, CALM_SHARE * (server.db_ms_per_request or 0.0))


def net_call_ms(server: ServerFigures) -> float | None:
    """Time of one outgoing call without the loop's own lateness, like `net_db_ms`."""
    if server.http_ms_per_request is None or not server.http_calls_per_request:
        return None
    lag = (server.loop_lag_ms or 0.0) * DB_LOOP_TURNS
    return max(0.0, server.http_ms_per_request / server.http_calls_per_request - lag)


def per_request_ms(cores: float | None, server: ServerFigures) -> float | None:
    """Turn cores of something into milliseconds of it per request."""
    return None if cores is None or not server.requests_rps else cores / server.requests_rps * 1000.0


def grown_by(now: float | None, then: float | None) -> float | None:
    """Return now / then."""
    return None if now is None or not then else now / then


def hold_of(pool: PoolFigures | None) -> float | None:
    """Return the mean holding time in milliseconds."""
    return None if pool is None else pool.hold_ms


def uses_of(pool: PoolFigures | None) -> float | None:
    """Return how often a request takes a member."""
    return None if pool is None else pool.checkouts_per_request


def db_growth(facts: Facts, step: Step) -> float | None:
    """Net database time per request in the step over low load."""
    return grown_by(net_db_ms(step.server), facts.low(calm_db_ms))


def blocked(server: ServerFigures) -> bool:
    """Return True when the loop is busy throughout, mostly without its thread running or wanting to run.

    A quota stops the loop as well, and so does a hypervisor: what they took is not counted as blocked.
    """
    busy = server.loop_busy
    if server.loop_blocked is None or busy is None or busy < LOOP_SATURATED:
        return False
    busiest = busiest_loop(server)
    mean = (server.cpu_cores or 0.0) / loop_threads(server)
    per_worker = mean if busiest is None or busiest.cpu_cores is None else busiest.cpu_cores
    stuck = server.loop_blocked - min(1.0, server.throttled_cores or 0.0) - (server.steal_share or 0.0)
    return stuck >= BLOCKED_SHARE * busy and per_worker <= BLOCKED_MAX_CPU
