"""One line of the pre-deployment checklist: what was measured, against which limit, how, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "attention", "failed", "not measured"]

ITEMS: dict[int, str] = {
    1: "Run performance benchmarks",
    2: "Verify all endpoints meet performance requirements",
    3: "Run load tests with expected peak load",
    4: "Monitor resource usage (CPU, memory, database connections)",
    5: "Check for memory leaks during extended load tests",
    6: "Verify error rates under load",
    7: "Test database query performance",
    8: "Test cache hit rates",
}
"""The checklist as it was asked for."""


@dataclass(frozen=True, slots=True)
class ChecklistLine:
    """A measurement, never a tick box. `value` and `limit` are in `unit`; None means not measured, or no limit."""

    item: int
    """Of `ITEMS`."""
    name: str
    status: Status
    value: float | None
    unit: str
    """`ms`, `share`, `bytes`, `requests/s`, ... as `units.quantity` knows them."""
    limit: float | None
    """What `value` is held against."""
    shown: str
    """The measurement in words."""
    limit_shown: str
    """The limits in words, all of them; empty where there is none."""
    how: str
    """How it was measured; why not, where it was not."""
    todo: str = ""
    """What to do; empty when nothing is."""


def graded(value: float, good: float, bad: float) -> Status:
    """Return the status of a value of which less is better: below `good` it is ok, from `bad` on it has failed.

    Nothing at all (0 errors, however strict the limit) is always ok.
    """
    if value < good or value == 0:
        return "ok"
    return "attention" if value < bad else "failed"


def worst(*found: Status) -> Status:
    """Return the most serious of some statuses."""
    order: tuple[Status, ...] = ("failed", "attention", "not measured", "ok")
    return next(one for one in order if one in found)


def unmeasured(item: int, name: str, why: str, unit: str = "", todo: str = "") -> ChecklistLine:
    """Return the line of what was not measured, with the reason."""
    return ChecklistLine(
        item=item,
        name=name,
        status="not measured",
        value=None,
        unit=unit,
        limit=None,
        shown="not measured",
        limit_shown="",
        how=why,
        todo=todo,
    )
