"""Monthly reports: FastAPI, plain `def`. The tables of a report are computed once per report object."""

from functools import cache

from fastapi import FastAPI

from .settings import cured, severity

DAYS = round(300 * severity())
SALES = 25_000
"""Sales of a day that are added up."""

app = FastAPI(title="Reports")


class Report:
    """The figures of one shop."""

    def __init__(self, shop_id: int) -> None:
        self.shop_id = shop_id

    def table(self) -> list[tuple[int, float]]:
        """Return (day, turnover)."""
        return [(day, round((self.shop_id * 31 + day * 17) % 9_973 / 7, 2)) for day in range(DAYS)]

    @cache  # noqa: B019 - as it is often written
    def kept_table(self) -> list[tuple[int, float]]:
        """Return the table, computed once."""
        return self.table()


def todays_turnover(shop_id: int) -> int:
    """Return what was sold today, in cents."""
    total = 0
    for sale in range(SALES):
        total += (sale * 31 + shop_id) % 997
    return total


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "reports"}


@app.get("/shops/{shop_id}/report")
def report(shop_id: int) -> dict[str, float]:
    """Return a shop's best day, its turnover, and that of today."""
    found = Report(shop_id)
    table = found.table() if cured() else found.kept_table()
    best = max(table, key=lambda row: row[1])
    turnover = round(sum(row[1] for row in table), 2)
    return {"shop": shop_id, "best_day": best[0], "turnover": turnover, "today": todays_turnover(shop_id) / 100}
