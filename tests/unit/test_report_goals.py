"""Goals, intervals, void steps and the generator's panel in every output."""

import copy
import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.diagnosis.generator_summary import generator_summary
from pinchpoint.report import goals, words
from pinchpoint.report.build import build_report, validate
from pinchpoint.report.markdown import render_markdown
from pinchpoint.report.terminal import render_summary
from support.sample_goals import GENERATOR, LOST, diagnosis_with_goals
from support.sample_run import sample_diagnosis, sample_run, sample_steps


def report() -> dict[str, Any]:
    """Return a report with goals."""
    return build_report(sample_run(), diagnosis_with_goals(), [])


def printed(shown: dict[str, Any]) -> str:
    """Return what 80 columns show."""
    out = io.StringIO()
    render_summary(shown, Console(file=out, width=80))
    return out.getvalue()


def test_goals_and_generator_are_valid_and_a_wrong_type_in_them_is_told() -> None:
    """The schema knows both."""
    broken = copy.deepcopy(report())
    broken["capacity"]["goals"][0]["lower_rps"] = "88"
    broken["generator"]["hosts"][0]["role"] = "spectator"

    assert validate(report()) == []
    assert [text.split(":")[0] for text in validate(broken)] == ["$.capacity.goals[0].lower_rps", "$.generator"]


def test_each_goal_has_a_row_with_its_interval_and_trials() -> None:
    """What was not reached says so; an interval that three trials do not give is n/a."""
    found = goals.goals(report())

    assert found is not None
    assert found.title == "Capacity by goal (open: arrivals/s)"
    assert [row[:6] for row in found.rows] == [
        ("strict", "88/s", "94/s", "87.9/s", "86.1 to 90.2", "9"),
        ("slo", "94/s", "98/s", "93.4/s", "91.8 to 95.3", "11"),
        ("breaking", "140/s", "not reached", "97.6/s", "n/a", "3"),
    ]


def test_capacity_lines_carry_their_intervals() -> None:
    """A rate without its interval looks more certain than it is."""
    lines = dict(words.capacity_lines(report()))

    assert lines["Sustainable"] == "93.6/s (91.8 to 95.3)"
    assert lines["Plateau of goodput"] == "97.8/s (96 to 99.4)"
    assert lines["Under overload"] == "97 % of the plateau at 1.5 times the load: it holds"


def test_a_collapse_is_called_one() -> None:
    """Below 90 % of the plateau (METHOD §1.1)."""
    assert words.collapse({"collapse_ratio": 0.6}) == "60 % of the plateau at 1.5 times the load: the app collapses"
    assert words.collapse({"collapse_ratio": None}) is None


def test_the_terminal_tells_the_goals_in_one_line() -> None:
    """Void steps are no trials: of 13 steps 7 set the capacity."""
    text = printed(report())

    assert "Served by goal" in text
    assert "strict 87.9/s, slo 93.4/s, breaking 97.6/s (7 trials)" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 80


def test_void_steps_are_shown_and_said_not_to_count() -> None:
    """No time of the run is hidden."""
    text = render_markdown(report())

    assert f"does not count: {LOST}" in text
    assert "| 5 | ramp |" in text
    assert "| drifts |" in text


def test_the_generator_panel_says_how_much_of_what_it_can_was_used() -> None:
    """Calibration, busiest second, lag, unsent arrivals, the split of cores."""
    lines = dict(goals.generator_lines(report()))

    assert lines == {
        "Load processes": "2",
        "Cores": "load 1, server 0",
        "Most it can start": "5,210/s against a server that does nothing; this run used 2.67 % of it",
        "Busiest second of a load process": "41 % of a core",
        "Send lag, p99, worst step": "0.9 ms",
        "Arrivals nobody was free to take": "80 of 6,120 (1.31 %)",
        "Busiest worker over the mean": "1.22",
    }


def test_other_hosts_are_listed_with_their_clocks_and_losses() -> None:
    """A lost load worker is no footnote."""
    found = goals.hosts(report())

    assert found is not None
    assert list(found.rows) == [
        ("bench-2", "sends load", "12.3 ms", "0.2 ms", "lost: the connection was closed at second 31"),
        ("web-1", "runs the target", "-1.5 s", "0.4 ms", "to the end"),
    ]


def test_what_was_not_measured_of_the_generator_is_said_so() -> None:
    """An old recording has no calibration and no seconds."""
    bare = replace(GENERATOR, max_rps=None, cpu_peak=None, imbalance=None, load_cpus=None, server_cpus=None, hosts=[])
    shown = build_report(sample_run(), replace(diagnosis_with_goals(), generator=bare), [])
    lines = dict(goals.generator_lines(shown))

    assert lines["Cores"] == "load and server share all of them"
    assert lines["Most it can start"] == "not calibrated; 139/s was the most it started"
    assert lines["Busiest second of a load process"] == "n/a"
    assert goals.hosts(shown) is None


def test_without_goals_nothing_is_said_of_them() -> None:
    """A closed load, or a run before there were goals."""
    shown = build_report(sample_run(), sample_diagnosis(), [])

    assert (goals.goals(shown), goals.line(shown), goals.generator_lines(shown)) == (None, None, [])


@pytest.mark.parametrize(("model", "said"), [("rate", "open: arrivals/s"), ("users", "closed: users"), (None, "n/a")])
def test_the_unit_of_load_names_the_model(model: str | None, said: str) -> None:
    """Beside every figure of load."""
    assert goals.unit_of({"run": {"load": {"model": model}}}).endswith(said)


def test_the_summary_folds_steps_and_events() -> None:
    """The last split of cores and the last calibration count; a host that was lost is the one that had joined."""
    rows: list[tuple[str, dict[str, Any]]] = [
        ("calibration", {"max_rps": 4000.0}),
        ("generator", {"processes": 1, "load_cpus": [1], "server_cpus": [0], "reason": "two cores, one each"}),
        ("generator", {"processes": 2, "load_cpus": None, "server_cpus": None, "reason": "one process was full"}),
        ("worker-joined", {"name": "b", "offset_s": 0.5, "offset_error_s": 0.001}),
        ("worker-lost", {"name": "b", "message": "gone"}),
    ]
    events: list[Any] = [{"kind": kind, "t_s": 0.0, "data": data} for kind, data in rows]
    steps = sample_steps()
    found = generator_summary(steps, events, {"processes": 1, "load_cpus": [3]}, steps[7])

    assert found is not None
    assert (found.max_rps, found.load_cpus, found.changes) == (
        4000.0,
        None,
        ["two cores, one each", "one process was full"],
    )
    assert [(one.name, one.offset_s, one.lost) for one in found.hosts] == [("b", 0.5, "gone")]
    assert found.unsent == 120
    assert found.imbalance == pytest.approx(1.0)
    assert generator_summary([], events, {}, None) is None


def test_the_mean_of_an_endpoint_reaches_the_report() -> None:
    """A percentile is no mean, and a mean no percentile: both stand."""
    plain = sample_diagnosis()
    named = [replace(one, mean_ms=61.5) for one in plain.steps[7].client.endpoints]
    step = replace(plain.steps[7], client=replace(plain.steps[7].client, endpoints=named))
    steps = [*plain.steps[:7], step, *plain.steps[8:]]

    assert build_report(sample_run(), replace(plain, steps=steps), [])["scenarios"][0]["avg_ms"] == pytest.approx(61.5)
