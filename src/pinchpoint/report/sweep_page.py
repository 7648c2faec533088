"""`sweep.html`: one offline page with small multiples, one figure for each thing that a knob changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from pinchpoint import units
from pinchpoint.report import sweep as texts
from pinchpoint.report.html import plotly

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALING_KNOBS = frozenset({"workers", "threads", "pool-size"})
"""Where twice the value would be twice the rate if nothing were shared."""


def sweep_html(sweep: dict[str, Any]) -> str:
    """Return the sweep as one offline page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pinchpoint.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    head, rows = texts.wide(sweep)
    return environment.get_template("sweep.html").render(
        sweep=sweep,
        title=texts.headline(sweep),
        lines=texts.lines(sweep),
        tiles=_tiles(sweep),
        head=head,
        rows=[
            {"cells": cells, "best": texts.is_best(sweep, row)} for cells, row in zip(rows, sweep["rows"], strict=True)
        ],
        gains=texts.gain_rows(sweep),
        runs=texts.run_rows(sweep),
        failed=texts.not_counted(sweep),
        figures=_figures(sweep),
        data=_data(sweep),
        plotly=plotly(),
    )


def _tiles(sweep: dict[str, Any]) -> list[tuple[str, str]]:
    best = sweep["best"]
    if best is None:
        return []
    return [
        ("Choose", best["label"]),
        ("Sustains", units.rps(best["sustainable_rps"])),
        ("CPU there", units.cores(best["price"]["cpu_cores"])),
        ("Memory there (PSS)", units.size(best["price"]["pss_bytes"])),
    ]


def _figures(sweep: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (id, caption) of the figures that have something to show."""
    law = {"usl": "line: the scaling law", "ceilings": "line: a share each, up to a ceiling"}
    model = (sweep["scaling"] or {}).get("model")
    interval = ", with its 95 % interval" if any(row["ci"] for row in sweep["rows"]) else ""
    rate = f"Sustainable rate, requests/s{interval}" + (f"; {law[model]}" if model else "")
    wanted: list[tuple[str, str, str | tuple[str, ...]]] = [
        ("rate", rate, "sustainable_rps"),
        ("p95", "p95 at that rate, ms", "p95_ms"),
        ("cpu", "CPU of the server at that rate, cores", "cpu_cores"),
        ("pss", "Memory of the server (PSS) at that rate, MiB", "pss_bytes"),
        ("busy", "Busiest event loop and worker slots, share in use", ("loop_busy", "slots_busy")),
        ("verdict", "What bound, in each run", "verdict"),
    ]
    return [(name, caption) for name, caption, keys in wanted if _known(sweep["rows"], keys)]


def _known(rows: Sequence[dict[str, Any]], keys: str | tuple[str, ...]) -> bool:
    names = (keys,) if isinstance(keys, str) else keys
    return any(one[name] is not None for row in rows for one in row["repeats"] for name in names)


def _data(sweep: dict[str, Any]) -> dict[str, Any]:
    """Return what the figures are drawn from."""
    keys = ("sustainable_rps", "p95_ms", "cpu_cores", "pss_bytes", "loop_busy", "verdict", "counted")
    return {
        "knob": sweep["knob"],
        "numeric": sweep["numeric"],
        "best": sweep["best"]["value"] if sweep["best"] else None,
        "curve": (sweep["scaling"] or {}).get("curve", []),
        "ideal": _ideal(sweep),
        "rows": [
            {
                "value": row["value"],
                "ci": row["ci"],
                **{key: row[key] for key in keys},
                "slots": _share(row),
                "repeats": [{key: one[key] for key in keys} | {"slots": _share(one)} for one in row["repeats"]],
            }
            for row in sweep["rows"]
        ],
    }


def _share(row: dict[str, Any]) -> float | None:
    if row["slots_busy"] is None or not row["slots_size"]:
        return None
    return float(row["slots_busy"] / row["slots_size"])


def _ideal(sweep: dict[str, Any]) -> list[list[float]]:
    """Return the line on which every value would bring as much as the smallest one does."""
    measured = [row for row in sweep["rows"] if row["sustainable_rps"] is not None]
    if sweep["knob"] not in SCALING_KNOBS or len(measured) < 2:  # noqa: PLR2004 - one point is no line
        return []
    first = min(measured, key=lambda row: float(row["value"]))
    last = max(float(row["value"]) for row in measured)
    each = first["sustainable_rps"] / first["value"]
    return [[first["value"], first["sustainable_rps"]], [last, each * last]]
