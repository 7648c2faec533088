"""A sweep in words: the value to choose and the gain it rests on, its price, the shape of the curve, and the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pinchpoint import units
from pinchpoint.report import words
from pinchpoint.report.markdown import plain
from pinchpoint.report.markdown import table as markdown_table

if TYPE_CHECKING:
    from rich.console import Console

Sweep = dict[str, Any]
_EACH = {"workers": "worker", "threads": "thread", "pool-size": "connection"}


def render_sweep(sweep: Sweep, console: Console) -> None:
    """Print the sweep; the value to choose is marked."""
    console.print(Text(headline(sweep), "bold cyan"), highlight=False)
    for line in lines(sweep):
        console.print(Text(line), highlight=False)
    console.print()
    head, rows = _narrow(sweep)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in head:
        if name == "verdict":
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for row, cells in zip(sweep["rows"], rows, strict=True):
        table.add_row(*(Text(cell) for cell in cells), style="bold" if is_best(sweep, row) else None)
    console.print(table, highlight=False)
    for line in not_counted(sweep):
        console.print(Text(f"- {line}", "yellow"), highlight=False)


def sweep_markdown(sweep: Sweep) -> str:
    """Return the sweep as markdown."""
    parts = [f"# {plain(headline(sweep))}", "", *(f"{plain(line)}\n" for line in lines(sweep))]
    parts += ["## By value", "", *markdown_table(*wide(sweep))]
    if sweep["gains"]:
        parts += ["## What each value brings over the one before", "", *markdown_table(*gain_rows(sweep))]
    parts += ["## Runs, in the order they were made", "", *markdown_table(*run_rows(sweep))]
    if failed := not_counted(sweep):
        parts += ["## Runs that do not count", "", *(f"- {plain(line)}" for line in failed)]
    return "\n".join(parts).rstrip() + "\n"


def headline(sweep: Sweep) -> str:
    """Name the value to choose and the gain it rests on."""
    best = sweep["best"]
    if best is None:
        return f"No value of {sweep['knob']} can be recommended: no run gave a valid sustainable rate"
    return str(best["reason"])


def lines(sweep: Sweep) -> list[str]:
    """Return what belongs below the headline, a sentence or two each."""
    candidates = [price_line(sweep), thumb_line(sweep), scaling_line(sweep), runs_line(sweep), cpu_line(sweep)]
    return [line for line in candidates if line] + [f"{note[0].upper()}{note[1:]}." for note in sweep["notes"]]


def price_line(sweep: Sweep) -> str | None:
    """Say what the value to choose sustains, and what it takes for that beside the value before."""
    best = sweep["best"]
    if best is None:
        return None
    rate = f"{best['label']}: {units.rps(best['sustainable_rps'])}{_interval(best['ci'])} sustained"
    price = f"at the price of {_price(best['price'])}"
    before = _before(sweep, best["value"])
    return f"{rate}, {price}" + (f" ({before['label']}: {_price(before)})." if before else ".")


def _price(row: dict[str, Any]) -> str:
    return f"{units.cores(row['cpu_cores'])} and {units.size(row['pss_bytes'])} of memory (PSS)"


def _before(sweep: Sweep, value: object) -> dict[str, Any] | None:
    """Return the row that the gain was told over."""
    start = next((gain["from"] for gain in sweep["gains"] if gain["to"] == value), None)
    return next((row for row in sweep["rows"] if row["value"] == start), None)


def thumb_line(sweep: Sweep) -> str | None:
    """Hold the usual rule for worker counts against what was measured."""
    thumb = sweep["rule_of_thumb"]
    if thumb is None:
        return None
    row = next((one for one in sweep["rows"] if one["value"] == thumb), None)
    if row is None or row["sustainable_rps"] is None:
        seen = "was not measured"
    else:
        seen = f"sustained {units.rps(row['sustainable_rps'])} here"
    return f"The rule of thumb, 2 * {sweep['cores']} cores + 1, says {thumb}, which {seen}."


def scaling_line(sweep: Sweep) -> str | None:
    """Say which law the rates follow; nothing about values beyond those measured."""
    fit = sweep["scaling"]
    if fit is None or sweep["best"] is None:
        return None
    said = _law(fit, _EACH.get(sweep["knob"]) or str(sweep["knob"]))
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in (said, *fit["warnings"]) if part)


def _law(fit: dict[str, Any], each: str) -> str:
    if fit["model"] == "ceilings":
        if fit["each_rps"] is None:
            return f"no {each} more brings anything: all meet one ceiling of {units.rps(fit['ceiling_rps'])}"
        if fit["ceiling_rps"] is None:
            return f"each {each} brings {units.rps(fit['each_rps'])}; no shared ceiling was met"
        return f"each {each} brings {units.rps(fit['each_rps'])}, up to a ceiling of {units.rps(fit['ceiling_rps'])}"
    if fit["model"] == "usl":
        peak = f", most at N* = {units.number(fit['n_star'])}" if fit["n_star"] is not None else ""
        return (
            f"universal scalability law: contention {_coefficient(fit, 's')}, coherency {_coefficient(fit, 'k')}{peak}"
        )
    return ""


def _coefficient(fit: dict[str, Any], name: str) -> str:
    ci = fit["ci"].get(name)
    around = f" [{units.number(ci[0])}, {units.number(ci[1])}]" if ci and None not in ci else ""
    return f"{units.number(fit[name])}{around}"


def runs_line(sweep: Sweep) -> str:
    """Say how it was measured."""
    trials = [one for row in sweep["rows"] for one in row["repeats"]]
    runs = (
        f"{len(trials)} of {sweep['runs_asked']} runs" if len(trials) < sweep["runs_asked"] else f"{len(trials)} runs"
    )
    counted = sum(1 for one in trials if one["counted"])
    ways = "in random order" + ("" if counted == len(trials) else f", {counted} of them valid")
    level = words.model_line({"run": {"load": {"model": sweep["model"]}}})
    return f"{runs} of {units.seconds(sweep['run_budget_s'])}, {ways}. {level}"


def cpu_line(sweep: Sweep) -> str:
    """Say which cores server and load had: the same in all runs, else the split would be measured."""
    server, load = sweep["cpus"]["server"], sweep["cpus"]["load"]
    if server is None and load is None:
        return "Server and load shared all CPUs in every run; nothing was pinned."
    return f"In every run the server had {_cpu(server)} and the load {_cpu(load)}."


def _cpu(cpus: list[int] | None) -> str:
    return "any CPU" if cpus is None else f"CPU {','.join(str(cpu) for cpu in cpus)}"


def not_counted(sweep: Sweep) -> list[str]:
    """Return the runs that do not count, each with its reason."""
    failed = [(row["label"], one) for row in sweep["rows"] for one in row["repeats"] if not one["counted"]]
    return [f"{label}, repeat {one['repeat']}, does not count: {one['problem']}" for label, one in failed]


def is_best(sweep: Sweep, row: dict[str, Any]) -> bool:
    """Tell whether a row is the value to choose."""
    return sweep["best"] is not None and row["value"] == sweep["best"]["value"]


def wide(sweep: Sweep) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the table by value, with all columns."""
    head = (sweep["knob"], "sustainable", "95 % interval", "plateau", "p95", "CPU", "PSS", "loop busy", "slots")
    return (*head, "verdict", "runs"), [
        [
            str(row["value"]),
            _rate(row),
            _interval(row["ci"]).strip() or units.NOT_MEASURED,
            units.rps(row["capacity_rps"]),
            units.ms(row["p95_ms"]),
            units.cores(row["cpu_cores"]),
            units.size(row["pss_bytes"]),
            units.percent(row["loop_busy"]),
            _slots(row),
            _verdict(row),
            f"{row['counted']} of {len(row['repeats'])}",
        ]
        for row in sweep["rows"]
    ]


def _narrow(sweep: Sweep) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the table for 80 columns; no column of intervals where there is none."""
    intervals = any(row["ci"] for row in sweep["rows"])
    extra = ("95 %",) if intervals else ()
    rows = [
        [
            str(row["value"]),
            _rate(row),
            *([_interval(row["ci"]).strip() or units.NOT_MEASURED] if intervals else []),
            units.ms(row["p95_ms"]),
            units.number(row["cpu_cores"]),
            units.size(row["pss_bytes"]),
            _verdict(row),
        ]
        for row in sweep["rows"]
    ]
    return (sweep["knob"], "sustainable", *extra, "p95", "cores", "PSS", "verdict"), rows


def gain_rows(sweep: Sweep) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return what each value brings over the one before."""
    return ("step", "change", "95 % interval", ""), [
        [
            f"{gain['from']} -> {gain['to']}",
            percent_change(gain["ratio"]),
            " to ".join(percent_change(edge) for edge in gain["ci"]) if gain["ci"] else "one run each",
            _meaning(gain),
        ]
        for gain in sweep["gains"]
    ]


def _meaning(gain: dict[str, Any]) -> str:
    if gain["side"] == "level":
        return "limits found too coarsely to tell" if gain["coarse"] else "within the noise"
    return "real" if gain["side"] == "above" else "a real loss"


def percent_change(ratio: float) -> str:
    """Write a ratio as a change: `+48 %`."""
    return f"{round((ratio - 1) * 100):+d} %"


def run_rows(sweep: Sweep) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return every run, in the order they were made."""
    trials = sorted((one for row in sweep["rows"] for one in row["repeats"]), key=lambda one: int(one["order"]))
    return ("#", sweep["knob"], "repeat", "sustainable", "p95", "CPU", "PSS", "verdict", "cool-down", "run"), [
        [
            str(one["order"]),
            str(one["value"]),
            str(one["repeat"]),
            _rate(one),
            units.ms(one["p95_ms"]),
            units.cores(one["cpu_cores"]),
            units.size(one["pss_bytes"]),
            _verdict(one),
            _rest(one),
            str(one["run"]),
        ]
        for one in trials
    ]


def _rest(trial: dict[str, Any]) -> str:
    if trial["rest_s"] is None:
        return "-"
    return f"{trial['rest_s']:.1f} s" + ("" if trial["quiet"] else ", not quiet")


def _rate(row: dict[str, Any]) -> str:
    return f"{'>= ' if row['reached'] is False else ''}{units.rps(row['sustainable_rps'])}"


def _interval(ci: list[float] | None) -> str:
    return f" [{units.number(ci[0])}, {units.number(ci[1])}]" if ci else ""


def _slots(row: dict[str, Any]) -> str:
    if row["slots_busy"] is None or row["slots_size"] is None:
        return units.NOT_MEASURED
    return f"{units.number(row['slots_busy'])} of {units.number(row['slots_size'])}"


def _verdict(row: dict[str, Any]) -> str:
    if row.get("problem") and not row["verdict"]:
        return "failed"
    mark = f" ({row['validity']})" if row["validity"] in {"invalid", "suspect"} else ""
    return f"{row['verdict'] or units.NOT_MEASURED}{mark}"
