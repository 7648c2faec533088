"""The questions of a load test and their answers, for every output; nothing for a report that has none."""

from __future__ import annotations

from typing import Any

from pinchpoint import units
from pinchpoint.report.inside import Table

Report = dict[str, Any]

TITLE = "The questions of a load test"
HEAD = ("Question", "Answer", "Value")
SHORT = {
    "response-time": "Response time",
    "highest-rate": "Highest rate",
    "errors-from": "Errors above 1 %",
    "slow-from": "Too slow",
    "under-stress": "Under stress",
    "recovery": "Recovers",
}
"""A line of the terminal has no room for the question."""


def answers(report: Report) -> list[dict[str, Any]]:
    """Return the answers; older reports have none."""
    return list(report.get("questions") or [])


def table(report: Report) -> Table | None:
    """Return every question with its answer; None where nothing was asked."""
    found = answers(report)
    rows = [(str(one["question"]), str(one["answer"]), _value(one)) for one in found]
    return Table(TITLE, HEAD, rows) if rows else None


def lines(report: Report) -> list[tuple[str, str]]:
    """Return the answers as pairs of a short name and the first sentence, for the terminal."""
    return [(SHORT.get(one["name"], str(one["question"])), _first(str(one["answer"]))) for one in answers(report)]


def _first(text: str) -> str:
    sentence, _, _ = text.partition(". ")
    return sentence.removesuffix(".")


def _value(one: dict[str, Any]) -> str:
    if not one["measured"]:
        return units.NOT_MEASURED
    return "-" if one["value"] is None else units.quantity(one["value"], one["unit"])
