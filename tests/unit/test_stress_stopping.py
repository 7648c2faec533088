"""Thresholds and autostop criteria judged second by second."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchpoint.clientstats import client_figures
from pinchpoint.rows import DigestRow, SampleRow
from pinchpoint.seconds import Second, Total, seconds_of
from pinchpoint.stress.autostop import EXAMPLES, parse_criterion
from pinchpoint.stress.stopping import Fired, StepRule, StopRules
from pinchpoint.stress.thresholds import parse_threshold
from support.digest_rows import START_S, digest, sample


def seconds(rows: Sequence[DigestRow], samples: Sequence[SampleRow] = ()) -> list[Second]:
    """Fold rows of whole seconds."""
    end_s = max(row["t1_s"] for row in rows)
    return seconds_of(rows, samples, START_S, end_s)


def fires(text: str, rows: Sequence[DigestRow], samples: Sequence[SampleRow] = (), users: int | None = None) -> Any:
    """Return (first second, deciding second) of a criterion that fires; None when it does not."""
    rules = StopRules([parse_criterion(text)], users)
    for second in seconds(rows, samples):
        if (fired := rules.judge(second)) is not None:
            return fired.since, fired.at
    return None


GOOD: dict[str, Any] = {"ok_ms": [5.0] * 10}
BAD_ANSWERS: dict[str, Any] = {"ok_ms": [5.0] * 8, "errors": {"503": 2}}
SLOW: dict[str, Any] = {"ok_ms": [5.0] * 5 + [2500.0] * 5}


def rows_of(*kinds: dict[str, Any]) -> list[DigestRow]:
    """Return one row a second."""
    return [digest(index, **kind) for index, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("time(1s,3s)", SLOW),
        ("quantile(90,100ms,3s)", SLOW),
        ("http(5xx,20%,3s)", BAD_ANSWERS),
        ("http(503,2,3s)", BAD_ANSWERS),
        ("total_http(5xx,20%,3s)", BAD_ANSWERS),
        ("total_time(300ms,50%,3s)", SLOW),
        ("negative_http(2xx,20%,3s)", BAD_ANSWERS),
        ("net(xx,1,3s)", {"ok_ms": [5.0], "errors": {"timeout": 1}}),
        ("net(110,1,3s)", {"ok_ms": [5.0], "errors": {"timeout": 1}}),
        ("total_net(connection,50%,3s)", {"ok_ms": [5.0], "errors": {"connection": 1}}),
        ("negative_net(0,50%,3s)", {"ok_ms": [5.0], "errors": {"connection": 1}}),
        ("instances(80%,3s)", {**GOOD, "inflight_s": 9.0}),
    ],
)
def test_a_criterion_fires_when_its_window_is_full_of_breaches(text: str, bad: dict[str, Any]) -> None:
    """Not in two of three seconds, not with a good one in between, and with the second in which it began."""
    assert fires(text, rows_of(GOOD, bad, bad, bad, GOOD), users=10) == (1, 3)
    assert fires(text, rows_of(bad, bad), users=10) is None
    assert fires(text, rows_of(bad, GOOD, bad, GOOD, GOOD, GOOD), users=10) is None


@pytest.mark.parametrize("text", [text for kind, text in EXAMPLES.items() if "metric" not in kind])
def test_a_second_without_answers_breaks_every_client_criterion(text: str) -> None:
    """Load was offered and nothing came back: silence is a breach, and no load at all is not."""
    count = parse_criterion(text).window
    silent = [digest(index, scheduled=10, started=10, inflight=10, inflight_s=9.0) for index in range(count)]
    falling = [digest(index, [5.0] * (10 - index), scheduled=10) for index in range(count)]

    assert fires(text, falling if "trend" in text else silent, users=10) is not None
    assert fires(text, [digest(index) for index in range(count)], users=10) == ((59, 59) if "limit" in text else None)


def test_a_failure_is_never_fast() -> None:
    """A second with failures alone is slow; where something succeeded, the successes say how fast."""
    failed, mixed = {"errors": {"500": 5}}, {"ok_ms": [5.0], "errors": {"500": 5}}

    assert fires("time(1s,2s)", rows_of(failed, failed)) == (0, 1)
    assert fires("quantile(50,1s,2s)", rows_of(failed, failed)) == (0, 1)
    assert fires("total_time(1s,60%,2s)", rows_of(mixed, mixed)) == (0, 1)
    assert fires("time(1s,2s)", rows_of(mixed, mixed)) is None


def test_a_second_that_was_not_measured_begins_the_window_anew() -> None:
    """The generator reported nothing: neither good nor bad."""
    rows = [row for index, row in enumerate(rows_of(SLOW, SLOW, SLOW, SLOW, SLOW)) if index != 2]

    assert fires("time(1s,3s)", rows) is None
    assert fires("time(1s,2s)", rows) == (0, 1)


def test_a_tag_looks_at_one_endpoint() -> None:
    """The other endpoint's failures are its own."""
    rows = [digest(index, [5.0], {"500": 5}, name="POST /a") for index in range(3)]
    rows += [digest(index, [5.0], process=1, name="GET /b") for index in range(3)]

    assert fires("http(5xx,10%,3s,POST /a)", rows) == (0, 2)
    assert fires("http(5xx,10%,3s,GET /b)", rows) is None


def test_a_trend_is_of_answers_per_arrival() -> None:
    """A load that is taken back is no falling trend; answers that fail to come are."""
    fewer = [digest(index, [5.0] * (20 - index)) for index in range(10)]
    failing = [digest(index, [5.0] * (20 - index), scheduled=20) for index in range(10)]

    assert fires("http_trend(2xx,10s)", fewer) is None
    assert fires("http_trend(2xx,10s)", failing) == (0, 9)


def test_server_signals_come_from_the_collector_and_missing_ones_are_never_zero() -> None:
    """`metric_lower` does not fire on a signal that is not there, and that is said once."""
    rows = rows_of(GOOD, GOOD, GOOD, GOOD)
    busy = [sample(t_s, cpu_s=0.9 * t_s, probe={"loop_busy_s": 0.97 * t_s}) for t_s in (0, 1, 2, 3, 4)]

    assert fires("metric_higher(cpu_cores,0.8,3s)", rows, busy) == (0, 2)
    assert fires("metric_higher(loop_busy,95%,3s)", rows, busy) == (0, 2)
    assert fires("metric_lower(cpu_cores,0.95,3s)", rows, busy) == (0, 2)
    assert fires("metric_lower(cpu_cores,0.5,3s)", rows, busy) is None
    rules = StopRules([parse_criterion("metric_lower(inflight,5,1s)")])
    assert [rules.judge(second) for second in seconds(rows, busy)] == [None] * 4
    assert len(rules.news()) == 1
    assert rules.news() == []


def test_the_breach_that_began_first_is_the_one_that_counts() -> None:
    """Two criteria fire in the same second: the point of imbalance is the earlier beginning."""
    rules = StopRules([parse_criterion("time(1s,1s)"), parse_criterion("http(5xx,20%,3s)")])
    kinds = [BAD_ANSWERS, BAD_ANSWERS, {**SLOW, "errors": {"500": 5}}]
    found = [rules.judge(second) for second in seconds(rows_of(*kinds))]

    assert found[:2] == [None, None]
    assert found[2] is not None
    assert (found[2].criterion, found[2].since) == ("http(5xx,20%,3s)", 0)


CLIENT = ["time(1s,{w}s)", "http(5xx,20%,{w}s)", "http(5xx,2,{w}s)", "quantile(90,100ms,{w}s)", "net(xx,1,{w}s)"]
CLIENT += [
    "total_http(5xx,20%,{w}s)",
    "total_time(300ms,30%,{w}s)",
    "negative_http(2xx,10%,{w}s)",
    "total_net(xx,3,{w}s)",
]
KINDS = [GOOD, BAD_ANSWERS, SLOW, {"scheduled": 10}, {"ok_ms": [5.0], "errors": {"timeout": 3}}]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(CLIENT), st.integers(1, 6), st.lists(st.sampled_from(KINDS), min_size=1, max_size=12))
def test_no_criterion_fires_before_its_window_is_full_or_in_a_good_second(
    text: str, window: int, kinds: list[dict[str, Any]]
) -> None:
    """And good seconds after any that fired nothing make nothing fire."""
    rules = StopRules([parse_criterion(text.format(w=window))])
    judged = [rules.judge(second) for second in seconds(rows_of(*kinds, *[GOOD] * 8))]
    found: list[Fired] = [one for one in judged if one is not None]

    assert all(one.at >= window - 1 for one in found)
    assert all(one.at < len(kinds) and kinds[one.at] is not GOOD for one in found)
    assert all(one.at - one.since < max(window, len(kinds)) for one in found)


def total(rows: Sequence[DigestRow], names: Sequence[str] = ()) -> Total:
    """Add up all seconds."""
    found = Total()
    for second in seconds(rows):
        found.add(second, names)
    return found


@pytest.mark.parametrize(
    ("text", "observed", "crossed"),
    [
        ("p(95)<100", 2500.0, True),
        ("p(50)<=5.01", 5.0, False),
        ("avg<700", 698.0, False),
        ("max>2s", 2500.0, False),
        ("min<5", 5.0, True),
        ("rate<1%", 0.1, True),
        ("http_reqs:count>=20", 20.0, False),
        ("http_reqs:rate>10", 10.0, True),
        ("dropped_iterations:count<1", 0.0, False),
        ("http_req_duration{name:GET /}:med<3", 5.0, True),
    ],
)
def test_a_threshold_is_held_against_everything_so_far(text: str, observed: float, crossed: bool) -> None:
    """Two seconds: 18 successes, five of them slow, and two failures."""
    threshold = parse_threshold(text)
    found = total(rows_of(BAD_ANSWERS, SLOW), ["GET /"])

    value = threshold.observed(found)
    assert value == pytest.approx(observed, rel=0.002)
    assert threshold.crossed(found) is crossed


def test_load_without_any_answer_crosses_and_no_load_does_not() -> None:
    """Silence is no success; and failures alone have no duration that could hold."""
    limit = parse_threshold("p(95)<500")

    assert limit.crossed(total([digest(0, scheduled=10)])) is True
    assert limit.crossed(total([digest(0, errors={"500": 3})])) is True
    assert limit.crossed(total([digest(0)])) is None


def test_a_step_of_a_search_is_held_against_thresholds_and_criteria() -> None:
    """Any percentile and endpoint, from the step's own rows; a step shorter than the window breaks no criterion."""
    window = client_figures(rows_of(SLOW, SLOW, SLOW), START_S, START_S + 3)

    assert parse_threshold("p(30)<100").breach(window) is None
    assert parse_threshold("p(77)<100").breach(window) == "p(77)<100 is crossed: 2.5 s"
    assert parse_threshold("http_req_duration{name:GET /other}:p(77)<100").breach(window) is None
    assert parse_threshold("http_reqs:rate>1000").breach(window) is None
    assert "autostop time(1000ms,3s)" in (StepRule(parse_criterion("time(1s,3s)")).breach(window) or "")
    assert StepRule(parse_criterion("time(1s,4s)")).breach(window) is None
