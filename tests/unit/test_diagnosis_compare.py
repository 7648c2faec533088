"""Two runs side by side: what is worse by more than noise, by goal and at the same load."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.diagnosis.compare.comparison import capacity_rows, compare, errors, latency_row
from pinchpoint.diagnosis.compare.levels import levels, matched
from pinchpoint.measures import Step
from pinchpoint.records import Diagnosis, Finding
from support.compare_sides import cpu_times, section, side, with_capacity, with_latency, with_server, with_steps
from support.sample_goals import diagnosis_with_goals
from support.sample_run import sample_diagnosis

OPPOSITE = {"above": "below", "below": "above", "level": "level", "unknown": "unknown"}


# --- regressions -----------------------------------------------------------------------------------------------------


def test_a_run_compared_with_itself_is_no_regression() -> None:
    """Every figure is level, and the bottleneck stayed."""
    found = compare(side("a"), side("b"))

    assert found.regressions == []
    assert found.headline == (
        "No difference beyond the noise: the sustainable rate went from 93.6/s to 93.6/s, "
        "0 % (95 % interval -3 to +3 %)."
    )
    assert found.move.statement == (
        "The bottleneck stayed pool/db-pool; "
        "its limit is the same as far as the noise allows to say (97.8/s to 97.8/s)."
    )
    assert {row.change.side for row in found.capacity} <= {"level", "unknown"}
    assert {row.change.side for row in found.at_load} == {"level"}


def test_half_the_capacity_is_a_regression() -> None:
    """With its interval, both figures, and what would be tolerated."""
    found = compare(side("a"), side("b", with_capacity(0.5)))

    (said,) = found.regressions
    assert said == (
        "the sustainable rate fell from 93.6/s (a) to 46.8/s (b), "
        "-50 % (95 % interval -51 to -49 %); 10 % is tolerated."
    )
    assert found.headline == f"Regression: {found.regressions[0]}"


def test_twice_the_capacity_is_none() -> None:
    """It is better, and its limit rose."""
    found = compare(side("a"), side("b", with_capacity(2.0)))

    assert found.regressions == []
    assert found.headline.startswith("b is better than a: the sustainable rate went from 93.6/s to 187/s, +100 %")
    assert found.move.statement == "The bottleneck stayed pool/db-pool; its limit rose by 100 % (97.8/s to 196/s)."


@pytest.mark.parametrize(("factor", "tolerance", "worse"), [(0.8, 0.10, 1), (0.8, 0.30, 0), (0.97, 0.0, 0)])
def test_a_loss_counts_beyond_the_tolerance_and_beyond_the_noise(factor: float, tolerance: float, worse: int) -> None:
    """A fifth less is a regression unless a third is tolerated; three percent are noise though none is tolerated."""
    found = compare(side(), side("after", with_capacity(factor)), tolerance)

    assert len(found.regressions) == worse


def test_a_real_loss_that_is_tolerated_says_so() -> None:
    """Not silence."""
    found = compare(side(), side("after", with_capacity(0.8)), 0.30)

    assert found.headline.startswith("No regression: the sustainable rate went from 93.6/s to 74.9/s, -20 %")
    assert found.headline.endswith("and 30 % less is tolerated.")


def test_a_higher_p95_at_the_same_load_is_a_regression() -> None:
    """Over the five loads that held, told at the heaviest of them."""
    found = compare(side(), side("after", with_latency(1.5)))

    (said,) = found.regressions
    assert said == (
        "p95 at the same load rose, +50 % (95 % interval +50 to +50 %), over 5 loads: "
        "from 474 ms to 711 ms at 94/s; 10 % is tolerated."
    )


@pytest.mark.parametrize(("factor", "tolerance"), [(1.08, 0.10), (1.5, 0.60), (0.5, 0.0)])
def test_a_p95_within_the_tolerance_or_below_is_none(factor: float, tolerance: float) -> None:
    """8 % more is tolerated by default."""
    assert compare(side(), side("after", with_latency(factor)), tolerance).regressions == []


@given(factor=st.floats(0.2, 5.0))
def test_swapping_the_runs_swaps_every_answer(factor: float) -> None:
    """Whichever run is called A."""
    one, two = side("one"), side("two", with_capacity(factor))
    there, back = compare(one, two), compare(two, one)

    assert [row.change.side for row in back.capacity] == [OPPOSITE[row.change.side] for row in there.capacity]
    assert not (there.regressions and back.regressions)


@given(tolerance=st.floats(0.0, 1.0), factor=st.floats(0.1, 10.0))
def test_no_run_is_worse_than_itself(tolerance: float, factor: float) -> None:
    """Whatever it serves, and whatever is tolerated."""
    assert compare(side(), side("b"), tolerance).regressions == []
    same = with_capacity(factor)
    assert compare(side("a", same), side("b", same), tolerance).regressions == []


# --- capacity --------------------------------------------------------------------------------------------------------


def rows(before: Diagnosis, after: Diagnosis) -> dict[str, Any]:
    """Return name -> (before, after, side) of the capacity rows."""
    found = capacity_rows(side("a", before), side("b", after))
    return {row.name: (row.before, row.after, row.change.side) for row in found}


def test_every_goal_is_compared_with_its_interval() -> None:
    """The sustainable rate stands first; a goal that was never missed says "at least"."""
    found = rows(diagnosis_with_goals(), with_capacity(2.0))

    assert list(found) == ["sustainable", "strict", "breaking", "plateau"]
    assert {name: trend for name, (_, _, trend) in found.items()} == {
        "sustainable": "above",
        "strict": "above",
        "breaking": "unknown",
        "plateau": "above",
    }
    strict = found["strict"][0]
    assert (strict.value, strict.low, strict.high) == (87.9, 86.1, 90.2)


def test_without_an_interval_the_limit_lies_below_what_broke_and_below_the_plateau() -> None:
    """93.6/s held, 113/s broke, and goodput levels off at 97.8/s: with 5 % for its scatter that is 102.7/s."""
    before, _, _ = rows(sample_diagnosis(), sample_diagnosis())["sustainable"]

    assert before.low == 93.6
    assert before.high == pytest.approx(97.8 * 1.05)


def test_a_run_that_met_no_limit_sustains_at_least_that() -> None:
    """Against one that broke at half of it, it is better beyond doubt."""
    unlimited = with_capacity(2.0, reached=False)

    assert rows(diagnosis_with_goals(), unlimited)["sustainable"][2] == "above"
    assert rows(unlimited, unlimited)["sustainable"][2] == "unknown"


def test_a_run_in_which_no_load_held_is_worse() -> None:
    """Even 10/s broke: less than that, whatever it is."""
    nothing = with_capacity(1.0, sustainable_rps=None, sustainable_ci_rps=None, upper_bound_rps=10.0)
    found = compare(side("a"), side("b", nothing))

    assert "fell from 93.6/s (a) to less than 10/s (b), at most -89 %" in found.regressions[0]


def test_runs_that_met_no_limit_are_not_told_apart() -> None:
    """The plateau is not known either."""
    unlimited = with_capacity(1.0, reached=False, saturation_rps=None, goals=[])
    found = compare(side("a", unlimited), side("b", unlimited))

    assert found.regressions == []
    assert "cannot be told" in found.headline


def test_users_are_compared_where_the_load_is_users() -> None:
    """200 users broke in both; 100 held before, 50 now: it may be anything from a quarter to as many."""

    def closed(users: int, broke: int) -> Diagnosis:
        steps = [
            replace(step, model="users", users=round(step.offered_rps or 0), offered_rps=None)
            for step in sample_diagnosis().steps
        ]
        found = with_capacity(1.0, sustainable_users=users, breaking_users=broke, goals=[])
        return replace(found, steps=steps)

    found = {row.name: row for row in capacity_rows(side("a", closed(100, 200)), side("b", closed(50, 100)))}

    assert (found["users"].before.value, found["users"].after.value) == (100.0, 50.0)
    assert (found["users"].change.low, found["users"].change.high) == pytest.approx((0.25, 1.0))
    assert found["users"].change.side == "level"


def test_other_limits_make_another_capacity() -> None:
    """What rests on them is not judged; the breaking goal asks the same in both."""
    stricter = side("b", with_capacity(0.5), **section("slo", p95_ms=100.0))
    found = compare(side("a"), stricter)

    assert {row.name: row.change.side for row in found.capacity}["sustainable"] == "unknown"
    assert [text for text in found.warnings if "limits differ" in text] != []
    # The plateau is nobody's limit, and it halved.
    assert found.regressions[0].startswith("the plateau of goodput fell from 97.8/s (a) to 48.9/s (b)")


# --- figures at the same load ----------------------------------------------------------------------------------------


def test_loads_that_count_are_paired() -> None:
    """Not the warm-up, the overload, the recovery, the profiles and the void step."""
    seen = levels(diagnosis_with_goals().steps)

    assert [level.load for level in seen] == [10.0, 20.0, 40.0, 80.0, 94.0, 113.0, 160.0]
    assert [level.held for level in seen] == [True] * 5 + [False] * 2
    assert [(one.load, two.load) for one, two in matched(seen, seen)] == [(level.load, level.load) for level in seen]


def test_loads_within_three_percent_are_the_same_and_each_is_paired_once() -> None:
    """96/s is 94/s; 120/s is nobody's."""
    seen = levels(diagnosis_with_goals().steps)
    others = [replace(level, load={94.0: 96.0, 113.0: 120.0}.get(level.load, level.load)) for level in seen]

    pairs = [(one.load, two.load) for one, two in matched(seen, others)]

    assert (94.0, 96.0) in pairs
    assert [pair for pair in pairs if 113.0 in pair or 120.0 in pair] == []


def test_cpu_and_memory_are_compared_per_request_and_at_the_same_load() -> None:
    """The same work for half the CPU and a third more memory."""
    cheaper = with_server(cpu_cores=cpu_times(0.5), pss_bytes=1.24e8 * 4 / 3)
    found = {row.name: row for row in compare(side(), side("after", cheaper)).at_load}

    assert (found["cpu"].before, found["cpu"].after) == pytest.approx((2.0, 1.0))
    assert found["cpu"].change.side == "below"
    assert found["cpu"].change.ratio == pytest.approx(0.5)
    assert (found["memory"].loads, found["memory"].change.side) == (5, "above")
    assert found["memory"].what.endswith("(PSS)")


def test_memory_is_the_same_measure_on_both_sides() -> None:
    """Without PSS in one run, RSS in both."""
    found = {row.name: row for row in compare(side(), side("after", with_server(pss_bytes=None))).at_load}

    assert found["memory"].what.endswith("(RSS)")
    assert (found["memory"].before, found["memory"].after) == (1.62e8, 1.62e8)


def test_what_was_not_measured_is_not_compared() -> None:
    """A server that could not be seen has no CPU and no memory."""
    unseen = with_server(cpu_cores=None, pss_bytes=None, rss_bytes=None)
    found = {row.name: row for row in compare(side(), side("after", unseen)).at_load}

    assert [(found[name].loads, found[name].change.side) for name in ("cpu", "memory")] == [(0, "unknown")] * 2


def test_a_load_that_broke_in_both_tells_no_latency() -> None:
    """How long a queue grew is no response time."""
    seen = levels(diagnosis_with_goals().steps)

    assert latency_row(matched(seen, seen)).loads == 5


def test_few_common_loads_count_only_where_both_held() -> None:
    """A limit that just holds here and just breaks there would be all there is."""
    seen = levels(diagnosis_with_goals().steps)
    broke = replace(seen[4], held=False, p95_ms=5000.0)

    row = latency_row([(seen[0], seen[0]), (seen[4], broke)])

    assert (row.loads, row.change.side) == (1, "level")


def failing(share: float) -> Diagnosis:
    """Return the sample diagnosis in which a share of the answers failed."""

    def change(step: Step) -> Step:
        failed = round(step.client.ok * share)
        return replace(step, client=replace(step.client, ok=step.client.ok - failed, failed=failed), error_rate=share)

    return with_steps(change)


def test_more_errors_at_the_same_load_are_told() -> None:
    """2 % of 1,200 requests against none; the intervals do not meet."""
    pairs = matched(levels(diagnosis_with_goals().steps), levels(failing(0.02).steps))
    found = errors(pairs)

    assert (found.before, found.side) == (0.0, "above")
    assert found.after == pytest.approx(0.02, abs=0.005)
    assert errors([(one, one) for one, _ in pairs]).side == "level"
    assert errors([]).side == "unknown"


def test_memory_that_stays_with_each_request_is_told() -> None:
    """A leak that a search found."""
    leaking = replace(diagnosis_with_goals(), findings=[Finding("leak", "memory grows", 38_000.0, "bytes/request")])

    assert compare(side(), side("after", leaking)).growth.after == 38_000.0
    assert compare(side(), side("after", leaking)).growth.before is None
