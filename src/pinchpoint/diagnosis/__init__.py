"""From a recording to a verdict: pure functions, no clock, no environment, no label, no command line."""

from collections.abc import Sequence
from dataclasses import replace

from pinchpoint.diagnosis.capacity import capacity, recovery
from pinchpoint.diagnosis.consistency import check
from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.findings import findings
from pinchpoint.diagnosis.generator_summary import generator_summary
from pinchpoint.diagnosis.ledger import build_ledger
from pinchpoint.diagnosis.memory import growth
from pinchpoint.diagnosis.pressures import deaths, oom_kills
from pinchpoint.diagnosis.soak import soak
from pinchpoint.diagnosis.soak_steps import counted_steps, growth_of
from pinchpoint.diagnosis.steps import build_steps, ladder, rows_by_step, slo_of
from pinchpoint.diagnosis.surroundings import surroundings_of
from pinchpoint.diagnosis.theft import unrobbed
from pinchpoint.diagnosis.time_shares import time_shares
from pinchpoint.diagnosis.uneven import spread
from pinchpoint.diagnosis.validity import generator_failed, validity
from pinchpoint.diagnosis.verdict import judge, server_binds
from pinchpoint.diagnosis.windows import Samples, machine_of
from pinchpoint.measures import Step
from pinchpoint.recording import Recording
from pinchpoint.records import AwaitShares, Diagnosis, Profile
from pinchpoint.rows import EventRow
from pinchpoint.soak_records import Soak

__all__ = ["diagnose"]

KILLED_CODES = frozenset({-9, 137})


def diagnose(recording: Recording, profiles: Sequence[Profile] = (), awaits: AwaitShares | None = None) -> Diagnosis:
    """Conclude everything that a recording, whole or cut short, allows. Same recording, same diagnosis, byte for byte.

    Args:
        recording: the signals of one run.
        profiles: hot frames near the limit and at low load; they only say where, never what.
        awaits: what requests await at low load and at the limit; names a cause only where nothing measured does.

    """
    samples = Samples(recording.samples, recording.ticks_s)
    steps = spread(build_steps(recording, samples))
    soaked = soak(steps, samples, recording.digests)
    facts = _facts(recording, samples, steps, soaked, profiles, awaits)
    verdict = judge(facts)
    load = recording.settings.get("load") or {}
    return Diagnosis(
        validity=facts.validity,
        capacity=facts.capacity,
        recovery=recovery(steps, facts.ladder, recording.digests, facts.slo_errors),
        steps=steps,
        ledger=facts.ledger,
        time=facts.time,
        verdict=verdict,
        findings=findings(facts, verdict),
        soak=soaked,
        generator=generator_summary(steps, recording.events, load, facts.ladder.sustained),
        ledger_check=check(facts.ledger, facts.capacity),
    )


def _facts(
    recording: Recording,
    samples: Samples,
    steps: list[Step],
    soaked: Soak | None,
    profiles: Sequence[Profile],
    awaits: AwaitShares | None,
) -> Facts:
    """Gather what the rules look at; a generator that failed counts less where the server binds all the same."""
    slo_p95_ms, slo_errors = slo_of(recording.settings)
    around = surroundings_of(recording, steps)
    machine = machine_of(around.sharing(recording.settings.get("load") or {}), samples.rows)
    sorted_out = ladder(unrobbed(counted_steps(recording, samples, steps)))
    leak = growth_of(soaked) if soaked is not None else growth(samples, steps, sorted_out)
    facts = Facts(
        steps=steps,
        ladder=sorted_out,
        machine=machine,
        validity=validity(sorted_out, machine, slo_p95_ms, slo_errors, around),
        capacity=capacity(unrobbed(steps), sorted_out, slo_p95_ms, slo_errors, rows_by_step(recording)),
        ledger=build_ledger(sorted_out, machine, leak, around.generator_rps),
        time=time_shares(sorted_out),
        leak=leak,
        profiles=profiles,
        slo_errors=slo_errors,
        target_killed=any(_killed(event) for event in recording.events),
        awaits=awaits,
        agent_lost=around.lost_agent,
        oom_kills=oom_kills(samples.rows),
        workers_died=deaths(samples.rows, max((step.t_end_s for step in steps), default=0.0)),
    )
    if not (generator_failed(facts.validity) and server_binds(facts)):
        return facts
    return replace(facts, validity=validity(sorted_out, machine, slo_p95_ms, slo_errors, around, explained=True))


def _killed(event: EventRow) -> bool:
    if event.get("kind") not in {"target-exit", "worker-exit"}:
        return False
    return (event.get("data") or {}).get("code") in KILLED_CODES
