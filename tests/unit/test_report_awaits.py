"""What requests wait for, as the outputs show it."""

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.records import AwaitShares, Diagnosis
from pinchpoint.report import awaits
from pinchpoint.report.build import build_report, validate
from pinchpoint.report.markdown import render_markdown
from pinchpoint.report.terminal import render_summary
from support.sample_run import sample_awaits, sample_diagnosis, sample_profiles, sample_run


def report(shares: AwaitShares | None, diagnosis: Diagnosis | None = None) -> dict[str, Any]:
    """Return the report of the sample run."""
    return build_report(sample_run(), diagnosis or sample_diagnosis(), sample_profiles(), shares)


def summary(shown: dict[str, Any]) -> str:
    """Return what the terminal shows at 80 columns."""
    text = StringIO()
    render_summary(shown, Console(file=text, width=80))
    return text.getvalue()


def test_the_schema_knows_the_shares() -> None:
    """And refuses shares that are none."""
    shown = report(sample_awaits())
    assert validate(shown) == []

    shown["awaits"]["limit"]["GET /"]["ready"] = 2.0
    assert len(validate(shown)) == 1


def test_low_load_stands_beside_the_limit() -> None:
    """Too few requests on one side are not measured, not nothing."""
    by_endpoint, by_place = awaits.tables(report(sample_awaits()))

    assert by_endpoint.rows == [
        ("GET /items/{item_id}", "connection pool", "5 %", "70 %"),
        ("", "database", "80 %", "28 %"),
        ("", "its turn on the loop", "15 %", "2 %"),
        ("GET /", "its turn on the loop", "n/a", "100 %"),
    ]
    assert by_endpoint.note == (
        "Requests met waiting: 200 at low load, 2,000 at the limit. n/a: fewer than 20 were met there."
    )
    assert by_place.rows == [
        ("read_item (app/items.py:41)", "connection pool", "67 %"),
        ("read_item (app/items.py:43)", "database", "27 %"),
        ("(no code of the app) GET /", "its turn on the loop", "7 %"),
    ]


def test_rare_waits_are_added_up() -> None:
    """Nothing below three percent has a row of its own, and nothing is lost."""
    limit = {"GET /": {"lock": 0.92, **{f"w{number}": 0.02 for number in range(4)}}}
    shown = report(AwaitShares(limit=limit, met_limit={"GET /": 500}))

    (table,) = awaits.tables(shown)
    assert table.rows == [("GET /", "lock", "n/a", "92 %"), ("", "anything else", "n/a", "8 %")]
    (bar,) = awaits.bars(shown)
    assert [part["share"] for part in bar["sides"][0]["parts"]] == [0.92, pytest.approx(0.08)]


@pytest.mark.parametrize(
    "shares", [None, AwaitShares(), AwaitShares(limit={"GET /": {"lock": 1.0}}, met_limit={"GET /": 19})]
)
def test_nothing_to_show_is_no_section(shares: AwaitShares | None) -> None:
    """WSGI has no event loop; a fast app is hardly ever met waiting."""
    shown = report(shares)

    assert validate(shown) == []
    assert awaits.tables(shown) == []
    assert awaits.bars(shown) == []
    assert "wait for while" not in render_markdown(shown)


def test_markdown_fits_eighty_columns_and_shows_names_as_they_are() -> None:
    """Tables of plain text."""
    hostile = AwaitShares(limit={"GET /a|b<i>": {"lock": 1.0}}, met_limit={"GET /a|b<i>": 50})
    section = (
        render_markdown(report(sample_awaits())).partition("## What requests wait for while")[2].partition("\n## ")[0]
    )

    assert max(len(line) for line in section.splitlines() if line.startswith("|")) <= 80
    assert "GET /a\\|b&lt;i&gt;" in render_markdown(report(hostile))


def test_the_terminal_tells_only_what_the_verdict_does_not() -> None:
    """Waiting for a pool is no news where the pool binds."""
    assert "Requests wait for" not in summary(report(sample_awaits()))

    place = replace(sample_awaits().places[0], kind="downstream", share=0.9, function="fetch", line=7)
    elsewhere = AwaitShares(limit={"GET /": {"downstream": 0.9}}, met_limit={"GET /": 90}, places=[place])
    text = summary(report(elsewhere))

    assert "Requests wait for" in text
    assert "downstream: 90 % of the time they do not run, in fetch" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("class_", "cause", "kind", "told"),
    [
        ("cpu", "python-code", "ready", False),
        ("cpu", "python-code", "thread", False),
        ("cpu", "python-code", "connection pool", False),
        ("cpu", "python-code", "downstream", True),
        ("io", "slow-query", "database", False),
        ("lock", "python-lock", "lock", False),
        ("none", "not-saturated", "sleep", False),
        ("generator", "generator-bound", "sleep", False),
        ("undetermined", "conflicting-evidence", "sleep", True),
    ],
)
def test_news_is_what_the_cause_does_not_bring_about(class_: Any, cause: str, kind: str, *, told: bool) -> None:
    """A full loop makes everything wait for the loop."""
    diagnosis = sample_diagnosis()
    diagnosis = replace(diagnosis, verdict=replace(diagnosis.verdict, class_=class_, cause=cause))
    place = replace(sample_awaits().places[0], kind=kind)
    shares = AwaitShares(limit={"GET /": {kind: 1.0}}, met_limit={"GET /": 90}, places=[place])

    assert (awaits.news(report(shares, diagnosis)) is not None) is told


def test_an_undetermined_verdict_that_names_the_place_leaves_no_news() -> None:
    """It stands in its summary."""
    diagnosis = sample_diagnosis()
    verdict = replace(diagnosis.verdict, class_="undetermined", summary="sleep in read_item (app/items.py:41)")
    shares = AwaitShares(
        limit={"GET /": {"sleep": 1.0}},
        met_limit={"GET /": 90},
        places=[replace(sample_awaits().places[0], kind="sleep")],
    )

    assert awaits.news(report(shares, replace(diagnosis, verdict=verdict))) is None
