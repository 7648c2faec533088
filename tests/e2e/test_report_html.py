"""The page in a real browser: offline, no errors, hostile names inert, light and dark."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pinchpoint.diagnosis import diagnose
from pinchpoint.recording import Recording
from pinchpoint.records import Capacity, Diagnosis, Profile, TimeShares, Validity, Verdict
from pinchpoint.report.write import write_reports
from support.sample_goals import diagnosis_with_goals
from support.sample_run import sample_awaits, sample_diagnosis, sample_profiles, sample_recording, sample_run
from support.synthetic_soak import Steeped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>{{ 7 * 7 }}"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="120">'
    '<script>document.title="frame"</script><text y="20">hot</text></svg>'
)

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium")]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Return one Chromium for all tests of this module."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        # The first page starts Chromium's own services: before any test counts the processes that it leaves behind.
        first = browser.new_page()
        first.goto("about:blank")
        first.close()
        yield browser
        browser.close()


class Opened:
    """A page and everything it complained about or asked for."""

    def __init__(self, page: "Page", path: Path) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("networkidle")

    def asked(self) -> list[str]:
        """Return the requests other than the file itself and what is inside it."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """Return an empty page, closed also when the test fails."""
    page = browser.new_page()
    yield page
    page.close()


def written(folder: Path, name: str = "/items/[id]", **run: Any) -> Path:
    """Write the outputs of the sample run and return the page."""
    (folder / "profiles").mkdir()
    for one in sample_profiles():
        (folder / str(one.svg)).write_text(SVG)
    recording = sample_recording(folder, name)
    shares = sample_awaits()
    low, limit = (one["GET /items/{item_id}"] for one in (shares.low, shares.limit))
    awaits = replace(shares, low={name: low}, limit={name: limit}, met_low={name: 200}, met_limit={name: 1900})
    diagnosis = sample_diagnosis(name)
    return write_reports(folder, recording, {**sample_run(), **run}, diagnosis, sample_profiles(), awaits)["html"]


def test_the_page_shows_every_figure_without_error_or_request(tmp_path: Path, page: "Page") -> None:
    """Six rows on the time axis, two figures against load, and nobody asked for anything."""
    opened = Opened(page, written(tmp_path))

    assert (opened.errors, opened.asked()) == ([], [])
    assert page.locator("h1").inner_text() == "Pool: db-pool"
    assert page.locator("#timeline .yaxislayer-above").count() == 6
    assert page.locator("#latency .legend .traces").count() == 3
    assert page.locator("#goodput .legend .traces").count() == 4
    assert page.locator("#ledger tr.binding td").first.inner_text() == "db-pool"


def test_the_model_is_told_beside_each_figure_of_load(tmp_path: Path, page: "Page") -> None:
    """Open and closed load are not comparable, so the reader is told which it was."""
    Opened(page, written(tmp_path))

    for section in ("#time-axis", "#load", "#steps"):
        assert "Open model" in page.locator(section).inner_text()


def test_only_the_limit_flame_graph_stands_open_in_a_frame_of_its_own(tmp_path: Path, page: "Page") -> None:
    """Scripts of a flame graph run, but cannot reach the page."""
    opened = Opened(page, written(tmp_path))

    assert page.locator("#flames details[open]").count() == 1
    assert page.frame_locator("#flames details[open] iframe").locator("text").text_content() == "hot"
    assert page.title().startswith("Pool: db-pool")
    page.locator("#flames details:not([open]) summary").click()
    assert page.frame_locator("#flames details:nth-of-type(2) iframe").locator("text").text_content() == "hot"
    assert opened.errors == []


def test_hostile_names_land_inert(tmp_path: Path, page: "Page") -> None:
    """A name from the wire is text in the page, in its data and in its figures."""
    path = written(
        tmp_path, HOSTILE, argv=["pinchpoint", HOSTILE], target={"command": HOSTILE}, problem=HOSTILE, partial=True
    )
    opened = Opened(page, path)

    assert page.locator("img").count() == 0
    assert page.title() != "owned"
    assert HOSTILE in page.locator("#steps").inner_text()
    assert HOSTILE in page.locator("#awaits").inner_text()
    assert (opened.errors, opened.asked()) == ([], [])


def test_what_requests_wait_for_is_drawn_for_each_endpoint(tmp_path: Path, page: "Page") -> None:
    """Low load and the limit, bars and a table, with one legend."""
    Opened(page, written(tmp_path))
    section = page.locator("#awaits")

    assert section.locator(".legend .swatch").count() == 3
    assert section.locator(".stack").count() == 2
    assert section.locator(".stack").first.locator("i").count() == 3
    assert section.locator("table").count() == 2
    assert "read_item (app/items.py:41)" in section.inner_text()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_never_scrolls_sideways(width: int, tmp_path: Path, page: "Page") -> None:
    """Also on a phone: only wide tables do, each in its own box."""
    page.set_viewport_size({"width": width, "height": 800})
    Opened(page, written(tmp_path))

    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    """No element names a script, style, image or frame by address."""
    text = written(tmp_path).read_text(encoding="utf-8")
    before_plotly, _, rest = text.partition('<script type="application/json" id="data">')

    assert "http://" not in before_plotly.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in before_plotly
    for attribute in ('src="http', "src='http", 'href="http', 'src="//', "@import"):
        assert attribute not in before_plotly + rest.partition("</script>")[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_follow_the_colour_scheme(scheme: Any, tmp_path: Path, page: "Page") -> None:
    """Text in the figures has the colour of the page's text."""
    page.emulate_media(color_scheme=scheme)
    Opened(page, written(tmp_path))
    body = page.evaluate("getComputedStyle(document.body).color")
    legend = page.evaluate("getComputedStyle(document.querySelector('#timeline .legendtext')).fill")

    assert body == legend


def test_a_run_of_nothing_says_why_each_section_is_empty(tmp_path: Path, page: "Page") -> None:
    """No empty axes, no error; a reason where a figure would stand."""
    nothing = Diagnosis(
        validity=Validity("invalid"),
        capacity=Capacity(None, None, None, None, None, None, None, reached=False),
        recovery=None,
        steps=[],
        ledger=[],
        time=TimeShares(),
        verdict=Verdict("generator", "generator-bound", "invalid", 1.0, "The load generator was the limit."),
    )
    opened = Opened(page, write_reports(tmp_path, Recording([], [], [], {}, tmp_path), {}, nothing, [])["html"])

    assert opened.errors == []
    assert page.locator("p:has-text('Not shown:')").count() == 10
    assert page.locator(".js-plotly-plot").count() == 0


def test_where_requests_wait_the_await_graph_stands_open(tmp_path: Path, page: "Page") -> None:
    """A pool binds: code that runs shows little of it."""
    (tmp_path / "profiles").mkdir()
    awaits = Profile("profile-limit", 0, "await", 1900, "profiles/a.folded", "profiles/a.svg")
    profiles = [*sample_profiles(), awaits]
    for one in profiles:
        (tmp_path / str(one.svg)).write_text(SVG)
    recording = sample_recording(tmp_path)
    Opened(
        page, write_reports(tmp_path, recording, sample_run(), sample_diagnosis(), profiles, sample_awaits())["html"]
    )

    assert page.locator("#flames details[open] summary").all_inner_texts() == [
        "Awaits near the limit · all workers · 1,900 samples"
    ]


def test_goals_bands_void_steps_and_the_generator_are_shown(tmp_path: Path, page: "Page") -> None:
    """Intervals as bands, what does not count in grey, the fit as a line, the generator's panel beside the gates."""
    recording = sample_recording(tmp_path)
    opened = Opened(page, write_reports(tmp_path, recording, sample_run(), diagnosis_with_goals(), [])["html"])

    assert opened.errors == []
    assert page.locator("#load table tr").count() == 4
    assert page.locator("#goodput .legend .traces").count() == 5
    assert "open: arrivals/s" in str(page.locator("#goodput .xtitle").text_content())
    assert page.locator("#goodput .layer-below .shapelayer path").count() == 2
    assert "this run used 2.67 %" in page.locator("#generator").inner_text()
    assert page.locator("#steps tr.dim td").nth(1).inner_text() == "void"


def test_a_soak_draws_memory_over_requests_and_what_else_grows(tmp_path: Path, page: "Page") -> None:
    """Two figures and four tables, before anything else."""
    leaky = Steeped(memory=lambda requests, _seconds, _inflight: 8192.0 * requests, restart_every=2600)
    recording = leaky.recording()
    paths = write_reports(tmp_path, recording, sample_run(), diagnose(recording), [])
    opened = Opened(page, paths["html"])

    assert opened.errors == []
    assert page.locator("#soak-memory .legend .traces").count() == 3
    assert page.locator("#soak-drift .legend .traces").count() == 5
    assert page.locator("#soak h3").count() == 4
    assert "Memory leaks" in page.locator("#soak .summary").inner_text()
