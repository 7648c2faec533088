"""A recording of a bundled scenario -> what became of its parts and its targets. Pure.

Judged at the load that was sustained, or over a whole load of stages. All latencies are those of successful requests.
What got no answer was not measured, and is neither held nor missed.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pinchpoint import histograms, units
from pinchpoint.clientstats import client_figures
from pinchpoint.diagnosis.pack_findings import request_findings
from pinchpoint.diagnosis.pack_words import audit_findings
from pinchpoint.diagnosis.staged import end_of
from pinchpoint.diagnosis.steps import ladder, slo_of
from pinchpoint.measures import Step
from pinchpoint.packs import AUDITED, Compliance, Op, Pack, PackResult, Part, PartResult, Target, TargetResult
from pinchpoint.recording import Recording
from pinchpoint.records import Diagnosis
from pinchpoint.rows import DigestRow
from pinchpoint.seconds import Seen, seen_in

FAILED_FACTOR, FAILED_FROM = 10.0, 0.10
"""Errors above ten times their limit, and at least one request in ten: the part failed, however fast the rest was."""

AT_THE_END = "in the database, after the run"
OPERATORS: Mapping[Op, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}
PERCENTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(frozen=True)
class Window:
    """The stretch of the recording that a pack is judged by."""

    at: str = ""
    rows: Sequence[DigestRow] = ()
    seconds: float = 0.0
    """That the load processes reported about."""
    users: int | None = None
    """Most of them at a time; None in the rate model, where users are not what is fixed."""
    step: int | None = None


def pack_result(
    recording: Recording, diagnosis: Diagnosis, name: str, pack: Pack, targets: Sequence[Target] = ()
) -> PackResult:
    """Judge a recording by a pack; `targets` are judged besides the pack's own, such as those of a preset."""
    window = window_of(recording, diagnosis.steps)
    p95_ms, max_error_rate = slo_of(recording.settings)
    limited = [
        replace(
            part,
            p95_ms=p95_ms if part.p95_ms is None else part.p95_ms,
            max_error_rate=max_error_rate if part.max_error_rate is None else part.max_error_rate,
        )
        for part in pack.parts
    ]
    audit = audit_of(recording)
    parts = tuple(_part(part, window, full_load(pack)) for part in limited)
    judged = tuple(_target(target, window, audit, pack.grades) for target in (*pack.targets, *targets))
    return PackResult(
        name=name,
        at=window.at,
        grades=pack.grades,
        parts=parts,
        targets=judged,
        audit=audit,
        findings=(*audit_findings(audit), *request_findings(window.rows, pack.parts)),
        step=window.step,
    )


def audit_of(recording: Recording) -> dict[str, Any] | None:
    """Return what the check of the database after the run found; None when there was none."""
    found = [event["data"].get("result") for event in recording.events if event.get("kind") == "audit"]
    return found[-1] if found and isinstance(found[-1], dict) else None


def full_load(pack: Pack) -> int | None:
    """Return the users of all parts together at the peak of the pack's own load; None when it names none."""
    staged = max((users for _, users in pack.staged), default=0)
    return staged or sum(part.peak_users or 0 for part in pack.parts) or None


# --- the window -----------------------------------------------------------------------------------------------------


def window_of(recording: Recording, steps: Sequence[Step]) -> Window:
    """Return what to judge by: a whole load of stages, a whole soak, else the heaviest load that held.

    Where no load held it is the lightest one that did not, and its name says so.
    """
    begin = next((event["data"] for event in recording.events if event.get("kind") == "stages"), None)
    if begin is not None:
        return _stages(recording, begin)
    soaked = [step for step in steps if step.phase == "soak" and step.offered_rps]
    if soaked:
        t0_s, t1_s = min(step.t_start_s for step in soaked), max(step.t_end_s for step in soaked)
        return replace(_window(recording, "over the whole soak", t0_s, t1_s), users=None)
    sorted_out = ladder(steps)
    step = sorted_out.sustained or sorted_out.limit
    if step is None:
        return Window()
    which = "the heaviest load that held" if sorted_out.sustained else "the lightest load, which did not hold"
    load = units.rps(step.offered_rps) if step.offered_rps is not None else f"{step.users} users"
    found = _window(recording, f"at {load}, {which}", step.t_start_s + step.settle_s, step.t_end_s)
    return replace(found, step=step.index, users=step.users)


def _stages(recording: Recording, begin: Mapping[str, Any]) -> Window:
    peak = max((max(one["from"], one["to"]) for one in begin["stages"]), default=0.0)
    of_users = begin["model"] == "users"
    load = f"{peak:.0f} users" if of_users else units.rps(peak)
    t0_s = float(begin["t_start_s"])
    found = _window(recording, f"over the whole load, up to {load}", t0_s, end_of(recording, begin))
    return found if of_users else replace(found, users=None)


def _window(recording: Recording, at: str, t0_s: float, t1_s: float) -> Window:
    rows = [row for row in recording.digests if t0_s <= (row["t0_s"] + row["t1_s"]) / 2 < t1_s]
    found = client_figures(rows, t0_s, t1_s)
    return Window(at, rows, found.covered_s, found.figures.users)


# --- parts ----------------------------------------------------------------------------------------------------------


def _part(part: Part, window: Window, full: int | None) -> PartResult:
    seen = _seen(window.rows, part.endpoints)
    p95_ms = _quantile_ms(seen, PERCENTILES["p95_ms"])
    error_rate = seen.failed / seen.done if seen.done else None
    return PartResult(
        name=part.name,
        requests=seen.done,
        error_rate=error_rate,
        avg_ms=histograms.mean_ms(seen.latency),
        p95_ms=p95_ms,
        peak_users=_peak_users(part, window, full),
        compliance=comply(error_rate, p95_ms, part.max_error_rate, part.p95_ms),
        errors=dict(sorted(seen.errors.items())),
    )


def comply(
    error_rate: float | None, p95_ms: float | None, max_error_rate: float | None, slow_ms: float | None
) -> Compliance | None:
    """Hold a part against its limits; None when it got no answer, or has no limit.

    Failed: its errors are above ten times their limit (and at least 10 %), or none of its limits holds. Where no
    request succeeded there is no p95, and a limit on it does not hold.
    """
    if error_rate is None:
        return None
    held = [error_rate <= max_error_rate] if max_error_rate is not None else []
    held += [p95_ms is not None and p95_ms <= slow_ms] if slow_ms is not None else []
    if not held:
        return None
    many = max_error_rate is not None and error_rate > FAILED_FACTOR * max_error_rate and error_rate >= FAILED_FROM
    if many or not any(held):
        return "failed"
    return "passed" if all(held) else "partially_passed"


def _peak_users(part: Part, window: Window, full: int | None) -> int | None:
    """Return the most users of a part at a time.

    Users of several kinds are added in proportion to their weights (`population`), so a part that has users of its own
    has the same share of them at every load; where the pack names none, all users do all parts.
    """
    if window.users is None or part.peak_users is None or full is None:
        return window.users
    return math.floor(part.peak_users * window.users / full + 0.5)


# --- targets --------------------------------------------------------------------------------------------------------


def _target(
    target: Target, window: Window, audit: Mapping[str, Any] | None, grades: tuple[str, str, str]
) -> TargetResult:
    checked = target.metric in AUDITED
    value = _checked(audit, target.metric) if checked else observed(target, window)
    return TargetResult(
        name=target.name,
        metric=target.metric,
        observed=value,
        target=target.target,
        acceptable=target.acceptable,
        op=target.op,
        grade=grade(target, value, grades),
        at=AT_THE_END if checked else window.at,
    )


def grade(target: Target, value: float | None, grades: tuple[str, str, str]) -> str | None:
    """Return the pack's word for a value: best, acceptable or worst; None for none."""
    if value is None:
        return None
    holds = OPERATORS[target.op]
    if holds(value, target.target):
        return grades[0]
    return grades[1] if target.acceptable is not None and holds(value, target.acceptable) else grades[2]


def observed(target: Target, window: Window) -> float | None:
    """Return what the clients measured in the target's unit; None when they measured nothing of it."""
    if target.metric == "users":
        return None if window.users is None else float(window.users)
    seen = _seen(window.rows, target.endpoints)
    if target.metric == "rps":
        unasked = bool(target.endpoints) and not seen.done
        return None if unasked or window.seconds <= 0 else seen.ok / window.seconds
    if target.metric == "error_rate":
        return seen.failed / seen.done if seen.done else None
    if target.metric == "avg_ms":
        return histograms.mean_ms(seen.latency)
    return _quantile_ms(seen, PERCENTILES[target.metric])


def _checked(audit: Mapping[str, Any] | None, metric: str) -> float | None:
    value = None if audit is None else audit.get(metric)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _seen(rows: Sequence[DigestRow], names: Iterable[str]) -> Seen:
    """Fold the requests of some names, of all without any."""
    total = Seen()
    wanted: list[str | None] = [*dict.fromkeys(names)] or [None]
    for name in wanted:
        total.add(seen_in(rows, name))
    return total


def _quantile_ms(seen: Seen, share: float) -> float | None:
    if seen.latency is None or not seen.latency.get_total_count():
        return None
    return histograms.quantile_us(seen.latency, share) / histograms.US_PER_MS
