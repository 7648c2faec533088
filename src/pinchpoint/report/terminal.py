"""The summary on the terminal: the verdict first, everything within 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pinchpoint import units
from pinchpoint.report import awaits, goals, packs, questions, soak, staged, words

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from pinchpoint.report.inside import Table as Shown

EVIDENCE_SHOWN = 4
STEPS_SHOWN = 12
INDENT = (0, 0, 0, 2)
_STATUS_STYLES = {"fail": "red", "warn": "yellow", "unavailable": "dim"}
_JUDGED_STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "": ""}
_VERDICT_STYLES = {"none": "bold green", "generator": "bold red", "undetermined": "bold yellow"}


def render_summary(report: dict[str, Any], console: Console) -> None:
    """Print the summary. Names from the app are shown as they are, never taken for markup.

    Away from a terminal no line carries the blanks that fill a table's last column.
    """
    if console.is_terminal:
        _render(report, console)
        return
    with console.capture() as capture:
        _render(report, console)
    text = "\n".join(line.rstrip() for line in capture.get().split("\n"))
    console.out(text, end="", highlight=False)


def _render(report: dict[str, Any], console: Console) -> None:
    verdict = report["verdict"]
    style = _VERDICT_STYLES.get(verdict["class"], "bold cyan")
    if report["validity"]["status"] == "invalid":
        style = "bold red"
    console.print()
    _say(console, Text(words.headline(report), style))
    _say(console, Text(words.status_line(report), "dim"))
    meaning = words.status_meaning(report)
    if meaning is not None:
        _say(console, Text(meaning, "dim"))
    console.print()
    _say(console, Text(verdict["summary"]))
    partial = words.partial_reason(report)
    if partial is not None:
        _say(console, Text(partial, "yellow"))
    _soak(report, console)
    _pack(report, console)
    _stages(report, console)
    _facts(report, console)
    _questions(report, console)
    _listed(console, "Evidence", _evidence(report)[:EVIDENCE_SHOWN])
    _listed(console, "Advice", [words.advice_text(one) for one in verdict["advice"]])
    _listed(console, "Findings", [one["statement"] for one in report["findings"]])
    _steps(report, console)
    _gates(report, console)
    console.print()


def _say(console: Console, what: RenderableType) -> None:
    console.print(what, highlight=False)


def _facts(report: dict[str, Any], console: Console) -> None:
    verdict = report["verdict"]
    facts = words.capacity_lines(report)
    where, wall, moves = words.place(verdict["location"]), words.next_wall(report), words.moves(report)
    facts += [("Where", where)] if where else []
    facts += [("Binds as well", ", ".join(verdict["co_bottlenecks"]))] if verdict["co_bottlenecks"] else []
    facts += [("Binds load by load", moves)] if moves else []
    facts += [("Next wall", wall)] if wall else []
    checked = words.ledger_check(report)
    facts += [("Ledger", checked)] if checked else []
    held = goals.line(report)
    facts += [("Served by goal", held)] if held else []
    waited = awaits.news(report)
    facts += [("Requests wait for", waited)] if waited else []
    if report["recovery"] is not None:
        facts.append(("Recovery", words.recovery_line(report)))
    console.print()
    _pairs(facts, console)


def _pairs(pairs: list[tuple[str, str]], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(name), Text(value))
    _say(console, Padding(grid, INDENT))


def _questions(report: dict[str, Any], console: Console) -> None:
    answered = questions.lines(report)
    if answered:
        console.print()
        _say(console, Text(questions.TITLE, "bold"))
        _pairs(answered, console)


def _soak(report: dict[str, Any], console: Console) -> None:
    title = soak.headline(report)
    if title is None:
        return
    console.print()
    _say(console, Text(title, "bold"))
    style = {"leak": "red", "no leak": "green"}.get(report["soak"]["leak"], "yellow")
    _say(console, Padding(Text(report["soak"]["summary"], style), INDENT))
    _listed(console, "What makes a leak", soak.lines(report))


def _stages(report: dict[str, Any], console: Console) -> None:
    title = staged.headline(report)
    if title is not None:
        _listed(console, title, staged.summary(report))


def _pack(report: dict[str, Any], console: Console) -> None:
    title = packs.headline(report)
    if title is None:
        return
    console.print()
    _say(console, Text(title, "bold"))
    for one in packs.tables(report):
        _say(console, Padding(_table(report, one), INDENT))
        if one.note:
            _say(console, Padding(Text(one.note, "dim"), INDENT))
    _listed(console, "What that means", packs.lines(report))


def _table(report: dict[str, Any], shown: Shown) -> Table:
    """Return a table whose last column judges."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for number, name in enumerate(shown.head):
        figures = 0 < number < len(shown.head) - 1
        table.add_column(name, justify="right" if figures else "left", overflow="fold", no_wrap=figures)
    for *cells, last in shown.rows:
        styled = Text(last, _JUDGED_STYLES[packs.style(report, last)])
        table.add_row(*(Text(cell) for cell in cells), styled)
    return table


def _listed(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print()
    _say(console, Text(title, "bold"))
    grid = Table.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row(Text("-", "dim"), Text(line))
    _say(console, Padding(grid, INDENT))


def _evidence(report: dict[str, Any]) -> list[str]:
    """Return the statements that no other line of the summary makes: "Breaks at" and "Because" tell the breach."""
    told = bool(report["capacity"]["breaking_reason"])
    return [one["statement"] for one in report["verdict"]["evidence"] if not (told and one["signal"] == "slo")]


def _steps(report: dict[str, Any], console: Console) -> None:
    steps = [step for step in report["steps"] if step["phase"] in words.LOADED]
    if not steps:
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("phase")
    for name in ("offered", "goodput", "errors", "p95", "cores", "RSS"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for step in steps[-STEPS_SHOWN:]:
        latency = step["latency_ms"] or {}
        table.add_row(
            step["phase"],
            words.load_of(step),
            units.rps(step["goodput_rps"]),
            units.percent(step["error_rate"]),
            units.ms(latency.get("p95")),
            units.hundredths(step["server"]["cpu_cores"]),
            units.size(step["server"]["rss_bytes"]),
            Text("ok", "green") if step["passed"] else Text("broke", "red"),
        )
    console.print()
    left_out = len(steps) - STEPS_SHOWN
    note = f" (the last {STEPS_SHOWN} of {len(steps)})" if left_out > 0 else ""
    _say(console, Text(f"Steps{note}: {_model(report)}", "bold"))
    _say(console, Padding(table, INDENT))


def _model(report: dict[str, Any]) -> str:
    model = report["run"]["load"].get("model")
    return {"rate": "open model, arrivals per second", "users": "closed model, users"}.get(
        model or "", "load model n/a"
    )


def _gates(report: dict[str, Any], console: Console) -> None:
    gates = words.gates_not_ok(report)
    if not gates:
        return
    console.print()
    _say(console, Text("Validity", "bold"))
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for gate in gates:
        grid.add_row(Text(gate["status"], _STATUS_STYLES[gate["status"]]), Text(f"{gate['name']}: {gate['message']}"))
    _say(console, Padding(grid, INDENT))
