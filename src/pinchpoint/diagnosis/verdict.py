"""From facts to one verdict: validity, exhaustion, saturation (deepest first), then time; abstaining is an answer.

Confidence is a documented sum, not a probability from data: it starts at `BASE`, grows with the margin of the deciding
signal, with the ledger's agreement and with the distance to the next wall, and shrinks with doubt.
"""

from pinchpoint.diagnosis.advice import advise
from pinchpoint.diagnosis.awaited import awaited, main_place, piled_up, told
from pinchpoint.diagnosis.exhaustion import memory
from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.fallback import latency_bound
from pinchpoint.diagnosis.location import at, locate
from pinchpoint.diagnosis.rules import RULES
from pinchpoint.diagnosis.steps import load_of
from pinchpoint.diagnosis.time_shares import dominant
from pinchpoint.diagnosis.validity import GENERATOR_GATES, enough_seen, generator_failed
from pinchpoint.diagnosis.words import rps
from pinchpoint.measures import Step
from pinchpoint.records import BottleneckClass, Evidence, Location, Resource, Verdict, VerdictStatus, Wall

BASE = 0.5
BY_MARGIN = 0.15
BY_LEDGER = 0.15
BY_NEXT_WALL = 0.1
BY_VALIDITY = 0.05
FOR_DOUBT = 0.15
"""Taken off for a suspect measurement, and for each step beyond the limit that had to be asked."""

MOST = 0.95
AMBIGUOUS_MOST = 0.5
WITHOUT_LIMIT = 0.8
"""Confidence that nothing binds when the load ran out and every gate held."""

TIE = 1.1
"""Ceilings within 10 % of each other are co-bottlenecks: the search resolves no finer."""

CLEAR = 1.3
"""A next wall this far above leaves no doubt about the order."""

AGREEMENT = (0.7, 1.35)
"""Measured over predicted ceiling in which the ledger agrees (METHOD §4.3 asks 0.85 to 1.05 of longer steps)."""

STEPS_ASKED = 3
NOWHERE = Location()


def judge(facts: Facts) -> Verdict:
    """Return the verdict; never raises for missing figures."""
    limit = facts.ladder.limit
    if generator_failed(facts.validity):
        return _generator(facts)
    if limit is None:
        return _abstain(facts, "too-few-samples", "No load step was finished, so there is nothing to judge.", 1.0)
    exhausted = memory(facts)
    if exhausted is not None:
        return _decided(facts, exhausted, limit, asked=0)
    if not enough_seen(limit) and not (facts.ladder.reached and _enough_later(facts)):
        text = "Too few samples at the limit to name a bottleneck; a longer --budget gives longer steps."
        return _abstain(facts, "too-few-samples", text, 1.0)
    if not facts.ladder.reached:
        return _not_saturated(facts, limit)
    return _saturated(facts)


def _enough_later(facts: Facts) -> bool:
    return any(enough_seen(step) for step in _asked(facts))


def _asked(facts: Facts) -> list[Step]:
    """Return the steps beyond the limit to look at, the lightest first; the overload last."""
    return [*facts.ladder.failed[:STEPS_ASKED], *facts.ladder.overload[:1]]


def _bound_in(facts: Facts, step: Step) -> Candidate | None:
    return next((found for rule in RULES if (found := rule(facts, step)) is not None), None)


def _same_wall(facts: Facts) -> bool:
    """Return True when the heavier load that held filled the very resource that was full where the app broke.

    Then the machine's speed changed, but not what binds: the name stands, the figures are suspect.
    """
    broke = [_bound_in(facts, step) for step in facts.ladder.failed[:1]]
    held = [_bound_in(facts, step) for step in facts.ladder.overload[:1]]
    names = {(found.class_, found.resource) if found is not None else None for found in (*broke, *held)}
    return len(names) == 1 and None not in names


def _saturated(facts: Facts) -> Verdict:
    if facts.ladder.overload_held and not _same_wall(facts):
        text = "A load broke the app, yet a heavier one held afterwards: the machine was disturbed. Measure again."
        return _abstain(facts, "unsteady", text, 0.8)
    for asked, step in enumerate(_asked(facts)):
        if not enough_seen(step):
            continue
        candidate = _bound_in(facts, step)
        if candidate is not None:
            return _decided(facts, candidate, step, asked)
    candidate = latency_bound(facts) or awaited(facts)
    if candidate is not None and facts.ladder.limit is not None:
        return _decided(facts, candidate, facts.ladder.limit, asked=1)
    if facts.ladder.inversions:
        text = (
            f"The app broke, but not steadily: {facts.ladder.inversions} lighter load(s) failed although a heavier one "
            "held, and no resource was full. Measure again, longer."
        )
        return _abstain(facts, "unsteady", text, 0.6)
    reason = facts.capacity.breaking_reason
    text = f"The app broke ({reason}), but no resource that was measured is full, so no cause is named.{_unseen(facts)}"
    return _abstain(facts, "conflicting-evidence", text, 0.5, at(main_place(facts)))


def _unseen(facts: Facts) -> str:
    """Say where to look when requests pile up inside the app although everything that was measured is idle."""
    limit = facts.ladder.limit
    if limit is None or limit.server.inflight is None or not piled_up(limit):
        return ""
    inside, awaits = f" {limit.server.inflight:.0f} requests were inside the app", told(facts)
    if awaits:
        return f"{inside}. What they waited for when they were looked at: {awaits}."
    return (
        f"{inside}, waiting for something that is not measured: a semaphore or lock, a pool of its own, or a service "
        "it calls."
    )


def _decided(facts: Facts, candidate: Candidate, step: Step, asked: int) -> Verdict:
    row = facts.resource(candidate.resource) if candidate.resource else None
    ceiling = _binding_ceiling(facts, row)
    skipped = (candidate.resource or "", *candidate.same)
    wall = facts.next_wall([name for name in skipped if name not in _later_walls(candidate)], ceiling, TIE)
    ties = _ties(facts, candidate, ceiling, step)
    status, confidence = _trust(facts, candidate, row, wall, asked, ties)
    return Verdict(
        class_=candidate.class_,
        cause=candidate.cause,
        status=status,
        confidence=confidence,
        summary=candidate.summary,
        dominant_time=dominant(facts.time.limit),
        location=locate(facts, candidate),
        co_bottlenecks=ties,
        next_wall=Wall(wall.resource, wall.ceiling_rps) if wall is not None and wall.ceiling_rps is not None else None,
        evidence=[*candidate.evidence, *_limit_evidence(facts, step)],
        advice=advise(facts, candidate, ceiling, wall),
        would_flip_if=_flips(facts, candidate),
    )


def _later_walls(candidate: Candidate) -> tuple[str, ...]:
    """Resources that a cure of this bottleneck uncovers, although they fill up because of it today."""
    if candidate.class_ in {"cpu", "blocking"}:
        return ("db-pool", "threadpool")
    return ()


def _binding_ceiling(facts: Facts, row: Resource | None) -> float | None:
    """Capacity as measured: the plateau, else what held; else the ledger's ceiling."""
    measured = facts.capacity.saturation_rps or facts.capacity.sustainable_rps
    return measured if measured is not None else (row.ceiling_rps if row is not None else None)


def _ties(facts: Facts, candidate: Candidate, ceiling: float | None, step: Step) -> list[str]:
    """Resources with nearly the same ceiling that were full as well, and are not the same thing seen from elsewhere."""
    if ceiling is None or not step.goodput_rps:
        return []
    skipped = {candidate.resource, *candidate.same}
    return [
        row.resource
        for row in facts.ledger
        if row.resource not in skipped
        and row.ceiling_rps is not None
        and row.ceiling_rps <= TIE * ceiling
        and (row.utilisation or 0.0) >= 1 / TIE
    ]


def _trust(
    facts: Facts, candidate: Candidate, row: Resource | None, wall: Resource | None, asked: int, ties: list[str]
) -> tuple[VerdictStatus, float]:
    confidence = BASE + BY_MARGIN * candidate.margin
    agrees = candidate.agrees and _ledger_agrees(facts, row)
    confidence += BY_LEDGER if agrees else -BY_LEDGER
    measured = facts.capacity.saturation_rps or facts.capacity.sustainable_rps
    if wall is not None and wall.ceiling_rps is not None and measured and wall.ceiling_rps >= CLEAR * measured:
        confidence += BY_NEXT_WALL
    confidence += BY_VALIDITY if facts.validity.status == "valid" else -FOR_DOUBT
    confidence -= FOR_DOUBT * asked
    doubtful = bool(candidate.conflicts) or not agrees or bool(ties)
    if doubtful and not (agrees and ties):
        return "ambiguous", round(max(0.1, min(AMBIGUOUS_MOST, confidence)), 2)
    return "supported", round(max(0.1, min(MOST, confidence)), 2)


def _ledger_agrees(facts: Facts, row: Resource | None) -> bool:
    """Hold the measured capacity against the binding row's ceiling; a row without one cannot disagree."""
    measured = facts.capacity.saturation_rps or facts.capacity.sustainable_rps
    if row is None or row.ceiling_rps is None or not measured:
        return True
    if AGREEMENT[0] <= measured / row.ceiling_rps <= AGREEMENT[1]:
        return True
    interval = row.ceiling_ci_rps
    return interval is not None and interval[0] <= measured <= interval[1]


def _limit_evidence(facts: Facts, step: Step) -> list[Evidence]:
    found = []
    if facts.capacity.breaking_reason:
        value = facts.capacity.breaking_rps
        found.append(
            Evidence(f"broke at {rps(value)}: {facts.capacity.breaking_reason}", "slo", value, "1/s", step.index)
        )
    if facts.capacity.saturation_rps is not None:
        value = facts.capacity.saturation_rps
        found.append(Evidence(f"goodput stays at {rps(value)} however much is asked", "plateau", value, "1/s", None))
    return found


def _flips(facts: Facts, candidate: Candidate) -> list[str]:
    doubts = list(candidate.conflicts)
    texts: dict[BottleneckClass, str] = {
        "cpu": "more cores or workers do not raise the capacity",
        "io": "a larger connection pool raises the capacity",
        "pool": "a larger pool leaves the capacity where it is",
        "blocking": "moving the call off the loop leaves the capacity where it is",
        "memory": "memory stops growing in a longer run at the same load",
        "lock": "a shorter critical section leaves the capacity where it is",
    }
    if candidate.class_ in texts:
        doubts.append(texts[candidate.class_])
    if any(gate.name == "probe" and gate.status == "unavailable" for gate in facts.validity.gates):
        doubts.append("the probe, which reported nothing here, shows a full pool or a blocked loop")
    return doubts


# --- nothing binds, or nothing can be said ---------------------------------------------------------------------------


def _generator(facts: Facts) -> Verdict:
    failing = [gate for gate in facts.validity.gates if gate.status == "fail" and gate.name in GENERATOR_GATES]
    reasons = "; ".join(gate.message for gate in failing)
    summary = f"The load generator was the limit, so nothing is said about the server: {reasons}."
    return Verdict(
        class_="generator",
        cause="generator-bound",
        status="invalid",
        confidence=0.9,
        summary=summary,
        location=Location(knob="processes"),
        evidence=[Evidence(gate.message, gate.name, gate.value, gate.unit, None) for gate in failing],
        advice=advise(facts, None, None, None),
        would_flip_if=["more load processes, or cores of their own, leave the capacity where it is"],
    )


def _not_saturated(facts: Facts, limit: Step) -> Verdict:
    unit = "users" if limit.model == "users" else "requests/s"
    held = f"{load_of(limit):,.0f} {unit}"
    summary = f"Nothing binds up to {held}: every threshold held and the load ran out before the app did."
    fullest = max(
        (row for row in facts.ledger if row.utilisation is not None),
        key=lambda row: row.utilisation or 0.0,
        default=None,
    )
    found = [
        Evidence(f"the heaviest load tried, {held}, held every threshold", "slo", load_of(limit), unit, limit.index)
    ]
    if fullest is not None and fullest.utilisation is not None:
        text = f"the fullest resource, {fullest.resource}, is {fullest.utilisation:.0%} in use"
        found.append(Evidence(text, "ledger", fullest.utilisation, "share", limit.index))
    wall = facts.next_wall([], load_of(limit) if unit != "users" else limit.goodput_rps, 1.0)
    doubt = 0.0 if facts.validity.status == "valid" else FOR_DOUBT
    return Verdict(
        class_="none",
        cause="not-saturated",
        status="supported",
        confidence=WITHOUT_LIMIT - doubt,
        summary=summary,
        dominant_time=dominant(facts.time.limit),
        next_wall=Wall(wall.resource, wall.ceiling_rps) if wall is not None and wall.ceiling_rps is not None else None,
        evidence=found,
        advice=advise(facts, None, None, wall),
        would_flip_if=["a heavier load, or a longer budget, finds one that breaks"],
    )


def _abstain(facts: Facts, cause: str, summary: str, confidence: float, location: Location = NOWHERE) -> Verdict:
    status: VerdictStatus = "invalid" if facts.validity.status == "invalid" else "ambiguous"
    flips = ["a longer budget gives steadier and longer steps"]
    if any(gate.name == "probe" and gate.status == "unavailable" for gate in facts.validity.gates):
        flips.append("the probe, which reported nothing here, shows a full pool or a blocked loop")
    return Verdict(
        class_="undetermined",
        cause=cause,
        status=status,
        confidence=confidence,
        summary=summary,
        dominant_time=dominant(facts.time.limit),
        location=location,
        evidence=_limit_evidence(facts, facts.ladder.limit) if facts.ladder.limit is not None else [],
        would_flip_if=flips,
    )
