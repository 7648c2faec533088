"""Can the measurement be believed? Gates on the generator first (METHOD §2), then on the sampling.

The gates judge the steps that set the capacity: the highest load that held and the lightest that broke. In a step that
broke, a busy generator is no excuse when the server itself says it was full, or answered with errors: fast failures
pin any generator (DESIGN §6).
"""

from collections.abc import Sequence

from pinchpoint.diagnosis.saturation import Machine, saturated
from pinchpoint.diagnosis.steps import Ladder, enough
from pinchpoint.diagnosis.words import counted
from pinchpoint.measures import Step
from pinchpoint.records import Gate, GateStatus, Validity

CPU_WARN, CPU_FAIL = 0.7, 0.9
"""Of one core, for the busiest load process (METHOD §2 rule 4 warns at 70 %); at 90 % it cannot keep its schedule."""

RUNQ_WARN = 0.1
"""Share of time the load process waited for a core. No failure by itself: its consequence is send lag."""

LAG_WARN_MS = 2.0
LAG_WARN_SHARE = 0.05
"""METHOD §2 rule 4: p99 send lag up to max(2 ms, 5 % of the median service time)."""

LAG_FAIL_SHARE_OF_SLO = 0.1
"""From here on the generator's lateness falsifies the very latency that the threshold judges."""

STARTED_WARN, STARTED_FAIL = 0.99, 0.95
"""Started over scheduled arrivals in a step that held: below, the load claimed was not offered."""

STARTED_EDGE = 3
"""Arrivals that may straddle a window's edge."""

SAMPLING_WARN, SAMPLING_FAIL = 0.95, 0.5
"""Share of the collector's ticks received."""

MIN_LIMIT_SAMPLES = 10
"""One second of ticks in the step that the verdict rests on."""

DEFAULT_SLO_P95_MS = 500.0

GENERATOR_GATES = frozenset({"generator-cpu", "send-lag", "started-share"})


def validity(sorted_out: Ladder, machine: Machine, slo_p95_ms: float | None, slo_errors: float | None) -> Validity:
    """Judge the recording's capacity steps."""
    limit, sustained = sorted_out.limit, sorted_out.sustained
    if limit is None:
        gate = Gate("steps", "fail", 0.0, 1.0, "steps", "no load step was finished, so nothing was measured")
        return Validity("invalid", [gate])
    held = [sustained] if sustained is not None else []
    exonerated = bool(sorted_out.failed) and server_is_at_its_limit(limit, machine, slo_errors)
    judged = held if exonerated else [*held, *([limit] if limit not in held else [])]
    gates = [
        _cpu(judged, limit, exonerated=exonerated),
        _runq(judged),
        _lag(held, slo_p95_ms or DEFAULT_SLO_P95_MS),
        _started(held),
        _sampling([*held, limit]),
        _limit_samples(limit),
        _probe(limit),
        _steady(sorted_out),
    ]
    statuses = {gate.status for gate in gates}
    status = "invalid" if "fail" in statuses else "suspect" if "warn" in statuses else "valid"
    return Validity(status, gates)  # type: ignore[arg-type]


def server_is_at_its_limit(step: Step, machine: Machine, slo_errors: float | None) -> bool:
    """Return True when the server's own signals explain the breach, whatever the generator's CPU says."""
    if step.error_rate is not None and slo_errors is not None and step.error_rate > slo_errors:
        return True
    return saturated(step, machine)


def generator_failed(checked: Validity) -> bool:
    """Return True when a gate on the generator failed."""
    return any(gate.status == "fail" and gate.name in GENERATOR_GATES for gate in checked.gates)


def _rank(value: float, warn: float, fail: float) -> GateStatus:
    """Status of a value that should be low."""
    return "fail" if value >= fail else "warn" if value >= warn else "ok"


def _missing(name: str, unit: str) -> Gate:
    return Gate(name, "unavailable", None, None, unit, "not measured")


def _cpu(judged: Sequence[Step], limit: Step, *, exonerated: bool) -> Gate:
    shares = [step.client.cpu_share for step in judged if step.client.cpu_share is not None]
    if not shares:
        return _missing("generator-cpu", "cores")
    value = max(shares)
    status = _rank(value, CPU_WARN, CPU_FAIL)
    message = f"the busiest load process used {value:.2f} of a core where the capacity was set"
    if exonerated:
        # The limit is the server's; a busy generator below it can only have made the capacity look smaller.
        status = "warn" if status == "fail" else status
        at_limit = limit.client.cpu_share
        if at_limit is not None and at_limit >= CPU_FAIL:
            message += f"; it used {at_limit:.2f} in the step that broke, where the server was at its own limit"
    return Gate("generator-cpu", status, value, CPU_FAIL, "cores", message)


def _runq(judged: Sequence[Step]) -> Gate:
    shares = [step.client.runq_share for step in judged if step.client.runq_share is not None]
    if not shares:
        return _missing("generator-run-queue", "share")
    value = max(shares)
    status: GateStatus = "warn" if value >= RUNQ_WARN else "ok"
    message = f"the load process waited for a core {value:.0%} of the time"
    return Gate("generator-run-queue", status, value, RUNQ_WARN, "share", message)


def _lag(held: Sequence[Step], slo_p95_ms: float) -> Gate:
    lags = [(step.client.send_lag_ms_p99, step.client.service_ms_p50 or 0.0) for step in held]
    known = [(lag, service) for lag, service in lags if lag is not None]
    if not known:
        return _missing("send-lag", "ms")
    value, service = max(known)
    limit = max(LAG_WARN_MS, LAG_WARN_SHARE * service)
    status = _rank(value, limit, max(limit, LAG_FAIL_SHARE_OF_SLO * slo_p95_ms))
    message = f"99 % of requests left at most {value:.1f} ms late although a user was free (limit {limit:.1f} ms)"
    return Gate("send-lag", status, value, limit, "ms", message)


def _started(held: Sequence[Step]) -> Gate:
    shares = [
        min(1.0, (step.client.started + STARTED_EDGE) / step.client.scheduled)
        for step in held
        if step.model == "rate" and step.client.scheduled > 0
    ]
    if not shares:
        return _missing("started-share", "share")
    value = min(shares)
    status: GateStatus = "fail" if value < STARTED_FAIL else "warn" if value < STARTED_WARN else "ok"
    message = f"{value:.1%} of the scheduled arrivals were started at the sustainable load"
    return Gate("started-share", status, value, STARTED_WARN, "share", message)


def _sampling(judged: Sequence[Step]) -> Gate:
    expected = sum(step.server.samples_expected for step in judged)
    if not expected:
        return _missing("sampling", "share")
    value = min(1.0, sum(step.server.samples_received for step in judged) / expected)
    # Too few samples make the rules abstain; the capacity, which comes from the client, still stands.
    status: GateStatus = "warn" if value < SAMPLING_WARN else "ok"
    message = f"{value:.0%} of the collector's ticks were received"
    return Gate("sampling", status, value, SAMPLING_WARN, "share", message)


def _limit_samples(limit: Step) -> Gate:
    value = float(limit.server.samples_received)
    status: GateStatus = "ok" if value >= MIN_LIMIT_SAMPLES and enough_seen(limit) else "warn"
    message = f"{value:.0f} server samples at the limit"
    return Gate("limit-samples", status, value, float(MIN_LIMIT_SAMPLES), "samples", message)


def enough_seen(step: Step) -> bool:
    """Return True when the step holds enough to judge: requests, or their absence while load was offered."""
    silent = step.client.empty_seconds > 0
    return step.server.samples_received >= MIN_LIMIT_SAMPLES and (silent or enough(step))


def _steady(sorted_out: Ladder) -> Gate:
    count = len(sorted_out.contradicted)
    message = "no step served less than a heavier one"
    if count:
        message = f"{counted(count, 'step')} that broke served less than a heavier one: the machine was disturbed"
    return Gate("steadiness", "warn" if count else "ok", float(count), 0.0, "steps", message)


def _probe(limit: Step) -> Gate:
    seen = limit.server.requests_rps is not None
    message = (
        "the probe reported from inside the workers" if seen else "no probe: pools and loops were seen from outside"
    )
    return Gate("probe", "ok" if seen else "unavailable", 1.0 if seen else None, None, "", message)
