"""Inside the server: routes, pools, calls and threads at low load beside the same at the limit, for every output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pinchpoint import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CAPACITY_PHASES = frozenset({"baseline", "ramp", "search", "stage"})
MOST_ROWS = 12
"""Rows of a table in a report; `report.json` has all of them."""

Step = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Text, ready to be shown; the first column names, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def inside(report: dict[str, Any]) -> list[Table]:
    """Return the tables that hold anything."""
    low, limit = _ends(report["steps"])
    if low is None or limit is None:
        return []
    made = [_routes(low, limit), _gates(low, limit), _calls(low, limit), _threads(low, limit)]
    return [replace(table, rows=table.rows[:MOST_ROWS]) for table in made if table.rows]


def unseen(report: dict[str, Any]) -> list[str]:
    """Return what the run noted about the target, and sentences about signals that switched themselves off."""
    off = sorted({name for step in report["steps"] for name in step["server"].get("hooks_off", [])})
    return [
        f"The probe's signal {name!r} failed in the app and switched itself off; its figures are missing."
        for name in off
    ]


def _ends(steps: Iterable[Step]) -> tuple[Step | None, Step | None]:
    """Return the lightest step that held, and the lightest that broke, else the heaviest."""
    counted = sorted((step for step in steps if step["phase"] in CAPACITY_PHASES), key=_load)
    held = [step for step in counted if step["passed"]]
    top = _load(held[-1]) if held else 0.0
    broke = [step for step in counted if not step["passed"] and _load(step) >= top]
    return next(iter(held or counted), None), next(iter(broke or counted[-1:]), None)


def _load(step: Step) -> float:
    return float(step.get("offered_rps") or step.get("users") or 0.0)


def _pairs(low: Step, limit: Step, key: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return (name, figures at low load, at the limit) of a list or dict of named figures, in the limit's order."""
    before, after = _named(low["server"].get(key)), _named(limit["server"].get(key))
    names = [*after, *(name for name in before if name not in after)]
    return [(name, before.get(name, {}), after.get(name, {})) for name in names]


def _named(value: Any) -> dict[str, dict[str, Any]]:
    if isinstance(value, dict):
        return value
    return {one["name"]: one for one in value or []}


def _routes(low: Step, limit: Step) -> Table:
    rows = [
        (
            name,
            units.rps(before.get("requests_rps")),
            units.ms(before.get("service_ms")),
            units.rps(after.get("requests_rps")),
            units.ms(after.get("service_ms")),
            units.number(after.get("responses_4xx")),
            units.number(after.get("responses_5xx")),
        )
        for name, before, after in _pairs(low, limit, "routes")
    ]
    head = ("Route", "Low load", "mean", "At the limit", "mean", "4xx", "5xx")
    return Table(
        "Routes, as the server saw them", head, rows, "Mean time from entry into the app to the response's end."
    )


def _gates(low: Step, limit: Step) -> Table:
    rows = [
        (
            name,
            units.number(after.get("size", before.get("size"))),
            units.tenths(before.get("busy")),
            units.ms(before.get("hold_ms")),
            units.tenths(after.get("busy")),
            units.tenths(after.get("waiting")),
            units.ms(after.get("wait_ms")),
            units.ms(after.get("hold_ms")),
            units.number(after.get("timeouts")),
        )
        for name, before, after in sorted(_pairs(low, limit, "gates"), key=_crowd, reverse=True)
        if _crowd((name, before, after)) > (0.0, 0.0) or after.get("timeouts")
    ]
    head = ("Pool", "Size", "Busy, low", "held", "Busy, limit", "waiting", "wait", "held", "timeouts")
    return Table("Pools, slots and locks", head, rows, "Mean numbers over all workers; size, wait and hold of each.")


def _crowd(pair: tuple[str, dict[str, Any], dict[str, Any]]) -> tuple[float, float]:
    """Return who waited and who was inside, at the limit or else at low load."""
    _, before, after = pair
    return (after.get("waiting") or before.get("waiting") or 0.0, after.get("busy") or before.get("busy") or 0.0)


def _calls(low: Step, limit: Step) -> Table:
    rows = [
        (
            name,
            units.rps(before.get("calls_rps")),
            units.ms(before.get("call_ms")),
            units.rps(after.get("calls_rps")),
            units.ms(after.get("call_ms")),
            units.tenths(after.get("active")),
            units.number(after.get("errors")),
        )
        for name, before, after in _pairs(low, limit, "calls")
    ]
    head = ("Called", "Low load", "mean", "At the limit", "mean", "in progress", "errors")
    return Table("What the app calls and waits for", head, rows)


def _threads(low: Step, limit: Step) -> Table:
    before, after = low["server"].get("thread_states") or {}, limit["server"].get("thread_states") or {}
    names = sorted({*before, *after}, key=lambda name: -after.get(name, 0.0))
    rows = [(STATES.get(name, name), units.percent(before.get(name)), units.percent(after.get(name))) for name in names]
    peers = limit["server"].get("socket_peers") or {}
    note = ""
    if peers:
        note = (
            "Sockets waited on: " + ", ".join(f"{peer} {units.percent(share)}" for peer, share in peers.items()) + "."
        )
    return Table("What threads were doing, from outside", ("State", "Low load", "At the limit"), rows, note)


STATES = {
    "running": "running",
    "runnable": "waiting for a CPU",
    "gil": "waiting for the GIL",
    "lock": "waiting for a lock or a queue",
    "sleep": "sleeping",
    "socket": "waiting on a socket",
    "disk": "waiting for a disk",
    "other": "other",
}
