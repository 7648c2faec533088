"""Memory binds by exhaustion, not by flow: reached in the run, or forecast within the horizon (DESIGN §3)."""

from pinchpoint.diagnosis.facts import Candidate, Facts, margin
from pinchpoint.diagnosis.memory import MEMORY_HORIZON_S
from pinchpoint.diagnosis.words import duration, rps, size
from pinchpoint.records import Evidence

MEMORY_PRESSURE = 0.2
"""PSI memory `full`: a fifth of the time nobody got on for want of memory."""


def memory(facts: Facts) -> Candidate | None:
    """Return memory/leak or memory/limit, or None."""
    killed = sum(step.server.oom_kills or 0.0 for step in facts.steps)
    pressure = max((step.server.psi.get("memory_full", 0.0) for step in facts.steps), default=0.0)
    if killed > 0 or (facts.target_killed and pressure >= MEMORY_PRESSURE):
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
    cause = "leak" if facts.leak is not None else "limit"
    summary = "Memory binds: it ran out during the run and the kernel killed the app."
    return Candidate("memory", cause, summary, "memory", (), found, 1.0, agrees=True)


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
    return Candidate("memory", "leak", summary, "memory", (), [*found, grown], strength, agrees=True)
