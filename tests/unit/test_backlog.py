"""The queue a load leaves behind: growth, stalls, and what was served while it stood."""

import pytest

from pinchpoint import histograms
from pinchpoint.backlog import Second, backlog, seconds_of, served_while_queued, stalls, typical_rps
from pinchpoint.goals import Limits, outcome, three_goals, trial
from pinchpoint.rows import DigestRow, NameRow


def rows(*seconds: tuple[int, int], failed: int = 0, latency_ms: float = 20.0) -> list[DigestRow]:
    """Build seconds of (scheduled, answered) of one load process, whose queue is what is left."""
    found, queue = [], 0
    for k, (scheduled, answered) in enumerate(seconds):
        queue += scheduled - answered
        encoded = histograms.encode_values([round(latency_ms * 1000)] * (answered - failed))
        found.append(
            DigestRow(
                process=0, pid=1, segment=1, t0_s=50.0 + k, t1_s=51.0 + k, scheduled=scheduled, started=scheduled,
                unsent=0, inflight=queue, inflight_s=0.0, users=9, cpu_s=0.1, runq_s=0.0, send_lag=None,
                names={"GET /": NameRow(ok=answered - failed, failed=failed, errors={}, bytes=0, latency_ok=encoded,
                                        latency_failed=None, service_ok=encoded)},
            )
        )  # fmt: skip
    return found


LIMITS = Limits(500.0, 0.01)


def test_the_same_second_of_several_processes_is_one() -> None:
    """Two processes, two seconds: counts add up, the queue is everybody's."""
    first, second = rows((100, 90), (100, 95)), rows((50, 50), (50, 40))
    for row in second:
        row["process"] = 1

    assert seconds_of([*first, *second]) == [Second(1.0, 1.0, 150, 140, 140, 10), Second(2.0, 1.0, 150, 135, 135, 25)]


@pytest.mark.parametrize(
    ("answered", "grows", "clear"),
    [
        ((490, 500, 500, 500), False, False),  # what is in progress
        ((495, 490, 495, 500), False, False),  # a burst's queue
        ((490, 480, 480, 480), True, False),  # 4 % too much, second after second
        ((490, 420, 420, 420), True, True),
    ],
)
def test_a_queue_grows_when_bursts_do_not_explain_it(answered: tuple[int, ...], grows: bool, clear: bool) -> None:
    """500/s for four seconds; the square root of the arrivals is what chance leaves behind."""
    queue = backlog(rows(*((500, each) for each in answered)))

    assert queue.grows is grows
    assert queue.clear is clear


def test_a_second_in_which_the_server_stood_still_is_no_growth() -> None:
    """A queue of half a second's work came in one go, and does not grow otherwise."""
    queue = backlog(rows((500, 490), (500, 100), (500, 505), (500, 505)))

    assert (queue.stalls, queue.grows, queue.disturbed) == (1, False, True)
    assert queue.end == 400


def test_a_slow_app_that_keeps_up_has_no_growing_queue() -> None:
    """Answers after 1.9 s: 38 requests in progress at 20/s are its working level."""
    queue = backlog(rows((20, 0), (20, 2), (20, 20), (20, 20), (20, 20), latency_ms=1900.0))

    assert (queue.end, queue.grows) == (38, False)


def test_what_is_served_while_the_queue_stands_is_the_capacity() -> None:
    """Twice the load of what can be served; a stolen second is left out, the first one too."""
    found = served_while_queued(rows((1000, 480), (1000, 500), (1000, 90), (1000, 505), (1000, 495)))

    assert found == [(500, 1.0), (505, 1.0), (495, 1.0)]
    assert typical_rps(found) == 500.0
    assert served_while_queued(rows((500, 490), (500, 500))) == []
    assert typical_rps([]) is None


def test_outliers_are_no_part_of_a_typical_rate() -> None:
    """A second that lost a quarter, and the burst after it."""
    assert typical_rps([(500, 1.0), (380, 1.0), (500, 1.0), (560, 1.0), (500, 1.0), (500, 1.0)]) == 500.0


def test_of_two_seconds_the_better_one_is_the_rule() -> None:
    """A queue that grows makes no second slower than the one before."""
    seconds = seconds_of(rows((500, 490), (500, 100)))

    assert set(stalls(seconds)) == {1}


def test_losses_count_over_intended_arrivals() -> None:
    """One failure in a hundred; no queue: strict misses, breaking does not."""
    digests = rows((500, 500), (500, 500), failed=5)
    found = outcome(digests, backlog(digests), LIMITS)

    assert found.losses == {"strict": pytest.approx(0.01), "slo": pytest.approx(0.01), "breaking": pytest.approx(0.01)}
    strict, slo, breaking = three_goals(LIMITS, 2.0, 2.0, 0.03)
    assert trial(strict, 500.0, 2.0, found, passed=True, gross=False).missed is True
    assert trial(slo, 500.0, 2.0, found, passed=True, gross=False).missed is False
    assert trial(breaking, 500.0, 2.0, found, passed=True, gross=False).missed is False


def test_slow_answers_are_lost_to_the_strict_goal_alone() -> None:
    """Everything answered, nothing in time."""
    digests = rows((100, 100), (100, 100), latency_ms=600.0)
    found = outcome(digests, backlog(digests), LIMITS)

    assert found.losses == {"strict": 1.0, "slo": 1.0, "breaking": 0.0}
    assert found.forwarded == 1.0


def test_a_server_that_answers_nothing_loses_everything() -> None:
    """Zero completions is a result."""
    digests = rows((100, 0), (100, 0), (100, 0))

    assert outcome(digests, backlog(digests), LIMITS).losses == {"strict": 1.0, "slo": 1.0, "breaking": 1.0}


@pytest.mark.parametrize(
    ("gross", "disturbed", "weight"), [(True, False, 1.0), (False, False, 0.45), (False, True, 0.16)]
)
def test_a_miss_counts_by_how_clear_it_is(gross: bool, disturbed: bool, weight: float) -> None:
    """Gross, marginal, or in a step in which the server stood still."""
    answered = (500, 100, 505, 505) if disturbed else (490, 480, 480, 480)
    digests = rows(*((500, each) for each in answered))
    found = outcome(digests, backlog(digests), LIMITS)

    assert trial(three_goals(LIMITS, 4.0, 4.0, 0.03)[1], 500.0, 4.0, found, passed=False, gross=gross).weight == weight


def test_a_load_that_a_stall_alone_broke_is_spared() -> None:
    """One second without answers; the queue it left is served, and nothing grew before or after."""
    stalled = backlog(rows((490, 490), (490, 0), (490, 500), (490, 500)))
    beyond = backlog(rows((640, 500), (640, 0), (640, 500), (640, 500)))

    assert (stalled.spared, stalled.clear) == (True, False)
    assert (beyond.spared, beyond.clear) == (False, True)
