"""`report.json`: everything the other outputs show, in the shape of DESIGN §4."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator

from pinchpoint.records import to_jsonable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinchpoint.measures import EndpointFigures, Step
    from pinchpoint.packs import PackResult, PartResult
    from pinchpoint.records import AwaitShares, Diagnosis, Profile

SCHEMA = "pinchpoint.report/1"
REPORT_JSON, REPORT_MARKDOWN, REPORT_HTML = "report.json", "report.md", "report.html"

_RUN_FIELDS: dict[str, Any] = {
    "id": None,
    "started_at": None,
    "duration_s": None,
    "argv": [],
    "budget_s": None,
    "partial": True,
    "problem": None,
    "versions": {},
    "host": {},
}
_TARGET_FIELDS = ("command", "workers", "worker_class", "python", "server_cpus")
_LOAD_FIELDS = ("model", "scenario", "locustfile", "processes", "load_cpus")
_ALWAYS = {
    "report": REPORT_JSON,
    "markdown": REPORT_MARKDOWN,
    "html": REPORT_HTML,
    "events": "events.jsonl",
    "samples": "server.jsonl",
}


def build_report(
    run: dict[str, Any], diagnosis: Diagnosis, profiles: Sequence[Profile], awaits: AwaitShares | None = None
) -> dict[str, Any]:
    """Return `report.json` of one run; `run` is `run.json`. What was not measured is null, never NaN or 0.

    Each step carries `start_s` and `end_s` besides its clock times: seconds since the first step began.
    """
    report = {
        "schema": SCHEMA,
        "run": _run(run, diagnosis.steps),
        "validity": to_jsonable(diagnosis.validity),
        "capacity": to_jsonable(diagnosis.capacity),
        "recovery": to_jsonable(diagnosis.recovery),
        "steps": _steps(diagnosis.steps),
        "ledger": to_jsonable(diagnosis.ledger),
        "ledger_check": to_jsonable(diagnosis.ledger_check),
        "time": to_jsonable(diagnosis.time),
        "awaits": to_jsonable(awaits),
        "verdict": to_jsonable(diagnosis.verdict),
        "findings": to_jsonable(diagnosis.findings),
        "experiments": [],
        "soak": to_jsonable(diagnosis.soak),
        "stages": to_jsonable(diagnosis.stages),
        "generator": to_jsonable(diagnosis.generator),
        "scenarios": _scenarios(diagnosis, run.get("slo") or {}),
        "pack": _pack(diagnosis.pack),
        "questions": to_jsonable(diagnosis.questions),
        "profiles": to_jsonable(list(profiles)),
        "artifacts": _artifacts(profiles),
    }
    return cast("dict[str, Any]", finite(report))


def validate(report: dict[str, Any]) -> list[str]:
    """Return what is wrong with a report, one sentence a problem with its place; an empty list means it is valid."""
    problems = sorted(
        _validator().iter_errors(report), key=lambda problem: [str(part) for part in problem.absolute_path]
    )
    return [f"{problem.json_path}: {problem.message}" for problem in problems]


@cache
def _validator() -> Draft202012Validator:
    text = files("pinchpoint.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def finite(value: Any) -> Any:
    """Replace NaN and infinities by None: JSON has neither, and a reader would take them for numbers."""
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _run(run: dict[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    shown = {name: run.get(name, default) for name, default in _RUN_FIELDS.items()}
    target, load = dict(run.get("target") or {}), dict(run.get("load") or {})
    shown["target"] = {**dict.fromkeys(_TARGET_FIELDS), "pids": [], **target}
    seen = {worker.pid for step in steps for worker in step.server.per_worker}
    shown["target"]["pids"] = shown["target"]["pids"] or sorted(seen)
    shown["load"] = {**dict.fromkeys(_LOAD_FIELDS), **load}
    shown["slo"] = dict(run.get("slo") or {})
    return shown


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    origin = min((step.t_start_s for step in steps), default=0.0)
    rows = []
    for step in steps:
        row = to_jsonable(step)
        row["start_s"] = round(step.t_start_s - origin, 3)
        row["end_s"] = round(step.t_end_s - origin, 3)
        rows.append(row)
    return rows


def sustained_step(steps: Sequence[Step], sustainable_rps: float | None) -> Step | None:
    """Return the passing step whose goodput lies nearest to the sustainable rate; profile trials do not count."""
    passing = [step for step in steps if step.passed and not step.phase.startswith(("profile", "warmup", "recovery"))]
    if sustainable_rps is None or not passing:
        return None
    return min(passing, key=lambda step: abs(step.goodput_rps - sustainable_rps))


def _scenarios(diagnosis: Diagnosis, slo: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a pack, else judge each endpoint at the sustainable load, latency of successful requests."""
    if diagnosis.pack is not None and diagnosis.pack.parts:
        return [_part(part, diagnosis.pack.step) for part in diagnosis.pack.parts]
    step = sustained_step(diagnosis.steps, diagnosis.capacity.sustainable_rps)
    if step is None:
        return []
    loaded = [endpoint for endpoint in step.client.endpoints if not endpoint.name.startswith("setup: ")]
    return [_scenario(endpoint, step, slo) for endpoint in loaded if endpoint.ok + endpoint.failed]


def _part(part: PartResult, step: int | None) -> dict[str, Any]:
    return {**to_jsonable(part), "step": step}


def _pack(pack: PackResult | None) -> dict[str, Any] | None:
    """Return what became of a pack; `audit` is null where the database was not looked at."""
    shown: dict[str, Any] | None = to_jsonable(pack)
    return shown


def _scenario(endpoint: EndpointFigures, step: Step, slo: dict[str, Any]) -> dict[str, Any]:
    requests = endpoint.ok + endpoint.failed
    error_rate = endpoint.failed / requests
    p95 = endpoint.latency_ms.p95 if endpoint.latency_ms is not None else None
    held = [error_rate <= slo["max_error_rate"]] if slo.get("max_error_rate") is not None else []
    if slo.get("p95_ms") is not None:
        held.append(p95 is not None and p95 <= slo["p95_ms"])
    compliance = "passed" if all(held) else "partially_passed" if any(held) else "failed"
    return {
        "name": endpoint.name,
        "requests": requests,
        "error_rate": error_rate,
        "avg_ms": endpoint.mean_ms,
        "p95_ms": p95,
        "peak_users": step.client.users,
        "compliance": compliance,
        "step": step.index,
    }


def _artifacts(profiles: Sequence[Profile]) -> dict[str, str]:
    graphs = {
        f"flamegraph {one.phase} {one.kind} {one.pid or 'all'}": one.svg for one in profiles if one.svg is not None
    }
    return {**_ALWAYS, **graphs}
