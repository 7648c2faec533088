"""Can the measurement be believed? Gates on the generator first (METHOD §2), then on the sampling.

The gates judge the steps that set the capacity: the highest load that held and the lightest that broke. In a step that
broke, a busy generator is no excuse when the server itself says it was full, or answered with errors: fast failures
pin any generator (DESIGN §6).
"""

from collections.abc import Iterator, Sequence

from pinchpoint.clientstats import OUT_OF_DESCRIPTORS, OUT_OF_PORTS
from pinchpoint.diagnosis import generator_gates as generator
from pinchpoint.diagnosis import resource_gates as resources
from pinchpoint.diagnosis.gates import Judged, low_is_bad, missing
from pinchpoint.diagnosis.saturation import Machine, saturated
from pinchpoint.diagnosis.steps import Ladder, enough
from pinchpoint.diagnosis.surroundings import Surroundings
from pinchpoint.diagnosis.words import counted
from pinchpoint.measures import Step
from pinchpoint.records import Gate, GateStatus, Validity

SAMPLING_WARN = 0.95
"""Share of the collector's ticks received."""

MIN_LIMIT_SAMPLES = 10
"""One second of ticks in the step that the verdict rests on."""

GENERATOR_GATES = frozenset(
    {
        "generator-cpu",
        "generator-loop",
        "generator-stalls",
        "generator-fds",
        "generator-ports",
        "generator-silent",
        "send-lag",
        "started-share",
        "user-cap",
        "calibration",
    }
)

NOT_FROM_THE_SERVER = frozenset({"timeout", OUT_OF_DESCRIPTORS, OUT_OF_PORTS})
"""Errors that the server did not answer with; a timeout is as well a generator's that was stopped."""

NOWHERE = Surroundings()


def validity(
    sorted_out: Ladder,
    machine: Machine,
    slo_p95_ms: float | None,
    slo_errors: float | None,
    around: Surroundings = NOWHERE,
    *,
    explained: bool = False,
) -> Validity:
    """Judge the recording's capacity steps; `explained`: a rule of the verdict says what binds where the app broke."""
    limit, sustained = sorted_out.limit, sorted_out.sustained
    if limit is None:
        return _nothing_measured(around)
    exonerated = bool(sorted_out.failed) and (explained or server_is_at_its_limit(limit, machine, slo_errors))
    judged = Judged([sustained] if sustained is not None else [], limit, exonerated)
    gates: list[Gate | None] = [
        *_generator_gates(judged, slo_p95_ms, around),
        *_means_gates(judged, around),
        *_server_gates(judged, around),
        _steady(sorted_out),
    ]
    told = [gate for gate in gates if gate is not None]
    statuses = {gate.status for gate in told}
    status = "invalid" if "fail" in statuses else "suspect" if "warn" in statuses else "valid"
    return Validity(status, told)  # type: ignore[arg-type]


def _nothing_measured(around: Surroundings) -> Validity:
    gate = Gate("steps", "fail", 0.0, 1.0, "steps", "no load step was finished, so nothing was measured")
    silence = resources.silence_gate(around)
    return Validity("invalid", [gate, *([silence] if silence is not None else [])])


def _generator_gates(judged: Judged, slo_p95_ms: float | None, around: Surroundings) -> list[Gate | None]:
    """Ask whether the load processes kept up."""
    return [
        resources.silence_gate(around),
        generator.cpu_gate(judged),
        generator.loop_gate(judged),
        generator.stall_gate(judged),
        generator.run_queue_gate(judged),
        generator.lag_gate(judged, slo_p95_ms),
        generator.started_gate(judged, around.max_users),
        generator.user_cap_gate(judged, around.max_users),
    ]


def _means_gates(judged: Judged, around: Surroundings) -> list[Gate | None]:
    """Ask whether the load processes had what they need: descriptors, ports, cores, and enough of themselves."""
    return [
        resources.descriptors_gate(judged),
        resources.ports_gate(judged, around),
        resources.calibration_gate(judged, around),
        resources.cores_gate(around),
        resources.lost_workers_gate(around),
    ]


def _server_gates(judged: Judged, around: Surroundings) -> list[Gate | None]:
    """Ask whether the server was pressed evenly, and seen well enough."""
    return [
        resources.lost_agent_gate(around),
        resources.imbalance_gate(judged),
        _sampling(judged.all),
        _limit_samples(judged.limit),
        _probe(judged.limit, around),
    ]


def server_is_at_its_limit(step: Step, machine: Machine, slo_errors: float | None) -> bool:
    """Return True when the server's own signals explain the breach, whatever the generator's CPU says."""
    done = step.client.ok + step.client.failed
    ours = sum(count for kind, count in step.client.errors.items() if kind in NOT_FROM_THE_SERVER)
    if slo_errors is not None and done and (step.client.failed - ours) / done > slo_errors:
        return True
    return saturated(step, machine)


def generator_to_blame(
    step: Step, machine: Machine, slo_p95_ms: float | None, slo_errors: float | None, max_users: int | None = None
) -> str | None:
    """Say why the generator explains that a step broke; None where it kept up, or the server is at its own limit."""
    if server_is_at_its_limit(step, machine, slo_errors):
        return None
    return next((why for why in _complaints(step, slo_p95_ms, max_users) if why is not None), None)


def _complaints(step: Step, slo_p95_ms: float | None, max_users: int | None) -> Iterator[str | None]:
    """Yield, for each way in which a generator can be the limit, the sentence that says so; None where it was not."""
    client = step.client
    peak, busy, stalled, lag = generator.cpu_peak(step), client.loop_busy, client.loop_stalled, client.send_lag_ms_p99
    started = None if generator.at_user_cap(step, max_users) else generator.started_share(step)
    full = peak is not None and peak >= generator.CPU_FAIL
    yield f"a load process used {peak:.0%} of a core" if full else None
    full = busy is not None and busy >= generator.LOOP_FAIL
    yield f"a load process's event loop had no time to wait {busy:.0%} of the time" if full else None
    kept = stalled is not None and stalled >= generator.STALL_FAIL
    yield f"a load process was stopped, blocked or waiting for a core {stalled:.0%} of the time" if kept else None
    late = step.model == "rate" and lag is not None and lag >= generator.lag_limits(step, slo_p95_ms)[1]
    yield f"requests left up to {lag:.0f} ms late although users were free" if late else None
    # A generator with time to spare starts less when users are still coming, or wait for a server that hides its limit.
    no_time = busy is None or busy >= generator.LOOP_WARN
    short = started is not None and started < generator.STARTED_WARN and no_time
    yield f"only {started:.1%} of the arrivals were started" if short else None


def generator_failed(checked: Validity) -> bool:
    """Return True when a gate on the generator failed."""
    return any(gate.status == "fail" and gate.name in GENERATOR_GATES for gate in checked.gates)


def _sampling(judged: Sequence[Step]) -> Gate:
    expected = sum(step.server.samples_expected for step in judged)
    if not expected:
        return missing("sampling", "share")
    value = min(1.0, sum(step.server.samples_received for step in judged) / expected)
    # Too few samples make the rules abstain; the capacity, which comes from the client, still stands.
    status = low_is_bad(value, SAMPLING_WARN, 0.0)
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


def _probe(limit: Step, around: Surroundings) -> Gate:
    seen = limit.server.requests_rps is not None
    message = "the probe reported from inside the workers"
    if not seen and around.lost_agent is not None:
        message = f"{around.lost_agent}: what the probe reported at the limit never came here"
    elif not seen and limit.server.samples_received == 0 and limit.server.samples_expected > 0:
        message = "the collector saw nothing of the server at the limit, its probe included"
    elif not seen:
        message = "no probe: pools and loops were seen from outside"
    return Gate("probe", "ok" if seen else "unavailable", 1.0 if seen else None, None, "", message)
