"""`sweep.html` in a real browser: six figures, no error, nobody asked for anything, hostile names inert."""

from pathlib import Path
from typing import Any

import pytest

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.knobs import Knob
from pinchpoint.commands.sweep_table import sweep_table, trial
from pinchpoint.report.sweep_page import sweep_html
from support.sweep_runs import ran, report

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium")]


def written(folder: Path, knob: Knob) -> Path:
    """Write the page of a made-up sweep, two runs of each value."""
    trials = [
        trial(value, repeat, 2 * index + repeat, ran(folder / f"{index}-{repeat}", report(80.0 + index + repeat)), None)
        for index, value in enumerate(knob.values)
        for repeat in (1, 2)
    ]
    path = folder / "sweep.html"
    path.write_text(sweep_html(sweep_table(RunConfig(budget_s=30.0), knob, 2, trials, 2, "sweep")))
    return path


@pytest.mark.parametrize("knob", [Knob("workers", (1, 2, 4)), Knob("worker-class", ("sync", HOSTILE))])
def test_the_page_draws_its_figures_without_error_or_request(tmp_path: Path, knob: Knob) -> None:
    """By number as by name."""
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
            page.goto(written(tmp_path, knob).as_uri())
            page.wait_for_load_state("networkidle")
            drawn = page.locator("#figures .main-svg .xaxislayer-above").count()
            marked = page.locator("#values tr.binding td").first.inner_text()
            title = page.title()
        finally:
            browser.close()

    assert (errors, [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]) == ([], [])
    assert drawn == 6
    assert marked == str(knob.values[0])
    assert "owned" not in title.partition("·")[2]
