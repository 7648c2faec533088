"""Where a request's response time goes (question 2 of DESIGN §3), at low load and at the limit.

All parts are means per request. The client's mean time from sending to the answer is in-flight / throughput (Little's
law, METHOD §1.6); the wait before sending is the difference of the medians from schedule and from sending.
"""

from collections.abc import Sequence

from pinchpoint.diagnosis.saturation import LOOP_SATURATED, loop_threads, loop_use
from pinchpoint.diagnosis.steps import Ladder, low_steps
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import TimePart, TimeShares

SCHEDULE = "schedule queue"
ACCEPT = "connect and accept"
COMPUTE = "compute"
BLOCKED = "blocked loop"
LOOP_QUEUE = "loop queue"
POOL_WAIT = "pool wait"
DATABASE = "database"
HELD_IDLE = "held idle"
TOKENS = "threadpool wait"
THREAD_WAIT = "executor wait"
DOWNSTREAM = "downstream"
HTTP_POOL_WAIT = "client pool wait"
LOCK_WAIT = "lock wait"
SLOT_WAIT = "worker slot wait"
UNEXPLAINED = "unexplained"

MS_PER_S = 1000.0


def time_shares(sorted_out: Ladder) -> TimeShares:
    """Return the shares at low load and at the limit; empty where the client measured nothing."""
    calm = low_steps(sorted_out)
    low = _parts(max(calm, key=lambda step: step.client.ok)) if calm else {}
    limit = _parts(sorted_out.limit) if sorted_out.limit is not None else {}
    return TimeShares(low=_shares(low), limit=_shares(limit), ms_low=_total(low), ms_limit=_total(limit))


def dominant(shares: dict[str, float]) -> TimePart | None:
    """Return the largest part that names something inside the server; waiting outside it names nothing."""
    inside = {part: share for part, share in shares.items() if part not in {SCHEDULE, ACCEPT, UNEXPLAINED}}
    known = inside or shares
    if not known:
        return None
    part = max(known, key=lambda name: known[name])
    return TimePart(part, known[part])


def _total(parts: dict[str, float]) -> float | None:
    return sum(parts.values()) if parts else None


def _shares(parts: dict[str, float]) -> dict[str, float]:
    total = sum(parts.values())
    return {part: ms / total for part, ms in parts.items()} if total > 0 else {}


def client_service_ms(step: Step) -> float | None:
    """Mean time from sending to the full response."""
    seconds = step.t_end_s - step.t_start_s - step.settle_s
    completed = step.client.ok + step.client.failed
    if step.client.inflight_mean is None or completed == 0 or seconds <= 0:
        return step.client.service_ms_p50
    return step.client.inflight_mean / (completed / seconds) * MS_PER_S


def _parts(step: Step) -> dict[str, float]:
    """Milliseconds per request; parts that were not measured are left out."""
    client = client_service_ms(step)
    if client is None:
        return {}
    service = step.server.service_ms
    parts: dict[str, float] = {}
    if step.latency_ms is not None and step.client.service_ms_p50 is not None and step.model == "rate":
        parts[SCHEDULE] = max(0.0, step.latency_ms.p50 - step.client.service_ms_p50)
    if service is None:
        parts[UNEXPLAINED] = client
        return parts
    queue = min(step.server.queue_ms or 0.0, max(0.0, client - service))
    if step.server.queue_ms is not None and "slots" in step.server.pools:
        parts[SLOT_WAIT] = queue
        parts[ACCEPT] = max(0.0, client - service - queue)
    else:
        parts[ACCEPT] = max(0.0, client - service)
    inside = _inside(step.server)
    rest = service - sum(inside.values())
    if rest < 0:
        # Parts overlap (a query's wall time holds loop queueing): keep their proportions within the whole.
        inside = {part: ms * service / sum(inside.values()) for part, ms in inside.items()}
        rest = 0.0
    parts.update(inside)
    queueing = (loop_use(step.server) or 0.0) >= LOOP_SATURATED
    parts[LOOP_QUEUE if queueing else UNEXPLAINED] = rest
    return parts


def _inside(server: ServerFigures) -> dict[str, float]:
    parts: dict[str, float | None] = {
        COMPUTE: _per_request(server.cpu_cores if server.has_loop is False else server.loop_cpu_cores, server),
        BLOCKED: _per_request(blocked_loops(server), server),
        POOL_WAIT: _pool_ms(server.pools.get("db"), "wait"),
        TOKENS: _pool_ms(server.pools.get("threadpool"), "wait"),
        THREAD_WAIT: _pool_ms(server.pools.get("executor"), "wait"),
        HTTP_POOL_WAIT: _pool_ms(server.pools.get("http"), "wait"),
        LOCK_WAIT: _pool_ms(server.pools.get("lock"), "wait"),
        DATABASE: server.db_ms_per_request,
        DOWNSTREAM: server.http_ms_per_request,
    }
    held = _pool_ms(server.pools.get("db"), "hold")
    if held is not None and server.db_ms_per_request is not None:
        parts[HELD_IDLE] = max(0.0, held - server.db_ms_per_request)
    return {part: ms for part, ms in parts.items() if ms is not None}


def blocked_loops(server: ServerFigures) -> float | None:
    """Return how many event loops stand still on average; of the busiest alone where the others were not told apart."""
    each = [worker.loop_blocked for worker in server.per_worker if worker.loop_blocked is not None]
    if each:
        return sum(each)
    return None if server.loop_blocked is None else server.loop_blocked * loop_threads(server)


def _per_request(cores: float | None, server: ServerFigures) -> float | None:
    if cores is None or not server.requests_rps:
        return None
    return cores / server.requests_rps * MS_PER_S


def _pool_ms(pool: PoolFigures | None, which: str) -> float | None:
    if pool is None or pool.checkouts_per_request is None:
        return None
    value = pool.wait_ms if which == "wait" else pool.hold_ms
    return None if value is None else value * pool.checkouts_per_request


def mean_of(steps: Sequence[Step], values: Sequence[float | None]) -> float | None:
    """Mean over steps of a per-request value, weighted by completed requests; unmeasured ones left out."""
    pairs = [(step.client.ok, value) for step, value in zip(steps, values, strict=True) if value is not None]
    weight = sum(count for count, _ in pairs)
    return sum(count * value for count, value in pairs) / weight if weight else None
