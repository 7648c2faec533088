"""What the check of the database found after the run, in sentences: each with its figure, and what to do."""

from collections.abc import Mapping
from typing import Any

from pinchpoint import units
from pinchpoint.records import Finding

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
"""Figure of the check (a number, or a list of cases) -> one, several, and what to do."""
_UNITS = {"oversold": "pieces", "negative_stock": "products", "unbalanced": "products"}


def audit_findings(audit: Mapping[str, Any] | None) -> list[Finding]:
    """List what is wrong in the database; nothing is said of what was not checked."""
    found = []
    for figure, (one, several, cure) in OFF.items():
        value = (audit or {}).get(figure)
        value = len(value) if isinstance(value, (list, tuple)) else value
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            statement = f"{units.count(value)} {one if value == 1 else several}: {cure}"
            found.append(Finding(figure.replace("_", "-"), statement, float(value), _UNITS[figure]))
    return found
