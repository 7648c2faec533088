"""`report.html`: one file that opens offline. Every string is escaped, and the page forbids itself any request."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pinchpoint import units
from pinchpoint.report import awaits, goals, inside, packs, questions, soak, staged, words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIMIT_PHASE = "profile-limit"
CEILING_BAR_SPAN = 4.0
"""Ceilings beyond this multiple of the lowest fill the bar: near walls matter, and a far one would flatten the rest."""

WAITING = frozenset({"io", "pool", "lock", "undetermined"})
"""Classes whose requests wait, where code that runs shows little."""
PARTS_SHOWN = 9
KIND_WORDS = {"cpu": "CPU", "gil": "GIL", "wall": "Wall clock", "await": "Awaits"}
PHASE_WORDS = {"profile-baseline": "at low load", LIMIT_PHASE: "near the limit"}


def render_html(report: dict[str, Any], series: dict[str, Any], graphs: Mapping[str, str]) -> str:
    """Return the page.

    `series` comes from `series.timeline`; `graphs` maps a profile's `svg` path to the flame graph's text.
    """
    template = _environment().get_template("report.html")
    return template.render(
        report=report,
        run=report["run"],
        verdict=report["verdict"],
        words=words,
        plotly=plotly(),
        data={
            "series": series,
            "steps": _plain_steps(report),
            "slo": _slo(report),
            "capacity": report["capacity"],
            "soak": soak.chart(report),
            "stages": staged.chart(report),
        },
        ledger=_with_bars(words.ledger_rows(report)),
        shares=_shares(report["time"]),
        inside=inside.inside(report),
        unseen=inside.unseen(report),
        awaits={
            "what": awaits.WHAT,
            "bars": awaits.bars(report),
            "legend": awaits.legend(report),
            "tables": awaits.tables(report),
        },
        flames=_flames(report, graphs),
        goals=goals,
        goal_table=goals.goals(report),
        hosts=goals.hosts(report),
        soak={"title": soak.headline(report), "facts": soak.facts(report), "tables": soak.tables(report)},
        staged=staged,
        packs=packs,
        questions=questions.table(report),
        has_series=bool(series["t_s"]),
    )


def read_graphs(folder: Path, report: dict[str, Any]) -> dict[str, str]:
    """Read the flame graphs that a report names; those that are gone, or lie outside the run folder, are left out."""
    root = folder.resolve()
    graphs = {}
    for profile in report["profiles"]:
        path = (root / profile["svg"]).resolve() if profile["svg"] else None
        if path is not None and path.is_relative_to(root) and path.is_file():
            graphs[profile["svg"]] = path.read_text(encoding="utf-8", errors="replace")
    return graphs


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pinchpoint.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for name in (
        "ms",
        "rps",
        "percent",
        "cores",
        "size",
        "seconds",
        "number",
        "count",
        "quantity",
        "tenths",
        "hundredths",
    ):
        environment.filters[name] = getattr(units, name)
    return environment


@cache
def plotly() -> Markup:
    """Plotly's own bundle (4.6 MiB, the only one its package carries); a `</script>` in it would end the page early."""
    return Markup(get_plotlyjs().replace("</script", "<\\/script"))  # noqa: S704 - a library's code, not data


def _plain_steps(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Only what the load figures need, of the phases that are load."""
    keys = ("index", "phase", "offered_rps", "users", "goodput_rps", "error_rate", "latency_ms", "passed")
    shown = {*words.LOADED, "void"}
    return [{key: step[key] for key in keys} for step in report["steps"] if step["phase"] in shown]


def _slo(report: dict[str, Any]) -> dict[str, Any]:
    return {"p95_ms": report["run"].get("slo", {}).get("p95_ms")}


def _with_bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lowest = min((row["ceiling_rps"] for row in rows if row["ceiling_rps"]), default=None)
    return [{**row, "bar": _bar(row["ceiling_rps"], lowest)} for row in rows]


def _bar(ceiling: float | None, lowest: float | None) -> float | None:
    if ceiling is None or not lowest:
        return None
    return round(100 * min(1.0, ceiling / (lowest * CEILING_BAR_SPAN)), 1)


def _shares(time: dict[str, Any]) -> dict[str, Any]:
    """Return the parts in one order for both bars, largest at the limit first; colours follow that order."""
    sides = {"low": time["low"], "limit": time["limit"]}
    totals = {"low": time["ms_low"], "limit": time["ms_limit"]}
    names = sorted({*time["low"], *time["limit"]}, key=lambda part: (-time["limit"].get(part, 0.0), part))
    parts = [
        {"name": name, "colour": index % PARTS_SHOWN, **{side: shares.get(name) for side, shares in sides.items()}}
        for index, name in enumerate(names)
    ]
    return {"parts": parts, "totals": totals}


def _flames(report: dict[str, Any], graphs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the flame graphs, those near the limit first; only the one that shows what binds stands open."""
    shown = [profile for profile in report["profiles"] if profile["svg"] in graphs]
    order = {LIMIT_PHASE: 0}
    kinds = {"cpu": 0, "gil": 1, "await": 2, "wall": 3}
    shown.sort(key=lambda one: (order.get(one["phase"], 1), kinds.get(one["kind"], 4), one["pid"]))
    near = {one["kind"]: one for one in reversed(shown) if one["phase"] == LIMIT_PHASE}
    waits = report["verdict"]["class"] in WAITING and "await" in near
    opened = near.get("await" if waits else "cpu")
    return [
        {
            "title": f"{KIND_WORDS[one['kind']]} {PHASE_WORDS.get(one['phase'], one['phase'])}",
            "who": f"worker {one['pid']}" if one["pid"] else "all workers",
            "samples": one["samples"],
            "open": one is opened,
            "svg": graphs[one["svg"]],
        }
        for one in shown
    ]
