"""The lowest ceiling of the ledger held against the capacity that was measured (METHOD §4.3)."""

from collections.abc import Sequence
from typing import Literal

from pinchpoint.diagnosis.ledger_parts import NO_WALLS
from pinchpoint.records import Capacity, LedgerCheck, Resource

AGREES = (0.85, 1.05)
"""Measured capacity over the lowest ceiling (METHOD §4.3), each end widened by the ceiling's own interval."""

BELOW = (
    "less was served than any resource explains: something that is not measured binds, requests are spread unevenly, "
    "or the app collapses before it is full"
)
ABOVE = "more was served than the lowest ceiling allows: a request costs less under load, or a gauge is wrong"
ENDED = "the load ended before any resource was full, so the capacity measured is only a lower bound"


def check(ledger: Sequence[Resource], capacity: Capacity) -> LedgerCheck | None:
    """Hold the lowest ceiling against the measured capacity; None where one of them is unknown."""
    walls = [row for row in ledger if row.ceiling_rps and row.resource not in NO_WALLS]
    measured = capacity.saturation_rps or capacity.sustainable_rps
    if not walls or not measured:
        return None
    lowest = min(walls, key=lambda row: (row.ceiling_rps or 0.0, row.depth))
    ceiling = lowest.ceiling_rps or 0.0
    low, high = lowest.ceiling_ci_rps or (ceiling, ceiling)
    rivals = [row.resource for row in walls if row is not lowest and _low(row) <= high]
    outcome: Literal["agrees", "below", "above"]
    if AGREES[0] * low <= measured <= AGREES[1] * high:
        outcome, meaning = "agrees", "the lowest ceiling is what was measured"
    elif measured < ceiling:
        outcome, meaning = "below", BELOW if capacity.reached else ENDED
    else:
        outcome, meaning = "above", ABOVE
    return LedgerCheck(
        resource=lowest.resource,
        ceiling_rps=ceiling,
        ceiling_ci_rps=(low, high),
        measured_rps=measured,
        ratio=measured / ceiling,
        outcome=outcome,
        meaning=meaning,
        rivals=rivals,
    )


def _low(row: Resource) -> float:
    return row.ceiling_ci_rps[0] if row.ceiling_ci_rps is not None else row.ceiling_rps or 0.0
