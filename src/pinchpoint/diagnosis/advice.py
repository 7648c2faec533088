"""What to change, by how much, and what it should bring: never more than the next wall allows."""

import math
from collections.abc import Sequence
from dataclasses import replace

from pinchpoint.diagnosis.cpu_causes import idle_cores
from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.remedies import REMEDIES
from pinchpoint.diagnosis.saturation import loop_threads, narrowest
from pinchpoint.diagnosis.time_shares import DATABASE, HELD_IDLE
from pinchpoint.diagnosis.words import duration, ms, rps, size
from pinchpoint.measures import ServerFigures
from pinchpoint.records import Advice, Resource

POOL_FACTOR = 2.0
"""Doubling a pool is the usual next size; more needs a measurement of its own."""

POOL_KNOBS = {
    "db-pool": ("db", "pool_size + max_overflow"),
    "threadpool": ("threadpool", "threadpool tokens (anyio limiter)"),
    "executor": ("executor", "max_workers of the ThreadPoolExecutor"),
    "http-pool": ("http", "the connection limit of the HTTP client"),
    "worker-slots": ("slots", "the threads (--threads) or workers that serve"),
    "lock": ("lock", "what the semaphore admits"),
}
"""Row of the ledger -> its figures in a step, and what makes it larger."""

MOST_SAVED = 10.0
"""Times a holding time can be shortened, as far as anybody may promise it."""

ELSEWHERE = {"db-pool": " (SQLAlchemy's names; a driver's own pool calls it max_size)"}
"""Row of the ledger -> what its knob is called in other libraries."""

RESTART_SHARE = 0.5
"""Restart a leaking worker when it has used half of what is free."""

WORTH_A_WORKER = 0.5
"""Idle cores from which a further worker has room."""


def advise(
    facts: Facts, candidate: Candidate | None, ceiling: float | None, wall: Resource | None, tied: Sequence[str] = ()
) -> list[Advice]:
    """Return advice for the verdict, most effective first; `tied` names what binds at the same rate."""
    if candidate is None:
        return _without_bottleneck(facts, wall)
    return [_with(tied, one) for one in _cures(facts, candidate, ceiling, wall)]


def _with(tied: Sequence[str], one: Advice) -> Advice:
    """Promise a gain only together with what binds as well: by itself, either leaves the other in the way."""
    if not tied or one.expected_gain is None:
        return one
    names = " and ".join(tied)
    return replace(one, expected_gain=f"{one.expected_gain}, but only together with more of {names}, which binds too")


def _cures(facts: Facts, candidate: Candidate, ceiling: float | None, wall: Resource | None) -> list[Advice]:
    told = list(REMEDIES.get(candidate.cause, ()))
    if told and candidate.class_ != "cpu":
        return told
    makers = {"pool": _pool, "cpu": _cpu, "blocking": _blocking, "io": _database, "memory": _memory, "lock": _lock}
    maker = makers.get(candidate.class_)
    return [*told, *(maker(facts, candidate, ceiling, wall) if maker is not None else [])]


def _gain(ceiling: float | None, wanted: float, wall: Resource | None) -> str | None:
    """`98/s -> 190/s (1.9x), then cpu binds`, cut at the next wall."""
    if ceiling is None or ceiling <= 0:
        return None
    top = wall.ceiling_rps if wall is not None else None
    reached = ceiling * wanted if top is None else min(ceiling * wanted, top)
    text = f"{rps(ceiling)} -> up to {rps(reached)} ({reached / ceiling:.1f}x)"
    if top is not None and top < ceiling * wanted and wall is not None:
        text += f", then {wall.resource} binds"
    return text


def _pool(facts: Facts, candidate: Candidate, ceiling: float | None, wall: Resource | None) -> list[Advice]:
    database = candidate.cause == "db-pool"
    key, knob = POOL_KNOBS.get(candidate.resource or "", (None, ""))
    limit = facts.ladder.limit
    if candidate.resource is None and candidate.cause == "admission-limit":
        return [Advice(WIDER_DOOR, "limit_concurrency", None, None, "until the next wall")]
    pool = narrowest(limit.server, key)[1] if limit is not None and key is not None else None
    if limit is None or pool is None or not pool.size:
        return []
    workers = loop_threads(limit.server)
    each = pool.size / workers
    factor = POOL_FACTOR
    if wall is not None and wall.ceiling_rps and ceiling:
        factor = min(POOL_FACTOR, max(1.0, wall.ceiling_rps / ceiling))
    target = max(each + 1, math.ceil(each * factor))
    where = " in each worker" if workers > 1 else ""
    text = f"Raise {knob}{ELSEWHERE.get(candidate.resource or '', '')}{where} from {each:g} to {target:g}."
    found = [Advice(text, knob, f"{each:g}", f"{target:g}", _gain(ceiling, target / each, wall))]
    idle, query = facts.time.low.get(HELD_IDLE, 0.0), facts.time.low.get(DATABASE, 0.0)
    if database and idle > query and pool.hold_ms is not None:
        text = (
            f"Or hold connections for less time: of {ms(pool.hold_ms)} per checkout most passes without a statement in "
            "progress; commit and return the connection before waiting for anything else."
        )
        found.append(
            Advice(text, None, ms(pool.hold_ms), None, _gain(ceiling, min(MOST_SAVED, (idle + query) / query), wall))
            if query > 0
            else Advice(text, None, ms(pool.hold_ms), None, "in proportion to the time saved")
        )
    elif database and pool.hold_ms is not None:
        text = f"Or make the statement faster: it fills the {ms(pool.hold_ms)} for which a connection is held."
        found.append(Advice(text, None, ms(pool.hold_ms), None, "in proportion to the time saved"))
    return found


def _cpu(facts: Facts, candidate: Candidate, ceiling: float | None, wall: Resource | None) -> list[Advice]:
    limit = facts.ladder.limit
    if limit is None:
        return []
    workers = loop_threads(limit.server)
    found = []
    idle = idle_cores(facts, limit)
    more = math.floor(idle + 1 - WORTH_A_WORKER) if idle is not None else 0
    if more >= 1 and candidate.resource in {"loop", "gil"}:
        target = workers + more
        text = f"Run {target} workers instead of {workers}: {idle:.1f} of the allowed cores are idle."
        found.append(Advice(text, "workers", str(workers), str(target), _gain(ceiling, target / workers, wall)))
    cost = _cpu_ms(limit.server)
    if cost is not None:
        text = f"Make a request cheaper: it costs {ms(cost)} of CPU at the limit. Half of that doubles the capacity."
        found.append(Advice(text, "CPU per request", ms(cost), ms(cost / 2), _gain(ceiling, 2.0, wall)))
    if not found or (more < 1 and candidate.cause != "noisy-neighbour"):
        found.append(
            Advice(
                "Or give it more cores, with one worker for each.", "cores", None, None, "in proportion to the cores"
            )
        )
    return found


def _cpu_ms(server: ServerFigures) -> float | None:
    return (
        None if server.cpu_cores is None or not server.requests_rps else server.cpu_cores / server.requests_rps * 1000.0
    )


def _blocking(facts: Facts, _candidate: Candidate, ceiling: float | None, _wall: Resource | None) -> list[Advice]:
    limit = facts.ladder.limit
    if limit is None:
        return []
    cost = _cpu_ms(limit.server)
    cores = facts.cores or 1.0
    possible = min(cores, loop_threads(limit.server)) / cost * 1000.0 if cost else None
    gain = None
    if possible is not None and ceiling:
        gain = f"{rps(ceiling)} -> at most {rps(possible)}, where CPU ({ms(cost)} per request) binds"
    text = (
        "Take the blocking call off the event loop: use an async client and await it, or declare the handler `def` so "
        "that it runs in the threadpool."
    )
    return [
        Advice(text, "call", "inside the loop", "awaited or in a thread", gain),
        Advice(
            "Further workers help as long as it stays, one loop each.",
            "workers",
            None,
            None,
            "in proportion to the workers",
        ),
    ]


def _database(facts: Facts, candidate: Candidate, ceiling: float | None, wall: Resource | None) -> list[Advice]:
    if candidate.cause == "downstream":
        text = "Call it less (cache, batch), or make it faster: the app cannot go faster than what it waits for."
        return [Advice(text, "calls per request", None, None, "in proportion to the time saved")]
    cost = facts.low(lambda server: server.db_ms_per_request)
    text = f"Make the statement cheaper (index, fewer rows, cache): it takes {ms(cost)} of a request at low load."
    gain = _gain(ceiling, math.inf, wall) if wall else "in proportion to the time saved"
    found = [Advice(text, "statement", ms(cost), None, gain)]
    limit = facts.ladder.limit
    if limit is not None and "db" in limit.server.pools:
        text = "A larger connection pool does not help: more statements would share the same database."
        found.append(Advice(text, None, None, None, "none"))
    return found


WIDER_DOOR = (
    "Raise the limit above the number of open connections, idle ones included (--limit-concurrency), or let a proxy in "
    "front keep the connections of clients; where refusing is meant, this is the load at which it begins."
)

SHORTER_HOLD = {
    "python-lock": (
        "Hold it for less time: nothing awaited, called or computed inside that can be outside. Or give each key a "
        "lock of its own."
    ),
    "file-lock": "Hold it for less time: prepare what is to be written before locking; or lock one file for each key.",
    "db-row": (
        "Update the row that everybody wants last in the transaction, and commit at once; or spread it over several "
        "rows. pg_stat_activity and pg_blocking_pids() show which one it is."
    ),
    "sqlite-writer": (
        "Make write transactions shorter: nothing between BEGIN and COMMIT but the statements; batch small writes into "
        "one, or hand them to one writer. A server database lets writers go on beside each other."
    ),
}
"""Cause -> what lets the next holder in sooner."""


def _lock(_facts: Facts, candidate: Candidate, _ceiling: float | None, _wall: Resource | None) -> list[Advice]:
    found = []
    text = SHORTER_HOLD.get(candidate.cause)
    if text is not None:
        found.append(Advice(text, candidate.cause, None, None, "in proportion to the time saved"))
    if candidate.cause == "python-lock":
        # Each worker process has one of its own.
        text = "More threads or connections do not help: they wait for the same lock. More workers do, one lock each."
        return [*found, Advice(text, "workers", None, None, "in proportion to the workers")]
    text = "More workers, threads or connections do not help: they would wait for the same lock."
    return [*found, Advice(text, None, None, None, "none")]


def _memory(facts: Facts, _candidate: Candidate | None, _ceiling: float | None, _wall: Resource | None) -> list[Advice]:
    leak = facts.leak
    if leak is None:
        return [Advice("Raise the memory limit, or run fewer workers.", "memory limit", None, None, None)]
    found = [
        Advice(
            f"Find what keeps {size(leak.bytes_per_request.value)} per request; nothing else cures it.",
            None,
            None,
            None,
            "unlimited run time",
        ),
    ]
    if leak.free_bytes is not None and leak.bytes_per_request.value > 0:
        requests = int(RESTART_SHARE * leak.free_bytes / leak.bytes_per_request.value)
        text = (
            f"Until then restart workers after {requests:,} requests in all (--max-requests, divided by the workers)."
        )
        half = None if leak.seconds_to_limit is None else leak.seconds_to_limit * RESTART_SHARE
        found.append(Advice(text, "max_requests", None, str(requests), f"a restart about every {duration(half)}"))
    return found


GENERATOR_BUSY = 0.7
"""CPU of a load process as a share of a core, up to which it was users that it lacked, and not CPU."""


def _out_of_users(facts: Facts) -> bool:
    failing = {gate.name for gate in facts.validity.gates if gate.status == "fail"}
    limit = facts.ladder.limit
    used = limit.client.cpu_share if limit is not None else None
    return bool(failing) and failing <= {"started-share", "user-cap"} and used is not None and used < GENERATOR_BUSY


def _without_bottleneck(facts: Facts, wall: Resource | None) -> list[Advice]:
    if facts.validity.status == "invalid":
        if _out_of_users(facts):
            text = "Let the generator use more users (--max-users): all waited for answers, and its CPU was not full."
            return [Advice(text, "max_users", None, None, "a load that does not depend on how long answers take")]
        text = "Give the generator more processes (--processes) or cores of its own (--load-cpus), then measure again."
        return [Advice(text, "processes", None, None, "a measurement of the server instead of the generator")]
    if any(step.phase == "soak" for step in facts.steps):
        # A soak looks for what grows, not for the limit.
        return _memory(facts, None, None, None) if facts.leak is not None else []
    text = "Raise the load or the budget to find the limit."
    gain = f"{wall.resource} is expected to bind at about {rps(wall.ceiling_rps)}" if wall is not None else None
    return [Advice(text, "budget", None, None, gain)]
