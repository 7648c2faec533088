"""What a comparison found, in sentences."""

import math
from collections.abc import Sequence

from pinchpoint import units
from pinchpoint.diagnosis.compare.noise import Between, Change
from pinchpoint.diagnosis.compare.records import CapacityRow, LoadRow

WHAT = {
    "sustainable": "the sustainable rate",
    "users": "the number of users that it holds",
    "breaking": "the rate that it serves before it breaks",
    "plateau": "the plateau of goodput",
    "strict": "the rate under the strict goal",
}


def headline(before: str, after: str, row: CapacityRow | None, worse: Sequence[str], tolerance: float) -> str:
    """Say in one sentence whether it got worse, better, or neither as far as can be told."""
    if worse:
        return f"Regression: {worse[0]}"
    if row is None:
        return (
            "No regression was found, and which of the two sustains more cannot be told: "
            "no capacity is known of both, or neither run met its limit."
        )
    moved = f"{WHAT[row.name]} went from {shown(row.before, row.unit)} to {shown(row.after, row.unit)}"
    if row.change.side == "above":
        return f"{after} is better than {before}: {moved}, {told(row.change)}."
    if row.change.side == "below":
        return f"No regression: {moved}, {told(row.change)}, and {units.percent(tolerance)} less is tolerated."
    return f"No difference beyond the noise: {moved}, {told(row.change)}."


def rate_told(after: str, before: str, row: CapacityRow, tolerance: float) -> str:
    """Say that the capacity is lower."""
    old, new = shown(row.before, row.unit), shown(row.after, row.unit)
    fell = f"{WHAT[row.name]} fell from {old} ({before}) to {new} ({after})"
    return f"{fell}, {told(row.change)}; {units.percent(tolerance)} is tolerated."


def latency_told(row: LoadRow, model: str | None, tolerance: float) -> str:
    """Say that answers take longer at the same load."""
    load = units.rps(row.at) if model != "users" else f"{units.number(row.at)} users"
    over = f"over {row.loads} loads" if row.loads > 1 else "at the one load that both tried"
    return (
        f"p95 at the same load rose, {told(row.change)}, {over}: from {units.ms(row.before)} to {units.ms(row.after)} "
        f"at {load}; {units.percent(tolerance)} is tolerated."
    )


def shown(figure: Between, unit: str) -> str:
    """Write a figure of capacity: `97.6/s`, `at least 97.6/s`, `less than 20/s`."""
    write = units.rps if unit == "requests/s" else _users
    if figure.value is None:
        return f"less than {write(figure.high)}" if math.isfinite(figure.high) else units.NOT_MEASURED
    return write(figure.value) if math.isfinite(figure.high) else f"at least {write(figure.value)}"


def _users(value: float | None) -> str:
    return f"{units.number(value)} users"


def told(change: Change) -> str:
    """Write a change with its interval: `+100 % (95 % interval +92 to +110 %)`."""
    around = interval(change)
    if change.ratio is None:
        return around or "by how much is not known"
    by = f"{_percent(change.ratio)} %"
    return f"{by} ({around})" if around else by


def interval(change: Change) -> str | None:
    """Write the interval; None where neither end is known."""
    low, high = change.low > 0, math.isfinite(change.high)
    if low and high:
        return f"95 % interval {_percent(change.low)} to {_percent(change.high)} %"
    if low:
        return f"at least {_percent(change.low)} %"
    return f"at most {_percent(change.high)} %" if high else None


def _percent(ratio: float) -> str:
    """Write a ratio as a change: `+48`; what rounds to nothing has no sign."""
    by = round((ratio - 1) * 100)
    return f"{by:+d}" if by else "0"
