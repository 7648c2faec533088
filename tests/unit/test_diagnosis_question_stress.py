"""Two questions of a stress test: CPU and memory beyond the limit, and whether the app comes back."""

from dataclasses import replace

import pytest

from pinchpoint.measures import Step
from pinchpoint.records import Recovery
from pinchpoint.soak_records import Soak
from pinchpoint.staged_records import SpikeResult, Staged
from support.asked import answer, changed
from support.sample_run import sample_diagnosis


def test_cpu_and_memory_are_those_of_the_heaviest_load_beyond_the_limit() -> None:
    """160/s was broken by the ramp, and is heavier than the overload."""
    found = answer("under-stress", sample_diagnosis())

    assert found.answer == (
        "At 160/s (1.7 times what it sustains): CPU 0.195 of 2 cores (9.77 %), memory 118 MiB (PSS), as at low load."
    )
    figures = {one.name: one.value for one in found.figures}
    assert figures["CPU that it may use"] == 2.0
    assert figures["memory over that at low load"] == 1.0


def test_a_load_that_is_hardly_beyond_the_limit_is_no_extreme_one() -> None:
    """113/s is 1.2 times what it sustains: the report says what would press harder."""
    found = sample_diagnosis()
    light = replace(found, steps=[step for step in found.steps if (step.offered_rps or 0.0) <= 113])

    said = answer("under-stress", light)
    assert said.answer.startswith("At 113/s (1.2 times what it sustains): CPU 0.195 of 2 cores")
    assert said.answer.endswith(" No heavier load was tried; a longer --budget presses 1.5 times as hard.")


def test_an_overload_and_what_died_in_it_are_told() -> None:
    """Twice the memory, and one worker gone."""

    def overloaded(step: Step) -> Step:
        if step.phase == "ramp" and step.offered_rps == 160:
            return replace(step, offered_rps=120.0)
        if step.phase != "overload":
            return step
        return replace(step, server=replace(step.server, pss_bytes=2.48e8, workers_died=1, oom_kills=1.0))

    assert answer("under-stress", changed(overloaded)).answer == (
        "At 140/s (1.5 times what it sustains): CPU 0.195 of 2 cores (9.77 %), memory 237 MiB (PSS), "
        "2 times that at low load, 1 worker died, 1 killed for want of memory."
    )


def test_an_app_that_never_broke_was_never_under_stress() -> None:
    """The flag that would go there is named."""

    def holds(step: Step) -> Step:
        return replace(step, passed=True, phase="ramp" if step.phase == "overload" else step.phase)

    found = replace(changed(holds), recovery=None)
    found = replace(found, capacity=replace(found.capacity, reached=False))

    for name in ("under-stress", "recovery"):
        said = answer(name, found)
        assert not said.measured
        assert said.answer.startswith("Not measured: no load broke the app, so ")
        assert "--stages 'spike(" in said.answer


def test_a_server_that_cannot_be_seen_has_no_cpu() -> None:
    """A URL on another host, without an agent."""
    unseen = changed(
        lambda step: replace(step, server=replace(step.server, cpu_cores=None, pss_bytes=None, rss_bytes=None))
    )
    found = answer("under-stress", unseen)

    assert not found.measured
    assert "`pinchpoint agent`" in found.answer


@pytest.mark.parametrize(
    ("recovery", "said", "value"),
    [
        (
            Recovery(recovered=True, seconds=1.4, latency_ratio=1.03, memory_ratio=1.01),
            "Yes, 1.4 s after the load was taken back: latency as before, memory as before.",
            1.4,
        ),
        (
            Recovery(recovered=True, seconds=0.0, latency_ratio=0.5, memory_ratio=None),
            "Yes, 0.1 s after the load was taken back: latency as before.",
            0.0,
        ),
        (
            Recovery(recovered=True, seconds=None, latency_ratio=None, memory_ratio=None),
            "Yes.",
            None,
        ),
        (
            Recovery(recovered=False, seconds=None, latency_ratio=12.0, memory_ratio=2.0),
            "No, not while it was watched: latency 12 times what it was, memory 2 times what it was.",
            None,
        ),
    ],
)
def test_whether_it_recovers_is_said_with_how_soon(recovery: Recovery, said: str, value: float | None) -> None:
    """No is an answer too."""
    found = answer("recovery", replace(sample_diagnosis(), recovery=recovery))

    assert (found.answer, found.value, found.measured) == (said, value, True)


def spike(recovered: bool | None, recovery_s: float | None) -> SpikeResult:
    """Return one spike of a load profile."""
    return SpikeResult(10.0, 15.0, 50.0, 400.0, 20.0, 0.1, recovered, recovery_s)


@pytest.mark.parametrize(
    ("spikes", "said"),
    [
        ([spike(True, 3.0)], "Yes, 3 s after the spike."),
        ([spike(True, 3.0), spike(True, 5.0)], "Yes, 5 s after each of 2 spikes, at the latest."),
        ([spike(True, 3.0), spike(False, None)], "No: after 1 of 2 spikes it was not back to normal while it was"),
        ([spike(None, None)], "Not measured: the load ended, or rose again, too soon after each spike; "),
        ([], "Not measured: no stage was a spike; --stages 'spike(50,400,10s,5s,15s)' would tell."),
    ],
)
def test_of_stages_the_recovery_is_that_after_the_spikes(spikes: list[SpikeResult], said: str) -> None:
    """The slowest counts."""
    staged = replace(sample_diagnosis(), recovery=None, stages=Staged("spike(...)", "rate", 30.0, spikes=spikes))

    assert answer("recovery", staged).answer.startswith(said)


def test_a_soak_and_a_run_without_time_say_so() -> None:
    """Each with its own way out."""
    soak = Soak("no leak", "", 50.0, 600.0, 30_000, None, None, None, None)
    plain = replace(sample_diagnosis(), recovery=None)

    assert "`pinchpoint run` would tell" in answer("recovery", replace(plain, soak=soak)).answer
    assert "a longer --budget would tell" in answer("recovery", plain).answer
