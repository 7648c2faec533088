"""Stages, thresholds and autostop criteria as texts: what they mean, their one spelling, and errors that point."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchpoint.errors import UsageError
from pinchpoint.stress.autostop import EXAMPLES, Criterion, parse_criterion
from pinchpoint.stress.stages import LoadProfile, Spike, parse_stages
from pinchpoint.stress.thresholds import Threshold, parse_threshold, replaced_limits

Read = Callable[[str], Any]


def rate(text: str) -> LoadProfile:
    """Read a profile of arrivals per second."""
    return parse_stages(text, "rate")


def users(text: str) -> LoadProfile:
    """Read a profile of users."""
    return parse_stages(text, "users")


READERS: list[Read] = [rate, users, parse_threshold, parse_criterion]


def said(read: Read, text: str) -> tuple[str, int]:
    """Return the sentence of an error and the column its caret points at."""
    with pytest.raises(UsageError) as caught:
        read(text)
    sentence, shown, caret = str(caught.value).rsplit("\n", 2)
    assert len(shown) == len(text) + 2
    assert caret.strip() == "^"
    return sentence, len(caret) - 3


@pytest.mark.parametrize(
    ("text", "curve"),
    [
        ("30s:100,1m:400", [["line", 0.0, 100.0, 30.0], ["line", 100.0, 400.0, 60.0]]),
        ("10s:50,0s:400,5s:400", [["line", 0.0, 50.0, 10.0], ["line", 400.0, 400.0, 5.0]]),
        ("const(100,1m)", [["line", 100.0, 100.0, 60.0]]),
        ("line(1,100,30s) ; 5s:1", [["line", 1.0, 100.0, 30.0], ["line", 100.0, 1.0, 5.0]]),
        ("step(10,40,15,5s)", [["line", 10.0, 10.0, 5.0], ["line", 25.0, 25.0, 5.0], ["line", 40.0, 40.0, 5.0]]),
        ("step(3,1,1,2)", [["line", 3.0, 3.0, 2.0], ["line", 2.0, 2.0, 2.0], ["line", 1.0, 1.0, 2.0]]),
        ("sine(50,150,20s,1m)", [["sine", 100.0, 50.0, 20.0, 60.0]]),
        ("1m30s:6000/m, 500ms:10/s", [["line", 0.0, 100.0, 90.0], ["line", 100.0, 10.0, 0.5]]),
    ],
)
def test_a_profile_becomes_the_pieces_of_a_curve(text: str, curve: list[list[Any]]) -> None:
    """k6's stages go on from the last target, Tank's words name their own start, and both mix."""
    profile = rate(text)

    assert profile.curve == curve
    assert profile.seconds == sum(piece[-1] for piece in curve)
    assert rate(profile.text) == profile


def test_a_spike_is_found_where_the_load_comes_back_to_its_base() -> None:
    """Written as a word or as stages; a stair, and a peak that starts from nothing, are none."""
    spike = [Spike(start_s=10.0, end_s=15.0, base=50.0, peak=400.0)]

    assert rate("spike(50,400,10s,5s,15s)").spikes() == spike
    assert rate("0s:50,10s:50,0s:400,5s:400,0s:50,9s:50").spikes() == spike
    assert rate("0s:5,4s:5,0s:50,6s:50,0s:400,5s:400,0s:50,9s:50").spikes() == spike
    assert rate("step(10,100,10,5s)").spikes() == []
    assert rate("5s:100,5s:100,5s:0").spikes() == []
    assert [one.start_s for one in rate("spike(5,9,2s,2s,2s),spike(5,40,2s,2s,2s)").spikes()] == [2.0, 8.0]


def test_slices_never_cross_a_border_and_cover_everything() -> None:
    """Two to five seconds each, except where a stage itself is shorter."""
    slices = rate("const(9,7s),1s:20,12s:20,5s:9").slices(2.0, 5.0)

    assert slices == [
        (0.0, 4.0),
        (4.0, 7.0),
        (7.0, 8.0),
        (8.0, 12.0),
        (12.0, 16.0),
        (16.0, 20.0),
        (20.0, 22.0),
        (22.0, 25.0),
    ]


def test_the_rest_of_a_profile_goes_on_where_it_was_left() -> None:
    """A line keeps its slope; what is left of a wave becomes short lines of the same area."""
    profile = rate("10s:100,sine(50,150,8s,16s)")

    assert profile.rest(4.0)[0] == ["line", 40.0, 100.0, 6.0]
    pieces = profile.rest(12.0)
    area = sum((piece[1] + piece[2]) / 2 * piece[3] for piece in pieces)
    assert area == pytest.approx(profile.mean(12.0, 26.0) * 14.0, rel=0.01)


def test_users_come_in_whole_numbers() -> None:
    """The same text means users in the users model; each second has a population."""
    assert users("2s:4,3s:4").populations() == [(0.0, 1.0, 1), (1.0, 2.0, 3), (2.0, 5.0, 4)]
    assert said(users, "10s:2.5")[1] == 4
    assert said(users, "10s:100/s")[1] == 7


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("p(95)<500", Threshold("http_req_duration", None, "p", 95.0, "<", 500.0)),
        ("p(99.9) <= 1.5s", Threshold("http_req_duration", None, "p", 99.9, "<=", 1500.0)),
        ("rate<1%", Threshold("http_req_failed", None, "rate", None, "<", 0.01)),
        (
            "http_req_failed{name:GET /items/{id}}: rate<0.01, abortOnFail, delayAbortEval=10s",
            Threshold("http_req_failed", "GET /items/{id}", "rate", None, "<", 0.01, abort=True, delay_s=10.0),
        ),
        ("http_reqs:rate>100", Threshold("http_reqs", None, "rate", None, ">", 100.0)),
        ("dropped_iterations:count<10", Threshold("dropped_iterations", None, "count", None, "<", 10.0)),
        (
            '{"threshold": "med<3", "abortOnFail": true, "delayAbortEval": "1m"}',
            Threshold("http_req_duration", None, "med", None, "<", 3.0, abort=True, delay_s=60.0),
        ),
    ],
)
def test_a_threshold_reads_as_in_k6(text: str, same: Threshold) -> None:
    """Metric, endpoint, aggregate, limit and options; the default metric follows from the aggregate."""
    assert parse_threshold(text) == same
    assert parse_threshold(str(same)) == same


@pytest.mark.parametrize(
    ("read", "text", "column", "word"),
    [
        (parse_threshold, "p(95)<50O", 8, "options"),
        (parse_threshold, "p(95)500", 5, "must stand here"),
        (parse_threshold, "p(195)<5", 2, "between 0 and 100"),
        (parse_threshold, "rate<3", 5, "between 0 and 1"),
        (parse_threshold, "latency:p(95)<5", 0, "no metric"),
        (parse_threshold, "http_reqs:p(95)<1", 10, "has no p"),
        (parse_threshold, '{"threshold": "p(95)<5", "abort": true}', 26, "no key"),
        (rate, "30s:10O", 6, "comma"),
        (rate, "30s", 3, "colon"),
        (rate, "const(100,1m", 12, "closing"),
        (rate, "step(1,2,0,1s)", 0, "above 0"),
        (rate, "ramp(1,2,3s)", 0, "no stage"),
        (parse_criterion, "http(5xx,10%)", 12, "3 values"),
        (parse_criterion, "time(1s,0s)", 8, "longer than 0"),
        (parse_criterion, "metric_higher(cpu,1,10s)", 14, "no signal"),
        (parse_criterion, "limit(1m,GET /)", 9, "no endpoint"),
    ],
)
def test_an_error_points_at_the_character(read: Read, text: str, column: int, word: str) -> None:
    """The sentence, the text, and the caret under the first character that is wrong."""
    sentence, caret = said(read, text)

    assert (caret, word in sentence) == (column, True), sentence


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_every_criterion_has_one_spelling(text: str) -> None:
    """Reading what was written gives the same criterion; a tag and a host stay."""
    criterion = parse_criterion(text)

    assert parse_criterion(str(criterion)) == criterion
    assert criterion.window_s > 0


def test_tanks_own_texts_are_understood() -> None:
    """Counts, bare seconds, tags with commas, and the form with a host before the signal."""
    assert parse_criterion("http(404,10,15)") == Criterion("http", 15.0, 10.0, mask="404")
    tagged = Criterion("http", 15.0, 0.2, relative=True, mask="4xx", tag="GET /weff?id=1,2")
    assert parse_criterion("http(4xx,20%,15s,GET /weff?id=1,2)") == tagged
    lower = Criterion("metric_lower", 10.0, 5e8, signal="rss_bytes", host="127.0.0.1")
    assert parse_criterion("metric_lower(127.0.0.1,rss_bytes,500MB,10)") == lower
    assert parse_criterion("time(1s500ms,30s)").limit_ms == 1500.0


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(READERS), st.text(alphabet='0123456789smhxp%(),:;<>=.{}"/ abcdefilnortu_\t\né', max_size=40))
def test_no_text_is_more_than_an_error(read: Read, text: str) -> None:
    """Garbage is refused with a caret inside the text, or it means something that has one spelling."""
    try:
        found = read(text)
    except UsageError as error:
        _, shown, caret = str(error).rsplit("\n", 2)
        assert caret.strip() == "^"
        assert 2 <= len(caret) - 1 <= len(shown)
    else:
        assert read(found.text if isinstance(found, LoadProfile) else str(found)) == found


LOADS = st.floats(0, 1e6).map(lambda value: round(value, 3))
TIMES = st.floats(0.1, 1e4).map(lambda value: f"{value:.3f}s")
STAGES = st.one_of(
    st.builds("{}:{}".format, TIMES, LOADS),
    st.builds("const({},{})".format, LOADS, TIMES),
    st.builds("line({}, {}, {})".format, LOADS, LOADS, TIMES),
    st.builds("spike(1,{},{},{},{})".format, LOADS.map(lambda value: value + 1.1), TIMES, TIMES, TIMES),
    st.builds("sine(5,{},{},{})".format, LOADS.map(lambda value: value + 5), TIMES, TIMES),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(STAGES, min_size=1, max_size=5).map(",".join))
def test_a_profile_survives_its_own_spelling(text: str) -> None:
    """Text, profile, text, profile: the same; the mean times the length is the sum of the stages' areas."""
    profile = rate(f"{text},1s:1")
    again = rate(profile.text)
    assert (again.text, again.curve) == (profile.text, profile.curve)
    area = sum(stage.area(stage.seconds) for stage in profile.stages)
    assert profile.mean(0.0, profile.seconds) * profile.seconds == pytest.approx(area, rel=1e-6, abs=1e-6)
    assert sum(b - a for a, b in profile.slices(2.0, 5.0)) == pytest.approx(profile.seconds)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["avg", "min", "max", "med", "p(99.9)", "http_reqs:count", "dropped_iterations:rate"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.floats(0, 1e6),
    st.sampled_from(["", ",abortOnFail", ",delayAbortEval=1m30s", ",abortOnFail,delayAbortEval=0.25s"]),
)
def test_a_threshold_survives_its_own_spelling(what: str, op: str, limit: float, options: str) -> None:
    """Text, threshold, text, threshold: the same."""
    threshold = parse_threshold(f"{what}{op}{limit:.6f}{options}")

    assert parse_threshold(str(threshold)) == threshold


def test_the_users_thresholds_replace_the_defaults_they_are_about() -> None:
    """A plain p95 or error share becomes the limit itself; anything else stands beside it."""
    p95, failed = parse_threshold("p(95)<300"), parse_threshold("rate<2%")
    other = parse_threshold("p(99)<900")

    assert replaced_limits([], 500.0, 0.01) == (500.0, 0.01, [])
    assert replaced_limits([p95], 500.0, 0.01) == (300.0, 0.01, [])
    assert replaced_limits([other, failed], 500.0, 0.01) == (None, 0.02, [other])
