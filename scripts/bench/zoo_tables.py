"""The results of the zoo as markdown tables: what docs/accuracy.md is made of."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from figures import Figure
from zoo_figures import BASELINES

from pinchpoint import accuracy, calibration
from pinchpoint.accuracy import Result, Share

Lines = list[str]
NOTHING = ["Nothing was measured yet.", ""]


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> Lines:
    """Return a markdown table, its first columns to the left; one line that says so when it has no rows."""
    if not rows:
        return NOTHING
    rule = "|".join("---" if number < left else "---:" for number in range(len(heads)))
    lines = [f"| {' | '.join(heads)} |", f"|{rule}|"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|")


def percent(value: float | None) -> str:
    """Return 97.1 %; n/a for None."""
    return "n/a" if value is None else f"{value:.1%}".replace("%", " %")


def shown(found: Share) -> str:
    """Return a share with its counts and the interval over cases."""
    low, high = found.ci_cases
    if found.share is None:
        return "n/a"
    between = f"{low:.0%} to {high:.0%}".replace("%", " %")
    return f"{percent(found.share)} ({found.hits} of {found.runs}; {between})"


def said(result: Result) -> str:
    """Return the answer, and what was named beside it."""
    also = f" + {', '.join(result.co_bottlenecks)}" if result.co_bottlenecks else ""
    return "/".join(result.answer) + also


def labels(result: Result) -> str:
    """Return the right answers."""
    return ", ".join("/".join(one) for one in result.labels)


def figures(made: Sequence[Figure]) -> Lines:
    """Return the figures with their targets; shares as percentages, everything else in its own unit."""
    rows = []
    for one in made:
        between = f"{_value(one.ci[0], one)} to {_value(one.ci[1], one)}" if one.ci else ""
        sign = "≥" if one.better == "higher" else "≤"
        target = "" if one.target is None else f"{sign} {_value(one.target, one)}"
        met = "" if one.target is None else "met" if one.ok else "**missed**"
        rows.append([one.name, _value(one.value, one), between, target, one.n, met])
    return table(["figure", "value", "95 % interval", "target", "n", ""], rows)


def _value(value: float, one: Figure) -> str:
    return f"{value:.3g} {one.unit}".rstrip() if one.unit or value > 1 or _plain_number(one.name) else percent(value)


def _plain_number(name: str) -> bool:
    """Tell figures that have no unit and are no shares."""
    return any(word in name for word in ("left out", "Brier", "calibration error", ": p that", "set-F1"))


# --- singles ---------------------------------------------------------------------------------------------------------


def confusion(results: Sequence[Result]) -> Lines:
    """Return the matrix of classes: a row for each label, a column for each answer."""
    found = accuracy.confusion(results, by_cause=False)
    rows = []
    for label in found.labels:
        of_label = [one for one in results if one.labels[0][0] == label]
        cells = [found.counts[label].get(answer) for answer in found.answers]
        bold = [f"**{n}**" if n and answer == label else n for n, answer in zip(cells, found.answers, strict=True)]
        rows.append([label, *bold, shown(accuracy.share(of_label, lambda one: one.class_right))])
    return table(["label \\ said", *found.answers, "class right"], rows)


def causes(results: Sequence[Result], *, final: bool) -> Lines:
    """Return the matrix of causes without its empty cells: what was said of each label, and how often.

    Of tuned families alone unless nothing will change any more: a row of few runs tells what was said of each.
    """
    results = [one for one in results if final or one.half == "tuned"]
    found = accuracy.confusion(results, by_cause=True)
    rows = []
    for label in found.labels:
        counts = found.counts[label]
        others = sorted(((n, name) for name, n in counts.items() if name != label), reverse=True)
        of_label = [one for one in results if "/".join(one.labels[0]) == label]
        told = ", ".join(f"{name} x {n}" for n, name in others)
        rows.append([label, told, shown(accuracy.share(of_label, lambda one: one.right))])
    return table(["label", "said otherwise", "cause right"], rows, left=2)


def groups(rows: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> Lines:
    """Return the shares of parts of the single faults: halves of the families, kinds of server, databases, rounds."""
    by_key = {(row["case"], row["severity"], row["round"]): row for row in rows}
    parts: dict[str, Callable[[Result], object]] = {
        "families": lambda one: one.half,
        "server": lambda one: by_key[one.case, one.severity, one.round].get("flavour"),
        "database": lambda one: by_key[one.case, one.severity, one.round].get("database"),
        "round": lambda one: one.round,
    }
    lines = []
    for name, part in parts.items():
        for value in sorted({part(one) for one in results}, key=str):
            of_part = [one for one in results if part(one) == value]
            right = (lambda one: one.class_right), (lambda one: one.right)
            lines.append([f"{name}: {value}", *(shown(accuracy.share(of_part, test)) for test in right)])
    return table(["part", "class right", "cause right"], lines)


def wrong(results: Sequence[Result], *, final: bool) -> Lines:
    """Return every run with one label that was called something else; those of held-out families only at the end."""
    missed = [one for one in results if len(one.labels) == 1 and not one.right]
    told = [one for one in missed if final or one.half == "tuned"]
    rows = [
        [one.case, f"x{one.severity:g}", one.half, labels(one), said(one), _number(one.confidence), _rate(one)]
        for one in sorted(told, key=lambda one: (one.case, one.round))
    ]
    lines = table(["case", "severity", "families", "label", "said", "confidence", "capacity / ceiling"], rows, left=5)
    kept = len(missed) - len(told)
    note = f"{kept} more of held-out families, told once no rule will change (`--final`)."
    if not missed:
        return ["None.", ""]
    return [*(lines if rows else []), *([note, ""] if kept else [])]


def _rate(result: Result) -> str:
    if result.ceiling_rps is None:
        return "no ceiling"
    return "n/a" if result.capacity_rps is None else f"{result.capacity_rps:.1f} / {result.ceiling_rps:.1f}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


# --- the other kinds -------------------------------------------------------------------------------------------------


def mixed(results: Sequence[Result], *, final: bool) -> Lines:
    """Return the runs in which several resources bind."""
    told = [one for one in results if final or one.half == "tuned"]
    rows = [
        [one.case, f"x{one.severity:g}", labels(one), said(one), f"{accuracy.set_f1(one):.2f}"]
        for one in sorted(told, key=lambda one: (one.case, one.round))
    ]
    lines = table(["case", "severity", "labels", "said", "F1"], rows, left=4)
    if not results:
        return NOTHING
    by_class = fmean(accuracy.set_f1(one, by_cause=False) for one in results)
    mean = fmean(accuracy.set_f1(one) for one in results)
    return [*lines, f"Mean F1 {mean:.2f} of {len(results)} runs; by class alone {by_class:.2f}.", ""]


def negatives(results: Sequence[Result], *, final: bool) -> Lines:
    """Return what was said where nothing is at fault."""
    rows = []
    for name in sorted({one.case for one in results if final or one.half == "tuned"}):
        runs = [one for one in results if one.case == name]
        told = ", ".join(f"{answer} x {n}" for answer, n in sorted(Counter(map(said, runs)).items()))
        rows.append([name, labels(runs[0]), told, sum(map(accuracy.accuses_falsely, runs))])
    accused = sum(map(accuracy.accuses_falsely, results))
    return [
        *table(["case", "answers that accuse nobody falsely", "said", "falsely accused"], rows, left=3),
        *([f"{accused} of {len(results)} runs accuse falsely.", ""] if results else []),
    ]


def baselines(results: Sequence[Result]) -> Lines:
    """Return the baselines beside the verdict: on single faults, mixed ones and negatives."""
    single = accuracy.of_kind(results, "single")
    rows: list[list[object]] = [["**pinchpoint**", *_scores(results), "", ""]]
    for name in BASELINES:
        others = [other for one in results if (other := accuracy.with_baseline(one, name)) is not None]
        tests = [accuracy.paired(single, name, by_cause=by_cause) for by_cause in (False, True)]
        told = [f"{one.ours_only} : {one.theirs_only}, p = {one.p_value:.2g}" for one in tests]
        rows.append([name, *_scores(others), *told])
    heads = ["", "class right", "cause right", "set-F1, mixed", "falsely accused", "class: ours : theirs", "cause"]
    return table(heads, rows)


def _scores(results: Sequence[Result]) -> Iterator[str]:
    single = accuracy.of_kind(results, "single")
    yield shown(accuracy.share(single, lambda one: one.class_right))
    yield shown(accuracy.share(single, lambda one: one.right))
    several = accuracy.of_kind(results, "mixed")
    yield f"{fmean(accuracy.set_f1(one) for one in several):.2f}" if several else "n/a"
    none = accuracy.of_kind(results, "negative")
    yield f"{sum(map(accuracy.accuses_falsely, none))} of {len(none)}" if none else "n/a"


# --- confidence, capacity, time --------------------------------------------------------------------------------------


def confidence(results: Sequence[Result]) -> Lines:
    """Return how right verdicts of each confidence are, and what believing only the surer ones leaves."""
    made = calibration.claims(results)
    bins = [
        [f"{one.low:g} to {one.high:g}", one.n, percent(one.confidence), percent(one.right)]
        for one in calibration.bins(made)
    ]
    scores = [
        ("Brier score", calibration.brier(made)),
        ("expected calibration error", calibration.expected_error(made)),
    ]
    told = "; ".join(f"{name} {value:.3f}" for name, value in scores if value is not None)
    curve = [
        [f"{one.level:g}", percent(one.coverage), one.n, percent(one.class_right), percent(one.cause_right)]
        for one in calibration.coverage_curve(results)
    ]
    return [
        *table(["confidence", "verdicts", "mean confidence", "right (class and cause)"], bins),
        *([f"{told[0].upper()}{told[1:]}, over {len(made)} verdicts.", ""] if told else []),
        *table(["believed from", "coverage", "verdicts", "class right", "cause right"], curve),
    ]


def capacity(results: Sequence[Result], *, final: bool) -> Lines:
    """Return how far capacities are off their ceilings, and which are far off."""
    errors = accuracy.capacity_errors(results)
    if not errors:
        return NOTHING
    sizes = sorted(abs(error) for _, error in errors)
    parts = [
        ("within 5 %", sum(size <= 0.05 for size in sizes) / len(sizes)),  # noqa: PLR2004 - named beside it
        ("within 10 %", sum(size <= accuracy.WITHIN for size in sizes) / len(sizes)),
        ("within 20 %", sum(size <= 0.2 for size in sizes) / len(sizes)),  # noqa: PLR2004 - named beside it
    ]
    lines = [f"{len(sizes)} runs with a ceiling: median off by {percent(median(sizes))}; "]
    lines[0] += ", ".join(f"{name} {percent(part)}" for name, part in parts) + "."
    far = [(one, error) for one, error in errors if abs(error) > accuracy.WITHIN and (final or one.half == "tuned")]
    rows = [
        [
            one.case, f"x{one.severity:g}", _plain(one.ceiling_rps), _plain(one.saturation_rps),
            _plain(one.sustainable_rps), f"{error:+.0%}".replace("%", " %"), said(one),
        ]
        for one, error in sorted(far, key=lambda pair: pair[1])
    ]  # fmt: skip
    heads = ["case", "severity", "ceiling", "plateau", "sustained", "off", "said"]
    return [*lines, "", *(table(heads, rows, left=2) if rows else [])]


def _plain(rate: float | None) -> str:
    return "n/a" if rate is None else f"{rate:.1f}/s"


def time(results: Sequence[Result]) -> Lines:
    """Return how long a verdict takes, by kind of case."""
    rows = []
    for kind in ("single", "mixed", "negative", "generator"):
        found = accuracy.time_to_verdict(accuracy.of_kind(results, kind))
        if found.n:
            rows.append([kind, found.n, *(f"{one:.1f} s" for one in (found.median, found.p95, found.worst) if one)])
    return table(["kind", "runs", "median", "95 %", "worst"], rows)


def checked(known: Mapping[str, Any], kinds: Mapping[str, str]) -> Lines:
    """Return what the check of every label measured, without the classifier: a row for each case."""
    rows = []
    for name in sorted(known):
        found = sorted(known[name]["severities"].values(), key=lambda one: one["severity"])
        rates = [_off(one["expected"], one["faulted"]["rate"]) for one in found]
        gains = [
            one["cured"]["rate"] / one["faulted"]["rate"] for one in found if one["cured"] and one["faulted"]["rate"]
        ]
        problems = [one["problem"] for one in found if one["problem"]]
        stands = known[name]["problem"] or "; ".join(problems) or "yes"
        rows.append([name, kinds.get(name, ""), ", ".join(rates), f"{min(gains):.2f}" if gains else "", stands])
    heads = ["case", "kind", "measured, against the ceiling", "cured / faulted, least", "stands"]
    return table(heads, rows, left=3)


def _off(expected: float | None, rate: float) -> str:
    if not expected:
        return f"{rate:.1f}/s"
    return f"{rate:.1f} / {expected:.1f} ({rate / expected - 1:+.0%})".replace("%", " %")
