"""Memory binds by exhaustion, not by flow: reached in the run, or forecast within the horizon (DESIGN §3)."""

from pinchpoint.diagnosis.bounds import above, under
from pinchpoint.diagnosis.facts import FRONT, Candidate, Facts, margin
from pinchpoint.diagnosis.memory import MEMORY_HORIZON_S
from pinchpoint.diagnosis.readings import evidence
from pinchpoint.diagnosis.words import duration, rps, size
from pinchpoint.measures import Step
from pinchpoint.records import Evidence

MEMORY_PRESSURE = 0.2
"""PSI memory `full`: a fifth of the time nobody got on for want of memory."""

STALLED = 0.1
"""PSI memory `some`: from a tenth of the time on, somebody waits for pages (systemd-oomd and Meta's oomd act from here
on; an app that has what it needs reads 0.00)."""

FAULTS = 20.0
"""Pages per second read back from a disk (major faults), below which an app does not wait for them: 20 times 5 ms of a
slow disk is a tenth of the time."""

HITS = 10.0
"""Times per second at the group's limit from which the kernel takes pages back all the time."""

NEAR_LIMIT = 0.9
"""Of the group's limit, used when a process was killed: the kernel's doing, and not somebody else's."""

SWAPPED = 50.0
"""Pages per second to and from swap."""


def memory(facts: Facts) -> Candidate | None:
    """Return memory/leak or memory/limit where memory ran out or will, or None."""
    killed = facts.oom_kills or 0.0
    pressure = max((step.server.psi.get("memory_full", 0.0) for step in facts.steps), default=0.0)
    use = max((step.server.memory_use for step in facts.steps if step.server.memory_use is not None), default=0.0)
    full = pressure >= MEMORY_PRESSURE or use >= NEAR_LIMIT
    # A control group may hold others as well: whose end it was that the kernel counted, ours must show.
    ours = facts.target_killed or facts.workers_died > 0
    if (killed > 0 and ours) or (facts.target_killed and full):
        return _exhausted(facts, killed, pressure)
    return _leak(facts)


def _exhausted(facts: Facts, killed: float, pressure: float) -> Candidate:
    found = [
        Evidence(f"{killed:.0f} process(es) were killed for want of memory", "cgroup.oom_kill", killed, "kills", None)
    ]
    found.append(
        Evidence(f"memory stalled everything {pressure:.0%} of the time", "psi.memory_full", pressure, "share", None)
    )
    if facts.leak is not None:
        found.append(_growth_evidence(facts))
    # A slow leak is no reason for a kill today: then requests in progress need more than there is.
    cause = "leak" if facts.leak is not None and facts.leak.binds else "limit"
    summary = "Memory binds: it ran out during the run and the kernel killed the app."
    kills = above("the number of processes killed for want of memory", killed, 1.0, "kills")
    return Candidate("memory", cause, summary, "memory", (), found, 1.0, agrees=True, deciding=(kills,))


def _growth_evidence(facts: Facts) -> Evidence:
    leak = facts.leak
    slope = leak.bytes_per_request if leak is not None else None
    if slope is None:
        return Evidence("memory does not grow", "pss", None, "bytes", None)
    text = f"memory (PSS) grows {size(slope.value)} per request ({size(slope.low)} to {size(slope.high)})"
    return Evidence(text, "pss.slope", slope.value, "bytes/request", None)


def _leak(facts: Facts) -> Candidate | None:
    leak = facts.leak
    if leak is None or not leak.binds:
        return None
    rate = facts.capacity.sustainable_rps
    text = f"at {rps(rate)} the remaining {size(leak.free_bytes)} last {duration(leak.seconds_to_limit)}"
    found = [_growth_evidence(facts), Evidence(text, "forecast", leak.seconds_to_limit, "s", None)]
    grown = Evidence(f"memory grew {size(leak.grown_bytes)} in this run", "pss", leak.grown_bytes, "bytes", None)
    summary = (
        f"Memory binds: every request leaves {size(leak.bytes_per_request.value)} behind; at the sustainable "
        f"{rps(rate)} the remaining {size(leak.free_bytes)} are gone after {duration(leak.seconds_to_limit)}."
    )
    strength = margin(-(leak.seconds_to_limit or MEMORY_HORIZON_S), -MEMORY_HORIZON_S, -MEMORY_HORIZON_S / 4)
    left = under("the time until memory is full", leak.seconds_to_limit, MEMORY_HORIZON_S, "s")
    return Candidate("memory", "leak", summary, "memory", (), [*found, grown], strength, agrees=True, deciding=(left,))


def reclaim(facts: Facts, step: Step) -> Candidate | None:
    """memory/limit, memory/swap: requests wait for pages that the kernel took back, or takes back."""
    server = step.server
    stalled = server.psi.get("memory_some")
    faults, hits, swapped = server.major_faults_per_s or 0.0, server.memory_hits_per_s or 0.0, server.swap_pages_per_s
    if stalled is None or stalled < STALLED:
        return None
    limited = hits >= HITS
    swaps = (swapped or 0.0) >= SWAPPED
    if not limited and not swaps and faults < FAULTS:
        return None
    if not limited and server.major_faults_per_s is not None and faults < FAULTS:
        return None  # pressure and swap are the machine's: without faults of its own, somebody else lacks memory
    cause = "limit" if limited else "swap"
    found = [
        evidence(f"somebody waited for memory {stalled:.0%} of the time", "psi.memory_some", stalled, "share", step),
    ]
    if server.major_faults_per_s is not None:
        text = f"{faults:.0f} pages/s were read back from a disk"
        found.append(evidence(text, "proc.major_faults", faults, "faults/s", step))
    if limited:
        use = f", {server.memory_use:.0%} of it in use" if server.memory_use is not None else ""
        text = f"the control group ran into its memory limit {hits:.0f} times a second{use}"
        found.append(evidence(text, "cgroup.limit_hits", hits, "hits/s", step))
    if swaps:
        text = f"{swapped:.0f} pages/s went to and from swap"
        found.append(evidence(text, "host.swap", swapped, "pages/s", step))
    before = facts.low(lambda figures: figures.psi.get("memory_some"))
    if before is not None:
        text = f"at low load it was {before:.0%} of the time"
        found.append(evidence(text, "psi.memory_some", before, "share", step))
    why = "its control group's limit is reached and the kernel takes pages back all the time" if limited else (
        "pages are written to swap and read back" if swaps else "pages it needs were dropped and are read again"
    )  # fmt: skip
    summary = f"Memory binds: {why}; somebody waits for memory {stalled:.0%} of the time."
    return Candidate(
        "memory", cause, summary, "memory", ("cpu", "loop", "db", "db-pool", "threadpool", "disk", *FRONT), found,
        margin(stalled, STALLED, 5 * STALLED), agrees=True,
        deciding=(above("the share of time in which somebody waited for memory", stalled, STALLED),),
    )  # fmt: skip
