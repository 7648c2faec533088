"""`compare.html` in a real browser: six figures, no error, nobody asked for anything, hostile names inert."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.commands.compare_table import compare_table
from pinchpoint.diagnosis.compare.comparison import compare
from pinchpoint.report.compare_page import compare_html
from support.compare_sides import section, side, with_capacity
from support.sample_goals import diagnosis_with_goals

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium")]


def written(folder: Path, name: str) -> Path:
    """Write the page of a comparison with an app that serves half as much; `name` stands wherever a name can."""
    found = diagnosis_with_goals()
    ledger = [replace(row, resource=name) if row.resource == "loop" else row for row in found.ledger]
    before = side(name, replace(found, ledger=ledger), **section("target", command=[name]))
    path = folder / "compare.html"
    path.write_text(compare_html(compare_table(compare(before, side("after", with_capacity(0.5))))))
    return path


@pytest.mark.parametrize("name", ["before", HOSTILE])
def test_the_page_draws_its_figures_without_error_or_request(tmp_path: Path, name: str) -> None:
    """Both runs in each of them."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    errors: list[Any] = []
    asked: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            page = browser.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("request", lambda request: asked.append(request.url))
            page.goto(written(tmp_path, name).as_uri())
            page.wait_for_load_state("networkidle")
            drawn = page.locator("#figures .main-svg .xaxislayer-above").count()
            lines = page.locator("#p95 .scatterlayer .trace").count()
            bars = page.locator("#capacity .scatterlayer .trace .errorbars").count()
            said = page.locator("#verdict h1").inner_text()
            worse = page.locator("td.fail").first.inner_text()
            title = page.title()
        finally:
            browser.close()

    assert (errors, [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]) == ([], [])
    assert (drawn, lines, bars) == (6, 2, 2)
    assert (said, worse) == ("Regression", "worse")
    assert title.startswith("Regression: the sustainable rate fell from 93.6/s (")
