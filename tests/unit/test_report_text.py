"""The report as text: markdown and terminal."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.records import Capacity, SloResult
from pinchpoint.report import words
from pinchpoint.report.build import build_report
from pinchpoint.report.markdown import plain, render_markdown, table
from pinchpoint.report.terminal import render_summary
from support.sample_run import sample_diagnosis, sample_profiles, sample_run

HOSTILE = "</script><img src=x onerror=alert(1)> [bold]x|y"


def report(name: str = "/items/[id]", **run: Any) -> dict[str, Any]:
    """Return the report of the sample run."""
    return build_report({**sample_run(), **run}, sample_diagnosis(name), sample_profiles())


def printed(shown: dict[str, Any]) -> str:
    """Return what 80 columns show."""
    out = io.StringIO()
    render_summary(shown, Console(file=out, width=80))
    return out.getvalue()


def test_the_markdown_leads_with_the_verdict() -> None:
    """Whoever reads one line reads the answer."""
    lines = render_markdown(report()).splitlines()

    assert lines[0] == "# Pool: db-pool"
    assert lines[2].startswith("The connection pool binds: 4 of 4 connections busy")


def test_the_markdown_keeps_hostile_names_inert() -> None:
    """No tag and no column comes out of a name."""
    text = render_markdown(report(HOSTILE))

    assert "<img" not in text
    assert "x\\|y" in text


def test_a_cell_stays_in_its_cell() -> None:
    """A pipe or a line break in a cell would break the table."""
    assert table(("a", "b"), [("x|y", "one\ntwo")])[2] == "| x\\|y | one two |"
    assert plain("a\\|b") == "a\\\\\\|b"


def test_the_terminal_leads_with_the_verdict_and_fits_80_columns() -> None:
    """The first words are the bottleneck."""
    lines = printed(report()).splitlines()

    assert lines[1] == "Pool: db-pool"
    assert max(len(line) for line in lines) <= 80


def test_the_terminal_shows_names_as_they_are() -> None:
    """Square brackets in a route are no colours."""
    assert "[bold]x|y" in printed(report(HOSTILE)).replace("\n", "")


def test_the_terminal_tells_gates_that_are_not_fine_only() -> None:
    """What is in order needs no reading."""
    text = printed(report())

    assert ("samples: the collector missed" in text, "requests left on time" in text) == (True, False)


@pytest.mark.parametrize("render", [printed, render_markdown])
def test_a_partial_run_says_why(render: Any) -> None:
    """A run cut short is never shown as a whole one."""
    assert "Partial run: interrupted by SIGTERM" in render(report(partial=True, problem="interrupted by SIGTERM"))


@pytest.mark.parametrize("render", [printed, render_markdown])
def test_an_unreached_limit_is_a_lower_bound(render: Any) -> None:
    """Load that ran out is no capacity."""
    diagnosis = sample_diagnosis()
    capacity = replace(diagnosis.capacity, reached=False, breaking_rps=None, breaking_reason=None)
    text = render(build_report(sample_run(), replace(diagnosis, capacity=capacity), []))

    assert "at least 93.6/s (the limit was not reached)" in text
    assert "not reached" in text


def test_away_from_a_terminal_no_line_ends_in_blanks() -> None:
    """A summary in a file or a pipe is plain text."""
    lines = printed(report()).splitlines()

    assert [line for line in lines if line != line.rstrip()] == []
    assert [line for line in lines if "\x1b" in line] == []


@pytest.mark.parametrize(
    ("recovered", "seconds", "latency", "memory", "expected"),
    [
        (True, 0.0663, 0.997, 1.001, "Back to normal 0.1 s after the overload: latency as before, memory as before."),
        (
            True,
            0.42,
            1.67,
            4.42,
            "Back to normal 0.4 s after the overload: latency 1.67 times what it was, memory 4.42 times ",
        ),
        (True, 75.0, None, None, "Back to normal 1 min 15 s after the overload."),
        (
            False,
            None,
            3.0,
            0.5,
            "Not back to normal while it was watched: latency 3 times what it was, memory 0.5 times ",
        ),
    ],
)
def test_recovery_is_told_in_a_readers_words(
    recovered: bool, seconds: float | None, latency: float | None, memory: float | None, expected: str
) -> None:
    """A ratio near 1 is no news; another one says what it is a ratio of."""
    shown = {"recovered": recovered, "seconds": seconds, "latency_ratio": latency, "memory_ratio": memory}
    line = words.recovery_line({"recovery": shown})

    assert line == (expected if expected.endswith(".") else expected + "what it was.")


@pytest.mark.parametrize(
    ("before", "to", "expected"),
    [
        ("4", "8", "Raise it from 4 to 8. (expected: twice)"),
        ("4", "9", "Raise it from 4 to 8. (pool: 4 → 9; expected: twice)"),
        (None, "9", "Raise it from 4 to 8. (pool = 9; expected: twice)"),
        ("4", None, "Raise it from 4 to 8. (expected: twice)"),
    ],
)
def test_advice_tells_a_change_once(before: str | None, to: str | None, expected: str) -> None:
    """An unknown old value is no question mark, and a bare knob is no change."""
    advice = {"text": "Raise it from 4 to 8.", "knob": "pool", "from": before, "to": to, "expected_gain": "twice"}

    assert words.advice_text(advice) == expected


def test_a_run_without_a_step_shows_no_broken_threshold() -> None:
    """What was never judged is neither held nor broken, and doubt about nothing has no percentage."""
    verdict = replace(sample_diagnosis().verdict, class_="undetermined", cause="too-few-samples", confidence=1.0)
    unjudged = [SloResult("p(95)<500", ok=False, observed=None)]
    capacity = Capacity(None, None, None, None, None, None, None, reached=False, slo=unjudged)
    bare = replace(sample_diagnosis(), steps=[], capacity=capacity, verdict=verdict)
    shown = build_report(sample_run(), bare, [])

    assert words.capacity_lines(shown) == [("Sustainable", "not measured"), ("Breaks at", "not measured")]
    assert "confidence" not in words.status_line(shown)
    assert words.status_meaning(shown) is None


def test_a_threshold_shows_what_was_observed_in_its_unit() -> None:
    """500 and 0.01 are not the same kind of number."""
    results = [SloResult("p(95)<500", ok=True, observed=140.5), SloResult("error_rate<0.01", ok=False, observed=0.02)]
    capacity = replace(sample_diagnosis().capacity, slo=results)
    lines = words.capacity_lines(build_report(sample_run(), replace(sample_diagnosis(), capacity=capacity), []))

    assert lines[-2:] == [("Threshold p(95)<500", "held (140 ms)"), ("Threshold error_rate<0.01", "broken (2 %)")]
