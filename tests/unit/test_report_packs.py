"""A pack in every output: the table of its scenarios, its targets, the database, and what that means."""

import copy
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.diagnosis.packs import pack_result
from pinchpoint.packs import PackResult, PartResult
from pinchpoint.records import Finding
from pinchpoint.report import packs
from pinchpoint.report.build import build_report, validate
from pinchpoint.report.html import render_html
from pinchpoint.report.markdown import render_markdown
from pinchpoint.report.series import timeline
from pinchpoint.report.terminal import render_summary
from support.pack_runs import SHOP, calm_result, search_recording, searched
from support.sample_run import sample_diagnosis, sample_recording, sample_run

AUDIT = {"oversold": 0, "negative_stock": 0, "unbalanced": [], "products": 1200, "ok": True, "mean": 1.5, "by": None}


def report(result: PackResult | None = None, **changes: Any) -> dict[str, Any]:
    """Return the report of a run with the shop's pack."""
    found = replace(calm_result(AUDIT), **changes) if result is None else result
    return build_report(sample_run(), replace(sample_diagnosis(), pack=found), [])


def printed(shown: dict[str, Any]) -> str:
    """Return what 80 columns show."""
    out = io.StringIO()
    render_summary(shown, Console(file=out, width=80))
    return out.getvalue()


def page(shown: dict[str, Any]) -> str:
    """Return the page without what draws its figures."""
    html = render_html(shown, timeline(sample_recording(Path())), {})
    return html[: html.index('<script type="application/json"')]


def test_the_report_is_valid_and_a_wrong_word_in_it_is_told() -> None:
    """Also where nothing was measured, and of a run that has no pack."""
    broken = copy.deepcopy(report())
    broken["pack"]["targets"][0]["op"] = "!="
    broken["scenarios"][0]["compliance"] = "mostly"

    assert validate(report()) == []
    assert validate(build_report(sample_run(), replace(searched(), pack=calm_result()), [])) == []
    assert validate(build_report(sample_run(), sample_diagnosis(), [])) == []
    assert sorted(text.split(":")[0] for text in validate(broken)) == ["$.pack", "$.scenarios[0].compliance"]


def test_with_a_pack_the_scenarios_are_its_parts() -> None:
    """What was not asked for stands there too, with nothing made up."""
    shown = report()

    assert [(one["name"], one["requests"], one["compliance"], one["step"]) for one in shown["scenarios"]] == [
        ("Browse", 40, "passed", None),
        ("Buy", 32, "failed", None),
        ("Return", 0, None, None),
    ]
    assert shown["pack"]["audit"] == AUDIT
    assert (shown["pack"]["name"], shown["pack"]["grades"]) == ("shop", ["green", "yellow", "red"])


def test_without_parts_the_scenarios_are_the_endpoints() -> None:
    """As without a pack."""
    shown = report(parts=())

    assert [one["name"] for one in shown["scenarios"]] == [
        one["name"] for one in build_report(sample_run(), sample_diagnosis(), [])["scenarios"]
    ]


def test_the_table_is_the_seeds() -> None:
    """Average, peak users, errors and compliance of each scenario, and the kinds of failures below."""
    table, *_ = packs.tables(report())

    assert list(table.head) == ["Scenario", "Requests", "Average", "p95", "Peak users", "Errors", "Compliance"]
    assert table.rows[1][0] == "Buy"
    assert table.rows[1][3:] == ("10 ms", "10", "25 %", "Failed")
    assert table.rows[2] == ("Return", "0", "n/a", "n/a", "30", "n/a", "not measured")
    assert table.note == "Failures by kind: Buy: 409 (8)."


def test_the_most_frequent_kinds_of_failures_are_told_and_the_others_counted() -> None:
    """A table is no log."""
    errors = {"409": 1200, "500": 2, "503": 7, "connection": 3, "timeout": 1}
    part = PartResult("Buy", 2000, 0.6, None, None, None, "failed", errors)

    assert packs.tables(report(parts=(part,)))[0].note == (
        "Failures by kind: Buy: 409 (1,200), 503 (7), connection (3), 2 more."
    )


def test_targets_tell_what_was_asked_for_in_the_metrics_unit() -> None:
    """Milliseconds, a rate, percent, users, pieces; what was not measured is not graded."""
    rows = packs.tables(report(audit=None))[1].rows
    asked = {row[0]: row[2:] for row in rows}

    assert asked["GET requests"] == ("< 20 ms", "< 100 ms", "green")
    assert asked["Throughput"] == ("> 100/s", "> 10/s", "yellow")
    assert asked["Errors"] == ("< 1 %", "-", "red")
    assert asked["Users"] == (">= 30", ">= 20", "green")
    assert {row[0]: row[1] for row in rows}["Throughput"] == "16/s"
    assert {row[0]: row[1] for row in rows}["Oversold"] == "0"
    assert packs.tables(report(result=calm_result()))[1].rows[-1] == ("Oversold", "n/a", "== 0", "-", "not measured")


def test_where_a_target_was_not_judged_by_the_load_is_said() -> None:
    """The title says it of all others."""
    assert packs.tables(report())[1].note == "Oversold: in the database, after the run."


def test_what_the_database_held_is_a_table_of_its_own() -> None:
    """Lists are counted, truth is yes or no."""
    assert packs.tables(report())[2].rows == [
        ("oversold", "0"),
        ("negative stock", "0"),
        ("unbalanced", "0"),
        ("products", "1,200"),
        ("ok", "yes"),
        ("mean", "1.5"),
        ("by", "not measured"),
    ]
    assert [table.title for table in packs.tables(report(audit=None))] == ["Scenario by scenario", "Targets"]


@pytest.mark.parametrize("render", [printed, render_markdown, page])
def test_every_output_has_the_tables_and_their_meaning(render: Any) -> None:
    """The title says at which load."""
    text = " ".join(render(report()).split())

    assert "Scenario shop, over the whole load, up to 30 users" in text
    for word in ("Failed", "green", "yellow", "red", "409 (8)", "25 %"):
        assert word in text
    assert "refused with 409 Conflict" in text


@pytest.mark.parametrize("render", [printed, render_markdown, page])
def test_a_run_without_a_pack_says_nothing_of_one(render: Any) -> None:
    """No empty section."""
    assert "Scenario " not in render(build_report(sample_run(), sample_diagnosis(), []))


def test_the_terminal_fits_80_columns_also_with_long_names() -> None:
    """Names and grades are folded, figures are not."""
    result = calm_result(AUDIT)
    long = replace(result.parts[0], name="Create several customers of the same name at the same time")

    text = printed(report(parts=(long, *result.parts[1:])))

    assert max(len(line) for line in text.splitlines()) <= 80
    assert "14 ms" in text


def test_hostile_names_stay_text() -> None:
    """A finding's sentence may hold what an app calls itself."""
    hostile = report(findings=(Finding("race", "<img src=x> [bold]x|y", 1.0, "share"),))

    assert "<img" not in page(hostile)
    assert "<img" not in render_markdown(hostile)
    assert "[bold]x|y" in printed(hostile)


def test_grades_are_coloured_by_their_place_and_compliance_by_its_word() -> None:
    """Whatever a pack calls them."""
    shown = report()

    words = ("green", "yellow", "red", "Passed", "Partially Passed", "Failed", "not measured", "25 %")
    assert [packs.style(shown, word) for word in words] == ["ok", "warn", "fail", "ok", "warn", "fail", "", ""]
    assert '<td class="fail">red</td>' in page(shown)


def test_a_run_that_ended_before_its_load_says_that_nothing_was_measured() -> None:
    """And shows what it would have been judged by."""
    diagnosis = replace(searched(), pack=pack_result(search_recording([]), searched(), "shop", SHOP))

    shown = build_report(sample_run(), diagnosis, [])

    assert packs.headline(shown) == "Scenario shop: nothing measured"
    assert [row[-1] for table in packs.tables(shown) for row in table.rows] == ["not measured"] * 8
