"""A checklist on the terminal and as markdown."""

import io
from dataclasses import asdict
from typing import Any

from rich.console import Console

from pinchpoint.diagnosis.checklist.lines import ITEMS
from pinchpoint.report.checklist import by_item, checklist_markdown, headline, peak_line, render_checklist
from support.checklist_runs import ROUTES, Shop, lines


def made(**changes: Any) -> dict[str, Any]:
    """Return `checklist.json` of an app with an N+1 and no room beyond its peak."""
    shop = Shop(statements={ROUTES[0]: 51.0, ROUTES[1]: 1.0}, cpu_ms=17.5)
    return {
        "peak_rps": 40.0,
        "peak_from": "60 % of the limit of 66.7/s that a search found",
        "exit_code": 1,
        "problem": "failed: Statements per request (N+1)",
        "items": {str(number): text for number, text in ITEMS.items()},
        "lines": [asdict(line) for line in lines(shop).values()],
        "runs": ["limit", "load"],
        **changes,
    }


def printed(found: dict[str, Any], width: int = 80) -> str:
    """Return what a terminal of this width shows."""
    out = io.StringIO()
    render_checklist(found, Console(file=out, width=width))
    return out.getvalue()


def test_the_headline_counts_the_worst_first() -> None:
    """And says which load stood for the peak."""
    found = made()

    counts = {status: sum(line["status"] == status for line in found["lines"]) for status in ("ok", "not measured")}
    assert headline(found) == (
        f"Pre-deployment checklist: 1 failed, 2 for attention, {counts['ok']} ok, {counts['not measured']} not measured"
    )
    assert peak_line(found) == "Expected peak: 40/s (arrivals), 60 % of the limit of 66.7/s that a search found."
    assert peak_line(made(peak_rps=None)) == "No peak was offered."


def test_lines_stand_below_the_checklists_own_words() -> None:
    """All of them, in its order."""
    found = made()
    groups = by_item(found)

    assert [title.split(". ")[1] for title, _ in groups] == list(ITEMS.values())
    assert [line for _, group in groups for line in group] == found["lines"]


def test_the_terminal_shows_every_line_and_what_to_do_within_its_width() -> None:
    """Without blanks at the ends of lines where nobody looks at a screen."""
    text = printed(made())

    assert max(len(line) for line in text.splitlines()) <= 80
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    wide = printed(made(), 250)
    for line in made()["lines"]:
        assert line["name"] in wide
    assert "GET /items/{id} 51; POST /items/ 1" in wide
    assert "- Statements per request (N+1): GET /items/{id} asks again" in wide
    assert "- Memory leak: no soak was run." in wide


def test_markup_in_an_apps_names_stays_text() -> None:
    """Request names come from whoever wrote the Locust file."""
    found = made()
    found["lines"][1] = {**found["lines"][1], "name": "[bold]/x|y[/bold]"}

    assert "[bold]/x|y[/bold]" in printed(found, 250)
    assert "\\[bold\\]/x\\|y\\[/bold\\]" in checklist_markdown(found)


def test_the_markdown_says_how_each_line_was_measured() -> None:
    """And where the whole reports are."""
    text = checklist_markdown(made())

    assert text.startswith("# Pre-deployment checklist: 1 failed")
    assert "## 7. Test database query performance" in text
    assert "counted inside 45 requests of GET /items/{id}" in text
    assert "- `load/report.html`: the three loads" in text
    assert "- `soak/report.html`" not in text
    assert text.endswith("Exit code 1: failed: Statements per request (N+1)\n")
