"""The ramp's decisions, as tables of loads and outcomes."""

from dataclasses import replace

import pytest

from pinchpoint import histograms
from pinchpoint.clientstats import ClientWindow
from pinchpoint.goals import Limits, outcome
from pinchpoint.measures import ClientFigures, Latency
from pinchpoint.rows import DigestRow, NameRow
from pinchpoint.stress.ramp import (
    Backlog,
    Judgement,
    Slo,
    Trial,
    backlog,
    calmer_start,
    judge,
    next_users,
)

SLO = Slo(p95_ms=500.0, max_error_rate=0.01)
CALM = Backlog(scheduled=200, midway=1, end=2)


def window(
    *,
    scheduled: int = 200,
    ok: int = 200,
    failed: int = 0,
    p95: float | None = 20.0,
    empty_seconds: int = 0,
) -> ClientWindow:
    """Build a step's client window of two seconds."""
    latency = None if p95 is None else Latency(p50=p95 / 2, p90=p95 * 0.9, p95=p95, p99=p95 * 1.2, max=p95 * 2)
    figures = ClientFigures(
        cpu_share=0.1,
        runq_share=0.0,
        send_lag_ms_p99=0.2,
        scheduled=scheduled,
        started=scheduled,
        unsent=0,
        ok=ok,
        failed=failed,
        inflight_mean=1.0,
        users=16,
        service_ms_p50=10.0,
        errors={"503": failed} if failed else {},
        empty_seconds=empty_seconds,
    )
    completed = ok + failed
    return ClientWindow(
        figures=figures,
        goodput_rps=ok / 2,
        started_rps=scheduled / 2,
        error_rate=failed / completed if completed else None,
        latency=latency,
    )


def test_a_step_within_every_limit_passes() -> None:
    """No breach, not gross."""
    judgement = judge(window(), SLO, CALM)

    assert judgement.passed
    assert not judgement.gross


@pytest.mark.parametrize(
    ("figures", "word", "gross"),
    [
        (window(p95=501.0), "p95 501 ms", False),
        (window(p95=1600.0), "p95 1600 ms", True),
        (window(ok=196, failed=4), "2.0% of responses failed", False),
        (window(ok=150, failed=50), "50 x 503", True),
        (window(ok=0, p95=None, empty_seconds=2), "no response for 2 s", True),
    ],
)
def test_each_limit_is_a_breach_of_its_own(figures: ClientWindow, word: str, gross: bool) -> None:
    """The breach says which limit, with numbers; far beyond it is gross."""
    judgement = judge(figures, SLO, CALM)

    assert word in "; ".join(judgement.breaches)
    assert judgement.gross is gross


def test_arrivals_that_are_late_and_unanswered_count_among_the_slow() -> None:
    """The histograms know 145 answers within 20 ms; 15 more arrivals wait for a second already: 9 % are slow."""
    kept = row(10.0, scheduled=160, started=160, inflight=15)
    kept["unanswered"] = histograms.encode_values([1_100_000] * 15)
    slow = replace(window(ok=145), rows=(kept,))
    breached = judge(slow, SLO, CALM)
    assert breached.breaches == ["9% of arrivals slower than the limit of 500 ms, 15 of them unanswered at the end"]
    assert not breached.gross

    kept["unanswered"] = histograms.encode_values([1_100_000] * 7 + [400_000] * 8)
    assert judge(slow, SLO, CALM).passed
    # A row before the last one says nothing: what waited then has been answered, or waits in the last one too.
    before = row(9.0, scheduled=0, started=0, inflight=99)
    before["unanswered"] = histograms.encode_values([900_000] * 99)
    assert judge(replace(slow, rows=(kept, before)), SLO, CALM).passed


def test_late_arrivals_are_lost_to_the_goals_unless_a_growing_queue_has_them_already() -> None:
    """15 of 160; or 30 of 160, all of which the queue's growth accounts for."""
    answered: NameRow = {
        "ok": 145, "failed": 0, "errors": {}, "bytes": 0,
        "latency_ok": histograms.encode_values([20_000] * 145), "latency_failed": None, "service_ok": None,
    }  # fmt: skip
    kept = row(10.0, scheduled=160, started=160, inflight=15)
    kept["names"] = {"/": answered}
    kept["unanswered"] = histograms.encode_values([1_100_000] * 15)
    found = outcome([kept], CALM, Limits(500.0, 0.01))
    assert found.losses["slo"] == pytest.approx(15 / 160)
    assert found.losses["breaking"] == 0

    growing = Backlog(scheduled=160, midway=2, end=30, growth=30.0, grown_in=160)
    assert outcome([kept], growing, Limits(500.0, 0.01)).losses["slo"] == pytest.approx(30 / 160)


def test_a_single_failure_among_few_requests_is_no_breach() -> None:
    """One of 40 is 2.5 %, and says nothing about 1 %."""
    assert judge(window(scheduled=40, ok=39, failed=1), SLO, CALM).passed


@pytest.mark.parametrize(
    ("queue", "breach", "gross"),
    [
        (Backlog(scheduled=100, midway=5, end=10), False, False),
        (Backlog(scheduled=100, midway=5, end=11), True, False),
        (Backlog(scheduled=100, midway=10, end=21), True, True),
        (Backlog(scheduled=2000, midway=200, end=205), False, False),
        (Backlog(scheduled=2000, midway=50, end=101), True, False),
        (Backlog(scheduled=0, midway=0, end=0), False, False),
    ],
)
def test_a_queue_that_is_large_and_grows_is_a_plateau(queue: Backlog, breach: bool, gross: bool) -> None:
    """A burst's queue, or the steady queue of a slow app, is none."""
    judgement = judge(window(), SLO, queue)

    assert any("plateau" in text for text in judgement.breaches) is breach
    assert judgement.gross is gross


def test_a_closed_population_has_no_plateau_to_fall_short_of() -> None:
    """Users wait for their answers: what they did not ask for is not missing."""
    assert judge(window(scheduled=500, ok=100), SLO, None).passed


def row(t0_s: float, *, scheduled: int, started: int, inflight: int, process: int = 0) -> DigestRow:
    """Build one second of a load process."""
    return DigestRow(
        process=process,
        pid=1,
        segment=1,
        t0_s=t0_s,
        t1_s=t0_s + 1.0,
        scheduled=scheduled,
        started=started,
        unsent=0,
        inflight=inflight,
        inflight_s=float(inflight),
        users=16,
        cpu_s=0.1,
        runq_s=0.0,
        send_lag=None,
        names={},
    )


def test_the_backlog_is_what_nobody_took_and_what_is_in_flight_over_all_processes() -> None:
    """Two processes, two seconds: unclaimed arrivals add up, requests in flight count once, at the end."""
    rows = [
        row(10.0, scheduled=50, started=45, inflight=3),
        row(11.0, scheduled=50, started=40, inflight=4),
        row(10.0, scheduled=50, started=50, inflight=2, process=1),
        row(11.0, scheduled=50, started=50, inflight=1, process=1),
    ]

    assert backlog(rows) == Backlog(scheduled=200, midway=5 + 3 + 2, end=5 + 10 + 4 + 1)
    assert backlog([]) == Backlog(0, 0, 0)


def test_a_short_step_whose_first_second_passes_its_middle_is_not_taken_to_grow_from_nothing() -> None:
    """1.5 s at 320/s with an answer after 80 ms: 24 in flight after the first second, 25 at the end."""
    rows = [row(10.0, scheduled=320, started=320, inflight=24), row(11.0, scheduled=160, started=160, inflight=25)]
    rows[1]["t1_s"] = 11.5

    assert backlog(rows) == Backlog(scheduled=480, midway=24, end=25)
    assert not backlog(rows).grows


def test_users_follow_the_given_steps_then_double_until_one_fails() -> None:
    """10, 50, then 100, 200; a failing population is the last."""
    passed = [Trial(10, passed=True), Trial(50, passed=True)]
    assert next_users([], steps=(10, 50), highest=500) == 10
    assert next_users(passed[:1], steps=(10, 50), highest=500) == 50
    assert next_users(passed, steps=(10, 50), highest=500) == 100
    assert next_users([*passed, Trial(300, passed=True)], steps=(10, 50), highest=500) is None
    assert next_users([*passed, Trial(100, passed=False)], steps=(10, 50), highest=500) is None


def test_one_failure_and_no_success_is_a_breach() -> None:
    """At a very low rate a step may hold a single request."""
    judgement = judge(window(ok=0, failed=1, p95=None), SLO, None)

    assert judgement.passed is False


@pytest.mark.parametrize(
    ("goodput_rps", "judgement", "start"),
    [
        (20.0, Judgement([], gross=False), 20.0),
        (3.0, Judgement(["slow"], gross=True, queued=True), 1.5),
        (0.0, Judgement(["silent"], gross=True, queued=True), 5.0),
        (0.2, Judgement(["slow"], gross=True, queued=True), 0.5),
        (0.0, Judgement(["errors"], gross=True, queued=False), 20.0),
        (15.0, Judgement(["a bit"], gross=False, queued=True), 20.0),
    ],
)
def test_a_slow_app_is_met_with_a_calmer_start(goodput_rps: float, judgement: Judgement, start: float) -> None:
    """Half of what it served when it could not keep up; fast errors change nothing."""
    assert calmer_start(20.0, goodput_rps, judgement) == start
