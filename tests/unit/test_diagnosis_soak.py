"""A soak: leaks told from what only looks like one, drift of other signals, restarts."""

import random
from dataclasses import replace

import pytest

from pinchpoint.diagnosis.soak import soak
from pinchpoint.diagnosis.steps import build_steps
from pinchpoint.diagnosis.trend import trend
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.soak_records import Soak
from support.synthetic_soak import Steeped

KIB = 1024.0


def soaked(app: Steeped) -> Soak:
    """Diagnose a soak."""
    recording = app.recording()
    samples = Samples(recording.samples)
    found = soak(build_steps(recording, samples), samples, recording.digests)
    assert found is not None
    return found


def conditions(found: Soak) -> list[bool | None]:
    """Return the five conditions."""
    return [one.ok for one in found.conditions]


def test_a_leak_per_request_is_found_with_its_size_and_the_time_left() -> None:
    """8 KiB a request at 100/s use the 2 GB that are free up in 40 minutes."""
    found = soaked(Steeped(memory=lambda requests, _seconds, _inflight: 8 * KIB * requests))

    assert (found.leak, conditions(found)) == ("leak", [True] * 5)
    assert found.bytes_per_request is not None
    assert found.bytes_per_request.value == pytest.approx(8 * KIB, rel=0.02)
    assert found.seconds_to_limit == pytest.approx(2e9 / (8 * KIB * 100), rel=0.03)
    assert found.summary.startswith("Memory leaks: 8")


def test_a_healthy_app_has_no_leak_and_says_what_would_have_shown() -> None:
    """5 MB over the requests of the judged part are the least that is no noise."""
    found = soaked(Steeped())

    assert (found.leak, found.seconds_to_limit) == ("no leak", None)
    assert found.seen_from_bytes_per_request == pytest.approx(5e6 / (0.8 * 60 * 100), rel=0.05)
    assert "would have shown" in found.summary


def test_a_cache_that_fills_up_is_no_leak() -> None:
    """It grows fast, and no more in the last third (condition iii)."""
    found = soaked(Steeped(memory=lambda requests, _seconds, _inflight: 40e6 * min(1.0, requests / 3500)))

    assert found.leak == "no leak"
    assert conditions(found)[:3] == [True, True, False]


def test_growth_with_time_instead_of_requests_is_not_called_a_leak_per_request() -> None:
    """A thread that hoards grows without load, too (condition v), and twice as much per request at half the load."""
    found = soaked(Steeped(memory=lambda _requests, seconds, _inflight: 5e5 * seconds))

    assert (found.leak, conditions(found)[4]) == ("cannot tell", False)
    assert "flat without load" in found.summary


def test_memory_given_back_when_the_load_ends_is_no_leak() -> None:
    """What requests in flight, or a late collector, held for a while."""
    found = soaked(Steeped(memory=lambda requests, _seconds, inflight: 8 * KIB * requests if inflight else -3e7))

    assert found.leak != "leak"


def test_without_a_second_load_one_condition_stays_open_and_the_others_decide() -> None:
    """A leak seen to stop with the load is one, whatever half the load would show."""
    app = Steeped(loads=((1.0, 60.0), (0.0, 10.0)), memory=lambda requests, _seconds, _inflight: 8 * KIB * requests)
    found = soaked(app)

    assert (found.leak, conditions(found)) == ("leak", [True, True, True, None, True])


def test_without_memory_figures_nothing_is_said() -> None:
    """A server on another host without an agent: abstain."""
    recording = Steeped().recording()
    found = soak(build_steps(recording, Samples([])), Samples([]), recording.digests)

    assert found is not None
    assert (found.leak, found.bytes_per_request, conditions(found)) == ("cannot tell", None, [None] * 5)


def test_replaced_workers_are_told_and_a_leak_between_them_is_still_found() -> None:
    """Every 1,500 requests a fresh worker begins at 80 MB."""
    app = Steeped(restart_every=1500, memory=lambda requests, _seconds, _inflight: 8 * KIB * requests)
    found = soaked(app)

    assert [one.requests for one in found.restarts] == pytest.approx([1500, 3000, 4500, 6000, 7500], abs=20)
    assert found.restarts[0].freed_bytes == pytest.approx(8 * KIB * 1300, rel=0.15)
    assert found.leak == "leak"
    assert "5 workers were replaced" in found.summary


def test_descriptors_that_grow_with_requests_are_named() -> None:
    """One left open every hundred requests."""
    found = soaked(Steeped(fds=lambda requests: 20 + requests / 100))
    drift = next(one for one in found.drifts if one.signal == "open descriptors")

    assert drift.trend == "grows"
    assert drift.per_thousand_requests is not None
    assert drift.per_thousand_requests.value == pytest.approx(10, rel=0.05)
    assert "open descriptors grow (" in found.summary


def test_a_request_that_costs_more_and_more_is_named() -> None:
    """CPU and latency that rise with the requests served: a list that is searched."""
    found = soaked(
        Steeped(cpu_ms=lambda requests: 2 + requests / 3000, latency_ms=lambda requests: 20 + requests / 200)
    )
    trends = {one.signal: one.trend for one in found.drifts}

    assert trends == {
        "throughput": "steady",
        "p95 latency": "grows",
        "errors": "steady",
        "CPU per request": "grows",
        "open descriptors": "steady",
        "threads": "steady",
    }


def test_points_hold_every_slice_with_its_requests_and_memory() -> None:
    """Fifty slices of 2 s: what the charts draw."""
    found = soaked(Steeped())

    assert len(found.points) == 50
    assert [found.points[k].requests for k in (0, 29, 49)] == pytest.approx([200, 6000, 7500], abs=5)
    assert found.points[1].pss_bytes == pytest.approx(80e6, rel=0.01)


def test_a_run_without_a_soak_has_none() -> None:
    """Every other kind of run."""
    recording = Steeped().recording()
    samples = Samples(recording.samples)
    steps = [replace(step, phase="ramp") for step in build_steps(recording, samples)]

    assert soak(steps, samples, recording.digests) is None


def test_the_interval_of_a_slope_holds_the_truth() -> None:
    """Of 42 flat series with autocorrelated noise (phi 0.7) at most a sixth are called a trend (METHOD §5.7: 0.65)."""
    called = 0
    for seed in range(42):
        draw, noise, values = random.Random(seed), 0.0, []  # noqa: S311 - a simulation
        for _ in range(60):
            noise = 0.7 * noise + draw.gauss(0, 1)
            values.append(noise)
        found = trend(list(range(60)), values)
        assert found is not None
        called += found[0].low > 0 or found[0].high < 0

    assert called <= 7


def test_a_slope_of_few_points_is_none() -> None:
    """Seven points say nothing about their own scatter."""
    assert trend([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]) is None
