"""The soak in the checklist: does memory leak, does anything else grow, and did the limits hold throughout? Pure."""

from pinchpoint import units
from pinchpoint.diagnosis.checklist.lines import ChecklistLine, Status, unmeasured
from pinchpoint.soak_records import Drift, LeakVerdict, Soak

LEAKS = 5
LEAK, GROWTH, HELD = "Memory leak", "Anything else that grows", "Limits throughout the soak"
NAMES = (LEAK, GROWTH, HELD)
STATUS: dict[LeakVerdict, Status] = {"leak": "failed", "no leak": "ok", "cannot tell": "attention"}
BAD_TRENDS = {"throughput": "falls"}
"""Signals of which less is worse; of all others more is."""


def soak_lines(soak: Soak, died: str | None) -> list[ChecklistLine]:
    """Return the lines of a soak; `died` is how the target ended in it, if it did."""
    how = f"{units.seconds(soak.seconds)}: at {units.rps(soak.rate_rps)}, at half of it, and without load"
    if died is not None:
        return [_died(died, how), *_rest(soak, how)]
    return [_leak(soak, how), *_rest(soak, how)]


def _rest(soak: Soak, how: str) -> list[ChecklistLine]:
    return [_growth(soak, how), _held(soak, how)]


def _died(died: str, how: str) -> ChecklistLine:
    return ChecklistLine(
        item=LEAKS,
        name=LEAK,
        status="failed",
        value=None,
        unit="bytes/request",
        limit=None,
        shown="the target died",
        limit_shown="",
        how=f"{died}; {how}",
        todo="Read target.log in the soak's folder; out of memory shows there, or in the kernel's log.",
    )


def _leak(soak: Soak, how: str) -> ChecklistLine:
    slope, seen = soak.bytes_per_request, soak.seen_from_bytes_per_request
    status = STATUS[soak.leak]
    if soak.leak == "cannot tell" and not any(one.ok is False for one in soak.conditions):
        return unmeasured(LEAKS, LEAK, soak.summary, "bytes/request", "Give a longer --budget.")
    shown = f"{_size(slope.value)} per request ({_size(slope.low)} to {_size(slope.high)})" if slope else soak.leak
    return ChecklistLine(
        item=LEAKS,
        name=LEAK,
        status=status,
        value=slope.value if slope else None,
        unit="bytes/request",
        limit=seen,
        shown=f"{soak.leak}: {shown}" if slope else shown,
        limit_shown=f"growth of {units.size(seen)} per request would show" if seen is not None else "",
        how=f"PSS of the workers over {units.count(soak.requests)} requests; {how}",
        todo="" if status == "ok" else _advice(soak),
    )


def _advice(soak: Soak) -> str:
    if soak.leak != "leak":
        return soak.summary
    lasts = f" What is free lasts {units.seconds(soak.seconds_to_limit)}." if soak.seconds_to_limit is not None else ""
    return f"Something is kept with every request: look at caches without a limit, global lists, sessions.{lasts}"


def _size(value: float) -> str:
    return f"-{units.size(-value)}" if value < 0 else units.size(value)


def _growth(soak: Soak, how: str) -> ChecklistLine:
    judged = [one for one in soak.drifts if one.trend != "unknown"]
    if not judged:
        return unmeasured(LEAKS, GROWTH, f"too few points; {how}", "signals", "Give a longer --budget.")
    moved = [one for one in judged if one.trend == BAD_TRENDS.get(one.signal, "grows")]
    names = ", ".join(one.signal for one in judged)
    return ChecklistLine(
        item=LEAKS,
        name=GROWTH,
        status="attention" if moved else "ok",
        value=float(len(moved)),
        unit="signals",
        limit=0.0,
        shown="; ".join(_moved(one) for one in moved) or f"none of {len(judged)} signals",
        limit_shown="none",
        how=f"{names}, over the requests served under one load; {how}",
        todo="Something fills up or is not given back: descriptors, threads, rows without an index." if moved else "",
    )


def _moved(one: Drift) -> str:
    return f"{one.signal} {units.quantity(one.start, one.unit)} to {units.quantity(one.end, one.unit)}"


def _held(soak: Soak, how: str) -> ChecklistLine:
    broke = [point for point in soak.points if not point.passed]
    if not soak.points:
        return unmeasured(LEAKS, HELD, "no slice of the soak was recorded", "share")
    share = len(broke) / len(soak.points)
    return ChecklistLine(
        item=LEAKS,
        name=HELD,
        status="attention" if broke else "ok",
        value=share,
        unit="share",
        limit=0.0,
        shown="; ".join(soak.broke) or f"held in all of {len(soak.points)} slices",
        limit_shown="p95 and errors hold in every slice",
        how=how,
        todo="See when in the soak's report: always means too much load, later means that something grows."
        if broke
        else "",
    )
