"""Pay slips: Flask. Income tax is a progression that is walked bracket by bracket, month by month."""

from typing import Any

from flask import Flask

from .settings import severity

BRACKETS = [(1_000 + 250 * i, 0.10 + 0.0025 * i) for i in range(120)]
MONTHS = round(36 * severity())

app = Flask(__name__)


def tax(income: float) -> float:
    """Return the tax on a month's income."""
    due, floor = 0.0, 0.0
    for ceiling, share in BRACKETS:
        if income <= floor:
            break
        due += (min(income, ceiling) - floor) * share
        floor = ceiling
    return due


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "payroll"}


@app.get("/staff/<int:staff_id>/slips")
def slips(staff_id: int) -> dict[str, Any]:
    """Return the pay of the months."""
    gross = 24_000.0 + staff_id % 900
    net = [round(gross + 10 * month - tax(gross + 10 * month), 2) for month in range(MONTHS)]
    return {"staff": staff_id, "net": round(sum(net), 2), "months": len(net)}
