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

SOAK_TITLES = {
    "leak": "Memory leaks, and nothing binds yet",
    "no leak": "No leak, and nothing binds",
    "cannot tell": "Nothing binds yet; whether memory leaks cannot be told",
}

STATUS_MEANINGS = {
    "confirmed": "an experiment that changed this resource agrees",
    "supported": "prediction and measurement agree; no experiment has confirmed it",
    "ambiguous": "prediction and measurement disagree, another cause fits as well, or it was not measured itself",
    "invalid": "the measurement cannot carry a verdict",
}

UNCHANGED = 0.05
"""A ratio this close to 1 reads as "unchanged": runs scatter by more."""

FASTER_IS_NORMAL = 1.25
"""Latency up to this many times the baseline's is back to normal: a recovery lasts too short to tell more."""

_TENTHS_BELOW_S = 10.0

_MODELS = {
    "rate": "Open model: arrivals are scheduled per second and keep coming when the app falls behind; "
    "latency counts from the scheduled arrival.",
    "users": "Closed model: each user waits for its answer before it asks again; latency counts from the send, "
    "so a slow app is also asked less.",
}

LOADED = ("baseline", "ramp", "search", "overload", "stage")
"""Phases whose steps tell latency against load; profile trials carry the profiler's cost, recovery is not load."""


def headline(report: Report) -> str:
    """Return the verdict in a few words: `Pool / db-pool`."""
    verdict = report["verdict"]
    if verdict["class"] == "none" and report.get("soak") is not None:
        return SOAK_TITLES[report["soak"]["leak"]]
    title = CLASS_TITLES.get(verdict["class"], verdict["class"])
    return title if verdict["class"] in {"none", "generator", "undetermined"} else f"{title}: {verdict['cause']}"


def status_meaning(report: Report) -> str | None:
    """Say what the status stands for; None where no resource was named, so that there is nothing to stand behind."""
    verdict = report["verdict"]
    meaning = STATUS_MEANINGS.get(verdict["status"])
    if verdict["class"] in {"none", "generator", "undetermined"} or report["validity"]["status"] == "invalid":
        return None
    return f"{verdict['status']}: {meaning}" if meaning else None


def moves(report: Report) -> str | None:
    """Say how what binds moves with the load; None where the same binds at every load beyond the limit."""
    parts: list[str] = []
    last = None
    for one in report["verdict"].get("by_step") or []:
        name = f"{one['class']}/{one['cause']}"
        if name != last:
            load = units.rps(one["load"]) if one["unit"] == "requests/s" else f"{units.number(one['load'])} users"
            parts.append(f"{name} from {load}")
        last = name
    return ", then ".join(parts) if len(parts) > 1 else None


def status_line(report: Report) -> str:
    """Return how sure the verdict is, and of what kind the run was."""
    verdict = report["verdict"]
    parts = [f"{verdict['class']}/{verdict['cause']}", verdict["status"]]
    if verdict["class"] != "undetermined":
        # How sure we are that nothing can be said is no news to a reader.
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
    lines = [("Sustainable", _sustainable(capacity)), ("Breaks at", _breaking(report))]
    if reason and capacity["breaking_reason"]:
        lines.append(("Because", str(capacity["breaking_reason"])))
    if latency is not None:
        values = " / ".join(units.ms(latency[key]) for key in ("p50", "p95", "p99"))
        lines.append(("p50 / p95 / p99 sustained", values))
    if capacity["error_rate"] is not None:
        lines.append(("Errors sustained", units.percent(capacity["error_rate"])))
    if capacity["saturation_rps"] is not None:
        plateau = with_interval(capacity["saturation_rps"], capacity.get("saturation_ci_rps"))
        lines.append(("Plateau of goodput", plateau))
    if capacity["knee_rps"] is not None:
        lines.append(("Latency bends at", units.rps(capacity["knee_rps"])))
    if (told := collapse(capacity)) is not None:
        lines.append(("Under overload", told))
    lines += [(f"Threshold {one['threshold']}", _slo(one)) for one in capacity["slo"] if report["steps"]]
    return lines


COLLAPSED = 0.9
"""METHOD §1.1: below this share of the plateau the app collapses instead of levelling off."""


def collapse(capacity: dict[str, Any]) -> str | None:
    """Say what became of the goodput at 1.5 times the plateau; None where that was not tried."""
    ratio = capacity.get("collapse_ratio")
    if ratio is None:
        return None
    said = "the app collapses" if ratio < COLLAPSED else "it holds"
    return f"{units.percent(ratio)} of the plateau at 1.5 times the load: {said}"


def between(interval: list[float] | None) -> str:
    """Return `95 to 102`; `n/a` without an interval."""
    return units.NOT_MEASURED if interval is None else f"{units.number(interval[0])} to {units.number(interval[1])}"


def with_interval(value: float | None, interval: list[float] | None) -> str:
    """Return a rate with its 95 % interval, where it has one: `98/s (95 to 102)`."""
    return units.rps(value) if interval is None else f"{units.rps(value)} ({between(interval)})"


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
    """Return `pool_size: 4 → 8`, `max_requests = 300` when the old value is unknown, None without a new value."""
    if not advice["knob"] or not advice["to"]:
        return None
    return (
        f"{advice['knob']}: {advice['from']} → {advice['to']}"
        if advice["from"]
        else f"{advice['knob']} = {advice['to']}"
    )


def advice_text(advice: dict[str, Any]) -> str:
    """Return the advice as one sentence and what it should bring; a change the sentence already tells is left out."""
    told = advice["to"] is not None and str(advice["to"]) in str(advice["text"])
    notes = [None if told else advice_change(advice)]
    notes.append(f"expected: {advice['expected_gain']}" if advice["expected_gain"] else None)
    shown = "; ".join(note for note in notes if note)
    return f"{advice['text']} ({shown})" if shown else str(advice["text"])


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
    if not recovery["recovered"]:
        start = "Not back to normal while it was watched"
    elif recovery["seconds"] is not None:
        start = f"Back to normal {_seconds_after(recovery['seconds'])} after the overload"
    else:
        start = "Back to normal after the overload"
    details = [_latency_after(recovery["latency_ratio"]), _memory_after(recovery["memory_ratio"])]
    shown = [detail for detail in details if detail]
    return f"{start}: {', '.join(shown)}." if shown else f"{start}."


def _seconds_after(value: float) -> str:
    """Tenths of a second are as fine as a recovery can be told."""
    return f"{max(value, 0.1):.1f} s" if value < _TENTHS_BELOW_S else units.seconds(value)


def _latency_after(ratio: float | None) -> str | None:
    """Latency below the baseline's is nothing to tell: a warmed-up app often answers faster."""
    if ratio is None:
        return None
    return f"latency {units.number(ratio)} times what it was" if ratio > FASTER_IS_NORMAL else "latency as before"


def _memory_after(ratio: float | None) -> str | None:
    if ratio is None:
        return None
    if abs(ratio - 1) <= UNCHANGED:
        return "memory as before"
    return f"memory {units.number(ratio)} times what it was"


def gates_not_ok(report: Report) -> list[dict[str, Any]]:
    """Return the validity gates that are not plainly fine, worst first."""
    order = {"fail": 0, "warn": 1, "unavailable": 2}
    gates = [gate for gate in report["validity"]["gates"] if gate["status"] in order]
    return sorted(gates, key=lambda gate: order[gate["status"]])


def ledger_rows(report: Report) -> list[dict[str, Any]]:
    """Return the ledger, lowest ceiling first; resources without a ceiling come last."""
    return sorted(report["ledger"], key=lambda row: (row["ceiling_rps"] is None, row["ceiling_rps"] or 0.0))


def ledger_check(report: Report) -> str | None:
    """Say whether the lowest ceiling agrees with the measured capacity; None where one of them is unknown."""
    found = report.get("ledger_check")
    if not found:
        return None
    ceiling, measured = units.rps(found["ceiling_rps"]), units.rps(found["measured_rps"])
    text = f"Measured {measured}, {found['ratio']:.2f} of the lowest ceiling ({found['resource']}, {ceiling}): "
    text += f"{found['meaning']}."
    if found["rivals"]:
        text += f" By the intervals, the lowest could as well be {', '.join(found['rivals'])}."
    return text


def target_name(report: Report) -> str:
    """Return the command that was measured."""
    command = report["run"]["target"]["command"]
    return " ".join(str(part) for part in command) if isinstance(command, list) else str(command or units.NOT_MEASURED)


def server_name(report: Report) -> str | None:
    """Return the server that ran the app, its version and the interpreter's, as far as they are known."""
    target = report["run"]["target"]
    name, version, python = target.get("server"), target.get("server_version"), target.get("python_version")
    parts = [
        name if name and not version else f"{name} {version}" if name else None,
        f"Python {python}" if python else None,
    ]
    return ", ".join(part for part in parts if part) or None


def _sustainable(capacity: dict[str, Any]) -> str:
    if capacity["sustainable_rps"] is None:
        return "no load held every threshold" if capacity["reached"] else "not measured"
    text = with_interval(capacity["sustainable_rps"], capacity.get("sustainable_ci_rps"))
    if capacity.get("sustainable_users") is not None:
        text += f" with {capacity['sustainable_users']} users"
    return text if capacity["reached"] else f"at least {text} (the limit was not reached)"


def _breaking(report: Report) -> str:
    capacity = report["capacity"]
    if not capacity["reached"]:
        return "not reached" if report["steps"] else "not measured"
    users = f"{capacity['breaking_users']} users" if capacity.get("breaking_users") is not None else None
    return units.rps(capacity["breaking_rps"]) if capacity["breaking_rps"] is not None else users or units.NOT_MEASURED


def _slo(result: dict[str, Any]) -> str:
    verdict = "held" if result["ok"] else "broken"
    if result["observed"] is None:
        return verdict
    name = str(result["threshold"])
    shown = units.number
    if name.startswith(("error", "rate", "http_req_failed")):
        shown = units.percent
    elif name.startswith(("p", "avg", "med", "min", "max", "http_req_duration")):
        shown = units.ms
    return f"{verdict} ({shown(result['observed'])})"
