"""A comparison's words, tables, page and JSON: what a reader is told, and that names from outside stay text."""

import io
import json
import math
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from pinchpoint.commands.compare_table import compare_table
from pinchpoint.diagnosis.compare.comparison import compare
from pinchpoint.diagnosis.compare.runs import Side
from pinchpoint.records import Finding, Verdict
from pinchpoint.report.compare import compare_markdown, render_compare, tables
from pinchpoint.report.compare_page import compare_html, figures
from support.compare_sides import section, side, with_capacity, with_latency, with_server, with_steps
from support.sample_goals import diagnosis_with_goals

HOSTILE = "</script><img src=x onerror=alert(1)>|y"


def table(before: Side, after: Side, tolerance: float = 0.10) -> dict[str, Any]:
    """Return `compare.json`."""
    return compare_table(compare(before, after, tolerance))


def halved() -> dict[str, Any]:
    """Return the comparison with an app that serves half as much."""
    return table(side("a"), side("b", with_capacity(0.5), id="other", **section("target", workers=4)))


def printed(found: dict[str, Any], width: int = 80) -> str:
    """Return what a terminal shows."""
    out = io.StringIO()
    render_compare(found, Console(file=out, width=width))
    return out.getvalue()


def problems(found: dict[str, Any]) -> list[str]:
    """Return what the schema says against a comparison."""
    text = files("pinchpoint.report").joinpath("compare.schema.json").read_text(encoding="utf-8")
    return [f"{one.json_path}: {one.message}" for one in Draft202012Validator(json.loads(text)).iter_errors(found)]


def without_limit() -> dict[str, Any]:
    """Return a comparison of runs that met no limit and saw no server."""
    blind = with_server(cpu_cores=None, pss_bytes=None, rss_bytes=None)
    capacity = with_capacity(1.0, reached=False, saturation_rps=None, goals=[]).capacity
    verdict = Verdict("none", "not-saturated", "supported", 0.9, "Nothing binds up to 94 requests/s.")
    one = replace(blind, capacity=capacity, ledger=[], recovery=None, verdict=verdict)
    return table(side("a", one), side("b", one))


@pytest.mark.parametrize("found", [halved(), without_limit()])
def test_the_json_fits_its_schema_and_is_json(found: dict[str, Any]) -> None:
    """Open ends of intervals are null: JSON has no infinity."""
    assert problems(found) == []
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_broken_comparison_does_not_fit() -> None:
    """The schema can fail."""
    broken = halved()
    broken["capacity"][0]["change"]["side"] = "worse"
    del broken["move"]["kind"]

    assert sorted(text.split(":")[0] for text in problems(broken)) == ["$.capacity[0].change.side", "$.move"]


def test_the_verdict_of_the_comparison_stands_first() -> None:
    """On the terminal and in markdown; then what became of the bottleneck."""
    text = printed(halved(), 200).splitlines()

    assert text[0].startswith("Regression: the sustainable rate fell from 93.6/s (a) to 46.8/s (b), -50 %")
    assert text[1] == "The bottleneck stayed pool/db-pool; its limit fell by 50 % (97.8/s to 48.9/s)."
    assert compare_markdown(halved()).startswith("# Regression: the sustainable rate fell from 93.6/s (a)")


def test_everything_fits_80_columns() -> None:
    """It is read on a terminal."""
    assert max(len(line) for line in printed(halved()).splitlines()) <= 80
    assert max(len(line) for line in printed(without_limit()).splitlines()) <= 80


def test_better_and_worse_are_words_of_the_reader() -> None:
    """More capacity is better, more latency and more CPU are worse."""
    slow = with_latency(1.5)
    found = table(side("a"), side("b", replace(slow, capacity=with_capacity(2.0).capacity)))
    said = {row[0]: row[-1] for one in tables(found) if one.title in TITLES for row in one.rows}

    assert said == {
        "sustainable": "better",
        "strict": "better",
        "breaking": "cannot tell",
        "plateau": "better",
        "p95": "worse",
        "p50": "worse",
        "CPU per request": "within noise",
        "memory": "within noise",
        "errors": "within noise",
    }


TITLES = ("Capacity by goal", "At the same load")


def test_goals_verdicts_ledger_and_loads_are_tables() -> None:
    """And what was changed, which is why a run is repeated."""
    found = {one.title: one for one in tables(halved())}

    assert list(found) == [
        "Capacity by goal",
        "At the same load",
        "What binds",
        "What was changed between the runs",
        "Ledger: the rate at which each resource would bind",
        "Load by load",
    ]
    assert found["Capacity by goal"].rows[0] == ("sustainable", "93.6/s", "46.8/s", "-50 %", "-51 to -49 %", "worse")
    assert found["What binds"].rows[0] == ("binds", "pool/db-pool", "pool/db-pool")
    assert found["What was changed between the runs"].rows == [("workers", "2", "4")]
    assert found["Ledger: the rate at which each resource would bind"].rows[0][:3] == ("db-pool", "97.6/s", "97.6/s")
    assert [row[0] for row in found["Load by load"].rows][-3:] == ["94/s", "113/s", "160/s"]
    assert found["Load by load"].rows[-1][1].endswith("*")


def test_what_makes_it_doubtful_is_shown_in_every_output() -> None:
    """The sample run is suspect."""
    warning = "The measurement of a is suspect: the collector missed a few ticks."

    assert f"! {warning}" in printed(halved(), 200)
    assert f"- Doubtful: {warning}" in compare_markdown(halved())
    assert warning in compare_html(halved())


def test_a_leak_that_is_gone_is_shown() -> None:
    """38 KiB stay with each request before, none after."""
    leaking = replace(diagnosis_with_goals(), findings=[Finding("leak", "", 38_912.0, "bytes/request")])
    found = {one.title: one for one in tables(table(side("a", leaking), side("b")))}

    assert ("memory kept per request", "", "38 KiB", "none found", "", "", "") in found["At the same load"].rows


def test_the_page_carries_its_figures_and_asks_nobody() -> None:
    """Plotly and the data of both runs are in the file."""
    page = compare_html(halved())
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])

    names = ("capacity", "p95", "goodput", "cpu", "memory", "ledger")
    assert [f'id="{name}"' in page for name in names] == [True] * 6
    assert "default-src 'none'" in page
    assert [len(data["levels"][which]) for which in ("before", "after")] == [7, 7]
    assert data["capacity"][0]["after"]["value"] == pytest.approx(46.8)
    assert data["load"] == "requests/s asked for"


def test_figures_that_nobody_measured_are_left_out() -> None:
    """No empty axes."""
    assert [name for name, _ in figures(without_limit())] == ["capacity", "p95", "goodput"]


def test_hostile_names_land_inert() -> None:
    """A run's folder, its command, an endpoint and a pool are called by strangers."""

    def renamed(step: Any) -> Any:
        (pool,) = step.server.gates.values()
        gates = {HOSTILE: replace(pool, size=8.0)}
        return replace(step, server=replace(step.server, gates=gates))

    hostile = side(HOSTILE, with_steps(renamed), **section("target", command=[HOSTILE], workers=HOSTILE))
    found = table(hostile, side("b", id="other"))

    assert "<img" not in compare_html(found)
    assert "<img" not in compare_markdown(found)
    assert HOSTILE in printed(found, 400)


def test_users_are_called_users() -> None:
    """The load of a closed model is no rate."""

    def closed(step: Any) -> Any:
        return replace(step, model="users", users=round(step.offered_rps), offered_rps=None)

    found = table(side("a", with_steps(closed)), side("b", with_steps(closed)))
    rows = {one.title: one for one in tables(found)}["Load by load"].rows

    assert rows[0][0] == "10 users"
    assert "Closed model" in printed(found, 200)


def test_open_ends_are_told_in_words() -> None:
    """At least so much, with what is known of the ratio."""
    found = table(side("a"), side("b", with_capacity(2.0, reached=False)))
    row = tables(found)[0].rows[0]

    assert (row[2], row[4], row[5]) == ("at least 187/s", ">= +95 %", "better")
    assert math.isclose(found["capacity"][0]["change"]["ratio"], 2.0)
    assert found["capacity"][0]["change"]["high"] is None
