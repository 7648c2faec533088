"""A bundled scenario in the outputs: its parts, its targets, what its database held afterwards, and what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinchpoint import units
from pinchpoint.report.inside import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

Report = dict[str, Any]

COMPLIANCE = {"passed": "Passed", "partially_passed": "Partially Passed", "failed": "Failed", None: "not measured"}
NOT_MEASURED = "not measured"
STYLES = ("ok", "warn", "fail")
"""Of the best, the acceptable and the worst grade."""
PART_HEAD = ("Scenario", "Requests", "Average", "p95", "Peak users", "Errors", "Compliance")
TARGET_HEAD = ("Target", "Measured", "Asked for", "Acceptable", "Grade")
AUDIT_HEAD = ("In the database after the run", "Found")
KINDS_SHOWN = 3


def headline(report: Report) -> str | None:
    """Return the section's title, or None for a run without a pack."""
    found = report.get("pack")
    if not found:
        return None
    return f"Scenario {found['name']}, {found['at']}" if found["at"] else f"Scenario {found['name']}: nothing measured"


def tables(report: Report) -> list[Table]:
    """Return the tables that hold anything."""
    found = report.get("pack")
    if not found:
        return []
    return [one for one in (_parts(found), _targets(found), _audit(found)) if one.rows]


def lines(report: Report) -> list[str]:
    """Return what the figures mean, in sentences."""
    found = report.get("pack")
    return [str(one["statement"]) for one in found["findings"]] if found else []


def style(report: Report, cell: str) -> str:
    """Return `ok`, `warn` or `fail` for a word that judges, else nothing."""
    grades = dict(zip(report["pack"]["grades"], STYLES, strict=True))
    judged = {COMPLIANCE["passed"]: "ok", COMPLIANCE["partially_passed"]: "warn", COMPLIANCE["failed"]: "fail"}
    return str({**judged, **grades}.get(cell, ""))


def _parts(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(one["name"]),
            units.count(one["requests"]),
            units.ms(one["avg_ms"]),
            units.ms(one["p95_ms"]),
            units.count(one["peak_users"]),
            units.percent(one["error_rate"]),
            COMPLIANCE[one["compliance"]],
        )
        for one in found["parts"]
    ]
    failed = [f"{one['name']}: {_kinds(one['errors'])}" for one in found["parts"] if one["errors"]]
    note = f"Failures by kind: {'; '.join(failed)}." if failed else ""
    return Table("Scenario by scenario", PART_HEAD, rows, note)


def _kinds(errors: Mapping[str, int]) -> str:
    """Return `409 (120), timeout (3)`, most first."""
    most = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{kind} ({units.count(number)})" for kind, number in most[:KINDS_SHOWN]]
    left_out = len(most) - KINDS_SHOWN
    return ", ".join([*shown, *([f"{left_out} more"] if left_out > 0 else [])])


def _targets(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(one["name"]),
            value(one["observed"], one["metric"]),
            f"{one['op']} {value(one['target'], one['metric'])}",
            "-" if one["acceptable"] is None else f"{one['op']} {value(one['acceptable'], one['metric'])}",
            NOT_MEASURED if one["grade"] is None else str(one["grade"]),
        )
        for one in found["targets"]
    ]
    return Table("Targets", TARGET_HEAD, rows, _where(found))


def _where(found: Mapping[str, Any]) -> str:
    """Say at which load the targets were judged, where that is not what the title says."""
    others = dict.fromkeys(str(one["at"]) for one in found["targets"] if one["at"] != found["at"])
    names = [", ".join(str(one["name"]) for one in found["targets"] if one["at"] == at) for at in others]
    said = [f"{who}: {at}" for who, at in zip(names, others, strict=True) if at]
    return f"{'; '.join(said)}." if said else ""


def value(number: float | None, metric: str) -> str:
    """Write a value in the unit of its metric."""
    if metric.endswith("_ms"):
        return units.ms(number)
    if metric == "rps":
        return units.rps(number)
    return units.percent(number) if metric == "error_rate" else units.count(number)


def _audit(found: Mapping[str, Any]) -> Table:
    rows = [(name.replace("_", " "), _shown(one)) for name, one in (found["audit"] or {}).items()]
    return Table("Data after the run", AUDIT_HEAD, rows)


def _shown(found: object) -> str:
    if isinstance(found, bool) or found is None:
        return {True: "yes", False: "no", None: NOT_MEASURED}[found]
    if isinstance(found, (list, int)):
        return units.count(len(found) if isinstance(found, list) else found)
    return units.number(found) if isinstance(found, float) else str(found)
