"""A run with `--stages` in the outputs: its stages, thresholds, spikes, the point of imbalance, and one chart."""

from __future__ import annotations

from typing import Any

from pinchpoint import units
from pinchpoint.report.inside import Table

Report = dict[str, Any]
MODELS = {"rate": "open: arrivals/s", "users": "closed: users"}
HALF_S = 0.5
"""A second's figures are drawn in its middle."""
STAGES_SHOWN = 60
"""A `step(...)` of hundreds is told by its first and last ones."""


def headline(report: Report) -> str | None:
    """Return the section's title, or None for a run without stages."""
    found = report.get("stages")
    if not found:
        return None
    return f"Stages ({MODELS.get(found['model'], 'load model n/a')})"


def load(report: Report, value: float | None) -> str:
    """Write a load in the model's unit."""
    if value is None:
        return units.NOT_MEASURED
    return units.rps(value) if report["stages"]["model"] == "rate" else f"{units.number(value)} users"


def summary(report: Report) -> list[str]:
    """Return the sentences that come first: the profile, why it ended, the spikes."""
    found = report["stages"]
    lines = [f"Profile: {found['profile']}, {units.seconds(found['seconds'])}."]
    if found["stop"] is not None:
        lines.append(stop_line(report))
    lines += [spike_line(report, one) for one in found["spikes"]]
    return lines


def stop_line(report: Report) -> str:
    """Tell the point of imbalance."""
    stop = report["stages"]["stop"]
    level = stop["offered_rps"] if stop["offered_rps"] is not None else stop["users"]
    line = f"Stopped: {stop['message']} ({stop['criterion']}). "
    line += f"Point of imbalance: {load(report, level)} at second {units.number(stop['second_s'])}"
    if stop["last_good_s"] is None:
        return f"{line}; it began with the load."
    good = load(report, stop["last_good_load"])
    return f"{line}; the last good second was {units.number(stop['last_good_s'])}, at {good}."


def spike_line(report: Report, one: dict[str, Any]) -> str:
    """Tell one spike and what came after it."""
    what = f"Spike from {load(report, one['base'])} to {load(report, one['peak'])}"
    what += f" at second {units.number(one['start_s'])}"
    if one["recovered"] is None:
        return f"{what}: not known when the app was back to normal."
    if not one["recovered"]:
        return f"{what}: the app was not back to normal before the load ended or rose again."
    if one["recovery_s"] < 1:
        return f"{what}: back to normal within a second of its end."
    return f"{what}: back to normal {units.seconds(one['recovery_s'])} after its end."


def tables(report: Report) -> list[Table]:
    """Return the stages with their thresholds, and the spikes."""
    found = report.get("stages")
    if not found:
        return []
    return [one for one in (_limits(found), _stages(report, found), _spikes(report, found)) if one.rows]


def _limits(found: dict[str, Any]) -> Table:
    rows = [(one["threshold"], _verdict(one), one["shown"]) for one in found["limits"]]
    note = "Over everything since the stages began, as k6 judges them; durations are those of successful requests."
    return Table("Thresholds", ("threshold", "held", "observed"), rows, note)


def _verdict(one: dict[str, Any]) -> str:
    return {True: "yes", False: "crossed", None: "not judged"}[one["ok"]]


def _stages(report: Report, found: dict[str, Any]) -> Table:
    stages = found["stages"]
    left_out = max(0, len(stages) - STAGES_SHOWN)
    half = STAGES_SHOWN // 2
    shown = [*stages[:half], *stages[-half:]] if left_out else stages
    rows = [
        (
            one["name"],
            f"{units.number(one['start_s'])} to {units.number(one['end_s'])} s",
            f"{units.number(one['from'])} to {load(report, one['to'])}",
            units.rps(one["goodput_rps"]),
            units.percent(one["error_rate"]),
            units.ms(one["p95_ms"]),
            "; ".join(f"{each['threshold']}: {each['shown']}" for each in one["limits"] if each["ok"] is False) or "-",
        )
        for one in shown
    ]
    head = ("stage", "time", "load", "goodput", "errors", "p95", "thresholds crossed in it")
    return Table("Stage by stage", head, rows, f"{left_out} stages in between are left out." if left_out else "")


def _spikes(report: Report, found: dict[str, Any]) -> Table:
    rows = [
        (
            f"{units.number(one['start_s'])} to {units.number(one['end_s'])} s",
            load(report, one["base"]),
            load(report, one["peak"]),
            units.ms(one["before_ms"]),
            units.percent(one["peak_error_rate"]),
            {True: units.seconds(one["recovery_s"]), False: "not recovered", None: units.NOT_MEASURED}[
                one["recovered"]
            ],
        )
        for one in found["spikes"]
    ]
    note = (
        "Recovery: from when the offered load is back, to the first second whose p90 is at most twice the one before "
        "the spike and whose errors are within the limit."
    )
    return Table("Spikes", ("time", "base", "peak", "p90 before", "errors at the peak", "recovery"), rows, note)


def chart(report: Report) -> dict[str, Any] | None:
    """Return what the page draws over time; None for a run without stages."""
    found = report.get("stages")
    if not found:
        return None
    series = found["series"]
    users = found["model"] == "users"
    keys = ("started_rps", "goodput_rps", "p50_ms", "p95_ms", "p99_ms")
    stop = found["stop"]
    return {
        "label": MODELS.get(found["model"], "load model n/a"),
        "users": users,
        "t_s": [one["t_s"] + HALF_S for one in series],
        "offered": [one["users"] if users else one["offered_rps"] for one in series],
        **{key: [one[key] for one in series] for key in keys},
        "errors_rps": [_errors(one) for one in series],
        "borders": [{"t_s": one["start_s"], "name": one["name"]} for one in found["stages"]][:STAGES_SHOWN],
        "limits_ms": [one for one in map(_duration_limit, found["limits"]) if one is not None],
        "stop": None if stop is None else {"t_s": stop["second_s"], "text": stop["criterion"]},
    }


def _errors(one: dict[str, Any]) -> float | None:
    rate, goodput = one["error_rate"], one["goodput_rps"]
    if rate is None or goodput is None or rate >= 1:
        return None
    return float(goodput * rate / (1 - rate))


def _duration_limit(one: dict[str, Any]) -> dict[str, Any] | None:
    """Return where a threshold on durations lies; the others are no line in milliseconds."""
    text = str(one["threshold"])
    head, _, limit = text.rpartition("<") if "<" in text else text.rpartition(">")
    if not head.startswith(("p(", "avg", "med", "max", "min", "http_req_duration")):
        return None
    try:
        value = float(limit.lstrip("="))
    except ValueError:
        return None
    return {"ms": value, "text": text} if value > 0 else None
