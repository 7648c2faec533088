"""True defects that do not bind today, most serious first."""

from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.memory import MEMORY_HORIZON_S
from pinchpoint.diagnosis.steps import CAPACITY_PHASES, load_of
from pinchpoint.diagnosis.words import duration, ms, size
from pinchpoint.measures import Step
from pinchpoint.records import Finding, Verdict

IMBALANCE = 1.3
"""Busiest worker's requests over the mean (METHOD §5.5)."""

MANY_CALLS = 10.0
"""Database calls per request that smell of N+1."""

COLLAPSE = 0.9
"""Goodput under overload over the plateau: below, the app collapses instead of levelling off (METHOD §1.1)."""

DRIFTED, DRIFTED_MS = 1.5, 5.0
"""Median latency of an early load held again at the end, over the first time; and the least difference that counts."""

STALL_MS = 100.0
"""A loop that stood still this long at low load holds up every other request."""

MIN_SHARED_RPS = 5.0
"""Requests per second and worker below which an uneven split is chance."""


def findings(facts: Facts, verdict: Verdict) -> list[Finding]:
    """List what else is wrong."""
    makers = (
        _deaths,
        _leak,
        _collapse,
        _drift,
        _stall,
        _imbalance,
        _many_calls,
        _timeouts,
        _overflows,
        _errors,
        _inversions,
    )
    return [found for maker in makers if (found := maker(facts, verdict)) is not None]


def _deaths(facts: Facts, _verdict: Verdict) -> Finding | None:
    died = max(facts.workers_died, sum(step.server.workers_died for step in facts.steps))
    return Finding("worker-death", f"{died} worker(s) died during the run", float(died), "workers") if died else None


def _leak(facts: Facts, verdict: Verdict) -> Finding | None:
    if facts.leak is None or verdict.class_ == "memory":
        return None
    slope = facts.leak.bytes_per_request.value
    text = f"memory grows {size(slope)} per request"
    if facts.leak.seconds_to_limit is not None and facts.leak.seconds_to_limit > MEMORY_HORIZON_S:
        text += f"; at the sustainable rate it lasts {duration(facts.leak.seconds_to_limit)}"
    return Finding("leak", text, slope, "bytes/request")


def _collapse(facts: Facts, _verdict: Verdict) -> Finding | None:
    plateau = facts.capacity.saturation_rps or facts.capacity.sustainable_rps
    if not plateau or not facts.ladder.overload:
        return None
    worst = min(step.goodput_rps for step in facts.ladder.overload)
    if facts.capacity.collapse_ratio is not None:
        worst = facts.capacity.collapse_ratio * plateau  # without seconds that somebody else took
    if worst >= COLLAPSE * plateau:
        return None
    text = f"under overload goodput falls to {worst / plateau:.0%} of what the app can serve"
    return Finding("collapse", text, worst / plateau, "share")


def _drift(facts: Facts, _verdict: Verdict) -> Finding | None:
    """Compare an early load with the same one at the end of the search."""
    counted = [step for step in facts.steps if step.phase in CAPACITY_PHASES and step.latency_ms is not None]
    last = max((step for step in counted if step.phase == "search"), key=lambda step: step.index, default=None)
    before = [step for step in counted if last is not None and load_of(step) == load_of(last) and step.phase == "ramp"]
    if last is None or not before or last.latency_ms is None or before[0].latency_ms is None or last.disturbed:
        return None
    ratio = last.latency_ms.p50 / max(before[0].latency_ms.p50, 1e-3)
    if ratio < DRIFTED or last.latency_ms.p50 - before[0].latency_ms.p50 < DRIFTED_MS:
        return None
    rate = f"{load_of(last):.0f}/s"
    text = f"the app slowed down during the run: at {rate} the median latency became {ratio:.1f} times as long"
    return Finding("drift", text, ratio, "ratio")


def _stall(facts: Facts, verdict: Verdict) -> Finding | None:
    low = facts.ladder.low
    if low is None or verdict.class_ == "blocking":
        return None
    worst = low.server.loop_lag_max_ms
    if worst is None or worst < STALL_MS:
        return None
    return Finding("loop-stall", f"at low load the event loop stood still for up to {ms(worst)}", worst, "ms")


def _imbalance(facts: Facts, verdict: Verdict) -> Finding | None:
    step = facts.ladder.sustained
    if step is None or verdict.cause == "worker-imbalance":
        return None
    rates = [worker.requests_rps for worker in step.server.per_worker if worker.requests_rps is not None]
    if len(rates) < 2 or sum(rates) < MIN_SHARED_RPS * len(rates):  # noqa: PLR2004 - one worker has nobody to differ from
        return None
    ratio = max(rates) * len(rates) / sum(rates)
    if ratio < IMBALANCE:
        return None
    return Finding("worker-imbalance", f"the busiest worker serves {ratio:.1f} times the mean", ratio, "ratio")


def _many_calls(facts: Facts, _verdict: Verdict) -> Finding | None:
    calls = facts.low(lambda server: server.db_calls_per_request)
    if calls is None or calls < MANY_CALLS:
        return None
    spent = facts.low(lambda server: server.db_ms_per_request)
    each = f", {ms(spent / calls)} each, {ms(spent)} in all" if spent is not None else ""
    text = f"a request makes {calls:.0f} database calls{each}: one for each row of another (N+1)?"
    return Finding("n-plus-one", text, calls, "calls/request")


def _timeouts(facts: Facts, _verdict: Verdict) -> Finding | None:
    total = sum(_pool_timeouts(step) for step in facts.steps)
    if not total:
        return None
    return Finding("pool-timeout", f"{total:.0f} request(s) gave up waiting for a connection", total, "requests")


def _pool_timeouts(step: Step) -> float:
    pool = step.server.pools.get("db")
    return (pool.timeouts or 0.0) if pool is not None else 0.0


def _overflows(facts: Facts, _verdict: Verdict) -> Finding | None:
    total = sum(step.server.listen_overflows or 0.0 for step in facts.steps)
    if not total:
        return None
    return Finding("listen-overflow", f"the accept queue overflowed {total:.0f} time(s)", total, "connections")


def _errors(facts: Facts, _verdict: Verdict) -> Finding | None:
    bursts = [step for step in facts.ladder.passed if step.client.failed > 0]
    total = sum(step.client.failed for step in bursts)
    if not total:
        return None
    return Finding("errors", f"{total} request(s) failed at loads that held", float(total), "requests")


def _inversions(facts: Facts, _verdict: Verdict) -> Finding | None:
    count = facts.ladder.inversions
    if not count:
        return None
    return Finding("unsteady", f"{count} load(s) failed although a heavier one held", float(count), "loads")
