"""Whole seconds from the rows of several load processes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchpoint import histograms
from pinchpoint.seconds import GRACE_S, Seconds, Total, seconds_of
from support.digest_rows import START_S, digest, sample


def test_a_second_is_whole_when_every_process_has_reported_past_it() -> None:
    """Two processes: nothing before both have reported; then both are merged exactly."""
    folder = Seconds(START_S, lambda: 2)
    folder.feed([digest(0, [1.0, 2.0], process=0)])

    assert folder.take(START_S + 1.2) == []

    folder.feed([digest(0, [9.0], {"503": 1}, process=1)])
    (second,) = folder.take(START_S + 1.2)
    seen = second.seen()
    assert (seen.ok, seen.failed, dict(seen.errors), second.scheduled) == (3, 1, {"503": 1}, 4)
    assert seen.latency is not None
    assert histograms.quantile_us(seen.latency, 1.0) == pytest.approx(9000, rel=0.002)


def test_a_process_that_says_nothing_delays_a_second_no_longer_than_the_grace() -> None:
    """After it the second is given out with what there is; one without any row is not measured."""
    folder = Seconds(START_S, lambda: 2)
    folder.feed([digest(0, [1.0])])

    assert folder.take(START_S + 1.0 + GRACE_S - 0.01) == []
    first, second = folder.take(START_S + 2.0 + GRACE_S)
    assert (first.measured, second.measured, second.offered) == (True, False, False)


def test_the_last_second_of_a_load_may_be_shorter() -> None:
    """A load of 1.5 s has a second of half a second; the hundredths behind a whole one are none."""
    rows = [digest(0, [1.0]), digest(1, [1.0], seconds=0.5)]

    assert [second.seconds for second in seconds_of(rows, (), START_S, START_S + 1.5)] == [1.0, 0.5]
    assert len(seconds_of(rows, (), START_S, START_S + 1.01)) == 1


def test_the_queue_is_what_was_due_and_not_answered() -> None:
    """Arrivals nobody took and requests in flight, carried from second to second."""
    rows = [digest(0, [1.0], scheduled=10, started=4, inflight=3), digest(1, [1.0], scheduled=2, started=8, inflight=1)]

    assert [second.backlog for second in seconds_of(rows, (), START_S, START_S + 2)] == [9, 1]


def test_a_second_without_answers_is_silence_only_while_load_is_offered() -> None:
    """Arrivals due, or requests in flight most of the time, are load; an idle second is none."""
    rows = [digest(0, scheduled=5), digest(1, inflight=2, inflight_s=2.0), digest(2), digest(3, inflight=1)]

    assert [one.offered for one in seconds_of(rows, (), START_S, START_S + 4)] == [True, True, False, False]


def test_the_collectors_rows_stand_beside_their_second() -> None:
    """With the last row before it, which counters need."""
    samples = [sample(t_s, cpu_s=t_s) for t_s in (-0.5, 0.5, 0.75, 1.5)]
    first, second = seconds_of([digest(0), digest(1)], samples, START_S, START_S + 2)

    assert [row["t_s"] - START_S for row in first.samples] == [0.5, 0.75]
    assert first.before is not None
    assert first.before["t_s"] == START_S - 0.5
    assert second.before is not None
    assert second.before["t_s"] == START_S + 0.75


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(1, 10_000), min_size=1, max_size=30), min_size=1, max_size=6))
def test_a_total_is_the_sum_of_its_seconds(latencies_ms: list[list[int]]) -> None:
    """Merged second by second, percentiles and means are those of all values, within the histogram's precision."""
    rows = [digest(index, [float(ms) for ms in row]) for index, row in enumerate(latencies_ms)]
    total = Total()
    for second in seconds_of(rows, (), START_S, START_S + len(rows)):
        total.add(second, ["GET /"])

    values = sorted(ms for row in latencies_ms for ms in row)
    histogram = total.all.latency
    assert histogram is not None
    assert total.named["GET /"].ok == total.all.ok == len(values)
    assert histograms.quantile_us(histogram, 1.0) / 1000 == pytest.approx(values[-1], rel=0.002)
    assert histograms.mean_us(histogram) / 1000 == pytest.approx(sum(values) / len(values), rel=0.002)
