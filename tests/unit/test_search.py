"""The search against servers whose ceiling is arithmetic, simulated on the real code path: bias, spread, time."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pinchpoint.diagnosis.capacity import capacity
from pinchpoint.diagnosis.steps import build_steps, ladder, rows_by_step
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.goals import Limits, Outcome, three_goals
from pinchpoint.records import Capacity
from pinchpoint.stress.search import Ask, Measured, Search
from support import simulated
from support.simulated import Server

GOALS = three_goals(Limits(500.0, 0.01), 4.0, 4.0, 0.025)


def fresh(start: float = 20.0, highest: float = 20_000.0) -> Search:
    """Return a search with nothing tried."""
    return Search(GOALS, 2.0, start, highest)


def measured(
    load: float, *, passed: bool, gross: bool = True, seconds: float = 4.0, served: float | None = None
) -> Measured:
    """One step; a failed one lost a fifth of its arrivals to a queue."""
    lost = 0.0 if passed else 0.2
    outcome = Outcome(dict.fromkeys(("strict", "slo", "breaking"), lost), 1 - lost, round(load * seconds))
    return Measured(
        load, seconds, passed, gross and not passed, outcome, queued=served is not None, forwarding_rps=served
    )


def tried(capacity_rps: float, **given: float) -> tuple[list[Measured], Search]:
    """Let the search find an ideal server's capacity."""
    search, steps = fresh(**given), [measured(given.get("start", 20.0), passed=True)]
    for _ in range(40):
        ask = search.next(steps, 1e6)
        if ask is None:
            return steps, search
        ok = ask.load <= capacity_rps
        steps.append(measured(ask.load, passed=ok, seconds=ask.seconds, served=None if ok else capacity_rps))
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("rate", [3.0, 45.0, 700.0, 9_000.0])
def test_the_search_ends_with_the_capacity_between_its_bounds(rate: float) -> None:
    """Whatever the capacity: just below what was forwarded, and above it by what a trial can tell."""
    steps, search = tried(rate, start=0.5 if rate < 20 else 20.0)
    slo = next(result for result in search.results(steps) if result.goal.name == "slo")

    assert search.stopped == "width"
    assert slo.lower is not None
    assert slo.upper is not None
    assert rate * 0.97 <= slo.lower <= rate < slo.upper


def test_after_the_ramp_it_goes_to_the_forwarding_rate() -> None:
    """20, 40, 80, 160 break the app at 100/s; the next load is just below that."""
    steps, _ = tried(100.0)

    assert [each.load for each in steps[:4]] == [20.0, 40.0, 80.0, 160.0]
    assert steps[4].load == pytest.approx(98.5)


def test_a_failure_that_is_not_gross_is_repeated() -> None:
    """Once; cleared by a hit, settled by a second miss."""
    steps = [measured(20.0, passed=True), measured(40.0, passed=False, gross=False)]

    again = fresh().next(steps, 100.0)
    assert isinstance(again, Ask)
    assert again.load == 40.0
    assert fresh().bounds([*steps, measured(40.0, passed=True)]) == (40.0, None)
    assert fresh().bounds([*steps, steps[-1]]) == (20.0, 40.0)


def test_a_bound_that_served_less_than_a_lighter_load_is_doubted() -> None:
    """Half a second stolen, or a collapse: it is tried again before anything rests on it."""
    steps = [measured(20.0, passed=True), measured(40.0, passed=False, seconds=2.0, served=12.0)]

    assert fresh().next(steps, 100.0) == Ask(40.0, fresh().seconds(40.0, 2.0), "ramp", "slo")


def test_an_app_that_fails_at_the_lowest_load_ends_the_search() -> None:
    """Below half a request per second there is nothing to judge."""
    steps = [measured(load, passed=False) for load in (20.0, 5.0, 1.25)]
    search = fresh()

    assert getattr(search.next(steps, 100.0), "load", None) == 0.5
    assert search.next([*steps, measured(0.5, passed=False)], 100.0) is None
    assert search.stopped == "lowest"


def test_a_load_that_never_fails_ends_at_the_highest_rate() -> None:
    """The cap itself is tried; there is no upper bound then."""
    steps, search = tried(1e9, highest=30.0)

    assert (search.stopped, search.bounds(steps)) == ("highest", (30.0, None))


def test_no_time_left_ends_the_search_with_the_best_answer_so_far() -> None:
    """A trial that does not fit is not begun."""
    search, steps = fresh(), [measured(20.0, passed=True), measured(40.0, passed=False, served=30.0)]

    assert search.next(steps, 2.0) is None
    assert search.stopped == "time"
    assert search.bounds(steps) == (20.0, 40.0)


def test_a_slow_load_is_held_longer() -> None:
    """Ten arrivals say little about one in a hundred; the wait has an end."""
    search = fresh()

    assert search.seconds(1000.0, 4.0) == 4.0
    assert search.seconds(20.0, 4.0) == 6.0
    assert search.seconds(1.0, 4.0) == 10.0


def found(server: Server, seeds: Sequence[int], budget_s: float = 90.0) -> list[Capacity]:
    """Run, record, diagnose; the budget is kept."""
    result = []
    for seed in seeds:
        _, session, used_s = simulated.search(server, seed=seed, budget_s=budget_s)
        assert used_s <= budget_s
        recording = session.recording()
        steps = build_steps(recording, Samples([]))
        result.append(capacity(steps, ladder(steps), 500.0, 0.01, rows_by_step(recording)))
    return result


def shares(rates: Sequence[float | None], truth: float) -> list[float]:
    """Return rates over the truth; a missing one is a failure."""
    assert None not in rates
    return [rate / truth for rate in rates if rate is not None]


@pytest.mark.parametrize("server", [Server(20, 0.04), Server(12, 0.03)], ids=["500/s", "400/s"])
def test_the_limit_of_tokens_times_hold_is_found_within_three_percent(server: Server) -> None:
    """Five runs of 90 s: every one within 3 %, spread below 3 %, for both figures."""
    runs = found(server, range(5))
    for rates in ([run.sustainable_rps for run in runs], [run.saturation_rps for run in runs]):
        values = shares(rates, server.ceiling_rps)
        assert max(abs(value - 1) for value in values) <= 0.03
        assert statistics.stdev(values) / statistics.fmean(values) <= 0.03


def test_a_host_that_loses_every_tenth_second_changes_the_median_by_less_than_five_percent() -> None:
    """Stolen seconds are outliers of the plateau, and misses that must be seen again."""
    server = Server(20, 0.04, stolen=0.1)
    runs = found(server, range(5))

    assert statistics.median(shares([run.sustainable_rps for run in runs], server.ceiling_rps)) >= 0.95


def test_every_figure_of_a_run_is_filled() -> None:
    """Three goals in order, an interval round the plateau, no collapse at 1.5 C."""
    run = found(Server(20, 0.04), [1])[0]
    lower = [goal.lower_rps for goal in run.goals]

    assert [goal.name for goal in run.goals] == ["strict", "slo", "breaking"]
    assert lower == sorted(rate or 0.0 for rate in lower)
    assert run.saturation_ci_rps is not None
    assert run.saturation_ci_rps[0] <= (run.saturation_rps or 0.0) <= run.saturation_ci_rps[1]
    assert run.collapse_ratio == pytest.approx(1.0, abs=0.03)


def test_a_step_that_was_disturbed_by_us_is_tried_again() -> None:
    """Void: recorded as such, counted by nobody, and the same load follows."""
    given: list[str] = []

    def voids(held: object) -> str | None:
        reason = None if given or getattr(held, "load", 0.0) < 100 else "the generator was its own limit"
        given.extend([reason] if reason else [])
        return reason

    _, session, _ = simulated.search(Server(20, 0.04), voids=voids)
    steps = [event["data"] for event in session.events if event["kind"] == "step"]
    void = next(k for k, step in enumerate(steps) if step["phase"] == "void")

    assert [step["phase"] for step in steps].count("void") == 1
    assert steps[void]["offered_rps"] == steps[void + 1]["offered_rps"]


def test_a_long_warm_up_ends_when_there_is_nothing_left_to_warm() -> None:
    """Slices that look alike: two of four are enough; a short warm-up is one."""
    for budget_s, slices in ((90.0, 1), (600.0, 2)):
        _, session, _ = simulated.search(Server(20, 0.04), budget_s=budget_s)
        phases = [event["data"]["phase"] for event in session.events if event["kind"] == "step"]
        assert phases.count("warmup") == slices


def test_an_early_load_is_held_again_when_there_is_time() -> None:
    """With ten minutes the search ends by itself: the last trial is one of the ramp's loads."""
    _, session, used_s = simulated.search(Server(20, 0.04), budget_s=600.0)
    steps = [event["data"] for event in session.events if event["kind"] == "step"]
    searched = [step for step in steps if step["phase"] == "search"]

    assert used_s <= 600.0
    assert searched[-1]["offered_rps"] in {step["offered_rps"] for step in steps if step["phase"] == "ramp"}


def test_no_run_on_a_disturbed_host_ends_far_too_low() -> None:
    """Seeds whose warm-up, baseline or first steps are hit by stolen seconds."""
    server = Server(20, 0.04, stolen=0.1)
    runs = found(server, (15, 17, 21, 25))

    for rates in ([run.sustainable_rps for run in runs], [run.saturation_rps for run in runs]):
        assert all(0.85 <= value <= 1.03 for value in shares(rates, server.ceiling_rps))


def test_a_first_look_that_was_disturbed_sends_the_search_up() -> None:
    """Twice at most; a clear failure, a third, or one that nothing disturbed does not."""
    plain = [measured(load, passed=False, gross=False) for load in (20.0, 40.0, 80.0)]
    spoilt = [replace(one, outcome=replace(one.outcome, disturbed=True)) for one in plain]

    assert [getattr(fresh().next(spoilt[:k], 100.0), "load", None) for k in (1, 2, 3)] == [40.0, 80.0, 20.0]
    assert getattr(fresh().next(plain[:1], 100.0), "load", None) == 20.0
    assert getattr(fresh().next([measured(20.0, passed=False)], 100.0), "load", None) == 5.0


def test_an_app_that_is_slow_by_nature_is_not_excused() -> None:
    """A second per request under a limit of half a second: nothing is sustainable, whatever looks like a stall."""
    assert [run.sustainable_rps for run in found(Server(2, 1.0), range(2))] == [None, None]
