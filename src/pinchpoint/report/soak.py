"""A soak in the outputs: the conditions of a leak, the loads, what else grew, and when workers were replaced."""

from __future__ import annotations

from typing import Any

from pinchpoint import units
from pinchpoint.report.inside import Table

Report = dict[str, Any]
OK_WORDS = {True: "yes", False: "no", None: "cannot tell"}


def headline(report: Report) -> str | None:
    """Return `Soak: leak`, or None for a run that was no soak."""
    found = report.get("soak")
    return None if found is None else f"Soak at {units.rps(found['rate_rps'])} for {units.seconds(found['seconds'])}"


def lines(report: Report) -> list[str]:
    """Return the sentences that a terminal shows."""
    found = report.get("soak")
    if found is None:
        return []
    told = [f"{one['name']}: {OK_WORDS[one['ok']]} ({one['statement']})" for one in found["conditions"]]
    return [*told, *[f"broke in between: {text}" for text in found["broke"]]]


def facts(report: Report) -> list[tuple[str, str]]:
    """Return the soak's figures as pairs of name and text."""
    found = report.get("soak")
    if found is None:
        return []
    slope = found["bytes_per_request"]
    pairs = [
        ("Leak", str(found["leak"])),
        ("Requests completed", units.count(found["requests"])),
        ("Memory per request", units.NOT_MEASURED if slope is None else _slope(slope)),
        ("A leak shows from", _per_request(found["seen_from_bytes_per_request"])),
    ]
    if found["seconds_to_limit"] is not None:
        left = f"{units.seconds(found['seconds_to_limit'])}, for the {units.size(found['free_bytes'])} that are free"
        pairs.append(("Memory lasts", left))
    return pairs


def _bytes(value: float) -> str:
    return f"-{units.size(-value)}" if value < 0 else units.size(value)


def _slope(slope: dict[str, float]) -> str:
    return f"{_bytes(slope['value'])} ({_bytes(slope['low'])} to {_bytes(slope['high'])})"


def _per_request(value: float | None) -> str:
    return units.NOT_MEASURED if value is None else f"{units.size(value)} per request"


def tables(report: Report) -> list[Table]:
    """Return the tables that hold anything."""
    found = report.get("soak")
    if found is None:
        return []
    made = [_conditions(found), _loads(found), _drifts(found), _restarts(found)]
    return [one for one in made if one.rows]


def _conditions(found: dict[str, Any]) -> Table:
    rows = [(str(one["name"]), OK_WORDS[one["ok"]], str(one["statement"])) for one in found["conditions"]]
    note = "A leak is what meets all five; half the load or no load may have been too short to tell."
    return Table("What makes a leak", ("Condition", "Met", "Measured"), rows, note)


def _loads(found: dict[str, Any]) -> Table:
    rows = [
        (
            units.rps(one["offered_rps"]) if one["offered_rps"] else "no load",
            units.seconds(one["seconds"]),
            units.count(one["requests"]),
            units.NOT_MEASURED if one["grown_bytes"] is None else _bytes(one["grown_bytes"]),
            units.NOT_MEASURED if one["bytes_per_request"] is None else _slope(one["bytes_per_request"]),
        )
        for one in found["loads"]
    ]
    head = ("Load (open: arrivals/s)", "For", "Requests", "Memory grew", "Per request (95 %)")
    return Table("Loads", head, rows, "Growth without the first fifth of each load, in which caches and arenas fill.")


def _drifts(found: dict[str, Any]) -> Table:
    rows = [
        (
            str(one["signal"]),
            str(one["trend"]),
            units.quantity(one["start"], one["unit"]),
            units.quantity(one["end"], one["unit"]),
            _per_thousand(one),
        )
        for one in found["drifts"]
    ]
    head = ("Signal", "Trend", "From", "To", "Per 1,000 requests (95 %)")
    return Table("What else changed while the load did not", head, rows, "By robust slope over the first load.")


def _per_thousand(one: dict[str, Any]) -> str:
    slope = one["per_thousand_requests"]
    if slope is None:
        return units.NOT_MEASURED
    value, low, high = (units.quantity(slope[key], one["unit"]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _restarts(found: dict[str, Any]) -> Table:
    rows = [
        (
            units.seconds(one["t_s"]),
            units.count(one["requests"]),
            ", ".join(str(pid) for pid in one["pids"]),
            units.NOT_MEASURED if one["freed_bytes"] is None else _bytes(one["freed_bytes"]),
        )
        for one in found["restarts"]
    ]
    head = ("At", "After requests", "Workers that went", "Memory freed")
    return Table("Replaced workers", head, rows, "By max_requests, or after a crash: restarts hide a leak.")


def chart(report: Report) -> dict[str, Any] | None:
    """Return the columns that the page draws."""
    found = report.get("soak")
    if found is None or not found["points"]:
        return None
    names = ("t_s", "requests", "offered_rps", "goodput_rps", "p95_ms", "pss_bytes", "rss_bytes", "cpu_ms_per_request")
    columns: dict[str, Any] = {name: [one[name] for one in found["points"]] for name in (*names, "fds", "threads")}
    return {**columns, "restarts": [one["t_s"] for one in found["restarts"]]}
