"""A checklist for the terminal and as markdown: every line with its measurement, its limit, and what to do."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pinchpoint import units
from pinchpoint.report.markdown import plain
from pinchpoint.report.markdown import table as markdown_table

if TYPE_CHECKING:
    from rich.console import Console

Checklist = dict[str, Any]
Line = dict[str, Any]
STYLES = {"ok": "green", "attention": "yellow", "failed": "bold red", "not measured": "dim"}
WORDS = {
    "failed": "{} failed",
    "attention": "{} for attention",
    "ok": "{} ok",
    "not measured": "{} not measured",
}
"""Worst first, as the headline counts them."""


def render_checklist(found: Checklist, console: Console) -> None:
    """Print the checklist; away from a terminal no line carries the blanks that fill a table's last column."""
    if console.is_terminal:
        _render(found, console)
        return
    with console.capture() as capture:
        _render(found, console)
    text = "\n".join(line.rstrip() for line in capture.get().split("\n"))
    console.out(text, end="", highlight=False)


def _render(found: Checklist, console: Console) -> None:
    console.print(Text(headline(found), STYLES[_worst(found)]), highlight=False)
    console.print(Text(peak_line(found), "dim"), highlight=False)
    for title, lines in by_item(found):
        console.print()
        console.print(Text(title, "bold"), highlight=False)
        console.print(_table(lines), highlight=False)
    said = [line for line in found["lines"] if line["status"] != "ok"]
    if said:
        console.print()
        console.print(Text("What to do, and why not", "bold"), highlight=False)
    for line in said:
        console.print(Text(f"- {_advice(line)}"), highlight=False)


def _table(lines: list[Line]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for _ in range(3):
        grid.add_column(overflow="fold")
    for line in lines:
        limit = Text(line["limit_shown"], "dim")
        grid.add_row(Text(line["status"], STYLES[line["status"]]), Text(line["name"]), Text(line["shown"]), limit)
    return grid


def _advice(line: Line) -> str:
    if line["status"] == "not measured":
        return f"{line['name']}: {line['how']}. {line['todo']}".rstrip()
    return f"{line['name']}: {line['todo']}"


def checklist_markdown(found: Checklist) -> str:
    """Return the checklist as markdown."""
    parts = [f"# {plain(headline(found))}", "", plain(peak_line(found)), ""]
    head = ("status", "what", "measured", "limit", "how it was measured", "what to do")
    for title, lines in by_item(found):
        rows = [[line[key] for key in ("status", "name", "shown", "limit_shown", "how", "todo")] for line in lines]
        parts += [f"## {title}", "", *markdown_table(head, rows)]
    names = {"limit": "the search for the limit", "load": "the three loads", "soak": "the soak"}
    told = [f"- `{name}/report.html`: {names[name]}" for name in found["runs"]]
    parts += ["## Whole reports", "", *(told or ["None."])]
    if found["problem"]:
        parts += ["", f"Exit code {found['exit_code']}: {plain(found['problem'])}"]
    return "\n".join(parts).rstrip() + "\n"


def headline(found: Checklist) -> str:
    """Count the lines by status, the worst first."""
    counts = {status: sum(line["status"] == status for line in found["lines"]) for status in WORDS}
    told = [words.format(counts[status]) for status, words in WORDS.items() if counts[status]]
    return f"Pre-deployment checklist: {', '.join(told)}"


def peak_line(found: Checklist) -> str:
    """Say which load stood for the peak, and where that came from."""
    if found["peak_rps"] is None:
        return "No peak was offered."
    return f"Expected peak: {units.rps(found['peak_rps'])} (arrivals), {found['peak_from']}."


def by_item(found: Checklist) -> list[tuple[str, list[Line]]]:
    """Return the lines below the checklist's own words."""
    groups = groupby(found["lines"], key=lambda line: int(line["item"]))
    return [(f"{item}. {found['items'][str(item)]}", list(lines)) for item, lines in groups]


def _worst(found: Checklist) -> str:
    statuses = {line["status"] for line in found["lines"]}
    return next((status for status in WORDS if status in statuses), "not measured")
