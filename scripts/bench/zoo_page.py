"""Fill docs/accuracy.md and write docs/accuracy.json from what `scripts/bench.sh zoo` has recorded so far.

    scripts/bench.sh zoo-page [--results FILE] [--final]

Partial results make a page as well: it says what is missing. Single results of held-out families are told with
`--final` alone, as no rule may change once somebody has looked at them.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zoo_chart
import zoo_labels
import zoo_results
import zoo_tables as tables
from figures import FOLDER, Figure
from zoo_figures import BASELINES, counted, discarded, figures
from zoo_server import wanted_cases

from pinchpoint import accuracy, calibration
from pinchpoint.accuracy import Result
from pinchpoint.app.faults.case import Case
from pinchpoint.monitoring.facts import host_facts

PAGE, DATA, CHART = Path("docs/accuracy.md"), Path("docs/accuracy.json"), Path("docs/accuracy.svg")
SUMMARY = FOLDER / "zoo.json"
BEGIN, END = "<!-- figures: written by scripts/bench/zoo_page.py -->", "<!-- end of figures -->"
SCHEMA = "pinchpoint.accuracy/1"
ROUNDS = 3


def source() -> Path:
    """Return the newer of what the runs said and what the present rules say of them."""
    known = [path for path in (zoo_results.RESULTS, zoo_results.REDIAGNOSED) if path.is_file()]
    return max(known, key=lambda path: path.stat().st_mtime, default=zoo_results.RESULTS)


def head(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> list[str]:
    """Return command, dates, commit and machine."""
    made = [row for row in rows if not row.get("skipped")]
    days = sorted(str(row["at"]) for row in made if row.get("at"))
    commits = sorted({str(row["commit"]) for row in made if row.get("commit")})
    machine = summary.get("machine") or host_facts()
    where = f"{machine.get('cpus', '?')} CPUs, {machine.get('cpu_model') or 'unnamed'}"
    budgets = sorted({row["budget_s"] for row in made if row.get("budget_s")})
    words = [
        f"`{summary.get('command', 'scripts/bench.sh zoo')}`",
        f"{where}, Linux {machine.get('kernel', '?')}",
        f"recorded {days[0]} to {days[-1]}" if days else "nothing recorded",
        f"budget of a run {' or '.join(f'{one:g} s' for one in budgets) or 'n/a'}",
        f"commit {', '.join(commits) or 'n/a'}",
    ]
    return [f"{'; '.join(words)}.", ""]


def missing(rows: Sequence[Mapping[str, Any]], cases: Sequence[Case]) -> list[str]:
    """Say which of the planned runs are not among the results, and why."""
    made: dict[str, int] = {}
    for row in rows:
        if not row.get("skipped"):
            made[row["case"]] = made.get(row["case"], 0) + 1
    reasons = {row["case"]: row["skipped"] for row in rows if row.get("skipped") and row["case"] not in made}
    out = {name: why for name, why in discarded(cases).items() if name in made}
    never = [one.name for one in cases if one.name not in made and one.name not in reasons]
    fewer = [f"{one.name} ({made[one.name]})" for one in cases if 0 < made.get(one.name, 0) < ROUNDS]
    total = sum(made.values())
    lines = [f"{total} of {ROUNDS * len(cases)} runs are in: {len(made)} of {len(cases)} cases.", ""]
    lines += [f"- Not run here: {name}: {why}" for name, why in sorted(reasons.items())]
    lines += [f"- Left out: {name}: {why}" for name, why in sorted(out.items())]
    lines += [f"- Not run yet: {', '.join(never)}"] if never else []
    lines += [f"- Run less than {ROUNDS} times: {', '.join(fewer)}"] if fewer else []
    return [*lines, ""]


def _void(rows: Sequence[Mapping[str, Any]], void: Sequence[Mapping[str, Any]], cases: Sequence[Case]) -> list[str]:
    """Say what the figures would be with the runs that are still to be made again: nothing may hide there."""
    found = counted([dict(row) for row in void], cases)
    if not found:
        return []
    single = accuracy.of_kind([*counted([dict(row) for row in rows], cases), *found], "single")
    negative = accuracy.of_kind(found, "negative")
    said = [
        f"{len(found)} runs, as the hypervisor took {zoo_results.VOID:.0%} of the machine or more. As recorded",
        f"{sum(one.right for one in found)} of them are right, {sum(one.abstained for one in found)} abstain,",
        f"{sum(map(accuracy.accuses_falsely, negative))} of {len(negative)} negatives accuse falsely; with them the",
        f"class of {sum(one.class_right for one in single)} of {len(single)} single faults is right:",
        ", ".join(sorted(f"{one.case} ({one.round})" for one in found)),
    ]
    return [f"- To be made again: {' '.join(said)}"]


def _replaced(cases: Sequence[Case]) -> list[str]:
    """Say how many runs were void, and how many of them would have been right: nothing may hide there."""
    gone = zoo_results.replaced(cases)
    if not gone:
        return []
    right = sum(accuracy.result_of(row).right for row in gone)
    why = f"the hypervisor took {zoo_results.VOID:.0%} of the machine or more"
    return [f"- Made again, as {why}: {len(gone)} runs, of which {right} were right as they were recorded."]


def body(
    rows: Sequence[Mapping[str, Any]], void: Sequence[Mapping[str, Any]], cases: Sequence[Case], *, final: bool
) -> list[str]:
    """Return everything between the marks but the head."""
    results = counted([dict(row) for row in rows], cases)
    single, one_label = accuracy.of_kind(results, "single"), accuracy.of_kind(results, "single", "generator")
    labels, kinds = zoo_labels.labels(), {one.name: one.kind for one in cases}
    parts = {
        "Figures": tables.figures(figures([dict(row) for row in rows], cases)),
        "What is missing": missing(rows, cases),
        "What is void": [*_void(rows, void, cases), *_replaced(cases)] or ["Nothing."],
        "Classes": tables.confusion(one_label),
        "Causes": tables.causes(one_label, final=final),
        "Parts of the single faults": tables.groups(rows, single),
        "Wrong ones": tables.wrong(one_label, final=final),
        "Several bottlenecks at once": tables.mixed(accuracy.of_kind(results, "mixed"), final=final),
        "Nothing at fault": tables.negatives(accuracy.of_kind(results, "negative"), final=final),
        "Beside simpler rules": tables.baselines(results),
        "Confidence": ["![Confidence against truth](accuracy.svg)", "", *tables.confidence(results)],
        "Capacity": tables.capacity(results, final=final),
        "Time to verdict": tables.time(results),
        "The check of the labels": tables.checked(labels, kinds),
    }
    return [line for title, lines in parts.items() for line in (f"### {title}", "", *lines, "")]


def _stored(figure: Figure) -> dict[str, Any]:
    return {**asdict(figure), "ok": figure.ok}


def data(rows: Sequence[Mapping[str, Any]], cases: Sequence[Case], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return docs/accuracy.json: every figure and table as numbers, and every run that counts."""
    results = counted([dict(row) for row in rows], cases)
    single, one_label = accuracy.of_kind(results, "single"), accuracy.of_kind(results, "single", "generator")
    made = calibration.claims(results)
    return {
        "schema": SCHEMA,
        "command": summary.get("command"),
        "machine": summary.get("machine"),
        "commits": sorted({str(row["commit"]) for row in rows if row.get("commit")}),
        "figures": [_stored(one) for one in figures([dict(row) for row in rows], cases)],
        "confusion": {
            name: asdict(accuracy.confusion(one_label, by_cause=by_cause))
            for name, by_cause in (("class", False), ("cause", True))
        },
        "baselines": {
            name: {
                word: asdict(accuracy.paired(single, name, by_cause=by_cause))
                for word, by_cause in (("class", False), ("cause", True))
            }
            for name in BASELINES
        },
        "calibration": [asdict(one) for one in calibration.bins(made)],
        "coverage": [asdict(one) for one in calibration.coverage_curve(results)],
        "left_out": discarded(cases),
        "runs": [_run(one) for one in results],
    }


def _run(result: Result) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if name not in {"run", "exit_code"}}


def main(words: Sequence[str]) -> int:
    """Write page, data and chart; 1 when nothing was recorded yet."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench.sh zoo-page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, help="default: the newer of results.jsonl and rediagnosed.jsonl")
    parser.add_argument("--final", action="store_true", help="tell single results of held-out families, too")
    asked = parser.parse_args(words)
    cases = wanted_cases([], [], spare=False)
    found = zoo_results.latest(asked.results or source(), cases)
    rows = zoo_results.counting(found, cases)
    void = [row for row in found if row not in rows and zoo_results.void(row)]
    if not rows:
        sys.stderr.write("nothing is recorded yet: run scripts/bench.sh zoo first\n")
        return 1
    summary = json.loads(SUMMARY.read_text(encoding="utf-8")) if SUMMARY.is_file() else {}
    text = [*head(rows, summary), *body(rows, void, cases, final=asked.final)]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    while text and not text[-1]:
        text.pop()
    lines = [line for line, last in zip(text, ["x", *text], strict=False) if line or last]
    PAGE.write_text("\n".join([before + BEGIN, "", *lines, "", END + after.rstrip("\n"), ""]), encoding="utf-8")
    stored = data(rows, cases, summary)
    if not asked.final:
        stored["runs"] = [one for one in stored["runs"] if one["half"] == "tuned"]
    DATA.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    CHART.write_text(zoo_chart.reliability(calibration.bins(calibration.claims(counted(rows, cases)))), "utf-8")
    return 0
