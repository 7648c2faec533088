"""What the results of the zoo add up to: the figures with their targets, and every run as a line of a table."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Literal

import zoo_labels
from figures import Figure
from zoo_results import Row

from pinchpoint import accuracy, calibration
from pinchpoint.accuracy import Result
from pinchpoint.app.faults.case import Case

CLASS, CAUSE, SET_F1, ABSTAINED, GAP = 0.97, 0.92, 0.85, 0.05, 0.03
CAPACITY, SURE_RIGHT, BEATEN_P, ROUND_MIN = 0.9, 0.9, 0.05, 75.0
BASELINES = ("highest-utilisation", "longest-queue", "hottest-frame", "clinic-doctor")


def discarded(cases: Sequence[Case]) -> dict[str, str]:
    """Return the cases whose label does not stand -> why."""
    known = zoo_labels.labels()
    found = {}
    for case in cases:
        stands = zoo_labels.valid(case, known)
        if stands is None:
            found[case.name] = "its label was not checked as it is now"
        elif not stands:
            entry = known[case.name]
            problems = [one["problem"] for one in entry["severities"].values() if one["problem"]]
            found[case.name] = "; ".join([*([entry["problem"]] if entry["problem"] else []), *problems])
    return found


def counted(rows: Sequence[Row], cases: Sequence[Case]) -> list[Result]:
    """Return the results that count: of cases whose label stands."""
    left_out = discarded(cases)
    return accuracy.results_of(row for row in rows if row["case"] not in left_out)


def figures(rows: Sequence[Row], cases: Sequence[Case]) -> list[Figure]:
    """Return every figure; those about nothing are left out."""
    results = counted(rows, cases)
    single = accuracy.of_kind(results, "single")
    made = [_discards(rows, cases)]
    made += _share("single: class right", single, lambda one: one.class_right, CLASS)
    made += _share("single: cause right", single, lambda one: one.right, CAUSE)
    mixed = accuracy.of_kind(results, "mixed")
    if mixed:
        value = fmean(accuracy.set_f1(one) for one in mixed)
        made.append(Figure("mixed: set-F1", value, "", SET_F1, "higher", None, len(mixed)))
    negative = accuracy.of_kind(results, "negative")
    if negative:
        accused = float(sum(map(accuracy.accuses_falsely, negative)))
        made.append(Figure("negatives accused falsely", accused, "runs", 0.0, "lower", None, len(negative)))
    made += _share("generator: right", accuracy.of_kind(results, "generator"), lambda one: one.right, None)
    made += _share("abstained", results, lambda one: one.abstained, ABSTAINED, better="lower")
    for name, test in (("class", lambda one: one.class_right), ("cause", lambda one: one.right)):
        made += _halves(f"single: {name} right", single, test)
    made += _capacity(results)
    made += _confidence(results)
    made += [one for name in BASELINES for one in _baseline(name, single)]
    return [*made, *_time(rows)]


Test = Callable[[Result], bool]


def _share(
    name: str,
    results: Sequence[Result],
    test: Test,
    target: float | None,
    better: Literal["higher", "lower"] = "higher",
) -> list[Figure]:
    found = accuracy.share(results, test)
    if found.share is None:
        return []
    told = f"{name} ({found.hits} of {found.runs})"
    return [Figure(told, found.share, "", target, better, found.ci_cases, found.cases)]


def _discards(rows: Sequence[Row], cases: Sequence[Case]) -> Figure:
    names = {row["case"] for row in rows}
    out = [name for name in discarded(cases) if name in names]
    return Figure(
        "cases left out: label does not stand, or not checked", float(len(out)), "", 0.0, "lower", None, len(names)
    )


def _halves(name: str, results: Sequence[Result], test: Test) -> list[Figure]:
    """Return both halves, and how far the held-out one is below the tuned one."""
    tuned, held = ([one for one in results if one.half == half] for half in ("tuned", "held-out"))
    made = [
        *_share(f"{name}, tuned families", tuned, test, None),
        *_share(f"{name}, held-out families", held, test, None),
    ]
    if tuned and held:
        gap = made[0].value - made[1].value
        made.append(Figure(f"{name}: held-out below tuned", gap, "", GAP, "lower", None, len(results)))
    return made


def _capacity(results: Sequence[Result]) -> list[Figure]:
    found = accuracy.within(results)
    if found.share is None:
        return []
    name = f"capacity within {accuracy.WITHIN:.0%} of the ceiling ({found.hits} of {found.runs})"
    return [Figure(name, found.share, "", CAPACITY, "higher", found.ci_cases, found.cases)]


def _confidence(results: Sequence[Result]) -> list[Figure]:
    claims = calibration.claims(results)
    right, sure = calibration.right_from(claims, accuracy.SURE)
    made = []
    if sure:
        name = f"right where the confidence is {accuracy.SURE:g} or more ({right} of {sure})"
        made.append(Figure(name, right / sure, "", SURE_RIGHT, "higher", None, sure))
    for name, value in (
        ("Brier score", calibration.brier(claims)),
        ("calibration error", calibration.expected_error(claims)),
    ):
        if value is not None:
            made.append(Figure(f"confidence: {name}", value, "", None, "lower", None, len(claims)))
    return made


def _baseline(name: str, single: Sequence[Result]) -> Iterator[Figure]:
    """Yield a baseline's share, and how likely it is that it is as good as we are."""
    others = [other for one in single if (other := accuracy.with_baseline(one, name)) is not None]
    if not others:
        return
    yield from _share(f"{name}: class right", others, lambda one: one.class_right, None)
    yield from _share(f"{name}: cause right", others, lambda one: one.right, None)
    test = accuracy.paired(single, name, by_cause=True)
    p_value = test.p_value if test.ours_only > test.theirs_only else 1.0
    told = f"{name}: p that it is as good (ours only {test.ours_only}, its only {test.theirs_only})"
    yield Figure(told, p_value, "", BEATEN_P, "lower", None, test.n)


def _time(rows: Sequence[Row]) -> list[Figure]:
    ran = [row for row in rows if not row.get("skipped")]
    if not ran:
        return []
    walls, rounds = sorted(row["wall_s"] for row in ran), {row["round"] for row in ran}
    # What preparing a case and diagnosing it for the baselines takes belongs to a round, and not to the verdict.
    longest = max(
        sum(float(row.get("took_s") or row["wall_s"]) for row in ran if row["round"] == one) for one in rounds
    )
    return [
        Figure("time to verdict, median", walls[len(walls) // 2], "s", None, "lower", None, len(walls)),
        Figure("time to verdict, worst", walls[-1], "s", None, "lower", None, len(walls)),
        Figure("longest round", longest / 60, "min", ROUND_MIN, "lower", None, len(rounds)),
    ]


# --- for a reader ----------------------------------------------------------------------------------------------------


def shown(rows: Sequence[Row], cases: Sequence[Case], *, show_held_out: bool) -> Iterator[str]:
    """Yield the wrong ones among the tuned cases, what was skipped, and what is left out."""
    from zoo import told  # noqa: PLC0415 - which imports this

    left_out = discarded(cases)
    for row in sorted(rows, key=lambda one: (one["case"], one["round"])):
        if row.get("skipped"):
            yield told(row, show=show_held_out)
        elif row["half"] == "tuned" or show_held_out:
            mark = " [left out]" if row["case"] in left_out else ""
            if not accuracy.result_of(row).right or mark:
                yield told(row, show=show_held_out) + mark
    names = {row["case"] for row in rows}
    for name, reason in left_out.items():
        if name in names:
            yield f"left out: {name}: {reason}"
