"""Two runs side by side: capacity, figures at the same load, ledger and verdicts, and whether it got worse. Pure.

A figure got worse when it did so by more than noise *and* by more than is tolerated. The capacity decides first, then
the p95 at the loads that both runs tried; what is not known decides nothing.
"""

import math
from collections.abc import Callable, Sequence

from pinchpoint.diagnosis.compare.levels import Level, Pair, column, levels, matched
from pinchpoint.diagnosis.compare.noise import (
    FEWEST_PAIRS,
    MARGIN,
    NOT_COMPARED,
    UNKNOWN,
    Between,
    Trend,
    change,
    paired,
)
from pinchpoint.diagnosis.compare.records import CapacityRow, Comparison, Errors, Growth, LedgerRow, LoadRow
from pinchpoint.diagnosis.compare.runs import Side, changes, same_limits, warnings
from pinchpoint.diagnosis.compare.verdicts import move
from pinchpoint.diagnosis.compare.words import headline, latency_told, rate_told
from pinchpoint.records import Capacity, Diagnosis, GoalFigures, Resource
from pinchpoint.statistics import wilson

TOLERANCE = 0.10
"""A loss up to this share is nobody's business."""

P95_SLACK_MS = 2.0
"""Twice the send lag that an open load has by itself on a shared core (p99 1.1 ms, DESIGN §6)."""

MEMORY_SLACK_BYTES = 5e6
"""What an allocator does by itself (METHOD §5.7, condition ii)."""


PER_REQUEST = "bytes/request"
"""Unit of a leak, wherever one is told."""


def compare(before: Side, after: Side, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two runs that `runs.refusal` does not object to; `tolerance` is a share, 0..1."""
    seen = levels(before.diagnosis.steps), levels(after.diagnosis.steps)
    pairs = matched(*seen)
    capacity = capacity_rows(before, after)
    decides = deciding(capacity)
    at_load = load_rows([pair for pair in pairs if pair[0].held and pair[1].held])
    latency = latency_row(pairs)
    worse = []
    if decides is not None and decides.change.worse_than(tolerance):
        worse.append(rate_told(after.name, before.name, decides, tolerance))
    if latency.change.higher_than(tolerance):
        worse.append(latency_told(latency, before.model, tolerance))
    plateau = next((row.change for row in capacity if row.name == "plateau" and row.change.ratio is not None), None)
    return Comparison(
        before=before,
        after=after,
        tolerance=tolerance,
        headline=headline(before.name, after.name, decides, worse, tolerance),
        move=move(before, after, plateau or _named(capacity, "sustainable").change),
        capacity=capacity,
        at_load=[latency, *at_load],
        errors=errors(pairs),
        growth=Growth(_growth(before.diagnosis), _growth(after.diagnosis)),
        ledger=ledger_rows(before.diagnosis, after.diagnosis),
        pairs=pairs,
        levels=seen,
        changes=changes(before, after),
        warnings=warnings(before, after),
        regressions=worse,
    )


# --- capacity --------------------------------------------------------------------------------------------------------


def capacity_rows(before: Side, after: Side) -> list[CapacityRow]:
    """Return the meanings of capacity that one of the runs knows; the one that decides stands first."""
    old, new = before.diagnosis.capacity, after.diagnosis.capacity
    alike = same_limits(before, after)
    rows = [_row("sustainable", "every limit held", _sustainable(old), _sustainable(new), alike=alike)]
    if before.model == "users":
        rows.append(_row("users", "users with every limit held", _users(old), _users(new), "users", alike=alike))
    for name in ("strict", "breaking"):
        one, two = (_goal(capacity, name) for capacity in (old, new))
        if one is not None and two is not None:
            same = one.description == two.description
            rows.append(_row(name, two.description, _held_to(one), _held_to(two), alike=same))
    if old.saturation_rps is not None or new.saturation_rps is not None:
        rows.append(_row("plateau", "goodput however much is asked", _plateau(old), _plateau(new)))
    return rows


def _row(
    name: str, what: str, before: Between, after: Between, unit: str = "requests/s", *, alike: bool = True
) -> CapacityRow:
    return CapacityRow(name, what, unit, before, after, change(before, after) if alike else NOT_COMPARED)


def _named(rows: Sequence[CapacityRow], name: str) -> CapacityRow:
    return next(row for row in rows if row.name == name)


def deciding(rows: Sequence[CapacityRow]) -> CapacityRow | None:
    """Return the row that a regression is judged by: the sustainable rate, else the next that says anything."""
    order = {"sustainable": 0, "users": 1, "breaking": 2, "plateau": 3, "strict": 4}
    known = [row for row in rows if row.change.side != "unknown"]
    return min(known, key=lambda row: order[row.name], default=None)


def _goal(capacity: Capacity, name: str) -> GoalFigures | None:
    return next((goal for goal in capacity.goals if goal.name == name), None)


def _sustainable(capacity: Capacity) -> Between:
    value = capacity.sustainable_rps
    if value is None:
        return Between(None, 0.0, _or_open(capacity.upper_bound_rps)) if capacity.reached else UNKNOWN
    low, high = capacity.sustainable_ci_rps or (value, _bracket(capacity, value))
    return Between.around(value, low, high if capacity.reached else math.inf)


def _bracket(capacity: Capacity, value: float) -> float:
    """Return how high the limit may lie without an interval: below what broke, and no higher than the plateau."""
    ends = [capacity.upper_bound_rps] if capacity.upper_bound_rps is not None else []
    if capacity.sustainable_users and capacity.breaking_users:
        ends.append(value * capacity.breaking_users / capacity.sustainable_users)
    if ends and capacity.saturation_rps is not None:
        interval = capacity.saturation_ci_rps
        ends.append(max(capacity.saturation_rps * (1 + MARGIN), interval[1] if interval else 0.0))
    return min(ends, default=value)


def _users(capacity: Capacity) -> Between:
    broke = _or_open(capacity.breaking_users)
    if capacity.sustainable_users is None:
        return Between(None, 0.0, broke) if capacity.reached else UNKNOWN
    return Between.around(float(capacity.sustainable_users), capacity.sustainable_users, broke)


def _held_to(goal: GoalFigures) -> Between:
    upper = _or_open(goal.upper_rps)
    value = goal.throughput_rps if goal.throughput_rps is not None else goal.lower_rps
    if value is None or goal.lower_rps is None:
        return Between(None, 0.0, upper)
    low, high = goal.ci_rps or (value, upper)
    return Between.around(value, low, high if goal.upper_rps is not None else math.inf)


def _plateau(capacity: Capacity) -> Between:
    value = capacity.saturation_rps
    if value is None:
        return UNKNOWN
    return Between.around(value, *(capacity.saturation_ci_rps or (value, value)))


def _or_open(value: float | None) -> float:
    return math.inf if value is None else float(value)


# --- figures at the same load ----------------------------------------------------------------------------------------


def latency_row(pairs: Sequence[Pair]) -> LoadRow:
    """Return the p95 at the loads that both runs tried and one of them held: what broke in both is a queue's length.

    A load that just holds in one run and just breaks in the other is no news; with few loads it would be all there is.
    """
    known = [pair for pair in pairs if pair[0].held or pair[1].held]
    if len(known) < FEWEST_PAIRS:
        known = [pair for pair in pairs if pair[0].held and pair[1].held]
    return _at_load("p95", "95th percentile of response times", "ms", known, lambda level: level.p95_ms, P95_SLACK_MS)


def load_rows(pairs: Sequence[Pair]) -> list[LoadRow]:
    """Return the other figures at the loads that both runs held; memory as PSS where both know it, else RSS."""
    shared = all(level.pss_bytes is not None for pair in pairs for level in pair)
    kind = "PSS" if shared else "RSS"
    return [
        _at_load("p50", "median of response times", "ms", pairs, lambda level: level.p50_ms, P95_SLACK_MS),
        _at_load("cpu", "CPU of the server per request", "ms", pairs, lambda level: level.cpu_ms_per_request),
        _at_load(
            "memory",
            f"memory of the server ({kind})",
            "bytes",
            pairs,
            lambda level: level.pss_bytes if shared else level.rss_bytes,
            MEMORY_SLACK_BYTES,
        ),
    ]


def _at_load(
    name: str,
    what: str,
    unit: str,
    pairs: Sequence[Pair],
    figure: Callable[[Level], float | None],
    slack: float = 0.0,
) -> LoadRow:
    known = column(pairs, figure)
    at, before, after = known[-1] if known else (None, None, None)
    found = paired([one for _, one, _ in known], [two for _, _, two in known], slack)
    return LoadRow(name, what, unit, len(known), at, before, after, found)


def errors(pairs: Sequence[Pair]) -> Errors:
    """Compare the shares of failed requests, with Wilson's intervals; they differ when the intervals do not meet."""
    known = [pair for pair in pairs if pair[0].held or pair[1].held]
    (old, old_ci), (new, new_ci) = (_failed([pair[which] for pair in known]) for which in (0, 1))
    side: Trend = "unknown" if old is None or new is None else "level"
    if new_ci[0] > old_ci[1]:
        side = "above"
    elif new_ci[1] < old_ci[0]:
        side = "below"
    return Errors(len(known), old, old_ci, new, new_ci, side)


def _failed(found: Sequence[Level]) -> tuple[float | None, tuple[float, float]]:
    done, failed = sum(level.done for level in found), sum(level.failed for level in found)
    return (failed / done if done else None), wilson(failed, done)


def _growth(diagnosis: Diagnosis) -> float | None:
    """Return the bytes that stay with each request, where they were found to grow."""
    if diagnosis.soak is not None:
        slope = diagnosis.soak.bytes_per_request
        return slope.value if diagnosis.soak.leak == "leak" and slope is not None else None
    found = [one.value for one in diagnosis.findings if one.unit == PER_REQUEST]
    found += [one.value for one in diagnosis.verdict.evidence if one.unit == PER_REQUEST]
    return found[0] if found else None


# --- the ledger ------------------------------------------------------------------------------------------------------


def ledger_rows(before: Diagnosis, after: Diagnosis) -> list[LedgerRow]:
    """Return every resource of both ledgers, lowest ceiling of the later run first."""
    old, new = ({row.resource: row for row in side.ledger} for side in (before, after))
    names = [*new, *(name for name in old if name not in new)]
    rows = [
        LedgerRow(name, old.get(name), new.get(name), change(_ceiling(old.get(name)), _ceiling(new.get(name))))
        for name in names
    ]
    return sorted(rows, key=lambda row: (_ceiling(row.after or row.before).value or math.inf, row.resource))


def _ceiling(row: Resource | None) -> Between:
    if row is None or row.ceiling_rps is None:
        return UNKNOWN
    return Between.around(row.ceiling_rps, *(row.ceiling_ci_rps or (row.ceiling_rps, row.ceiling_rps)))
