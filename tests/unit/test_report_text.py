"""The report as text: markdown, terminal, sweep."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.report.build import build_report
from pinchpoint.report.markdown import plain, render_markdown, table
from pinchpoint.report.sweep import render_sweep, sweep_html, sweep_markdown
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


def sweep(best: dict[str, Any] | None) -> dict[str, Any]:
    """Return a sweep over two counts."""
    row = {"capacity_rps": 110.0, "p95_ms": 210.0, "cpu_cores": 0.9, "pss_bytes": 6e7, "verdict": "cpu/python-code"}
    rows = [{**row, "workers": count, "sustainable_rps": 100.0 * count, "run": f"run-{count}"} for count in (1, 2)]
    return {
        "schema": "pinchpoint.sweep/1",
        "knob": "workers",
        "cores": 2,
        "rule_of_thumb": 5,
        "best": best,
        "rows": rows,
    }


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


def test_the_sweep_names_the_best_count_beside_the_rule_of_thumb() -> None:
    """Both numbers in one line, on the terminal, in markdown and on the page."""
    measured = sweep({"workers": 2, "reason": "it sustains the most: 200 requests/s"})
    out = io.StringIO()
    render_sweep(measured, Console(file=out, width=200))
    best = "Best of those measured: 2 workers; it sustains the most: 200 requests/s"
    line = f"{best} (the rule of thumb says 2 * 2 cores + 1 = 5)"

    assert out.getvalue().splitlines()[0] == line
    assert sweep_markdown(measured).splitlines()[0] == "# " + line.replace("*", "\\*")
    assert line in sweep_html(measured)


def test_a_sweep_without_a_valid_run_names_no_best() -> None:
    """Abstaining is an answer."""
    assert sweep_markdown(sweep(None)).startswith("# No worker count is best")


def test_the_sweep_fits_80_columns() -> None:
    """The table is read on a terminal."""
    out = io.StringIO()
    render_sweep(sweep(None), Console(file=out, width=80))

    assert max(len(line.rstrip()) for line in out.getvalue().splitlines()) <= 80
    assert "cpu/python-code" in out.getvalue()
