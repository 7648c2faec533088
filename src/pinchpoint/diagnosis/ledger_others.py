"""Rows of the ledger beside cores, loops and pools: the interpreter lock, admission, SQLite's writer, a disk."""

from collections.abc import Sequence

from pinchpoint.diagnosis.ledger_parts import demand, flow_ceiling, held_row, resource, throughput
from pinchpoint.diagnosis.saturation import ONE_GIL, POOL_WAITING, loop_threads
from pinchpoint.diagnosis.steps import Ladder
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import Resource
from pinchpoint.statistics import Estimate

ADMISSION = "limit_concurrency"
"""In the name of the gate at which uvicorn refuses."""

THREADS_COMPUTE = 0.2
"""Share of the CPU that burns off the loops, from which threads of one worker compete for its interpreter."""

DISK_NOISE = 0.01
"""Busy share of a disk below which its demand is the machine's own background."""


def gil_row(sorted_out: Ladder, limit: Step, low: Sequence[Step]) -> Resource | None:
    """Return the interpreter locks, one per worker, where several threads of a worker compute.

    A worker's CPU is its lock's use as long as all of it is Python; more than one core per worker is native code.
    """
    server = limit.server
    beside = _beside_loop(server)
    if beside is None or beside < THREADS_COMPUTE or _busiest(server) is None:
        return None
    native = any((_busiest(step.server) or 0.0) > ONE_GIL[1] for step in [*sorted_out.passed, limit])
    ceiling, note = flow_ceiling(sorted_out, limit, lambda step: _busiest(step.server))
    needed = demand(low, lambda figures: figures.cpu_cores)
    if native:
        ceiling, needed, note = None, None, "native code runs outside it: its use is unknown"
    use = None if native else min(1.0, _busiest(server) or 0.0)
    queue = server.threads_in.get("gil")
    return resource("gil", "cpu", float(loop_threads(server)), "interpreters", needed, ceiling, use, queue, note)


def _beside_loop(server: ServerFigures) -> float | None:
    """Return the share of the CPU that does not run on event loops; without loops all of it."""
    if not server.cpu_cores:
        return None
    if server.has_loop is False:
        return 1.0
    return None if server.off_loop_cpu_cores is None else server.off_loop_cpu_cores / server.cpu_cores


def _busiest(server: ServerFigures) -> float | None:
    return max((one.cpu_cores for one in server.per_worker if one.cpu_cores is not None), default=None)


def admission_row(limit: Step, low: Sequence[Step]) -> Resource | None:
    """Return the connections or requests at which the server starts to refuse."""
    return held_row(limit, low, "admission-limit", "requests", _admission(limit.server), _admitted)


def _admission(server: ServerFigures) -> PoolFigures | None:
    return next((gate for name, gate in server.gates.items() if ADMISSION in name), None)


def _admitted(server: ServerFigures) -> float | None:
    gate = _admission(server)
    return None if gate is None else gate.busy


def backlog_row(limit: Step) -> Resource | None:
    """Return the accept queue: room for those who wait, which adds nothing to what is served."""
    queue, room = limit.server.listen_queue, limit.server.listen_limit
    if queue is None or not room:
        return None
    note = "room to wait: it limits bursts, not the rate"
    return resource("accept-backlog", "pool", room, "connections", None, None, min(1.0, queue / room), queue, note)


def sqlite_row(limit: Step) -> Resource | None:
    """Return SQLite's one writer; its holder is not counted, so its ceiling is known only when calls queue for it."""
    queue = limit.server.sqlite_busy
    if queue is None or queue <= 0:
        return None
    rate = throughput(limit)
    full = queue >= POOL_WAITING and rate > 0
    ceiling = Estimate(rate, rate, rate, 1) if full else None
    needed = Estimate(1 / rate, 1 / rate, 1 / rate, 1) if full else None
    note = "measured: calls queue for it at the limit" if full else "its holder is not counted, only those who wait"
    return resource("sqlite-writer", "lock", 1.0, "writer", needed, ceiling, 1.0 if full else None, queue, note)


def downstream_row(limit: Step, low: Sequence[Step]) -> Resource | None:
    """Return the services that are called; what they could serve at once nobody here knows."""
    if not limit.server.http_ms_per_request:
        return None
    needed = demand(low, _calls)
    note = "capacity unknown from outside"
    return resource("downstream", "io", None, "calls in progress", needed, None, None, _calls(limit.server), note)


def _calls(server: ServerFigures) -> float | None:
    """Return the calls in progress by Little's law: calls' time per request times requests per second."""
    if server.http_ms_per_request is None or server.requests_rps is None:
        return None
    return server.http_ms_per_request / 1000 * server.requests_rps


def disk_row(sorted_out: Ladder, limit: Step, low: Sequence[Step]) -> Resource | None:
    """Return the disk below the target's working folder. A disk that serves several requests at once can do more."""
    use = limit.server.disk_busy
    if use is None or use < DISK_NOISE:
        return None
    ceiling, note = flow_ceiling(sorted_out, limit, lambda step: step.server.disk_busy)
    needed = demand(low, lambda server: server.disk_busy)
    note += "; a disk that serves several requests at once can do more"
    return resource("disk", "io", 1.0, "device", needed, ceiling, min(1.0, use), None, note)


def generator_row(limit: Step, rps: float | None) -> Resource | None:
    """Return what the generator managed against a server that does nothing."""
    if not rps:
        return None
    use = min(1.0, limit.started_rps / rps)
    note = "measured against a server that does nothing"
    return resource("generator", "generator", None, "requests/s", None, Estimate(rps, rps, rps, 1), use, None, note)
