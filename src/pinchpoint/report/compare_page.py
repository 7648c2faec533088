"""`compare.html`: two runs on one offline page, each figure with both of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from pinchpoint.report import compare as texts
from pinchpoint.report.html import plotly

if TYPE_CHECKING:
    from collections.abc import Sequence

LOAD_AXIS = {"rate": "requests/s asked for", "users": "users"}


def compare_html(found: dict[str, Any]) -> str:
    """Return the comparison as one offline page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pinchpoint.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("compare.html").render(
        found=found,
        further=texts.further(found),
        legend=texts.legend(found),
        tiles=_tiles(found),
        tables=[{"table": one, "words": texts.words_of(one)} for one in texts.tables(found)],
        classes={texts.BETTER: "ok", texts.WORSE: "fail", texts.LEVEL: "dim", texts.UNKNOWN: "dim"},
        figures=figures(found),
        data=_data(found),
        plotly=plotly(),
    )


def _tiles(found: dict[str, Any]) -> list[tuple[str, str]]:
    row = found["capacity"][0]
    sides = [found[side]["verdict"] for side in ("before", "after")]
    tiles = [
        ("Sustainable, A", row["before"]["shown"]),
        ("Sustainable, B", row["after"]["shown"]),
        ("Change", row["change"]["told"]),
    ]
    binds = [f"{one['class']}/{one['cause']}" for one in sides]
    return [*tiles, ("Binds, A", binds[0]), ("Binds, B", binds[1])]


def figures(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (id, caption) of the figures that have something to show."""
    memory = _memory(found)
    wanted = [
        ("capacity", "Capacity by goal, requests/s, with 95 % intervals", any(map(_drawn, found["capacity"]))),
        ("p95", "p95 against load, ms (log scale); dotted: the limit", _known(found, "p95_ms")),
        ("goodput", "Goodput against load, requests/s", _known(found, "goodput_rps")),
        ("cpu", "CPU of the server per request, ms", _known(found, "cpu_ms_per_request")),
        ("memory", f"Memory of the server ({memory[:3].upper()}), MiB", _known(found, memory)),
        ("ledger", "Ceilings of the ledger, requests/s (log scale)", any(map(_has_ceiling, found["ledger"]))),
    ]
    return [(name, caption) for name, caption, there in wanted if there]


def _drawn(row: dict[str, Any]) -> bool:
    known = any(row[side]["value"] is not None for side in ("before", "after"))
    return known and bool(row["unit"] == "requests/s")


def _has_ceiling(row: dict[str, Any]) -> bool:
    return any(row[side] is not None and row[side]["ceiling_rps"] is not None for side in ("before", "after"))


def _levels(found: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [*found["levels"]["before"], *found["levels"]["after"]]


def _known(found: dict[str, Any], key: str) -> bool:
    return any(level[key] is not None for level in _levels(found))


def _memory(found: dict[str, Any]) -> str:
    """Return the one measure of memory that both runs are drawn in."""
    return "pss_bytes" if all(level["pss_bytes"] is not None for level in _levels(found)) else "rss_bytes"


def _data(found: dict[str, Any]) -> dict[str, Any]:
    """Return what the figures are drawn from."""
    keys = ("load", "held", "p95_ms", "goodput_rps", "cpu_ms_per_request")
    memory = _memory(found)
    return {
        "load": LOAD_AXIS.get(found["before"]["model"], "load"),
        "limits": [found[side]["p95_limit_ms"] for side in ("before", "after")],
        "levels": {
            side: [{**{key: level[key] for key in keys}, "memory": level[memory]} for level in found["levels"][side]]
            for side in ("before", "after")
        },
        "capacity": [
            {"name": row["name"], "before": row["before"], "after": row["after"]}
            for row in found["capacity"]
            if _drawn(row)
        ],
        "ledger": [
            {"resource": row["resource"], "before": _ceiling(row["before"]), "after": _ceiling(row["after"])}
            for row in found["ledger"]
            if _has_ceiling(row)
        ],
    }


def _ceiling(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is None or row["ceiling_rps"] is None:
        return None
    low, high = row["ceiling_ci_rps"] or (None, None)
    return {"value": row["ceiling_rps"], "low": low, "high": high}
