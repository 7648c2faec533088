"""What a pack's figures mean, in sentences: a database that is off, and what each pack knows of its own parts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pinchpoint import units
from pinchpoint.packs import PartResult
from pinchpoint.records import Finding

Finder = Callable[[Sequence[PartResult]], list[Finding]]
FINDERS: Mapping[str, Finder] = {}
"""Scenario -> what else its parts show, in words."""

OFF: Mapping[str, tuple[str, str, str]] = {
    "oversold": (
        "piece was sold that never was in stock",
        "pieces were sold that never were in stock",
        "take stock in the statement that checks it, or lock its row first",
    ),
    "negative_stock": (
        "product has a stock below zero",
        "products have a stock below zero",
        "let the database refuse it: CHECK (stock >= 0)",
    ),
    "unbalanced": (
        "product's stock is not what was ordered and restocked leaves",
        "products' stocks are not what was ordered and restocked leaves",
        "change the stock and write the order in one transaction",
    ),
}
"""Figure of the check after the run (a number, or a list of cases) -> one, several, and what to do."""
_UNITS = {"oversold": "pieces", "negative_stock": "products", "unbalanced": "products"}


def pack_findings(name: str, parts: Sequence[PartResult], audit: Mapping[str, Any] | None) -> list[Finding]:
    """List what the database and the parts show; data that is wrong comes first."""
    finder = FINDERS.get(name)
    return [*_audited(audit or {}), *(finder(parts) if finder is not None else [])]


def _audited(audit: Mapping[str, Any]) -> list[Finding]:
    found = []
    for figure, (one, several, cure) in OFF.items():
        value = audit.get(figure)
        value = len(value) if isinstance(value, (list, tuple)) else value
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            statement = f"{units.count(value)} {one if value == 1 else several}: {cure}"
            found.append(Finding(figure.replace("_", "-"), statement, float(value), _UNITS[figure]))
    return found
