"""The table of a worker-count sweep: one run per row, the best count named beside the rule of thumb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
from rich.table import Table
from rich.text import Text

from pinchpoint import units
from pinchpoint.report.markdown import plain
from pinchpoint.report.markdown import table as markdown_table

if TYPE_CHECKING:
    from rich.console import Console

Sweep = dict[str, Any]
HEAD = ("workers", "sustainable", "plateau", "p95", "CPU", "PSS", "verdict", "run")


def render_sweep(sweep: Sweep, console: Console) -> None:
    """Print the sweep; the best row is marked."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in HEAD[:-1]:
        table.add_column(name, justify="left" if name == "verdict" else "right", no_wrap=name != "verdict")
    for row in sweep["rows"]:
        cells = [Text(cell) for cell in _cells(row)[:-1]]
        table.add_row(*cells, style="bold" if _is_best(sweep, row) else None)
    console.print(Text(best_line(sweep), "bold cyan"), highlight=False)
    console.print(table, highlight=False)


def sweep_markdown(sweep: Sweep) -> str:
    """Return the sweep as markdown."""
    rows = [_cells(row) for row in sweep["rows"]]
    return "\n".join([f"# {plain(best_line(sweep))}", "", *markdown_table(HEAD, rows)]).rstrip() + "\n"


def sweep_html(sweep: Sweep) -> str:
    """Return the sweep as one offline page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pinchpoint.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    rows = [{"cells": _cells(row), "best": _is_best(sweep, row)} for row in sweep["rows"]]
    return environment.get_template("sweep.html").render(title=best_line(sweep), head=HEAD, rows=rows)


def best_line(sweep: Sweep) -> str:
    """Name the best count and what the usual rule would have said."""
    thumb = f"2 * {sweep['cores']} cores + 1 = {sweep['rule_of_thumb']}"
    if sweep["best"] is None:
        return f"No worker count is best: no run gave a valid sustainable rate (the rule of thumb says {thumb})"
    count = sweep["best"]["workers"]
    noun = "worker" if count == 1 else "workers"
    return f"Best of those measured: {count} {noun}; {sweep['best']['reason']} (the rule of thumb says {thumb})"


def _is_best(sweep: Sweep, row: dict[str, Any]) -> bool:
    return sweep["best"] is not None and row["workers"] == sweep["best"]["workers"]


def _cells(row: dict[str, Any]) -> list[str]:
    invalid = " (invalid)" if row.get("validity") == "invalid" else ""
    return [
        units.count(row["workers"]),
        units.rps(row["sustainable_rps"]),
        units.rps(row["capacity_rps"]),
        units.ms(row["p95_ms"]),
        units.cores(row["cpu_cores"]),
        units.size(row["pss_bytes"]),
        f"{row['verdict'] or units.NOT_MEASURED}{invalid}",
        str(row["run"]),
    ]
