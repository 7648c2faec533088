"""A pack held against a recording: parts, limits, targets, the database after the run, and what none of them knows."""

from dataclasses import replace

import pytest

from pinchpoint.diagnosis.packs import comply, full_load, grade, pack_result
from pinchpoint.packs import Compliance, Op, Pack, PackResult, Part, PartResult, Target, TargetResult
from support.pack_runs import CALM, SHOP, Seen, calm_result, search_recording, searched, second, staged_recording
from support.sample_run import sample_diagnosis

WORDS = ("green", "yellow", "red")


@pytest.mark.parametrize(
    ("error_rate", "p95_ms", "compliance"),
    [
        (0.0, 100.0, "passed"),
        (0.01, 500.0, "passed"),
        (0.0436, 3.39, "partially_passed"),
        (0.2484, 2.43, "failed"),
        (0.10, 2.43, "partially_passed"),
        (0.0, 900.0, "partially_passed"),
        (0.02, 900.0, "failed"),
        (1.0, None, "failed"),
        (None, None, None),
    ],
)
def test_compliance_is_that_of_the_limits_and_many_errors_fail_whatever_the_speed(
    error_rate: float | None, p95_ms: float | None, compliance: Compliance | None
) -> None:
    """The seed's own table: 4.36 % is partially passed, 24.84 % failed, with 1 % and 500 ms for limits."""
    assert comply(error_rate, p95_ms, 0.01, 500.0) == compliance


@pytest.mark.parametrize(
    ("max_error_rate", "slow_ms", "compliance"),
    [(None, None, None), (None, 500.0, "passed"), (0.001, None, "failed"), (0.2, None, "passed")],
)
def test_only_limits_that_there_are_count(
    max_error_rate: float | None, slow_ms: float | None, compliance: Compliance | None
) -> None:
    """Without any there is nothing to comply with."""
    assert comply(0.15, 100.0, max_error_rate, slow_ms) == compliance


@pytest.mark.parametrize(
    ("op", "target", "acceptable", "value", "word"),
    [
        ("<", 200.0, None, 199.0, "green"),
        ("<", 200.0, None, 200.0, "red"),
        ("<", 500.0, 1000.0, 500.0, "yellow"),
        ("<", 500.0, 1000.0, 1000.0, "red"),
        (">", 100.0, 50.0, 100.0, "yellow"),
        (">=", 100.0, 50.0, 100.0, "green"),
        ("<=", 0.01, None, 0.01, "green"),
        ("==", 0.0, None, 0.0, "green"),
        ("==", 0.0, None, 1.0, "red"),
        ("<", 200.0, 300.0, None, None),
    ],
)
def test_a_grade_is_one_of_the_packs_three_words(
    op: Op, target: float, acceptable: float | None, value: float | None, word: str | None
) -> None:
    """What was not measured has none."""
    line = Target(name="t", metric="avg_ms", op=op, target=target, acceptable=acceptable)

    assert grade(line, value, WORDS) == word


def test_stages_are_judged_as_a_whole() -> None:
    """Parts join the requests of their names, what users did before the load is no part of it, failures keep kinds."""
    browse, buy, give_back = calm_result().parts

    assert (browse.requests, browse.error_rate, browse.errors) == (40, 0.0, {})
    assert browse.avg_ms == pytest.approx(14.0, rel=0.002)
    assert browse.p95_ms == pytest.approx(30.0, rel=0.002)
    assert (browse.peak_users, browse.compliance) == (20, "passed")
    assert (buy.requests, buy.error_rate, buy.errors) == (32, 0.25, {"409": 8})
    assert (buy.peak_users, buy.compliance) == (10, "failed")
    assert give_back == PartResult("Return", 0, None, None, None, 30, None)


def test_targets_are_graded_in_the_packs_words_and_what_nobody_looked_at_is_not_graded() -> None:
    """64 answers in 4 s are 16/s; the database was not asked, so nothing is known of what was oversold."""
    result = calm_result()

    assert result.at == "over the whole load, up to 30 users"
    assert [(one.name, one.grade, one.at) for one in result.targets] == [
        ("GET requests", "green", result.at),
        ("Throughput", "yellow", result.at),
        ("Errors", "red", result.at),
        ("Users", "green", result.at),
        ("Oversold", None, "in the database, after the run"),
    ]
    observed = [one.observed for one in result.targets]
    assert observed[0] == pytest.approx(10.0, rel=0.002)
    assert observed[1:] == [16.0, 8 / 72, 30.0, None]


def test_the_rows_after_the_end_of_the_stages_are_not_the_loads() -> None:
    """Recovery and what came before the stages count for nothing."""
    slow: dict[str, Seen] = {"/goods": ([5000.0] * 100, {})}
    rows = [second(-2, slow), *(second(index, CALM) for index in range(4)), second(5, slow)]

    assert pack_result(staged_recording(rows), sample_diagnosis(), "shop", SHOP).parts == calm_result().parts


def test_stages_that_stayed_below_the_packs_load_had_their_share_of_users() -> None:
    """15 of 30 users: each kind has half of what it has at the peak."""
    rows = [second(index, CALM, users=15) for index in range(4)]

    found = pack_result(staged_recording(rows), sample_diagnosis(), "shop", SHOP)

    assert [part.peak_users for part in found.parts] == [10, 5, 15]


def test_the_load_that_a_packs_users_belong_to_is_its_own_peak() -> None:
    """That of its stages, else all kinds of users together; a pack may name none."""
    assert full_load(SHOP) == 30
    assert full_load(replace(SHOP, staged=((1.0, 60),))) == 60
    assert full_load(replace(SHOP, staged=())) == 30
    assert full_load(Pack(parts=(Part(name="a", endpoints=("/",), presses="GET /"),))) is None


def test_a_search_is_judged_at_the_heaviest_load_that_held() -> None:
    """40/s held and 80/s did not: the two seconds at 40/s count. Arrivals were fixed, so users are not measured."""
    rows = [second(0, {"/goods": ([1.0], {})}), second(1, {})]
    rows += [second(2, CALM), second(3, CALM), second(4, {"/goods": ([], {"503": 50})})]

    found = pack_result(search_recording(rows), searched((20.0, True), (40.0, True), (80.0, False)), "shop", SHOP)

    assert (found.at, found.step) == ("at 40/s, the heaviest load that held", 1)
    assert [part.requests for part in found.parts] == [20, 16, 0]
    assert [part.peak_users for part in found.parts] == [None, None, None]
    assert {one.name: one.observed for one in found.targets}["Users"] is None
    assert {one.name: one.observed for one in found.targets}["Throughput"] == 16.0


def test_a_search_in_which_no_load_held_says_so() -> None:
    """The lightest load is all there is."""
    found = pack_result(search_recording([second(0, CALM)]), searched((20.0, False), (40.0, False)), "shop", SHOP)

    assert found.at == "at 20/s, the lightest load, which did not hold"
    assert found.parts[1].requests == 8


def test_a_search_by_users_counts_those_that_were_asked_for() -> None:
    """50 users held."""
    diagnosis = searched((20.0, True))
    diagnosis = replace(diagnosis, steps=[replace(diagnosis.steps[0], model="users", offered_rps=None, users=50)])

    found = pack_result(search_recording([second(0, CALM)]), diagnosis, "shop", SHOP)

    assert found.at == "at 50 users, the heaviest load that held"
    assert {one.name: one.observed for one in found.targets}["Users"] == 50.0


def test_a_run_that_ended_before_its_load_has_no_results_at_all() -> None:
    """No zero anywhere: nothing was measured."""
    found = pack_result(search_recording([]), replace(sample_diagnosis(), steps=[]), "shop", SHOP)

    assert found.at == ""
    assert found.parts == tuple(PartResult(part.name, 0, None, None, None, None, None) for part in SHOP.parts)
    assert {(one.observed, one.grade) for one in found.targets} == {(None, None)}


def test_silence_under_load_is_no_throughput_which_is_a_measurement() -> None:
    """Load processes that reported, and nothing that came back: 0/s; but no latency and no error rate."""
    found = pack_result(staged_recording([second(0, {}), second(1, {})]), sample_diagnosis(), "shop", SHOP)

    assert {one.name: one.observed for one in found.targets} == {
        "GET requests": None,
        "Throughput": 0.0,
        "Errors": None,
        "Users": 30.0,
        "Oversold": None,
    }


def oversold(result: PackResult) -> TargetResult:
    """Return the target on what was oversold."""
    return result.targets[-1]


def test_what_the_database_holds_decides_about_stock() -> None:
    """Three pieces too many are red, and said in words before anything else; what adds up is green, and needs none."""
    wrong = calm_result({"oversold": 3, "negative_stock": 1, "unbalanced": [{"product_id": 1}, {"product_id": 2}]})
    right = calm_result({"oversold": 0, "negative_stock": 0, "unbalanced": [], "ok": True})

    assert (oversold(wrong).observed, oversold(wrong).grade) == (3.0, "red")
    assert [(one.kind, one.value, one.unit) for one in wrong.findings] == [
        ("oversold", 3.0, "pieces"),
        ("negative-stock", 1.0, "products"),
        ("unbalanced", 2.0, "products"),
        ("race", 0.25, "share"),
    ]
    assert wrong.findings[0].statement.startswith("3 pieces were sold that never were in stock: ")
    assert wrong.findings[1].statement.startswith("1 product has a stock below zero: ")
    assert (oversold(right).observed, oversold(right).grade) == (0.0, "green")
    assert [one.kind for one in right.findings] == ["race"]


@pytest.mark.parametrize("audit", ["nothing", {"oversold": None}, {"oversold": True}, {}])
def test_a_check_that_does_not_tell_leaves_it_open(audit: object) -> None:
    """A damaged answer is never read as none oversold."""
    result = calm_result(audit)

    assert (oversold(result).observed, oversold(result).grade) == (None, None)
    assert [one.kind for one in result.findings] == ["race"]


def test_a_part_without_limits_of_its_own_has_the_runs() -> None:
    """Buyers fail at the run's 1 %; with 30 % of their own they pass."""
    lax = replace(SHOP, parts=(replace(SHOP.parts[1], max_error_rate=0.3),))
    taken = staged_recording([second(0, CALM)])

    assert pack_result(taken, sample_diagnosis(), "shop", lax).parts[0].compliance == "passed"
    assert pack_result(taken, sample_diagnosis(), "shop", SHOP).parts[1].compliance == "failed"


def test_targets_of_a_preset_stand_behind_the_packs() -> None:
    """What `--preset light` asks of the throughput."""
    light = Target(name="Throughput, light load", metric="rps", op=">=", target=10)
    taken = staged_recording([second(0, CALM)])

    found = pack_result(taken, sample_diagnosis(), "shop", SHOP, [light]).targets

    assert (found[-1].name, found[-1].observed, found[-1].grade) == ("Throughput, light load", 16.0, "green")
