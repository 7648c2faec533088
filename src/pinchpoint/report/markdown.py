"""`report.md`: the verdict first, then what it rests on. Reads well as plain text too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinchpoint import units
from pinchpoint.report import awaits, goals, inside, packs, questions, soak, staged, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Report = dict[str, Any]
NONE = "None."


def render_markdown(report: Report) -> str:
    """Return the report as markdown."""
    sections = [
        _verdict(report),
        *_pack(report),
        *_stages(report),
        *_soak(report),
        _section(
            "Capacity",
            [*table(("what", "value"), words.capacity_lines(report)), words.model_line(report), "", *_goals(report)],
        ),
        *_questions(report),
        _section("Advice", _advice(report)),
        _section("Evidence", _evidence(report)),
        _section("Ledger: the rate at which each resource would bind", _ledger(report)),
        _section("Where a request's time goes", _time(report)),
        _section("Inside the server", _inside(report)),
        *_awaits(report),
        _section("Steps", [words.model_line(report), "", *_steps(report)]),
        _section("Validity gates", _gates(report)),
        _section("The load generator", _generator(report)),
        _section("Findings that do not bind today", [f"- {plain(one['statement'])}" for one in report["findings"]]),
        _section("Recovery", [words.recovery_line(report)]),
        _section("Run", _run(report)),
    ]
    return "\n".join(line for section in sections for line in [*section, ""]).rstrip() + "\n"


def plain(value: object) -> str:
    """Return text that stays on its line and cannot turn into markup: names come from the app and the network."""
    text = " ".join(str(value).split())
    for mark in ("\\", "`", "*", "_", "[", "]", "<", ">", "|"):
        text = text.replace(mark, {"<": "&lt;", ">": "&gt;"}.get(mark, "\\" + mark))
    return text


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a markdown table, cells escaped."""
    body = ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
    if not body:
        return [NONE]
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body, ""]


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *(lines or [NONE])]


def _verdict(report: Report) -> list[str]:
    verdict = report["verdict"]
    lines = [
        f"# {plain(words.headline(report))}",
        "",
        plain(verdict["summary"]),
        "",
        f"*{plain(words.status_line(report))}*",
    ]
    where, wall, moves = words.place(verdict["location"]), words.next_wall(report), words.moves(report)
    extra = [
        f"- Where: {plain(where)}" if where else None,
        f"- Binds as well: {plain(', '.join(verdict['co_bottlenecks']))}" if verdict["co_bottlenecks"] else None,
        f"- Binds load by load: {plain(moves)}" if moves else None,
        f"- Next wall: {plain(wall)}" if wall else None,
        f"- Longest part inside the server: {plain(_dominant(verdict))}" if verdict["dominant_time"] else None,
    ]
    partial = words.partial_reason(report)
    if partial is not None:
        lines += ["", f"> {plain(partial)}"]
    return [*lines, "", *(line for line in extra if line is not None)]


def _dominant(verdict: dict[str, Any]) -> str:
    dominant = verdict["dominant_time"]
    return f"{dominant['part']}, {units.percent(dominant['share'])} of a request's time"


def _advice(report: Report) -> list[str]:
    advice = report["verdict"]["advice"]
    return [f"{number}. {plain(words.advice_text(one))}" for number, one in enumerate(advice, start=1)]


def _evidence(report: Report) -> list[str]:
    verdict = report["verdict"]
    rows = [
        (one["statement"], units.quantity(one["value"], one["unit"]), one["signal"], _or_dash(one["step"]))
        for one in verdict["evidence"]
    ]
    flips = [f"- The verdict would flip if {plain(one)}" for one in verdict["would_flip_if"]]
    return table(("statement", "value", "signal", "step"), rows) + flips


def _ledger(report: Report) -> list[str]:
    rows = [
        (
            row["resource"],
            units.rps(row["ceiling_rps"]),
            _interval(row["ceiling_ci_rps"]),
            f"{units.number(row['capacity'])} {row['unit']}",
            units.ms(None if row["demand_s_per_request"] is None else row["demand_s_per_request"] * 1000),
            units.percent(row["utilisation"]),
            units.number(row["queue"]),
            row.get("note", ""),
        )
        for row in words.ledger_rows(report)
    ]
    lines = table(("resource", "ceiling", "95 % CI", "capacity", "demand", "use at limit", "queue", "note"), rows)
    told = words.ledger_check(report)
    return [*lines, *(["", plain(told)] if told else [])]


def _interval(interval: list[float] | None) -> str:
    return units.NOT_MEASURED if interval is None else f"{units.number(interval[0])} to {units.number(interval[1])}"


def _time(report: Report) -> list[str]:
    time = report["time"]
    names = sorted({*time["low"], *time["limit"]}, key=lambda part: (-time["limit"].get(part, 0.0), part))
    rows = [(name, units.percent(time["low"].get(name)), units.percent(time["limit"].get(name))) for name in names]
    if rows:
        rows.append(("whole request", units.ms(time["ms_low"]), units.ms(time["ms_limit"])))
    return table(("part", "low load", "at the limit"), rows)


def _inside(report: Report) -> list[str]:
    lines = [f"- {plain(sentence)}" for sentence in inside.unseen(report)]
    for one in inside.inside(report):
        lines += [f"### {one.title}", "", *table(one.head, one.rows), *([plain(one.note), ""] if one.note else [])]
    return lines


def _awaits(report: Report) -> list[list[str]]:
    """Return the section, or nothing for a run without an event loop that was looked at."""
    shown = awaits.tables(report)
    if not shown:
        return []
    lines = [awaits.WHAT, ""]
    for one in shown:
        lines += [f"### {one.title}", "", *table(one.head, one.rows), *([plain(one.note), ""] if one.note else [])]
    return [_section("What requests wait for while they do not run", lines)]


def _shown(one: inside.Table) -> list[str]:
    return [f"### {one.title}", "", *table(one.head, one.rows), *([plain(one.note), ""] if one.note else [])]


def _questions(report: Report) -> list[list[str]]:
    """Return the section, or nothing for a report without answers."""
    found = questions.table(report)
    return [] if found is None else [_section(found.title, table(found.head, found.rows))]


def _pack(report: Report) -> list[list[str]]:
    """Return the section, or nothing for a run without a pack."""
    title = packs.headline(report)
    if title is None:
        return []
    lines = [line for one in packs.tables(report) for line in _shown(one)]
    return [_section(title, [*lines, *(f"- {plain(text)}" for text in packs.lines(report))])]


def _goals(report: Report) -> list[str]:
    found = goals.goals(report)
    return [] if found is None else _shown(found)


def _soak(report: Report) -> list[list[str]]:
    """Return the section, or nothing for a run that was no soak."""
    title = soak.headline(report)
    if title is None:
        return []
    lines = [plain(report["soak"]["summary"]), "", *table(("what", "value"), soak.facts(report))]
    for one in soak.tables(report):
        lines += _shown(one)
    return [_section(title, lines)]


def _generator(report: Report) -> list[str]:
    lines = table(("what", "value"), goals.generator_lines(report))
    lines += [f"- {plain(text)}" for text in goals.changes(report)]
    others = goals.hosts(report)
    return [*lines, *(["", *_shown(others)] if others is not None else [])]


def _stages(report: Report) -> list[list[str]]:
    """Return the section, or nothing for a run without stages."""
    title = staged.headline(report)
    if title is None:
        return []
    lines = [f"- {plain(line)}" for line in staged.summary(report)]
    for one in staged.tables(report):
        lines += ["", f"### {one.title}", "", *table(one.head, one.rows), *([plain(one.note)] if one.note else [])]
    return [_section(title, lines)]


STEP_HEAD = ("step", "phase", "offered", "goodput", "errors", "p50", "p95", "p99", "CPU", "RSS", "steady", "ok")


def _steps(report: Report) -> list[str]:
    return table(STEP_HEAD, [_step(step) for step in report["steps"]])


def _step(step: dict[str, Any]) -> tuple[object, ...]:
    latency = step["latency_ms"] or {}
    server = step["server"]
    return (
        step["index"],
        step["phase"],
        words.load_of(step),
        units.rps(step["goodput_rps"]),
        units.percent(step["error_rate"]),
        *(units.ms(latency.get(key)) for key in ("p50", "p95", "p99")),
        units.cores(server["cpu_cores"]),
        units.size(server["rss_bytes"]),
        goals.steadiness(step),
        "does not count: " + "; ".join(step["breaches"])
        if step["phase"] == "void"
        else "yes"
        if step["passed"]
        else "; ".join(step["breaches"]) or "no",
    )


def _gates(report: Report) -> list[str]:
    rows = [
        (
            gate["name"],
            gate["status"],
            units.quantity(gate["value"], gate["unit"]),
            units.quantity(gate["limit"], gate["unit"]),
            gate["message"],
        )
        for gate in report["validity"]["gates"]
    ]
    return [
        f"The measurement is {report['validity']['status']}.",
        "",
        *table(("gate", "status", "value", "limit", "meaning"), rows),
    ]


def _run(report: Report) -> list[str]:
    run = report["run"]
    rows = [
        ("id", run["id"]),
        ("started", run["started_at"]),
        ("took", units.seconds(run["duration_s"])),
        ("budget", units.seconds(run["budget_s"])),
        ("target", words.target_name(report)),
        ("server", words.server_name(report)),
        ("workers", run["target"]["workers"]),
        ("load", run["load"].get("scenario") or run["load"].get("locustfile") or units.NOT_MEASURED),
        ("command line", " ".join(run["argv"])),
    ]
    return table(("what", "value"), [(name, units.NOT_MEASURED if value is None else value) for name, value in rows])


def _or_dash(value: object | None) -> object:
    return "-" if value is None else value
