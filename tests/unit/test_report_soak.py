"""A soak in every output, from a recording with a known leak."""

import io
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.diagnosis import diagnose
from pinchpoint.report import soak
from pinchpoint.report.build import build_report, validate
from pinchpoint.report.markdown import render_markdown
from pinchpoint.report.terminal import render_summary
from support.sample_run import sample_run
from support.synthetic_soak import Steeped

LEAKY = Steeped(
    memory=lambda requests, _seconds, _inflight: 8192.0 * requests,
    fds=lambda requests: 20 + requests / 100,
    restart_every=2600,
)


@pytest.fixture(scope="module", name="shown")
def leaky_report() -> dict[str, Any]:
    """Return the report of an app that leaks memory and descriptors, and whose worker is replaced."""
    return build_report(sample_run(), diagnose(LEAKY.recording()), [])


def test_the_report_of_a_soak_is_valid(shown: dict[str, Any]) -> None:
    """Every field of it is in the schema, and a wrong word is told."""
    broken = {**shown, "soak": {**shown["soak"], "leak": "maybe"}}

    assert validate(shown) == []
    assert [text.split(":")[0] for text in validate(broken)] == ["$.soak"]


def test_the_loads_stand_in_for_a_ramp(shown: dict[str, Any]) -> None:
    """No search was run: what held is the soak's own load, and the limit was not reached."""
    assert shown["capacity"]["sustainable_rps"] == pytest.approx(100, rel=0.02)
    assert shown["capacity"]["reached"] is False
    assert shown["verdict"]["class"] in {"none", "memory"}


def test_the_markdown_tells_conditions_loads_drift_and_restarts(shown: dict[str, Any]) -> None:
    """Whoever has no browser reads the same."""
    text = render_markdown(shown)

    for title in ("What makes a leak", "Loads", "What else changed while the load did not", "Replaced workers"):
        assert f"### {title}" in text
    assert "| open descriptors | grows |" in text
    assert "| 100/s | 1 min |" in text


def test_the_terminal_tells_the_result_first_and_fits(shown: dict[str, Any]) -> None:
    """The sentence, then the conditions."""
    out = io.StringIO()
    render_summary(shown, Console(file=out, width=80))

    assert "Memory leaks: 8" in out.getvalue()
    assert "in proportion: yes" in out.getvalue()
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80


def test_the_chart_has_a_value_or_a_gap_for_every_slice(shown: dict[str, Any]) -> None:
    """Columns of one length."""
    columns = soak.chart(shown)

    assert columns is not None
    assert {len(column) for name, column in columns.items() if name != "restarts"} == {50}
    assert len(columns["restarts"]) == 2


def test_a_run_that_was_no_soak_says_nothing_of_one() -> None:
    """Every other report stays as it was."""
    bare: dict[str, Any] = {"soak": None}

    assert (soak.headline(bare), soak.lines(bare), soak.facts(bare), soak.tables(bare), soak.chart(bare)) == (
        None, [], [], [], None,
    )  # fmt: skip
