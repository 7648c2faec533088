"""Who is not let in: uvicorn's `limit_concurrency`, an app that refuses by itself, an accept queue that overflows."""

from pinchpoint.diagnosis.bounds import above
from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.readings import cpu_beside, evidence
from pinchpoint.diagnosis.saturation import same_pool, saturated, slots_full
from pinchpoint.measures import Step

REFUSED = 0.5
"""Share of the failed responses that the door must have refused, to be what fails them."""

DOOR = "worker-slots uvicorn limit_concurrency"

REFUSALS = ("429", "503")
"""Too Many Requests, Service Unavailable: what an app answers that does not let a request in (RFC 6585, RFC 9110)."""

STILL_SERVED = 0.7
"""Goodput over what was sustained: who refuses on purpose serves the rest as before; below, something broke."""

OVERFLOWN = 0.02
"""Overflows of the accept queue per request, from which they show: each costs its client a second (RFC 6298's first
retransmission), and fewer are a finding."""

OVERFLOWN_BEFORE = 0.05
"""The same in a step whose slots are not full yet, from which it is the queue that breaks a p95 limit, and not they."""

FEW = 5.0
"""Overflows in one step that a burst may cause."""


FULL_AS_OFTEN = 0.2
"""Mean length of a queue over its limit, as part of the overflows per request, below which others' queues overflowed:
who comes at random finds a queue full as often as it is (Wolff 1982, PASTA); a fifth of that is left to bursts."""


def admission(facts: Facts, step: Step) -> Candidate | None:
    """pool/admission-limit: uvicorn's `limit_concurrency` refuses what comes, and that is what fails."""
    # The kind's total is read more often than each gate by itself.
    gate = (same_pool(step.server, "slots", DOOR) or step.server.gates[DOOR]) if DOOR in step.server.gates else None
    refused = gate.timeouts if gate is not None else None
    if gate is None or not refused or refused < REFUSED * step.client.failed:
        return None
    text = f"{refused:.0f} requests were refused, {step.client.failed} failed in all"
    found = [evidence(text, "probe.slots_timeouts", refused, "requests", step), *cpu_beside(facts, step)]
    busy = "?" if gate.busy is None else f"{gate.busy:.3g}"
    summary = (
        f"uvicorn's limit_concurrency binds: it lets {gate.size or 0.0:.3g} open connections in, idle ones of clients "
        f"that keep them alive included, and {busy} were open on average; {text} (503)."
    )
    use = margin(refused, REFUSED * step.client.failed, step.client.failed or 1.0)
    return Candidate(
        "pool", "admission-limit", summary, None, ("worker-slots", "db"), found, use, agrees=True,
        deciding=(above("the number of refused requests", refused, REFUSED * step.client.failed, "requests"),),
    )  # fmt: skip


def refusal(facts: Facts, step: Step) -> Candidate | None:
    """pool/admission-limit: the app itself refuses (429, 503) with nothing full; where that is meant, no fault."""
    failed, done = step.client.failed, step.client.ok + step.client.failed
    refused = sum(step.client.errors.get(status, 0) for status in REFUSALS)
    if not done or refused / done <= (facts.slo_errors or 0.0) or refused < REFUSED * failed:
        return None
    held = facts.ladder.sustained
    if held is not None and step.goodput_rps < STILL_SERVED * held.goodput_rps:
        return None
    statuses = " and ".join(status for status in REFUSALS if step.client.errors.get(status))
    text = f"{refused} of {done} requests were answered {statuses}"
    found = [evidence(text, "client.errors", refused / done, "share", step), *cpu_beside(facts, step)]
    summary = (
        f"The app refuses load: {text}, while nothing that is measured is full. Where a rate or a number of requests "
        "is limited on purpose, this is the load at which that begins."
    )
    strength = margin(refused / max(failed, 1), REFUSED, 1.0)
    return Candidate(
        "pool", "admission-limit", summary, None, (), found, strength, agrees=True,
        deciding=(above(f"the share of failures answered {statuses}", refused / max(failed, 1), REFUSED),),
    )  # fmt: skip


def backlog(facts: Facts, step: Step) -> Candidate | None:
    """pool/accept-backlog: connections find the accept queue full although the server has time to spare.

    In the step itself; or, where its slots are full by then, in a lighter one in which they were not: an overflow costs
    a second whatever else is going on, so from 5 % of them on it breaks a limit on the 95th percentile first.
    """
    shown, share = step, _overflown(step)
    if slots_full(step.server) or saturated(step, facts.machine):
        before = [one for one in facts.ladder.passed if not saturated(one, facts.machine)]
        shown = max(before, key=lambda one: _overflown(one) or 0.0, default=step)
        share = _overflown(shown) if shown is not step else None
        share = share if (share or 0.0) >= OVERFLOWN_BEFORE else None
    if share is None or share < OVERFLOWN or _elsewhere(shown, share):
        return None
    server, limit = shown.server, shown.server.listen_limit
    room = f" of {limit:g}" if limit is not None else ""
    text = (
        f"the accept queue{room} overflowed {server.listen_overflows or 0.0:.0f} times in "
        f"{shown.client.ok + shown.client.failed} requests"
    )
    found = [evidence(text, "tcp.listen_overflows", share, "share", shown), *cpu_beside(facts, shown)]
    if server.listen_queue is not None:
        waited = f"{server.listen_queue:.3g} connections waited in it on average"
        found.append(evidence(waited, "tcp.listen_queue", server.listen_queue, "connections", shown))
    summary = (
        f"The accept backlog binds: {text}, while the server has time to spare; a connection that is not let in is "
        "tried again after 1 s, then 3 s."
    )
    return Candidate(
        "pool", "accept-backlog", summary, None, ("worker-slots",), found, margin(share, OVERFLOWN, 5 * OVERFLOWN),
        agrees=True, deciding=(above("the share of requests that met a full accept queue", share, OVERFLOWN),),
    )  # fmt: skip


def _overflown(step: Step) -> float | None:
    """Return the overflows of the accept queue per request; None where there were few or none."""
    overflows, requests = step.server.listen_overflows, step.client.ok + step.client.failed
    return None if overflows is None or overflows < FEW or not requests else overflows / requests


def _elsewhere(step: Step, share: float) -> bool:
    """Return True where the overflows, which the kernel counts for the network namespace, were not of this queue."""
    queue, limit = step.server.listen_queue, step.server.listen_limit
    if queue is None or limit is None:
        return False
    return queue < FULL_AS_OFTEN * min(share, 1.0) * limit
