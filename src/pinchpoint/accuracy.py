"""How often a diagnosis is right: shares, confusions, capacity errors, over runs of systems whose limit is known.

Pure functions over rows of `runs/bench/zoo/results.jsonl`. What counts as what:

- A **single** run is right in class when the verdict's class is the label's, and in cause when both slugs are.
  Co-bottlenecks do not help: the first answer counts.
- A **mixed** run is scored by the F1 of a set: the verdict and its co-bottlenecks against the labels (`set_f1`).
- A **negative** run is right when the verdict is among its labels. It accuses falsely when the verdict, or one of its
  co-bottlenecks, names a resource of the server that is not among them. `undetermined`, `none` and `generator` accuse
  none.
- An **abstention** is `undetermined`, or no verdict at all (the run failed). Where the label is something else, it is
  wrong, too.
- Runs of one case are not independent. Every share has two intervals: of runs, and of cases, as if each case had been
  asked once (METHOD §7.3: the variant is the unit). The second is the one to believe.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from statistics import median
from typing import Any

from pinchpoint.statistics import wilson

Answer = tuple[str, str]
"""(class, cause)."""

ABSTAINED: Answer = ("undetermined", "no-verdict")
"""What a run that ended without a report is taken for."""

ACCUSES_NOBODY = frozenset({"undetermined", "none", "generator"})

CAUSES_OF_RESOURCE: Mapping[str, frozenset[Answer]] = {
    "cpu": frozenset(
        ("cpu", cause)
        for cause in (
            "python-code", "native-code", "gil", "too-few-workers", "cpu-quota", "noisy-neighbour", "worker-imbalance",
        )
    ),
    "loop": frozenset(
        [*(("cpu", cause) for cause in ("python-code", "native-code", "gil", "too-few-workers", "worker-imbalance")),
         ("blocking", "sync-call")]
    ),
    "memory": frozenset(("memory", cause) for cause in ("leak", "limit", "swap")),
    "db": frozenset({("io", "slow-query"), ("lock", "db-row")}),
    "downstream": frozenset({("io", "downstream")}),
    "disk": frozenset({("io", "disk")}),
    "network": frozenset({("io", "network")}),
    "db-pool": frozenset({("pool", "db-pool")}),
    "threadpool": frozenset({("pool", "threadpool")}),
    "executor": frozenset({("pool", "threadpool")}),
    "http-pool": frozenset({("pool", "http-pool")}),
    "worker-slots": frozenset({("pool", "worker-slots"), ("pool", "admission-limit")}),
    "accept-backlog": frozenset({("pool", "accept-backlog")}),
    "admission-limit": frozenset({("pool", "admission-limit")}),
    "gil": frozenset({("cpu", "gil"), ("cpu", "python-code")}),
    "sqlite-writer": frozenset({("lock", "sqlite-writer")}),
    "generator": frozenset({("generator", "generator-bound")}),
    "lock": frozenset(("lock", cause) for cause in ("python-lock", "file-lock", "sqlite-writer", "db-row")),
}  # fmt: skip
"""Resource of the ledger -> the causes that may fill it up. A co-bottleneck names a resource, and any one of its causes
will do, because a row of the ledger does not say why it is full; a resource not listed stands for no known cause."""

WITHIN = 0.1
"""A capacity within this of the ceiling counts as right."""

SURE = 0.9
"""Confidence from which on a verdict must be right nine times in ten."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one case, as far as it is scored."""

    case: str
    family: str
    kind: str
    """`single`, `mixed`, `negative` or `generator`."""
    half: str
    """`tuned` or `held-out`."""
    severity: float
    round: int
    labels: tuple[Answer, ...]
    answer: Answer
    confidence: float | None
    co_bottlenecks: tuple[str, ...] = ()
    sustainable_rps: float | None = None
    saturation_rps: float | None = None
    ceiling_rps: float | None = None
    sustained: bool = False
    """The ceiling is the rate that can be sustained (answers above it come too late), not one that nothing exceeds."""
    wall_s: float | None = None
    exit_code: int | None = None
    run: str = ""
    baselines: Mapping[str, Answer] = field(default_factory=dict)

    @property
    def abstained(self) -> bool:
        """Whether nothing was claimed."""
        return self.answer[0] == "undetermined"

    @property
    def class_right(self) -> bool:
        """Whether the class is that of a label."""
        return self.answer[0] in {class_ for class_, _ in self.labels}

    @property
    def right(self) -> bool:
        """Whether class and cause are those of a label."""
        return self.answer in self.labels

    @property
    def capacity_rps(self) -> float | None:
        """What is held against the ceiling: see `capacity_errors`."""
        if self.sustained or self.saturation_rps is None:
            return self.sustainable_rps
        return self.saturation_rps


def result_of(row: Mapping[str, Any]) -> Result:
    """Read one row of `results.jsonl`.

    Raises:
        KeyError: a field that every row has is missing.

    """
    verdict, capacity = row.get("verdict") or {}, row.get("capacity") or {}
    return Result(
        case=row["case"],
        family=row["family"],
        kind=row["kind"],
        half=row["half"],
        severity=float(row["severity"]),
        round=int(row["round"]),
        labels=tuple(_answer(label) for label in row["labels"]),
        answer=_answer(verdict) if verdict else ABSTAINED,
        confidence=verdict.get("confidence"),
        co_bottlenecks=tuple(verdict.get("co_bottlenecks") or ()),
        sustainable_rps=capacity.get("sustainable_rps"),
        saturation_rps=capacity.get("saturation_rps"),
        ceiling_rps=row.get("ceiling_rps"),
        sustained=bool(row.get("sustained")),
        wall_s=row.get("wall_s"),
        exit_code=row.get("exit_code"),
        run=str(row.get("run") or ""),
        baselines={name: _answer(value) for name, value in (row.get("baselines") or {}).items()},
    )


def _answer(value: Mapping[str, str] | Sequence[str]) -> Answer:
    if isinstance(value, Mapping):
        return value["class"], value["cause"]
    class_, cause = value
    return class_, cause


def results_of(rows: Iterable[Mapping[str, Any]]) -> list[Result]:
    """Read all rows of runs that were made; of several of one case, severity and round the last one counts."""
    found = {
        (result.case, result.severity, result.round): result
        for row in rows
        if not row.get("skipped")
        for result in [result_of(row)]
    }
    return [found[key] for key in sorted(found)]


def of_kind(results: Iterable[Result], *kinds: str) -> list[Result]:
    """Return the results of some kinds of cases."""
    return [result for result in results if result.kind in kinds]


# --- shares ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a number of runs, with 95 % Wilson intervals."""

    hits: int
    runs: int
    cases: int
    share: float | None
    """None when there was nothing to count."""
    ci_runs: tuple[float, float]
    """As if runs were independent: too narrow."""
    ci_cases: tuple[float, float]
    """As if each case had been asked once, and the share were that of cases: the widest that repeats can make it."""


def share(results: Sequence[Result], test: Callable[[Result], bool]) -> Share:
    """Count the results that pass a test. A case's runs weigh the same, and so does each case in `ci_cases`."""
    hits = sum(map(test, results))
    by_case: dict[str, list[bool]] = {}
    for result in results:
        by_case.setdefault(result.case, []).append(test(result))
    cases = sum(sum(passed) / len(passed) for passed in by_case.values())
    return Share(
        hits=hits,
        runs=len(results),
        cases=len(by_case),
        share=hits / len(results) if results else None,
        ci_runs=wilson(hits, len(results)),
        ci_cases=wilson(min(cases, len(by_case)), len(by_case)),
    )


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of (label, answer), both as `class` or `class/cause`."""

    labels: list[str]
    answers: list[str]
    counts: dict[str, dict[str, int]]


def confusion(results: Iterable[Result], *, by_cause: bool) -> Confusion:
    """Count what was said of what, over runs with exactly one label; labels first among the answers, then the rest."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        if len(result.labels) == 1:
            counts.setdefault(_name(result.labels[0], by_cause), Counter())[_name(result.answer, by_cause)] += 1
    labels = sorted(counts)
    others = sorted({answer for said in counts.values() for answer in said} - set(labels))
    return Confusion(labels, [*labels, *others], {label: dict(counts[label]) for label in labels})


def _name(answer: Answer, by_cause: bool) -> str:
    return "/".join(answer) if by_cause else answer[0]


def named_set(result: Result) -> list[frozenset[Answer]]:
    """Return what a verdict accuses: its own answer, then what each further resource may stand for.

    A co-bottleneck is a resource of the ledger (`db-pool`, or a gate such as `db-pool NAME`), or `class/cause` itself.
    One that may be the very thing the verdict names already is no second accusation.
    """
    accused = [] if result.answer[0] in ACCUSES_NOBODY else [frozenset({result.answer})]
    for name in result.co_bottlenecks:
        word, slash, cause = name.partition("/")
        known = frozenset({(word, cause)}) if slash and " " not in word else _causes(name)
        names_nobody = all(class_ in ACCUSES_NOBODY for class_, _ in known)
        if result.answer not in known and known not in accused and not names_nobody:
            accused.append(known)
    return accused


def _causes(resource: str) -> frozenset[Answer]:
    word = resource.partition(" ")[0]
    return CAUSES_OF_RESOURCE.get(word, frozenset({("unknown", word)}))


def set_f1(result: Result, *, by_cause: bool = True) -> float:
    """Return the F1 of the accused set against the labels, 0..1; 0 when nothing is accused.

    F1 = 2 · hits / (accused + labels). Each label is hit once at most, by an accusation that may stand for it.
    """
    wanted = set(result.labels) if by_cause else {(class_, "") for class_, _ in result.labels}
    accused = named_set(result)
    if not by_cause:
        accused = list(dict.fromkeys(frozenset((class_, "") for class_, _ in one) for one in accused))
    size, hits = len(accused) + len(wanted), 0
    for one in accused:
        # The narrowest first would be the perfect matching; sets of causes overlap only in `loop` and `cpu`.
        hit = next(iter(sorted(one & wanted)), None)
        if hit is not None:
            wanted.discard(hit)
            hits += 1
    return 2 * hits / size if size else 0.0


def accuses_falsely(result: Result) -> bool:
    """Tell whether a verdict names something of the server, first or second, that is not among the labels."""
    return any(not one & set(result.labels) for one in named_set(result))


# --- capacity and time -----------------------------------------------------------------------------------------------


def capacity_error(result: Result) -> float | None:
    """Return capacity / ceiling - 1; -1 for a run that names no capacity, None for a case without a ceiling.

    The ceiling is a rate that no longer run can exceed, whatever the queue: so it is held against the saturation
    throughput, the plateau of goodput beyond the limit. Where a run saw no plateau, the sustainable rate stands in,
    which the response-time goal keeps at or below it. A ceiling that is such a goal's own (`Result.sustained`) is held
    against the sustainable rate only.
    """
    if not result.ceiling_rps:
        return None
    return -1.0 if result.capacity_rps is None else result.capacity_rps / result.ceiling_rps - 1.0


def capacity_errors(results: Iterable[Result]) -> list[tuple[Result, float]]:
    """Return the errors of all runs with a known ceiling, but for those in which the generator is the limit."""
    return [
        (result, error)
        for result in results
        if result.kind != "generator" and (error := capacity_error(result)) is not None
    ]


def within(results: Iterable[Result]) -> Share:
    """Return the share of capacities within `WITHIN` of the ceiling."""
    known = [result for result, _ in capacity_errors(results)]
    return share(known, lambda result: abs(capacity_error(result) or 0.0) <= WITHIN)


@dataclass(frozen=True, slots=True)
class Spread:
    """Typical and worst of some seconds."""

    n: int
    median: float | None
    p95: float | None
    worst: float | None


def time_to_verdict(results: Iterable[Result]) -> Spread:
    """Return how long runs took, start to report, in seconds."""
    known = sorted(result.wall_s for result in results if result.wall_s is not None)
    if not known:
        return Spread(0, None, None, None)
    return Spread(len(known), median(known), known[min(len(known) - 1, int(0.95 * len(known)))], known[-1])


# --- against simpler rules -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paired:
    """Two diagnoses of the same recordings."""

    n: int
    ours_only: int
    """Right here and wrong there."""
    theirs_only: int
    p_value: float
    """McNemar's exact test, two-sided."""


def mcnemar(ours_only: int, theirs_only: int) -> float:
    """Return the exact two-sided p-value that the two are equally often right (McNemar 1947, binomial with p = 1/2)."""
    n, fewer = ours_only + theirs_only, min(ours_only, theirs_only)
    tail = sum(comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << n))


def with_baseline(result: Result, name: str) -> Result | None:
    """Return the result as it would be, had the baseline given the verdict; None where it was not asked."""
    if name not in result.baselines:
        return None
    return Result(
        result.case, result.family, result.kind, result.half, result.severity, result.round, result.labels,
        result.baselines[name], None,
    )  # fmt: skip


def paired(results: Sequence[Result], name: str, *, by_cause: bool) -> Paired:
    """Compare with a baseline, a case having one vote: the majority of its runs, half of them being no majority."""
    votes: dict[str, list[tuple[bool, bool]]] = {}
    for result in results:
        other = with_baseline(result, name)
        if other is not None:
            both = (result.right, other.right) if by_cause else (result.class_right, other.class_right)
            votes.setdefault(result.case, []).append(both)
    ours_only = theirs_only = 0
    for runs in votes.values():
        ours, theirs = (2 * sum(column) > len(runs) for column in zip(*runs, strict=True))
        ours_only += ours and not theirs
        theirs_only += theirs and not ours
    return Paired(len(votes), ours_only, theirs_only, mcnemar(ours_only, theirs_only))
