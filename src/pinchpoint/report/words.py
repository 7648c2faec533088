"""Sentences that the outputs share, so that the page, the markdown and the terminal say the same thing."""

from __future__ import annotations

from typing import Any

from pinchpoint import units

Report = dict[str, Any]

CLASS_TITLES = {
    "cpu": "CPU",
    "memory": "Memory",
    "io": "I/O",
    "pool": "Pool",
    "blocking": "Blocked event loop",
    "lock": "Lock",
    "none": "Nothing binds yet",
    "generator": "The load generator, not the app",
    "undetermined": "Undetermined",
}

_MODELS = {
    "rate": "Open model: arrivals are scheduled per second and keep coming when the app falls behind; "
    "latency counts from the scheduled arrival.",
    "users": "Closed model: each user waits for its answer before it asks again; latency counts from the send, "
    "so a slow app is also asked less.",
}

LOADED = ("baseline", "ramp", "search", "overload")
"""Phases whose steps tell latency against load; profile trials carry the profiler's cost, recovery is not load."""


def headline(report: Report) -> str:
    """Return the verdict in a few words: `Pool / db-pool`."""
    verdict = report["verdict"]
    title = CLASS_TITLES.get(verdict["class"], verdict["class"])
    return title if verdict["class"] in {"none", "generator", "undetermined"} else f"{title}: {verdict['cause']}"


def status_line(report: Report) -> str:
    """Return how sure the verdict is, and of what kind the run was."""
    verdict = report["verdict"]
    parts = [f"{verdict['class']}/{verdict['cause']}", verdict["status"]]
    parts.append(f"confidence {units.percent(verdict['confidence'])}")
    parts.append(f"measurement {report['validity']['status']}")
    if report["run"]["partial"]:
        parts.append("partial run")
    return " · ".join(parts)


def partial_reason(report: Report) -> str | None:
    """Return why a run is partial, or None when it is whole."""
    if not report["run"]["partial"]:
        return None
    problem = report["run"].get("problem") or "the run ended before its plan did"
    return f"Partial run: {problem}. What follows rests on what was recorded until then."


def model_line(report: Report) -> str:
    """Say whether the load was open or closed; belongs beside every figure of load."""
    return _MODELS.get(report["run"]["load"].get("model") or "", "The load model was not recorded.")


def capacity_lines(report: Report, *, reason: bool = True) -> list[tuple[str, str]]:
    """Return the capacity figures as pairs of name and text; they are different numbers (METHOD §1.1).

    `reason` adds why the app broke, which can be long.
    """
    capacity = report["capacity"]
    latency = capacity["latency_at_sustainable_ms"]
    lines = [
        ("Sustainable", _sustainable(capacity)),
        ("Breaks at", _breaking(capacity)),
        *([("Because", str(capacity["breaking_reason"]))] if reason and capacity["breaking_reason"] else []),
        ("Saturation (plateau)", units.rps(capacity["saturation_rps"])),
        ("Knee (advisory)", units.rps(capacity["knee_rps"])),
    ]
    if latency is not None:
        values = " / ".join(units.ms(latency[key]) for key in ("p50", "p95", "p99"))
        lines.append(("p50 / p95 / p99 there", values))
    lines.append(("Errors there", units.percent(capacity["error_rate"])))
    lines += [(f"Threshold {one['threshold']}", _slo(one)) for one in capacity["slo"]]
    return lines


def next_wall(report: Report) -> str | None:
    """Name the resource that would bind next."""
    wall = report["verdict"]["next_wall"]
    return None if wall is None else f"{wall['resource']} at {units.rps(wall['ceiling_rps'])}"


def place(location: dict[str, Any] | None) -> str | None:
    """Return where to look: function and line, the endpoint, the knob."""
    if not location:
        return None
    parts = []
    if location.get("function") or location.get("file"):
        line = f":{location['line']}" if location.get("line") is not None else ""
        where = f"{location['file']}{line}" if location.get("file") else ""
        parts.append(
            f"{location['function']} ({where})"
            if location.get("function") and where
            else location.get("function") or where
        )
    if location.get("endpoint"):
        parts.append(f"endpoint {location['endpoint']}")
    if location.get("knob"):
        parts.append(f"knob {location['knob']}")
    return " · ".join(parts) or None


def advice_change(advice: dict[str, Any]) -> str | None:
    """Return `pool_size: 4 → 8, +90 %`, or None when the advice names no knob."""
    if not advice["knob"]:
        return None
    change = f"{advice['from'] or '?'} → {advice['to']}" if advice["to"] else ""
    return " ".join(part for part in (f"{advice['knob']}:" if change else advice["knob"], change) if part)


def load_of(step: dict[str, Any]) -> str:
    """Return what the step asked for: a rate, or a number of users."""
    if step["offered_rps"] is not None:
        return units.rps(step["offered_rps"])
    return f"{step['users']} users" if step["users"] is not None else units.NOT_MEASURED


def recovery_line(report: Report) -> str:
    """Say whether the app came back after the overload."""
    recovery = report["recovery"]
    if recovery is None:
        return "Not measured: the run had no overload to recover from, or ended before."
    time = f" after {units.seconds(recovery['seconds'])}" if recovery["seconds"] is not None else ""
    start = f"The app recovered{time}" if recovery["recovered"] else "The app did not recover"
    details = []
    if recovery["latency_ratio"] is not None:
        details.append(f"latency {units.number(recovery['latency_ratio'])} times the baseline's")
    if recovery["memory_ratio"] is not None:
        details.append(f"memory {units.number(recovery['memory_ratio'])} times")
    return ", ".join([start, *details]) + "."


def gates_not_ok(report: Report) -> list[dict[str, Any]]:
    """Return the validity gates that are not plainly fine, worst first."""
    order = {"fail": 0, "warn": 1, "unavailable": 2}
    gates = [gate for gate in report["validity"]["gates"] if gate["status"] in order]
    return sorted(gates, key=lambda gate: order[gate["status"]])


def ledger_rows(report: Report) -> list[dict[str, Any]]:
    """Return the ledger, lowest ceiling first; resources without a ceiling come last."""
    return sorted(report["ledger"], key=lambda row: (row["ceiling_rps"] is None, row["ceiling_rps"] or 0.0))


def target_name(report: Report) -> str:
    """Return the command that was measured."""
    command = report["run"]["target"]["command"]
    return " ".join(str(part) for part in command) if isinstance(command, list) else str(command or units.NOT_MEASURED)


def _sustainable(capacity: dict[str, Any]) -> str:
    if capacity["sustainable_rps"] is None:
        return "no load held every threshold" if capacity["reached"] else units.NOT_MEASURED
    text = units.rps(capacity["sustainable_rps"])
    if capacity.get("sustainable_users") is not None:
        text += f" with {capacity['sustainable_users']} users"
    return text if capacity["reached"] else f"at least {text} (the limit was not reached)"


def _breaking(capacity: dict[str, Any]) -> str:
    if not capacity["reached"]:
        return "not reached"
    users = f"{capacity['breaking_users']} users" if capacity.get("breaking_users") is not None else None
    return units.rps(capacity["breaking_rps"]) if capacity["breaking_rps"] is not None else users or units.NOT_MEASURED


def _slo(result: dict[str, Any]) -> str:
    verdict = "held" if result["ok"] else "broken"
    return verdict if result["observed"] is None else f"{verdict}, observed {units.number(result['observed'])}"
