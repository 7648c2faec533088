"""Verdicts that name no resource of the server: the generator was the limit, the load ran out, or nobody can tell."""

from pinchpoint.diagnosis.advice import advise
from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.steps import load_of
from pinchpoint.diagnosis.time_shares import dominant
from pinchpoint.diagnosis.validity import GENERATOR_GATES
from pinchpoint.diagnosis.words import rps
from pinchpoint.measures import Step
from pinchpoint.records import Evidence, Location, Verdict, VerdictStatus, Wall

NOWHERE = Location()

SURE = 0.95
"""Confidence that nothing binds where every threshold held, nothing was full and every gate held."""

FOR_FULL = 0.2
"""Taken off where something was full although the thresholds held."""

FOR_SUSPECT = 0.1
"""Taken off for a suspect measurement."""

GENERATOR = 0.95
"""Confidence that the generator was the limit when one of its own gates failed."""

FULL = 0.9


def generator_bound(facts: Facts) -> Verdict:
    """Return the verdict that voids every other one."""
    failing = [gate for gate in facts.validity.gates if gate.status == "fail" and gate.name in GENERATOR_GATES]
    reasons = "; ".join(gate.message for gate in failing)
    summary = f"The load generator was the limit, so nothing is said about the server: {reasons}."
    flips = [
        f"{gate.name} was within {gate.limit:g} {gate.unit} (it was {gate.value:.3g})"
        for gate in failing
        if gate.limit is not None and gate.value is not None
    ]
    return Verdict(
        class_="generator",
        cause="generator-bound",
        status="invalid",
        confidence=GENERATOR,
        summary=summary,
        location=Location(knob="processes"),
        evidence=[Evidence(gate.message, gate.name, gate.value, gate.unit, None) for gate in failing],
        advice=advise(facts, None, None, None),
        would_flip_if=[*flips, "more load processes, or cores of their own, left the capacity where it is"],
    )


def not_saturated(facts: Facts, limit: Step) -> Verdict:
    """Return `none`: every load that was asked for held."""
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
    use = fullest.utilisation if fullest is not None else None
    if fullest is not None and use is not None:
        text = f"the fullest resource, {fullest.resource}, is {use:.0%} in use"
        found.append(Evidence(text, "ledger", use, "share", limit.index))
    wall = facts.next_wall([], load_of(limit) if unit != "users" else limit.goodput_rps, 1.0)
    doubt = (0.0 if facts.validity.status == "valid" else FOR_SUSPECT) + (FOR_FULL if (use or 0.0) >= FULL else 0.0)
    return Verdict(
        class_="none",
        cause="not-saturated",
        status="supported",
        confidence=SURE - doubt,
        summary=summary,
        dominant_time=dominant(facts.time.limit),
        next_wall=Wall(wall.resource, wall.ceiling_rps) if wall is not None and wall.ceiling_rps is not None else None,
        evidence=found,
        advice=advise(facts, None, None, wall),
        would_flip_if=_sooner(facts, limit),
    )


def _sooner(facts: Facts, limit: Step) -> list[str]:
    wall = facts.next_wall([], limit.goodput_rps, 1.0)
    flips = ["a heavier load, or a longer --budget, found one that breaks"]
    if wall is not None and wall.ceiling_rps is not None:
        flips.append(
            f"more than about {rps(wall.ceiling_rps)} was asked for, where {wall.resource} is expected to bind"
        )
    return flips


def abstain(facts: Facts, cause: str, summary: str, confidence: float, location: Location = NOWHERE) -> Verdict:
    """Return `undetermined`, with what would tell."""
    status: VerdictStatus = "invalid" if facts.validity.status == "invalid" else "ambiguous"
    if facts.agent_lost is not None:
        flips = ["the agent on the server's machine lasted to the end, so that the server was observed at its limit"]
    else:
        flips = ["a longer --budget gave steadier and longer steps"]
        flips += blind(facts)
    return Verdict(
        class_="undetermined",
        cause=cause,
        status=status,
        confidence=confidence,
        summary=summary,
        dominant_time=dominant(facts.time.limit),
        location=location,
        evidence=limit_evidence(facts, facts.ladder.limit) if facts.ladder.limit is not None else [],
        would_flip_if=flips,
    )


def blind(facts: Facts) -> list[str]:
    """Say what a probe that reported nothing might have shown."""
    if facts.agent_lost is None and any(
        gate.name == "probe" and gate.status == "unavailable" for gate in facts.validity.gates
    ):
        return ["the probe, which reported nothing here, showed a full pool or a blocked loop"]
    return []


def limit_evidence(facts: Facts, step: Step) -> list[Evidence]:
    """Say where and why the app broke, and where its goodput levels off."""
    found = []
    if facts.capacity.breaking_reason:
        value = facts.capacity.breaking_rps
        text = f"broke at {rps(value)}: {facts.capacity.breaking_reason}"
        found.append(Evidence(text, "slo", value, "1/s", step.index))
    if facts.capacity.saturation_rps is not None:
        value = facts.capacity.saturation_rps
        found.append(Evidence(f"goodput stays at {rps(value)} however much is asked", "plateau", value, "1/s", None))
    return found
