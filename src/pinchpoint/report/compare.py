"""A comparison of two runs in words and tables: on the terminal and as markdown. A is the earlier run, B the later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from pinchpoint import units
from pinchpoint.report import words
from pinchpoint.report.inside import Table
from pinchpoint.report.markdown import plain
from pinchpoint.report.markdown import table as markdown_table

if TYPE_CHECKING:
    from rich.console import Console

Comparison = dict[str, Any]
LESS_IS_BETTER = frozenset({"p50", "p95", "cpu", "memory", "errors"})
BETTER, WORSE, LEVEL, UNKNOWN = "better", "worse", "within noise", "cannot tell"
STYLES = {BETTER: "green", WORSE: "red", LEVEL: "dim", UNKNOWN: "dim"}
MOST_LOADS = 20
INDENT = (0, 0, 0, 2)
SIDES = (("A", "before"), ("B", "after"))


def render_compare(found: Comparison, console: Console) -> None:
    """Print the comparison; away from a terminal no line carries the blanks that fill a table's last column."""
    if console.is_terminal:
        _render(found, console)
        return
    with console.capture() as capture:
        _render(found, console)
    text = "\n".join(line.rstrip() for line in capture.get().split("\n"))
    console.out(text, end="", highlight=False)


def _render(found: Comparison, console: Console) -> None:
    console.print(Text(found["headline"], f"bold {_style(found)}".strip()), highlight=False)
    console.print(Text(found["move"]["statement"]), highlight=False)
    for line in further(found):
        console.print(Text(line, "red"), highlight=False)
    for line in found["warnings"]:
        console.print(Text(f"! {line}", "yellow"), highlight=False)
    console.print()
    for line in legend(found):
        console.print(Text(line, "dim"), highlight=False)
    for one in tables(found):
        _print_table(one, console)


def _style(found: Comparison) -> str:
    if found["regression"]:
        return "red"
    row = found["capacity"][0]
    return "green" if row["change"]["side"] == "above" else ""


def _print_table(one: Table, console: Console) -> None:
    grid = Grid(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    texts = words_of(one)
    for name in one.head:
        if name in texts:
            grid.add_column(name, overflow="fold")
        else:
            grid.add_column(name, justify="right", no_wrap=True)
    for row in one.rows:
        grid.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    console.print()
    console.print(Text(one.title, "bold"), highlight=False)
    console.print(Padding(grid, INDENT), highlight=False)
    if one.note:
        console.print(Padding(Text(one.note, "dim"), INDENT), highlight=False)


def compare_markdown(found: Comparison) -> str:
    """Return the comparison as markdown."""
    parts = [f"# {plain(found['headline'])}", "", plain(found["move"]["statement"]), ""]
    parts += [f"- {plain(line)}" for line in further(found)]
    parts += [f"- Doubtful: {plain(line)}" for line in found["warnings"]]
    parts += ["", *(f"- {plain(line)}" for line in legend(found)), ""]
    for one in tables(found):
        parts += [f"## {one.title}", "", *markdown_table(one.head, one.rows)]
        parts += [plain(one.note), ""] if one.note else []
    return "\n".join(parts).rstrip() + "\n"


def further(found: Comparison) -> list[str]:
    """Return the reasons of a regression that the headline does not give."""
    return [f"{text[0].upper()}{text[1:]}" for text in found["regressions"][1:]]


def legend(found: Comparison) -> list[str]:
    """Say which run is A and which is B, and in what units they were pressed."""
    lines = [f"{letter} = {_who(found[side])}" for letter, side in SIDES]
    return [*lines, words.model_line({"run": {"load": {"model": found["before"]["model"]}}})]


def _who(side: dict[str, Any]) -> str:
    target = side["target"]
    command = " ".join(str(word) for word in target) if isinstance(target, list) else target
    parts = [side["name"], command, side["started_at"]]
    workers = side["workers"]
    if workers is not None:
        parts.insert(2, f"{workers} worker{'' if workers == 1 else 's'}")
    return ", ".join(str(part) for part in parts if part)


def tables(found: Comparison) -> list[Table]:
    """Return the tables that hold anything, in the order in which they are read."""
    every = [capacity(found), at_load(found), verdicts(found), changes(found), ledger(found), loads(found)]
    return [one for one in every if one.rows]


def words_of(one: Table) -> frozenset[str]:
    """Return the columns that hold words, not figures."""
    return frozenset({one.head[0], "", *(("A", "B") if one.title in _WORDY else ())})


def capacity(found: Comparison) -> Table:
    """Return what each run can serve, by goal."""
    rows = [
        (
            row["name"],
            row["before"]["shown"],
            row["after"]["shown"],
            *_changed(row["change"]),
            _trend(row["name"], row["change"]["side"]),
        )
        for row in found["capacity"]
    ]
    note = "A change is more than noise when the 95 % interval of the ratio lies outside 1/1.05 to 1.05."
    return Table("Capacity by goal", ("goal", "A", "B", "change", "95 %", ""), rows, note)


def at_load(found: Comparison) -> Table:
    """Return latency, CPU, memory and errors at the loads that both runs tried."""
    rows = [
        (
            _NAMES.get(row["name"], row["name"]),
            units.count(row["loads"]),
            units.quantity(row["before"], row["unit"]),
            units.quantity(row["after"], row["unit"]),
            *_changed(row["change"]),
            _trend(row["name"], row["change"]["side"]),
        )
        for row in found["at_load"]
        if row["loads"]
    ]
    errors = found["errors"]
    if errors["before"] is not None and errors["after"] is not None:
        one, two = units.percent(errors["before"]), units.percent(errors["after"])
        rows.append(("errors", units.count(errors["loads"]), one, two, "", "", _trend("errors", errors["side"])))
    growth = found["memory_growth_bytes_per_request"]
    if growth["before"] is not None or growth["after"] is not None:
        one, two = (_growth(growth[side]) for _, side in SIDES)
        rows.append(("memory kept per request", "", one, two, "", "", ""))
    note = "Figures at the heaviest load that both have; the change is the mean over all of these loads."
    return Table("At the same load", ("figure", "loads", "A", "B", "change", "95 %", ""), rows, note)


_NAMES = {"cpu": "CPU per request"}


def _growth(value: float | None) -> str:
    return "none found" if value is None else units.size(value)


def verdicts(found: Comparison) -> Table:
    """Return both verdicts, side by side."""
    one, two = (found[side]["verdict"] for _, side in SIDES)
    rows = [
        ("binds", *(f"{each['class']}/{each['cause']}" for each in (one, two))),
        ("status", *(f"{each['status']}, {units.percent(each['confidence'])} sure" for each in (one, two))),
        ("where", *(words.place(each["location"]) or "-" for each in (one, two))),
        ("binds as well", *(", ".join(each["co_bottlenecks"]) or "-" for each in (one, two))),
        ("next wall", *(_wall(each["next_wall"]) for each in (one, two))),
        ("after overload", *(_recovery(found[side]["recovery"]) for _, side in SIDES)),
    ]
    return Table(VERDICTS, ("", "A", "B"), [row for row in rows if set(row[1:]) != {"-"}])


def _wall(wall: dict[str, Any] | None) -> str:
    return "-" if wall is None else f"{wall['resource']} at {units.rps(wall['ceiling_rps'])}"


def _recovery(recovery: dict[str, Any] | None) -> str:
    if recovery is None:
        return units.NOT_MEASURED
    if not recovery["recovered"]:
        return "not back to normal"
    return "back to normal" if recovery["seconds"] is None else f"back after {units.seconds(recovery['seconds'])}"


def changes(found: Comparison) -> Table:
    """Return what was changed between the runs."""
    rows = [(one["what"], one["before"] or "-", one["after"] or "-") for one in found["changes"]]
    return Table(CHANGES, ("what", "A", "B"), rows)


VERDICTS, CHANGES = "What binds", "What was changed between the runs"
_WORDY = frozenset({VERDICTS, CHANGES})


def ledger(found: Comparison) -> Table:
    """Return the ceilings of both ledgers; demand is what a request takes of the resource."""
    rows = [
        (
            row["resource"],
            units.rps(_of(row["before"], "ceiling_rps")),
            units.rps(_of(row["after"], "ceiling_rps")),
            *_changed(row["change"]),
            units.ms(_demand_ms(row["before"])),
            units.ms(_demand_ms(row["after"])),
        )
        for row in found["ledger"]
        if any(_of(row[side], "ceiling_rps") is not None for _, side in SIDES)
    ]
    head = ("resource", "A", "B", "change", "95 %", "demand A", "demand B")
    return Table("Ledger: the rate at which each resource would bind", head, rows)


def _of(row: dict[str, Any] | None, key: str) -> float | None:
    value: float | None = None if row is None else row[key]
    return value


def _demand_ms(row: dict[str, Any] | None) -> float | None:
    demand = _of(row, "demand_s_per_request")
    return None if demand is None else demand * 1000


def loads(found: Comparison) -> Table:
    """Return the loads of both runs, the heaviest ones: a profile with slopes has hundreds."""
    rows = []
    for pair in found["loads"][-MOST_LOADS:]:
        one, two = pair["before"], pair["after"]
        load = units.rps(one["load"]) if found["before"]["model"] != "users" else f"{units.number(one['load'])} users"
        rows.append(
            (
                load,
                *(_held(level) for level in (one, two)),
                *(units.percent(level["error_rate"]) for level in (one, two)),
                *(units.ms(level["cpu_ms_per_request"]) for level in (one, two)),
            )
        )
    head = ("load", "p95 A", "p95 B", "errors A", "errors B", "CPU A", "CPU B")
    return Table("Load by load", head, rows, "*: broke a limit. CPU: of the server, per request.")


def _held(level: dict[str, Any]) -> str:
    return units.ms(level["p95_ms"]) + ("" if level["held"] else "*")


def _changed(change: dict[str, Any]) -> tuple[str, str]:
    by = units.NOT_MEASURED if change["ratio"] is None else f"{_percent(change['ratio'])} %"
    low, high = change["low"], change["high"]
    if low and high is not None:
        return by, f"{_percent(low)} to {_percent(high)} %"
    return by, f">= {_percent(low)} %" if low else f"<= {_percent(high)} %" if high is not None else ""


def _percent(ratio: float) -> str:
    by = round((ratio - 1) * 100)
    return f"{by:+d}" if by else "0"


def _trend(name: str, side: str) -> str:
    if side not in {"above", "below"}:
        return LEVEL if side == "level" else UNKNOWN
    return BETTER if (side == "below") == (name in LESS_IS_BETTER) else WORSE
