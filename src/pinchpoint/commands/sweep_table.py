"""`sweep.json`: from the reports of a sweep's runs to its table, its scaling law and the value to choose."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.cooldown import Rest
from pinchpoint.commands.knobs import WORKERS, Knob, Value
from pinchpoint.commands.run import RunResult
from pinchpoint.diagnosis.sweeps import TIE, Choice, Comparison, Gain, Measured, choose, gains
from pinchpoint.errors import ExitCode
from pinchpoint.recording import load_run
from pinchpoint.scaling import Scaling, fit_scaling, mean_rate

SCHEMA = "pinchpoint.sweep/1"
CURVE_POINTS = 60
Sweep = dict[str, Any]
Trial = dict[str, Any]
_MEDIANS = ("capacity_rps", "p95_ms", "cpu_cores", "pss_bytes", "loop_busy", "slots_busy", "slots_size")
_NOTHING: Trial = {
    "sustainable_rps": None,
    "resolution": None,
    "ci": None,
    "reached": None,
    **dict.fromkeys(_MEDIANS),
    "verdict": None,
    "validity": None,
    "started_at": None,
}


def trial(value: Value, repeat: int, number: int, result: RunResult, rest: Rest | None) -> Trial:
    """Return what one run gave; what was not measured is None. `problem` says why a run does not count."""
    figures = _figures(result.rebuilt.report) if result.rebuilt is not None else dict(_NOTHING)
    if result.rebuilt is not None:
        figures["started_at"] = load_run(result.folder).get("started_at")
    problem = _problem(figures, result)
    return {
        "value": value,
        "repeat": repeat,
        "order": number,
        "run": result.folder.name,
        "exit_code": int(result.exit_code),
        **figures,
        "counted": problem is None,
        "problem": problem,
        "rest_s": rest.seconds if rest is not None else None,
        "quiet": rest.quiet if rest is not None else None,
    }


def _problem(figures: Trial, result: RunResult) -> str | None:
    if result.exit_code not in {ExitCode.DONE, ExitCode.THRESHOLD_CROSSED, ExitCode.INVALID_MEASUREMENT}:
        return result.problem or "the run failed"
    if result.problem is not None and result.exit_code == ExitCode.INVALID_MEASUREMENT:
        return result.problem
    if figures["validity"] == "invalid" and result.rebuilt is not None:
        failed = [gate for gate in result.rebuilt.report["validity"]["gates"] if gate["status"] == "fail"]
        return f"invalid: {failed[0]['message'] if failed else 'a gate failed'}"
    if not figures["sustainable_rps"]:
        return "no load held every threshold"
    return None


def _figures(report: dict[str, Any]) -> Trial:
    capacity = report["capacity"]
    step = _step_at(report["steps"], capacity["sustainable_rps"])
    server = step["server"] if step else {}
    slots = (server.get("pools") or {}).get("slots") or {}
    return {
        "sustainable_rps": capacity["sustainable_rps"],
        "ci": capacity.get("sustainable_ci_rps"),
        "resolution": _resolution(capacity),
        "reached": capacity["reached"],
        "capacity_rps": capacity["saturation_rps"],
        "p95_ms": (capacity["latency_at_sustainable_ms"] or {}).get("p95"),
        "cpu_cores": server.get("cpu_cores"),
        "pss_bytes": server.get("pss_bytes"),
        "loop_busy": server.get("loop_busy"),
        "slots_busy": slots.get("busy"),
        "slots_size": slots.get("size"),
        "verdict": f"{report['verdict']['class']}/{report['verdict']['cause']}",
        "validity": report["validity"]["status"],
    }


def _resolution(capacity: dict[str, Any]) -> float | None:
    """Return how far above the rate told the limit may lie, as a ratio; None where nothing broke.

    It lies below the lowest load that broke, and below the plateau: nobody sustains more than was ever served.
    """
    above = []
    for held, broke in (("lower_bound_rps", "upper_bound_rps"), ("sustainable_users", "breaking_users")):
        if capacity.get(held) and capacity.get(broke):
            above.append(float(capacity[broke] / capacity[held]))
    if above and capacity["sustainable_rps"] and capacity["saturation_rps"]:
        interval = capacity.get("saturation_ci_rps")
        most = max(capacity["saturation_rps"] * (1 + TIE), interval[1] if interval else 0.0)
        above.append(float(most / capacity["sustainable_rps"]))
    return max(1.0, min(above)) if above else None


def _step_at(steps: list[dict[str, Any]], rate: float | None) -> dict[str, Any] | None:
    """Return the passing step with the goodput nearest to the sustainable rate."""
    passing = [step for step in steps if step["passed"] and not step["phase"].startswith(("profile", "void"))]
    if not passing or rate is None:
        return None
    nearest: dict[str, Any] = min(passing, key=lambda step: abs(step["goodput_rps"] - rate))
    return nearest


def sweep_table(config: RunConfig, knob: Knob, repeats: int, trials: Sequence[Trial], cores: int, name: str) -> Sweep:
    """Return `sweep.json`; additive changes only."""
    measured = [_measured(value, trials) for value in knob.values]
    choice = choose([one for one in measured if _tried(one.value, trials)], knob.called)
    comparison = Comparison(measured)
    rows = [_row(knob, one, comparison, trials) for one in measured if _tried(one.value, trials)]
    return {
        "schema": SCHEMA,
        "id": name,
        "knob": knob.name,
        "variable": knob.variable,
        "numeric": knob.numeric,
        "values": list(knob.values),
        "cores": cores,
        "rule_of_thumb": 2 * cores + 1 if knob.name == WORKERS else None,
        "model": config.model,
        "target": list(config.command) or config.target or "the reference app",
        "seed": config.seed,
        "repeats_asked": repeats,
        "runs_asked": repeats * len(knob.values),
        "run_budget_s": config.budget_s,
        "cpus": _cpus(config),
        "best": _best(knob, choice, rows) if choice is not None else None,
        "gains": [_gain(one) for one in gains(measured)],
        "scaling": _scaling(_fitted(measured)) if knob.scales else None,
        "notes": _notes(trials, comparison),
        "rows": rows,
    }


def _tried(value: Value, trials: Iterable[Trial]) -> bool:
    return any(one["value"] == value for one in trials)


def _measured(value: Value, trials: Iterable[Trial]) -> Measured:
    counted = [one for one in trials if one["value"] == value and one["counted"]]
    known = [one["resolution"] for one in counted if one["resolution"] is not None]
    return Measured(
        value,
        tuple(float(one["sustainable_rps"]) for one in counted),
        all(one["reached"] for one in counted),
        mean_rate(known) if known else 1.0,
    )


def _fitted(measured: Sequence[Measured]) -> Scaling:
    exact = all(one.resolution <= 1 + TIE for one in measured)
    return fit_scaling({float(one.value): one.rates for one in measured}, exact=exact)


def _row(knob: Knob, measured: Measured, comparison: Comparison, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return one value's line: means of rates, medians of the rest, over the runs that count."""
    own = sorted((one for one in trials if one["value"] == measured.value), key=lambda one: int(one["repeat"]))
    counted = [one for one in own if one["counted"]]
    verdicts = Counter(str(one["verdict"]) for one in counted)
    shown = counted or own
    interval = comparison.interval(measured)
    return {
        "value": measured.value,
        "label": knob.called(measured.value),
        **({"workers": measured.value} if knob.name == WORKERS else {}),
        "sustainable_rps": mean_rate(measured.rates) if measured.rates else None,
        "ci": list(interval) if interval is not None else None,
        "reached": measured.reached if counted else None,
        "resolution": measured.resolution if counted else None,
        **{key: _median(one[key] for one in counted) for key in _MEDIANS},
        "verdict": verdicts.most_common(1)[0][0] if verdicts else shown[0]["verdict"],
        "verdicts": dict(verdicts),
        "validity": _validity(counted, own),
        "run": shown[0]["run"],
        "started_at": shown[0]["started_at"],
        "counted": len(counted),
        "problem": None if counted else own[0]["problem"],
        "repeats": own,
    }


def _validity(counted: Sequence[Trial], own: Sequence[Trial]) -> str | None:
    if not counted:
        return "invalid" if any(one["validity"] for one in own) else None
    return "suspect" if any(one["validity"] == "suspect" for one in counted) else "valid"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _best(knob: Knob, choice: Choice, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    row = next(one for one in rows if one["value"] == choice.value)
    return {
        "value": choice.value,
        **({"workers": choice.value} if knob.name == WORKERS else {}),
        "label": row["label"],
        "reason": choice.reason,
        "sustainable_rps": choice.rate,
        "ci": list(choice.ci) if choice.ci is not None else None,
        "highest": choice.best,
        "still_rises": choice.still_rises,
        "price": {"cpu_cores": row["cpu_cores"], "pss_bytes": row["pss_bytes"]},
    }


def _gain(gain: Gain) -> dict[str, Any]:
    ci = list(gain.ci) if gain.ci is not None else None
    return {
        "from": gain.start,
        "to": gain.end,
        "ratio": gain.ratio,
        "ci": ci,
        "coarse": gain.coarse,
        "side": gain.side,
    }


def _scaling(fit: Scaling) -> dict[str, Any]:
    usl, ceilings = fit.usl, fit.ceilings
    return {
        "model": fit.law,
        "g": usl.g if usl else None,
        "s": usl.s if usl else None,
        "k": usl.k if usl else None,
        "ci": {name: [_finite(edge) for edge in edges] for name, edges in fit.ci.items()},
        "n_star": fit.n_star,
        "each_rps": _finite(ceilings.a) if ceilings else None,
        "ceiling_rps": _finite(ceilings.c) if ceilings else None,
        "aicc": dict(fit.aicc),
        "curve": _curve(fit),
        "warnings": list(fit.warnings),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _curve(fit: Scaling) -> list[list[float]]:
    """Return the law as points, from the smallest to the largest value that was measured and no further."""
    if fit.n_range is None:
        return []
    low, high = fit.n_range
    at = sorted({low + (high - low) * index / CURVE_POINTS for index in range(CURVE_POINTS + 1)} | {low, high})
    points = [(n, fit.predict(n)) for n in at]
    return [[n, rate] for n, rate in points if rate is not None]


def _cpus(config: RunConfig) -> dict[str, Any]:
    return {
        "server": sorted(config.server_cpus) if config.server_cpus is not None else None,
        "load": sorted(config.load_cpus) if config.load_cpus is not None else None,
    }


def _notes(trials: Sequence[Trial], comparison: Comparison) -> list[str]:
    loud = sum(1 for one in trials if one["quiet"] is False)
    notes = [f"before {loud} of {len(trials)} runs the machine was not quiet"] if loud else []
    if any(one["counted"] and not one["reached"] for one in trials):
        notes.append("some runs ended before the app's limit: their rates are lower bounds (>=)")
    coarse = [one for one in comparison.values if one.resolution > 1 + TIE]
    if coarse:
        worst = max(one.resolution for one in coarse)
        notes.append(
            f"some runs were too short to find the limit closer than {100 * (worst - 1):.0f} %; a longer --budget does"
        )
    if comparison.noise is None and len(comparison.values) > 1:
        notes.append(f"no value has two valid runs: differences below {100 * TIE:.0f} % are taken for noise")
    return notes
