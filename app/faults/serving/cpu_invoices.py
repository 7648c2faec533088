"""Invoices: Flask under threads. The totals of a year are added up position by position for each request."""

from typing import Any

from flask import Blueprint, Flask

from .settings import cured, severity

POSITIONS = 50 if cured() else round(23_000 * severity())

invoices = Blueprint("invoices", __name__)


def positions(customer_id: int) -> list[tuple[int, int, int]]:
    """Return (pieces, price in cents, tax in percent) of each position."""
    return [(1 + i % 9, 100 + (customer_id * 17 + i * 29) % 4_900, (7, 19)[i % 2]) for i in range(POSITIONS)]


def totals(rows: list[tuple[int, int, int]]) -> dict[str, int]:
    """Add up net and tax, in cents."""
    net = tax = 0
    for pieces, cents, percent in rows:
        line = pieces * cents
        net += line
        tax += (line * percent + 50) // 100
    return {"net_cents": net, "tax_cents": tax, "gross_cents": net + tax}


@invoices.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "invoices"}


@invoices.get("/customers/<int:customer_id>/year")
def year(customer_id: int) -> dict[str, Any]:
    """Return what a customer was invoiced for in a year."""
    return {"customer": customer_id, **totals(positions(customer_id))}


app = Flask(__name__)
app.register_blueprint(invoices)
