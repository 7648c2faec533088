"""How often a diagnosis is right: what is counted, and against what."""

from typing import Any

import pytest

from pinchpoint.accuracy import (
    CAUSES_OF_RESOURCE,
    Answer,
    Result,
    accuses_falsely,
    capacity_error,
    capacity_errors,
    confusion,
    mcnemar,
    named_set,
    of_kind,
    paired,
    result_of,
    results_of,
    set_f1,
    share,
    time_to_verdict,
    within,
)

POOL: Answer = ("pool", "db-pool")
PYTHON: Answer = ("cpu", "python-code")
QUERY: Answer = ("io", "slow-query")
ROW: dict[str, Any] = {
    "case": "orders", "family": "db-pool", "kind": "single", "half": "tuned", "severity": 2, "round": 1,
    "labels": [["pool", "db-pool"]],
    "verdict": {"class": "pool", "cause": "db-pool", "status": "supported", "confidence": 0.9,
                "co_bottlenecks": ["cpu"], "next_wall": None, "location": {}},
    "capacity": {"sustainable_rps": 95.0, "saturation_rps": 104.0},
    "ceiling_rps": 100.0, "second_rps": 300.0, "wall_s": 59.5, "exit_code": 0, "run": "runs/bench/zoo/1",
    "commit": "abc", "baselines": {"highest utilisation": ["cpu", "python-code"]},
}  # fmt: skip


def made(answer: Answer, *labels: Answer, kind: str = "single", case: str = "orders", **more: Any) -> Result:
    """Return a result with everything else as it comes."""
    basis: dict[str, Any] = {
        "case": case, "family": "x", "kind": kind, "half": "tuned", "severity": 1.0, "round": 1,
        "labels": labels, "answer": answer, "confidence": 0.8,
    }  # fmt: skip
    return Result(**(basis | more))


def test_a_row_is_read_whole() -> None:
    """Labels and answers are pairs of slugs, rates are per second."""
    actual = result_of(ROW)

    assert actual == Result(
        case="orders", family="db-pool", kind="single", half="tuned", severity=2.0, round=1, labels=(POOL,),
        answer=POOL, confidence=0.9, co_bottlenecks=("cpu",), sustainable_rps=95.0, saturation_rps=104.0,
        ceiling_rps=100.0, wall_s=59.5, exit_code=0, run="runs/bench/zoo/1",
        baselines={"highest utilisation": PYTHON},
    )  # fmt: skip


def test_labels_may_be_written_as_objects() -> None:
    """As `report.json` writes a verdict."""
    assert result_of({**ROW, "labels": [{"class": "cpu", "cause": "gil"}]}).labels == (("cpu", "gil"),)


def test_a_run_without_a_verdict_abstained_and_is_wrong() -> None:
    """A target that did not start is no answer."""
    actual = result_of({**ROW, "verdict": None, "capacity": None})

    assert (actual.abstained, actual.right, actual.class_right, actual.confidence) == (True, False, False, None)
    assert capacity_error(actual) == -1.0


def test_the_last_row_of_a_run_counts_and_skipped_cases_do_not() -> None:
    """A resumed bench appends."""
    again = {**ROW, "verdict": {**ROW["verdict"], "cause": "threadpool"}}
    skipped = {"case": "disk", "skipped": "needs cgroup-blkio"}

    actual = results_of([ROW, skipped, {**ROW, "round": 2}, again])

    assert [(one.round, one.answer[1]) for one in actual] == [(1, "threadpool"), (2, "db-pool")]


def test_the_class_may_be_right_where_the_cause_is_not() -> None:
    """Two shares are published."""
    result = made(("cpu", "gil"), PYTHON)

    assert (result.class_right, result.right) == (True, False)


def test_a_share_has_an_interval_of_runs_and_one_of_cases() -> None:
    """Nine runs of three cases, one of which failed once: 8 of 9 runs, 2.67 of 3 cases (Wilson)."""
    results = [made(POOL, POOL, case=case, round=k) for case in ("a", "b", "c") for k in (1, 2, 3)]
    results[0] = made(PYTHON, POOL, case="a", round=1)

    actual = share(results, lambda one: one.right)

    assert (actual.hits, actual.runs, actual.cases) == (8, 9, 3)
    assert actual.ci_runs == pytest.approx((0.565, 0.980), abs=1e-3)
    assert actual.ci_cases == pytest.approx((0.349, 0.992), abs=1e-3)


def test_a_share_of_nothing_is_unknown() -> None:
    """And not 0."""
    actual = share([], lambda one: one.right)

    assert (actual.share, actual.ci_cases) == (None, (0.0, 1.0))


def test_confusion_counts_answers_of_each_label() -> None:
    """Answers that are no label come last; runs with several labels are left out."""
    results = [made(POOL, POOL), made(PYTHON, POOL), made(PYTHON, PYTHON), made(("none", "not-saturated"), PYTHON)]
    results.append(made(POOL, POOL, PYTHON, kind="mixed"))

    actual = confusion(results, by_cause=False)

    assert (actual.labels, actual.answers) == (["cpu", "pool"], ["cpu", "pool", "none"])
    assert actual.counts == {"cpu": {"cpu": 1, "none": 1}, "pool": {"pool": 1, "cpu": 1}}
    assert confusion(results, by_cause=True).labels == ["cpu/python-code", "pool/db-pool"]


@pytest.mark.parametrize(
    ("answer", "beside", "labels", "expected"),
    [
        (POOL, ("cpu",), (POOL, PYTHON), 1.0),
        (POOL, (), (POOL, PYTHON), 2 / 3),
        (POOL, ("downstream",), (POOL, PYTHON), 0.5),
        (PYTHON, ("cpu", "loop"), (PYTHON, POOL), 2 / 3),  # the same thing seen from elsewhere is one accusation
        (QUERY, ("db-pool postgresql 127.0.0.1:5432/shop",), (QUERY, POOL), 1.0),
        (QUERY, ("lock/db-row",), (("lock", "db-row"), QUERY), 1.0),
        (QUERY, ("flux capacitor",), (QUERY, POOL), 0.5),
        (("undetermined", "unsteady"), (), (POOL, PYTHON), 0.0),
        (POOL, ("cpu", "loop"), (POOL, PYTHON), 0.8),
    ],
)
def test_a_mixed_verdict_is_scored_as_a_set(
    answer: Answer, beside: tuple[str, ...], labels: tuple[Answer, ...], expected: float
) -> None:
    """F1 = 2 · hits / (accused + labels)."""
    assert set_f1(made(answer, *labels, kind="mixed", co_bottlenecks=beside)) == pytest.approx(expected)


def test_a_set_may_be_scored_by_class_alone() -> None:
    """The wrong cause of the right class is a hit then."""
    result = made(("cpu", "gil"), POOL, PYTHON, kind="mixed", co_bottlenecks=("db-pool",))

    assert (set_f1(result, by_cause=False), set_f1(result)) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("answer", "beside", "expected"),
    [
        (PYTHON, (), False),
        (POOL, (), True),
        (("cpu", "gil"), (), True),
        (PYTHON, ("db-pool",), True),
        (PYTHON, ("loop",), False),
        (PYTHON, ("generator",), False),
        (("undetermined", "unsteady"), (), False),
        (("none", "not-saturated"), (), False),
        (("generator", "generator-bound"), (), False),
    ],
)
def test_a_false_accusation_names_something_of_the_server_that_is_no_label(
    *, answer: Answer, beside: tuple[str, ...], expected: bool
) -> None:
    """Co-bottlenecks are accusations as well; saying nothing is none."""
    assert accuses_falsely(made(answer, PYTHON, kind="negative", co_bottlenecks=beside)) is expected


def test_every_resource_of_the_ledger_stands_for_causes() -> None:
    """A new row of the ledger must say what it accuses of."""
    from pinchpoint.diagnosis.ledger import DEPTH  # noqa: PLC0415

    assert DEPTH.keys() <= CAUSES_OF_RESOURCE.keys()


def test_the_plateau_is_held_against_the_ceiling_and_else_the_sustained_rate() -> None:
    """Both are relative; a run that names neither is off by all of it, a case without a ceiling by nothing."""
    known: dict[str, Any] = {"ceiling_rps": 100.0, "sustainable_rps": 80.0}

    assert capacity_error(made(POOL, POOL, **known, saturation_rps=105.0)) == pytest.approx(0.05)
    assert capacity_error(made(POOL, POOL, **known, saturation_rps=105.0, sustained=True)) == pytest.approx(-0.2)
    assert capacity_error(made(POOL, POOL, **known)) == pytest.approx(-0.2)
    assert capacity_error(made(POOL, POOL, ceiling_rps=100.0)) == -1.0
    assert capacity_error(made(POOL, POOL)) is None


def test_capacity_within_ten_percent_is_counted_without_generators() -> None:
    """There the capacity is the generator's."""
    results = [
        made(POOL, POOL, ceiling_rps=100.0, saturation_rps=109.0),
        made(POOL, POOL, ceiling_rps=100.0, saturation_rps=111.0, case="b"),
        made(("generator", "generator-bound"), ("generator", "generator-bound"), kind="generator", ceiling_rps=9.0),
        made(POOL, POOL, case="c"),
    ]

    actual = within(results)

    assert (actual.hits, actual.runs) == (1, 2)
    assert [error for _, error in capacity_errors(results)] == pytest.approx([0.09, 0.11])


def test_time_to_verdict_is_told_by_median_and_worst() -> None:
    """Runs that were not timed are left out."""
    actual = time_to_verdict([made(POOL, POOL, wall_s=wall_s) for wall_s in (60.0, None, 58.0, 70.0)])

    assert (actual.n, actual.median, actual.worst) == (3, 60.0, 70.0)
    assert time_to_verdict([]).median is None


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"), [(0, 0, 1.0), (5, 0, 0.0625), (9, 1, 0.021484375), (3, 3, 1.0)]
)
def test_mcnemar_is_the_exact_binomial(ours: int, theirs: int, expected: float) -> None:
    """Two-sided, of the pairs that disagree."""
    assert mcnemar(ours, theirs) == pytest.approx(expected)


def test_a_baseline_is_compared_case_by_case() -> None:
    """A case has one vote, however often it was run; half of its runs are no majority."""
    wrong: dict[str, Any] = {"baselines": {"queue": PYTHON}}
    results = [made(POOL, POOL, case="a", round=k, **wrong) for k in (1, 2, 3)]
    results += [made(PYTHON, PYTHON, case="b", **wrong), made(POOL, PYTHON, case="b", round=2, **wrong)]
    results.append(made(POOL, POOL, case="c"))

    actual = paired(results, "queue", by_cause=True)

    assert (actual.n, actual.ours_only, actual.theirs_only, actual.p_value) == (2, 1, 1, 1.0)
    assert paired(results, "nobody", by_cause=True).n == 0


def test_results_are_chosen_by_kind() -> None:
    """Each kind is scored in its own way."""
    results = [made(POOL, POOL), made(POOL, POOL, PYTHON, kind="mixed"), made(POOL, POOL, kind="negative")]

    assert [one.kind for one in of_kind(results, "mixed", "negative")] == ["mixed", "negative"]


def test_nothing_accused_is_an_empty_set() -> None:
    """A verdict of `none` with co-bottlenecks would still accuse these."""
    assert named_set(made(("none", "not-saturated"), POOL)) == []
    assert named_set(made(("none", "not-saturated"), POOL, co_bottlenecks=("db-pool",))) == [frozenset({POOL})]
