"""The questions of a load test: each answer exact on a made run, and "not measured" with a way out where it was not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.diagnosis.questions import QUESTIONS, answers
from pinchpoint.measures import EndpointFigures, Latency, Step
from pinchpoint.records import Capacity, Diagnosis, Gate, Validity
from support.asked import SETTINGS, answer, changed
from support.sample_goals import diagnosis_with_goals
from support.sample_run import sample_diagnosis

NAMES = [name for name, _, _ in QUESTIONS]


def failing(*shares: tuple[float, float], requests: int = 1000) -> Diagnosis:
    """Return the sample diagnosis in which a share of the requests at these loads failed, of a thousand each."""
    at = dict(shares)

    def change(step: Step) -> Step:
        failed = round(at.get(step.offered_rps or 0.0, 0.0) * requests)
        client = replace(step.client, ok=requests - failed, failed=failed, errors={"503": failed} if failed else {})
        return replace(step, client=client, error_rate=failed / requests)

    return changed(change)


def users() -> Diagnosis:
    """Return the sample diagnosis of a closed load: its rates are numbers of users."""
    found = changed(lambda step: replace(step, model="users", users=round(step.offered_rps or 0), offered_rps=None))
    capacity = replace(found.capacity, sustainable_users=94, breaking_users=113, lower_bound_rps=None)
    return replace(found, capacity=capacity, steps=[step for step in found.steps if step.phase != "overload"])


def test_every_question_is_answered_in_its_order() -> None:
    """By name, with the question as it stands in the document."""
    found = answers(diagnosis_with_goals(), SETTINGS)

    assert [one.name for one in found] == NAMES
    assert [one.question for one in found] == [question for _, question, _ in QUESTIONS]
    assert [one.measured for one in found] == [True] * 6


# --- performance -----------------------------------------------------------------------------------------------------


def test_the_response_time_comes_with_its_load_and_its_limit() -> None:
    """At 94/s, the largest load that held; so many requests are in flight there."""
    found = answer("response-time", sample_diagnosis())

    assert found.answer == (
        "p95 474 ms at 94/s (20.3 requests in flight), within the limit of 500 ms; "
        "average 238 ms, p50 217 ms, p99 704 ms."
    )
    assert found.unit == "ms"
    assert found.value == pytest.approx(473.757, abs=0.01)
    assert [one.name for one in found.figures] == ["p50", "p95", "p99", "average"]


def test_the_average_and_the_slowest_endpoint_are_told() -> None:
    """The average by the requests of each endpoint: 300 at 20 ms and 100 at 60 ms are 30 ms."""
    fast = EndpointFigures("/items", 300, 0, Latency(10, 20, 25, 40, 50), mean_ms=20.0)
    slow = EndpointFigures("/search", 100, 0, Latency(50, 70, 80, 90, 99), mean_ms=60.0)
    setup = EndpointFigures("setup: /login", 9, 0, Latency(500, 500, 500, 500, 500), mean_ms=500.0)
    found = answer(
        "response-time",
        changed(lambda step: replace(step, client=replace(step.client, endpoints=[fast, slow, setup]))),
    )

    assert "; average 30 ms, p50 " in found.answer
    assert found.answer.endswith(" Slowest of 2 endpoints: /search, p95 80 ms.")
    assert {one.name: one.value for one in found.figures}["average"] == 30.0


def test_an_average_of_some_endpoints_is_none() -> None:
    """An old recording knows no means: nothing is made up."""
    known = EndpointFigures("/items", 300, 0, None, mean_ms=20.0)
    unknown = EndpointFigures("/search", 100, 0, None)
    found = answer(
        "response-time",
        changed(lambda step: replace(step, client=replace(step.client, endpoints=[known, unknown]))),
    )

    assert "average" not in found.answer


def test_of_users_the_response_time_at_each_number_is_told() -> None:
    """Which is what was asked: p95 at Y users."""
    found = answer("response-time", users())

    assert found.answer.startswith("p95 474 ms at 94 users, within the limit of 500 ms; average 238 ms, p50 217 ms")
    assert " By number of users: 95.8 ms at 10, 106 ms at 20, 134 ms at 40, 286 ms at 80, 474 ms at 94" in found.answer


def test_no_acceptable_response_time_is_an_answer() -> None:
    """Every load broke, so there is none; the lightest is told."""
    found = sample_diagnosis()
    broken = replace(
        found,
        steps=[replace(step, passed=False) for step in found.steps],
        capacity=replace(
            found.capacity, sustainable_rps=None, lower_bound_rps=None, latency_at_sustainable_ms=None, reached=True
        ),
    )

    said = answer("response-time", broken)
    assert (said.measured, said.value) == (True, None)
    assert said.answer == (
        "None that is acceptable: even the lightest load tried, 10/s, broke a limit: p95 95.8 ms there."
    )
    assert answer("highest-rate", broken).answer == (
        "None: even the lightest load tried, 10/s, broke a limit (p95 1.9 s above 500 ms)."
    )


def test_the_highest_rate_comes_with_its_interval() -> None:
    """And where goodput levels off, which is another number."""
    found = answer("highest-rate", diagnosis_with_goals())

    assert found.answer == (
        "93.6/s (95 % interval 91.8 to 95.3), with every limit held. "
        "Goodput levels off at 97.8/s, however much is asked."
    )
    assert (found.value, found.unit) == (93.6, "requests/s")


def test_a_limit_that_was_not_reached_is_at_least_that() -> None:
    """The load ran out before the app did."""
    found = sample_diagnosis()
    said = answer("highest-rate", replace(found, capacity=replace(found.capacity, reached=False)))

    assert said.answer.startswith("At least 93.6/s: every load that was tried held")
    assert "a longer --budget" in said.answer


# --- stress ----------------------------------------------------------------------------------------------------------


def test_errors_begin_at_the_lightest_load_beyond_chance() -> None:
    """5 % of 1,000 at 113/s and 20 % above: from 113/s on, and none at 94/s."""
    found = answer("errors-from", failing((113.0, 0.05), (140.0, 0.2), (160.0, 0.2)))

    assert found.answer == "From 113/s on: 5 % of the responses failed there (50 x 503); 0 % at 94/s."
    assert (found.value, found.unit) == (113.0, "requests/s")


def test_one_percent_by_chance_is_not_more_than_one_percent() -> None:
    """12 of 1,000 may as well be less than 1 %; it is told all the same."""
    found = answer("errors-from", failing((160.0, 0.012)))

    assert (found.measured, found.value) == (True, None)
    assert found.answer == (
        "At no load tried, up to 160/s: at most 1.2 % of the responses failed, which is within chance of 1 %."
    )


def test_errors_at_the_lightest_load_are_said_to_begin_there() -> None:
    """Nothing lighter was tried, so where they begin is not known."""
    found = answer("errors-from", failing((10.0, 0.5)))

    assert found.answer.startswith("Already at 10/s, the lightest load tried: 50 % of the responses failed there")


def test_a_load_that_nothing_answers_fails() -> None:
    """Zero completions is a result."""

    def silent(step: Step) -> Step:
        if (step.offered_rps or 0.0) < 140:
            return step
        return replace(step, client=replace(step.client, ok=0, failed=0), error_rate=None, latency_ms=None)

    assert answer("errors-from", changed(silent)).answer == "From 140/s on: no request completed there; 0 % at 113/s."
    assert answer("slow-from", changed(silent), p95_ms=5000.0).answer.startswith(
        "From 140/s on: nothing was answered there; "
    )


def test_requests_that_wait_for_ever_are_no_errors_but_are_told() -> None:
    """A queue that grows has no error rate."""

    def queued(step: Step) -> Step:
        lost = {"strict": 0.4, "slo": 0.4, "breaking": 0.4} if step.offered_rps == 160 else {}
        return replace(step, client=replace(step.client, losses=lost))

    assert answer("errors-from", changed(queued)).answer == (
        "At no load tried, up to 160/s: at most 0 % of the responses failed; "
        "but 40 % of what was asked there was never answered in time, without an error."
    )


def test_latency_is_unacceptable_from_the_first_load_above_the_limit() -> None:
    """p95 1.46 s at 113/s; the median doubles at 80/s already."""
    found = answer("slow-from", sample_diagnosis())

    assert found.answer == (
        "From 113/s on: p95 1.46 s there, against 500 ms; 474 ms at 94/s. "
        "It bends from 80/s on, where the median has doubled."
    )
    assert (found.value, found.unit) == (113.0, "requests/s")


def test_a_queue_that_grows_is_unacceptable_before_its_p95_shows_it() -> None:
    """Those who still wait when the step ends are in no percentile of answers."""

    def queued(step: Step) -> Step:
        late = {"strict": 0.3, "slo": 0.3, "breaking": 0.3} if step.offered_rps == 94 else {}
        return replace(step, client=replace(step.client, losses=late))

    found = answer("slow-from", changed(queued))

    assert found.value == 94.0
    assert "more than 1 in 20 waited longer than 500 ms there, those still waiting counted" in found.answer


def test_failures_are_no_matter_of_latency() -> None:
    """30 % fail at once: they are lost, not late."""

    def refused(step: Step) -> Step:
        if step.offered_rps != 94:
            return step
        return replace(step, error_rate=0.3, client=replace(step.client, losses={"slo": 0.3, "breaking": 0.3}))

    assert answer("slow-from", changed(refused)).value == 113.0


def test_a_load_that_broke_once_and_held_once_is_not_too_slow() -> None:
    """The capacity says that it held, and this answer stands beside that one."""
    found = sample_diagnosis()
    held = next(step for step in found.steps if step.offered_rps == 94)
    again = replace(held, index=99, client=replace(held.client, losses={"strict": 0.3, "slo": 0.3, "breaking": 0.3}))

    assert answer("slow-from", replace(found, steps=[*found.steps, again])).value == 113.0


def test_latency_that_stays_within_the_limit_is_an_answer() -> None:
    """With the most that was seen."""
    found = answer("slow-from", sample_diagnosis(), p95_ms=60_000.0)

    assert (found.measured, found.value) == (True, None)
    assert found.answer.startswith("At no load tried, up to 160/s: p95 was 2.2 s at most, against 1 min.")


def test_without_a_limit_nothing_is_unacceptable() -> None:
    """The user's own thresholds are named, and the one that would tell."""
    settings = {"load": {"thresholds": ["p(99)<300"]}, "slo": {"p95_ms": None, "max_error_rate": 0.01}}
    found = next(one for one in answers(sample_diagnosis(), settings) if one.name == "slow-from")

    assert not found.measured
    assert found.answer == (
        "Not measured: this run has no limit on p95 (its thresholds: p(99)<300); --threshold 'p(95)<500' would tell."
    )


# --- never a guess ---------------------------------------------------------------------------------------------------


def test_an_invalid_measurement_answers_nothing() -> None:
    """Six times the reason."""
    gate = Gate("generator-cpu", "fail", 0.97, 0.9, "share", "the load process was full")
    found = answers(replace(sample_diagnosis(), validity=Validity("invalid", [gate])), SETTINGS)

    assert {(one.measured, one.value) for one in found} == {(False, None)}
    assert {one.answer for one in found} == {
        "Not measured: the measurement is invalid (the load process was full); a run without that fault would tell."
    }


def test_a_run_that_was_killed_at_once_answers_nothing() -> None:
    """There is no load to speak of."""
    nothing = replace(
        sample_diagnosis(),
        steps=[],
        recovery=None,
        capacity=Capacity(None, None, None, None, None, None, None, reached=False),
    )
    found = answers(nothing, {})

    assert [one.name for one in found] == NAMES
    assert {one.measured for one in found} == {False}
    assert all("a longer --budget would tell" in one.answer for one in found)


@given(
    kept=st.lists(st.integers(0, 12), max_size=13),
    reached=st.booleans(),
    sustained=st.booleans(),
    limit=st.none() | st.floats(1.0, 1e4),
)
def test_what_is_not_measured_has_no_value(
    kept: list[int], limit: float | None, *, reached: bool, sustained: bool
) -> None:
    """Whatever is missing from a run: no answer fails, none is empty, and none gives a number that nobody measured."""
    found = diagnosis_with_goals()
    capacity = found.capacity if sustained else replace(found.capacity, sustainable_rps=None, lower_bound_rps=None)
    some = replace(
        found,
        steps=[found.steps[index] for index in sorted(set(kept))],
        capacity=replace(capacity, reached=reached),
    )

    for one in answers(some, {"slo": {"p95_ms": limit}}):
        assert one.answer
        assert one.measured or one.value is None
        assert one.measured == (not one.answer.startswith("Not measured: "))
