"""Capacity by goal, and the generator that measured it: rows that every output shows the same."""

from __future__ import annotations

from typing import Any

from pinchpoint import units
from pinchpoint.report import words
from pinchpoint.report.inside import Table

Report = dict[str, Any]

GOAL_HEAD = ("Goal", "Held up to", "Missed at", "Throughput", "95 % interval", "Trials", "What it asks")
GOAL_NOTE = (
    "Held up to: the largest load that met the goal, below every load that missed it. Throughput: what was served well "
    "there (conditional throughput, RFC 9971)."
)
UNITS = {"rate": "open: arrivals/s", "users": "closed: users"}


def unit_of(report: Report) -> str:
    """Return what the figures of load count; belongs on every axis and table of load."""
    return UNITS.get(report["run"]["load"].get("model") or "", "load model n/a")


def goals(report: Report) -> Table | None:
    """Return what the search found for each goal; None where no goals were searched for."""
    found = report["capacity"].get("goals") or []
    if not found:
        return None
    rows = [
        (
            str(one["name"]),
            units.rps(one["lower_rps"]) if one["lower_rps"] is not None else "no load",
            units.rps(one["upper_rps"]) if one["upper_rps"] is not None else "not reached",
            units.rps(one["throughput_rps"]),
            words.between(one["ci_rps"]),
            units.count(one["trials"]),
            str(one["description"]),
        )
        for one in found
    ]
    return Table(f"Capacity by goal ({unit_of(report)})", GOAL_HEAD, rows, GOAL_NOTE)


def line(report: Report) -> str | None:
    """Return what was served under every goal in one line; None where no goals were searched for."""
    found = report["capacity"].get("goals") or []
    served = [f"{one['name']} {_served(one)}" for one in found]
    return f"{', '.join(served)} ({units.count(trials(report))} trials)" if served else None


def _served(goal: dict[str, Any]) -> str:
    return "no load" if goal["lower_rps"] is None else units.rps(goal["throughput_rps"] or goal["lower_rps"])


def trials(report: Report) -> int:
    """Return how many steps set the capacity; void ones do not."""
    return sum(step["phase"] in {"baseline", "ramp", "search"} for step in report["steps"])


def generator_lines(report: Report) -> list[tuple[str, str]]:
    """Return the generator's panel as pairs of name and text; what was not measured says so."""
    one = report.get("generator")
    if one is None:
        return []
    lines = [
        ("Load processes", units.count(one["processes"])),
        ("Cores", _cores(one)),
        ("Most it can start", _most(one)),
        ("Busiest second of a load process", f"{units.percent(one['cpu_peak'])} of a core"),
        ("Send lag, p99, worst step", units.ms(one["send_lag_ms_p99"])),
        ("Arrivals nobody was free to take", _unsent(one)),
        ("Busiest worker over the mean", units.number(one["imbalance"])),
    ]
    if one["cpu_peak"] is None:
        lines[3] = (lines[3][0], units.NOT_MEASURED)
    return lines


def _cores(one: dict[str, Any]) -> str:
    load, server = _listed(one["load_cpus"]), _listed(one["server_cpus"])
    if load is None and server is None:
        return "load and server share all of them"
    return f"load {load or 'any'}, server {server or 'any'}"


def _listed(cpus: list[int] | None) -> str | None:
    return ", ".join(str(cpu) for cpu in cpus) if cpus else None


def _most(one: dict[str, Any]) -> str:
    if one["max_rps"] is None:
        return f"not calibrated; {units.rps(one['highest_rps'])} was the most it started"
    share = one["highest_rps"] / one["max_rps"] if one["highest_rps"] is not None and one["max_rps"] > 0 else None
    return f"{units.rps(one['max_rps'])} against a server that does nothing; this run used {units.percent(share)} of it"


def _unsent(one: dict[str, Any]) -> str:
    share = one["unsent"] / one["scheduled"] if one["scheduled"] else None
    return f"{units.count(one['unsent'])} of {units.count(one['scheduled'])} ({units.percent(share)})"


def hosts(report: Report) -> Table | None:
    """Return the other hosts that took part; None when there were none."""
    found = (report.get("generator") or {}).get("hosts") or []
    if not found:
        return None
    rows = [
        (
            str(one["name"]),
            {"load": "sends load", "target": "runs the target"}[one["role"]],
            units.ms(_in_ms(one["offset_s"])),
            units.ms(_in_ms(one["offset_error_s"])),
            f"lost: {one['lost']}" if one["lost"] else "to the end",
        )
        for one in found
    ]
    head = ("Host", "What it does", "Clock ahead of ours", "give or take", "Took part")
    return Table("Other hosts", head, rows, "Times of other hosts are translated to our clock.")


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def changes(report: Report) -> list[str]:
    """Return how load and server shared the machine, each time that was decided."""
    found = (report.get("generator") or {}).get("changes") or []
    return [f"How load and server share the machine: {text}" for text in found]


def steadiness(step: dict[str, Any]) -> str:
    """Return whether a step was steady, in a word."""
    return {True: "steady", False: "drifts", None: units.NOT_MEASURED}[step.get("steady")]
