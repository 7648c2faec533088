"""Pay slips: Flask. Income tax is a progression that is walked bracket by bracket, person by person."""

from typing import Any

from flask import Flask

from .settings import severity

BRACKETS = [(1_000 + 250 * i, 0.10 + 0.0025 * i) for i in range(120)]
SLIPS = round(420 * severity())

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


@app.get("/departments/<int:department_id>/slips")
def slips(department_id: int) -> dict[str, Any]:
    """Return the pay of a department, person by person and month by month."""
    gross = 24_000.0 + department_id % 900
    net = [round(gross + number - tax(gross + number), 2) for number in range(SLIPS)]
    return {"department": department_id, "net": round(sum(net), 2), "slips": len(net)}
