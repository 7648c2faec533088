"""From facts to one verdict: validity, exhaustion, saturation (deepest first), then time; abstaining is an answer."""

from pinchpoint.diagnosis import moves
from pinchpoint.diagnosis.advice import advise
from pinchpoint.diagnosis.awaited import awaited, main_place, piled_up, told
from pinchpoint.diagnosis.confidence import Ingredients, probability, score
from pinchpoint.diagnosis.exhaustion import memory
from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.fallback import full_at_times, latency_bound
from pinchpoint.diagnosis.location import at, locate
from pinchpoint.diagnosis.nothing import abstain, blind, generator_bound, limit_evidence, not_saturated
from pinchpoint.diagnosis.rules import BETWEEN, RULES
from pinchpoint.diagnosis.stuck_rules import stuck
from pinchpoint.diagnosis.theft import robbed
from pinchpoint.diagnosis.ties import TIE, no_walls, symptoms, ties
from pinchpoint.diagnosis.time_shares import dominant
from pinchpoint.diagnosis.validity import enough_seen, generator_failed
from pinchpoint.measures import Step
from pinchpoint.records import BottleneckClass, Resource, StepBound, Verdict, VerdictStatus, Wall

CLEAR = 1.3
"""A next wall this far above leaves no doubt about the order."""

AGREEMENT = (0.7, 1.35)
"""Measured over predicted ceiling in which the ledger agrees (METHOD §4.3 asks 0.85 to 1.05 of longer steps)."""

STEPS_ASKED = 3

OTHER_EXPERIMENTS = {
    "disk": "half of the writes per request left the capacity where it is",
    "network": "smaller answers left the capacity where it is",
    "downstream": "a faster answer of the service left the capacity where it is",
    "accept-backlog": "a larger backlog left the capacity where it is",
    "cpu-quota": "a larger quota left the capacity where it is",
    "noisy-neighbour": "the neighbour's absence left the capacity where it is",
    "limit": "a higher memory limit left the capacity where it is",
    "swap": "more memory left the capacity where it is",
}
"""Cause -> the experiment that would speak against it, where it is not that of its class."""

CANNOT_TELL = 0.5
"""Confidence of an abstention: nothing is claimed, so nothing can be right or wrong."""


def judge(facts: Facts) -> Verdict:
    """Return the verdict; never raises for missing figures."""
    limit = facts.ladder.limit
    if generator_failed(facts.validity):
        return generator_bound(facts) if limit is None or not robbed(limit) else _robbed(facts, limit)
    if limit is None:
        text = "No load step was finished, so there is nothing to judge."
        return abstain(facts, "too-few-samples", text, CANNOT_TELL)
    exhausted = memory(facts)
    if exhausted is not None:
        return _decided(facts, exhausted, limit, asked=0)
    if not enough_seen(limit) and not (facts.ladder.reached and _enough_later(facts)):
        return abstain(facts, "too-few-samples", _too_few(facts), CANNOT_TELL)
    if not facts.ladder.reached:
        return _held(facts, limit)
    return _saturated(facts)


def _robbed(facts: Facts, limit: Step) -> Verdict:
    """Say that neither side can be judged: a generator that waits for a core that nobody here has is not the limit."""
    share = f"{limit.server.steal_share or 0.0:.0%}"
    text = f"The hypervisor gave {share} of this machine's cores to others while the limit was sought. Measure again."
    return abstain(facts, "unsteady", text, CANNOT_TELL)


def _unless_robbed(facts: Facts, candidate: Candidate, step: Step, asked: int) -> Verdict:
    """Decide; but cores that were there for the heaviest load that held, and gone when this one broke, are not full.

    A machine that always has less than it seems is as fast as it is; pools and locks are as full without its cores.
    """
    held = max(facts.ladder.passed, key=lambda one: one.goodput_rps, default=None)
    if candidate.class_ == "cpu" and robbed(step) and held is not None and not robbed(held):
        return _robbed(facts, step)
    return _decided(facts, candidate, step, asked)


def server_binds(facts: Facts) -> bool:
    """Return True when a rule names something inside the server in the step that broke.

    A generator that is late, or stopped by somebody, makes nobody wait for a lock, a disk or a database. What shows
    only between client and server it may well fake.
    """
    limit = facts.ladder.limit
    if limit is None or not facts.ladder.reached or not enough_seen(limit):
        return False
    return any(rule(facts, limit) is not None for rule in RULES if rule not in BETWEEN)


def _too_few(facts: Facts) -> str:
    text = "Too few samples at the limit to name a bottleneck"
    if facts.agent_lost is not None:
        return f"{text}: {facts.agent_lost}, and nothing is known of the server after that."
    return f"{text}; a longer --budget gives longer steps."


def _enough_later(facts: Facts) -> bool:
    return any(enough_seen(step) for step in _asked(facts))


def _asked(facts: Facts) -> list[Step]:
    """Return the steps beyond the limit to look at, the lightest first; the overload last."""
    return [*facts.ladder.failed[:STEPS_ASKED], *facts.ladder.overload[:1]]


def _bound_in(facts: Facts, step: Step) -> Candidate | None:
    return next((found for rule in RULES if (found := rule(facts, step)) is not None), None)


def _held(facts: Facts, limit: Step) -> Verdict:
    """Say that nothing binds; unless goodput levelled off although more users came, and something was full.

    Or every load of the search held in the end, and the overload broke the app all the same: then the machine's speed
    changed meanwhile, and what was full under the overload binds.
    """
    broke = next((step for step in facts.ladder.overload if not step.passed and enough_seen(step)), None)
    if broke is not None:
        candidate = _bound_in(facts, broke)
        if candidate is not None:
            return _unless_robbed(facts, candidate, broke, asked=1)
        text = (
            "Every load of the search held in the end, yet the overload broke the app with nothing full. Measure again."
        )
        return abstain(facts, "unsteady", text, CANNOT_TELL)
    if limit.model == "users" and facts.capacity.saturation_rps is not None:
        candidate = _bound_in(facts, limit)
        if candidate is not None:
            return _decided(facts, candidate, limit, asked=1)
    return not_saturated(facts, limit)


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
        return abstain(facts, "unsteady", text, CANNOT_TELL)
    stopped = stuck(facts, [step for step in _asked(facts) if enough_seen(step)])
    if stopped is not None:
        return _decided(facts, *stopped, asked=0)
    for asked, step in enumerate(_asked(facts)):
        candidate = _bound_in(facts, step) if enough_seen(step) else None
        if candidate is not None:
            return _unless_robbed(facts, candidate, step, asked)
    candidate = full_at_times(facts) or latency_bound(facts) or awaited(facts)
    if candidate is not None and facts.ladder.limit is not None:
        return _decided(facts, candidate, facts.ladder.limit, asked=1)
    return _nameless(facts)


def _nameless(facts: Facts) -> Verdict:
    if facts.ladder.inversions:
        text = (
            f"The app broke, but not steadily: {facts.ladder.inversions} lighter load(s) failed although a heavier one "
            "held, and no resource was full. Measure again, longer."
        )
        return abstain(facts, "unsteady", text, CANNOT_TELL)
    reason = facts.capacity.breaking_reason
    if facts.agent_lost is not None:
        return abstain(facts, "too-few-samples", f"The app broke ({reason}). {_too_few(facts)}", CANNOT_TELL)
    text = f"The app broke ({reason}), but no resource that was measured is full, so no cause is named.{_unseen(facts)}"
    return abstain(facts, "conflicting-evidence", text, CANNOT_TELL, at(main_place(facts)))


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
    wall = facts.next_wall(no_walls(facts, candidate), ceiling, TIE)
    tied = [] if candidate.class_ == "memory" else [*candidate.also, *ties(facts, candidate, ceiling, step)]
    bounds = [] if candidate.class_ == "memory" else moves.by_step(facts, _bound_in)
    found = _ingredients(facts, candidate, row, wall, asked, tied, bounds)
    value = score(found)
    status: VerdictStatus = "ambiguous" if found.ambiguous else "supported"
    return Verdict(
        class_=candidate.class_,
        cause=candidate.cause,
        status=status,
        confidence=probability(value),
        summary=candidate.summary,
        dominant_time=dominant(facts.time.limit),
        location=locate(facts, candidate),
        co_bottlenecks=tied,
        next_wall=Wall(wall.resource, wall.ceiling_rps) if wall is not None and wall.ceiling_rps is not None else None,
        evidence=[
            *candidate.evidence,
            *symptoms(candidate, step, tied),
            *moves.told(bounds),
            *limit_evidence(facts, step),
        ],
        advice=advise(facts, candidate, ceiling, wall, tied),
        would_flip_if=_flips(facts, candidate),
        by_step=bounds,
        score=value,
    )


def _binding_ceiling(facts: Facts, row: Resource | None) -> float | None:
    """Capacity as measured: the plateau, else what held; else the ledger's ceiling."""
    measured = facts.capacity.saturation_rps or facts.capacity.sustainable_rps
    return measured if measured is not None else (row.ceiling_rps if row is not None else None)


def _ingredients(
    facts: Facts,
    candidate: Candidate,
    row: Resource | None,
    wall: Resource | None,
    asked: int,
    tied: list[str],
    bounds: list[StepBound],
) -> Ingredients:
    agrees = candidate.agrees and _ledger_agrees(facts, row)
    measured = facts.capacity.saturation_rps or facts.capacity.sustainable_rps
    others = {(one.class_, one.cause) for one in bounds} - {(candidate.class_, candidate.cause)}
    return Ingredients(
        margin=candidate.margin,
        ledger_agrees=agrees,
        clear_wall=bool(measured and wall is not None and (wall.ceiling_rps or 0.0) >= CLEAR * measured),
        valid=facts.validity.status == "valid",
        asked=asked,
        rivals=len(others),
        tied=bool(tied),
        ambiguous=bool(candidate.conflicts) or not agrees,
    )


def _ledger_agrees(facts: Facts, row: Resource | None) -> bool:
    """Hold the measured capacity against the binding row's ceiling; a row without one cannot disagree."""
    measured = facts.capacity.saturation_rps or facts.capacity.sustainable_rps
    if row is None or row.ceiling_rps is None or not measured:
        return True
    if AGREEMENT[0] <= measured / row.ceiling_rps <= AGREEMENT[1]:
        return True
    interval = row.ceiling_ci_rps
    return interval is not None and interval[0] <= measured <= interval[1]


def _flips(facts: Facts, candidate: Candidate) -> list[str]:
    """Say what would change the verdict: each deciding signal on the other side of its threshold, then experiments."""
    experiments: dict[BottleneckClass, str] = {
        "cpu": "more cores or workers did not raise the capacity",
        "io": "a larger connection pool raised the capacity",
        "pool": "a larger pool left the capacity where it is",
        "blocking": "moving the call off the loop left the capacity where it is",
        "memory": "memory stopped growing in a longer run at the same load",
        "lock": "a shorter critical section left the capacity where it is",
    }
    flips = [one.flips() for one in candidate.deciding]
    flips += list(candidate.conflicts)
    experiment = OTHER_EXPERIMENTS.get(candidate.cause) or experiments.get(candidate.class_)
    flips += [experiment] if experiment is not None else []
    return [*flips, *blind(facts)]
