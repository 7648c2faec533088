"""`compare.json`: a comparison of two runs as plain values, with the sentences that every output shows."""

from dataclasses import asdict
from typing import Any

from pinchpoint.diagnosis.compare.levels import Level
from pinchpoint.diagnosis.compare.noise import Between, Change
from pinchpoint.diagnosis.compare.records import CapacityRow, Comparison, LedgerRow
from pinchpoint.diagnosis.compare.runs import Side
from pinchpoint.diagnosis.compare.words import shown, told
from pinchpoint.records import Resource, to_jsonable
from pinchpoint.report.build import finite

SCHEMA = "pinchpoint.compare/1"
_RESOURCE = ("ceiling_rps", "ceiling_ci_rps", "capacity", "unit", "demand_s_per_request", "utilisation")


def compare_table(found: Comparison) -> dict[str, Any]:
    """Return `compare.json`; additive changes only. What nothing bounds is null, never infinite."""
    table = {
        "schema": SCHEMA,
        "tolerance": found.tolerance,
        "before": _side(found.before),
        "after": _side(found.after),
        "headline": found.headline,
        "regression": bool(found.regressions),
        "regressions": list(found.regressions),
        "move": asdict(found.move),
        "capacity": [_capacity(row) for row in found.capacity],
        "at_load": [{**asdict(row), "change": _change(row.change)} for row in found.at_load],
        "errors": to_jsonable(found.errors),
        "memory_growth_bytes_per_request": asdict(found.growth),
        "ledger": [_ledger(row) for row in found.ledger],
        "loads": [{"before": _level(one), "after": _level(two)} for one, two in found.pairs],
        "levels": {
            which: [_level(level) for level in some]
            for which, some in zip(("before", "after"), found.levels, strict=True)
        },
        "changes": [asdict(one) for one in found.changes],
        "warnings": list(found.warnings),
    }
    return dict(finite(table))


def _side(side: Side) -> dict[str, Any]:
    target, verdict = side.part("target"), side.diagnosis.verdict
    return {
        "name": side.name,
        "id": side.run.get("id"),
        "started_at": side.run.get("started_at"),
        "target": target.get("command"),
        "workers": target.get("workers"),
        "model": side.model,
        "partial": bool(side.run.get("partial")),
        "validity": side.diagnosis.validity.status,
        "reached": side.diagnosis.capacity.reached,
        "p95_limit_ms": side.part("slo").get("p95_ms"),
        "verdict": {
            "class": verdict.class_,
            "cause": verdict.cause,
            "status": verdict.status,
            "confidence": verdict.confidence,
            "summary": verdict.summary,
            "location": to_jsonable(verdict.location),
            "next_wall": to_jsonable(verdict.next_wall),
            "co_bottlenecks": list(verdict.co_bottlenecks),
        },
        "recovery": to_jsonable(side.diagnosis.recovery),
    }


def _capacity(row: CapacityRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "what": row.what,
        "unit": row.unit,
        "before": _between(row.before, row.unit),
        "after": _between(row.after, row.unit),
        "change": _change(row.change),
    }


def _ledger(row: LedgerRow) -> dict[str, Any]:
    return {
        "resource": row.resource,
        "before": _resource(row.before),
        "after": _resource(row.after),
        "change": _change(row.change),
    }


def _between(figure: Between, unit: str) -> dict[str, Any]:
    return {"value": figure.value, "low": figure.low, "high": figure.high, "shown": shown(figure, unit)}


def _change(change: Change) -> dict[str, Any]:
    return {**asdict(change), "told": told(change)}


def _resource(row: Resource | None) -> dict[str, Any] | None:
    return None if row is None else {key: to_jsonable(getattr(row, key)) for key in _RESOURCE}


def _level(level: Level) -> dict[str, Any]:
    return {**asdict(level), "error_rate": level.error_rate}
