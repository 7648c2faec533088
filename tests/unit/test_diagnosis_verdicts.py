"""Simulated apps with a known bottleneck: diagnosis names it, whatever the noise."""

import functools
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.diagnosis import diagnose
from pinchpoint.recording import Recording
from pinchpoint.records import Diagnosis, HotFrame, Profile

_SPEC = importlib.util.spec_from_file_location("support_synthetic", Path(__file__).parents[1] / "support/synthetic.py")
assert _SPEC is not None
assert _SPEC.loader is not None
synthetic = importlib.util.module_from_spec(_SPEC)
sys.modules["support_synthetic"] = synthetic
_SPEC.loader.exec_module(synthetic)


@functools.cache
def recorded(truth: Any) -> Recording:
    """Simulate once for all tests that look at it."""
    recording: Recording = synthetic.Synthetic(truth).run().recording()
    return recording


@functools.cache
def diagnosed(truth: Any) -> Diagnosis:
    """Simulate and diagnose."""
    return diagnose(recorded(truth))


@pytest.mark.parametrize("name", synthetic.TRUTHS)
def test_the_known_bottleneck_is_named(name: str) -> None:
    """Class and cause."""
    truth, class_, cause = synthetic.TRUTHS[name]

    verdict = diagnosed(truth).verdict

    assert (verdict.class_, verdict.cause) == (class_, cause)


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", ["python-cpu", "db-pool", "sync-call", "slow-query", "slow-query-postgres", "leak"])
def test_noise_does_not_change_the_verdict(name: str, seed: int) -> None:
    """Three times the noise, other seeds."""
    truth, class_, cause = synthetic.TRUTHS[name]

    verdict = diagnosed(replace(truth, seed=seed, noise=0.06)).verdict

    assert (verdict.class_, verdict.cause) == (class_, cause)


@pytest.mark.parametrize("name", ["python-cpu", "db-pool", "sync-call", "slow-query", "slow-query-postgres", "healthy"])
def test_capacity_is_within_a_tenth_of_the_truth(name: str) -> None:
    """The bracket of three bisections and the plateau."""
    truth = synthetic.TRUTHS[name][0]
    ceiling = truth.binding()[1]

    found = diagnosed(truth).capacity

    assert found.reached is True
    assert found.sustainable_rps == pytest.approx(ceiling, rel=0.15)
    assert found.saturation_rps == pytest.approx(ceiling, rel=0.1)
    assert found.lower_bound_rps is not None
    assert found.upper_bound_rps is not None
    assert found.lower_bound_rps < found.upper_bound_rps


@pytest.mark.parametrize("name", ["python-cpu", "db-pool", "sync-call", "slow-query", "slow-query-postgres", "leak"])
def test_a_clear_case_is_supported_and_confident(name: str) -> None:
    """Ledger and observation agree."""
    verdict = diagnosed(synthetic.TRUTHS[name][0]).verdict

    assert verdict.status == "supported"
    assert verdict.confidence >= 0.7
    assert verdict.evidence
    assert verdict.advice


def test_the_pool_is_described_in_arithmetic_and_the_next_wall_caps_the_gain() -> None:
    """4 connections held 24 ms: 167/s; CPU comes next, far above."""
    verdict = diagnosed(synthetic.TRUTHS["db-pool"][0]).verdict

    assert "4 / 24.0 ms = 167 requests/s" in verdict.summary
    assert verdict.advice[0].to == "8"
    assert "2.0x" in (verdict.advice[0].expected_gain or "")
    assert verdict.next_wall is not None
    assert verdict.next_wall.resource in {"cpu", "loop"}


def test_the_ledger_holds_demand_times_ceiling_equal_to_capacity() -> None:
    """The utilisation law, on the held resource."""
    rows = {row.resource: row for row in diagnosed(synthetic.TRUTHS["db-pool"][0]).ledger}

    pool = rows["db-pool"]
    assert pool.demand_s_per_request == pytest.approx(0.024, rel=0.05)
    assert pool.ceiling_rps == pytest.approx(4 / 0.024, rel=0.05)
    assert pool.depth < rows["cpu"].depth


def test_time_shares_add_up_to_one() -> None:
    """At low load and at the limit."""
    shares = diagnosed(synthetic.TRUTHS["db-pool-postgres"][0]).time

    assert sum(shares.low.values()) == pytest.approx(1.0)
    assert sum(shares.limit.values()) == pytest.approx(1.0)


def test_a_storm_of_fast_errors_is_neither_cpu_nor_the_generator() -> None:
    """The limit was established by errors while the generator was healthy."""
    truth = replace(synthetic.HEALTHY, storm_above_rps=200.0)

    found = diagnosed(truth)

    assert found.verdict.class_ == "undetermined"
    assert found.capacity.reached is True
    assert found.capacity.sustainable_rps == pytest.approx(200, rel=0.3)


def test_without_a_probe_cpu_is_still_named() -> None:
    """CPU is visible from outside; the gate says the probe was missing."""
    truth = replace(synthetic.TRUTHS["python-cpu"][0], probe=False)

    found = diagnosed(truth)

    assert found.verdict.class_ == "cpu"
    assert [gate.status for gate in found.validity.gates if gate.name == "probe"] == ["unavailable"]


def test_without_a_probe_a_pool_is_not_guessed() -> None:
    """Nothing that was measured is full: abstain, and say what would change that."""
    truth = replace(synthetic.TRUTHS["db-pool"][0], probe=False)

    verdict = diagnosed(truth).verdict

    assert (verdict.class_, verdict.cause) == ("undetermined", "conflicting-evidence")
    assert any("probe" in text for text in verdict.would_flip_if)


@pytest.mark.parametrize("name", ["python-cpu", "sync-call"])
def test_uvloop_is_judged_by_looks_at_its_thread(name: str) -> None:
    """No busy share from the selector, and no PSI either."""
    truth, class_, cause = synthetic.TRUTHS[name]

    found = diagnosed(replace(truth, uvloop=True, psi=False))

    assert (found.verdict.class_, found.verdict.cause) == (class_, cause)
    assert found.steps[0].server.psi == {}


def test_one_full_loop_beside_idle_cores_asks_for_workers() -> None:
    """One worker, four cores."""
    truth = replace(synthetic.TRUTHS["python-cpu"][0], cores=4, host_cores=6)

    verdict = diagnosed(truth).verdict

    assert (verdict.class_, verdict.cause) == ("cpu", "too-few-workers")
    assert verdict.advice[0].knob == "workers"


def test_a_slow_leak_is_a_finding_and_not_the_bottleneck() -> None:
    """400 bytes a request would take most of a day."""
    truth = replace(synthetic.HEALTHY, leak_bytes=600.0, step_s=6.0, free_bytes=64e9)

    found = diagnosed(truth)

    assert found.verdict.class_ == "cpu"
    assert "leak" in [finding.kind for finding in found.findings]


def test_a_leak_is_measured_in_bytes_per_request() -> None:
    """38 kB a request, within a tenth."""
    found = diagnosed(synthetic.TRUTHS["leak"][0])

    slopes = [item.value for item in found.verdict.evidence if item.signal == "pss.slope"]
    assert slopes == [pytest.approx(38_000, rel=0.1)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_healthy_app_is_never_called_leaking(seed: int) -> None:
    """Its caches and arenas fill, then stay."""
    found = diagnosed(replace(synthetic.HEALTHY, seed=seed))

    assert "leak" not in [finding.kind for finding in found.findings]
    assert found.verdict.class_ != "memory"


def test_a_run_that_ended_before_the_limit_says_so() -> None:
    """Not reached: nothing binds, and no breaking point is made up."""
    found = diagnosed(synthetic.TRUTHS["not-reached"][0])

    assert found.capacity.reached is False
    assert found.capacity.breaking_rps is None
    assert found.recovery is None


def test_the_app_came_back() -> None:
    """Recovery is judged against the baseline."""
    found = diagnosed(synthetic.TRUTHS["db-pool"][0]).recovery

    assert found is not None
    assert found.recovered is True
    assert found.latency_ratio == pytest.approx(1.0, abs=0.2)


def test_profiles_say_where_the_cpu_goes() -> None:
    """The app's own function, not the framework's around it."""
    frames = [
        HotFrame("run", "starlette/routing.py", 10, "starlette", 0.05, 0.95),
        HotFrame("get_item", "shop/main.py", 40, "app", 0.02, 0.9),
        HotFrame("price", "shop/rules.py", 7, "app", 0.7, 0.75),
    ]
    profile = Profile("profile-limit", 101, "cpu", 300, "profiles/x.folded", None, frames)

    place = diagnose(recorded(synthetic.TRUTHS["python-cpu"][0]), (profile,)).verdict.location

    assert (place.function, place.file, place.line) == ("price", "shop/rules.py", 7)
    assert place.endpoint == "/items/[id]"


def test_a_heavier_load_that_holds_contradicts_the_limit() -> None:
    """The ramp broke at 400/s on a disturbed machine; the overload, above it, held."""
    found = diagnosed(replace(synthetic.HEALTHY, disturbed_above_rps=300.0))

    assert (found.verdict.class_, found.verdict.cause) == ("undetermined", "unsteady")
    assert found.capacity.saturation_rps is None
    assert [gate.status for gate in found.validity.gates if gate.name == "steadiness"] == ["warn"]


def test_an_undisturbed_run_is_steady() -> None:
    """A plateau is no contradiction."""
    found = diagnosed(synthetic.TRUTHS["db-pool"][0])

    assert [gate.status for gate in found.validity.gates if gate.name == "steadiness"] == ["ok"]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("generator_cpu_ms", "cause"), [(0.14, "too-few-workers"), (2.4, "python-code")])
def test_a_further_worker_needs_half_a_core_that_the_generator_leaves(
    generator_cpu_ms: float, cause: str, seed: int
) -> None:
    """One full loop of two cores; of the second the generator uses 4 % or three quarters."""
    truth = replace(synthetic.TRUTHS["python-cpu"][0], cores=2, noise=0.1, seed=seed, generator_cpu_ms=generator_cpu_ms)

    assert diagnosed(truth).verdict.cause == cause


def test_requests_that_pile_up_unseen_are_counted_in_the_summary() -> None:
    """Nothing measured is full, yet the app holds requests: a semaphore looks like this."""
    truth = replace(synthetic.HEALTHY, token_ms=50.0, tokens=8)
    recording: Recording = synthetic.Synthetic(truth).run().recording()
    for sample in recording.samples:
        for process in sample["processes"]:
            for name in [name for name in process["probe"] or {} if name.startswith("tokens")]:
                del (process["probe"] or {})[name]

    verdict = diagnose(recording).verdict

    assert (verdict.class_, verdict.cause) == ("undetermined", "conflicting-evidence")
    assert "waiting for something that is not measured" in verdict.summary


def test_a_heavier_load_that_fills_the_same_resource_leaves_the_name_but_no_plateau() -> None:
    """The machine became faster; what binds did not change."""
    found = diagnosed(replace(synthetic.TRUTHS["python-cpu"][0], overload_holds=True))

    assert found.verdict.class_ == "cpu"
    assert found.validity.status == "suspect"
    assert found.capacity.saturation_rps is None
