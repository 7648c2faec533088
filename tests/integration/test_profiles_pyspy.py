"""The real py-spy on real processes, and the real graph in a real browser."""

import html
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pinchpoint.profiles import grants, load_profiles
from pinchpoint.profiles.attribution import blame, busy, tag_shares
from pinchpoint.profiles.capture import CaptureKind, CaptureSession, ProfileRequest, capture, py_spy_path
from pinchpoint.profiles.load import load_stacks, render_all
from pinchpoint.profiles.sources import read_lines
from pinchpoint.recording import Recording

DEADLINE_S = 20.0
NOBODY = "65534"

TARGET = """
    import sys, threading, time

    def crunch(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            sum(range(500))

    def doze():
        while True:
            time.sleep(0.2)

    threading.Thread(target=doze, daemon=True).start()
    print("ready", flush=True)
    crunch(float(sys.stdin.readline()))
"""

Target = subprocess.Popen[str]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """Start a process that waits for a number on stdin, burns that many seconds of CPU, and dozes in a thread."""
    if py_spy_path() is None:
        pytest.skip(grants.NOT_INSTALLED)
    source = tmp_path / "shop.py"
    source.write_text(textwrap.dedent(TARGET))
    process = subprocess.Popen([sys.executable, str(source)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: Target, seconds: float) -> None:
    """Let the target burn."""
    assert process.stdin is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()


def request(process: Target, run: Path, kind: CaptureKind, seconds: float) -> ProfileRequest:
    """Ask for a profile of the target."""
    return ProfileRequest("profile-limit", process.pid, kind, seconds, run / "profiles", rate_hz=100)


def until(condition: Callable[[], bool]) -> None:
    """Poll until it holds.

    Raises:
        TimeoutError: it did not hold in time.

    """
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the condition never held")
        time.sleep(0.02)


def test_two_kinds_of_one_process_are_taken_at_once(target: Target, tmp_path: Path) -> None:
    """The CPU profile blames the line that burns; the wall profile also sees the sleeper."""
    tell(target, 60.0)
    run = tmp_path / "run"
    outcome = capture([request(target, run, kind, 2.0) for kind in ("cpu", "wall")], root=tmp_path)
    assert outcome.notes == []
    rendered = render_all(run, outcome.captured)
    recording = Recording([], [], [], {}, run)
    recording.events.extend({"kind": "profile", "t_s": 0.0, "data": one.event_data()} for one in rendered)
    cpu, wall = load_profiles(recording)
    assert cpu.samples > 50
    assert wall.samples > 1.5 * cpu.samples
    assert (cpu.hot[0].function, cpu.hot[0].file, cpu.hot[0].owner) == ("crunch", "shop.py", "app")
    assert cpu.hot[0].total_share > 0.9
    stacks = load_stacks(run, wall)
    assert tag_shares(stacks, read_lines(run / wall.path))["sleep"] == pytest.approx(0.5, abs=0.1)
    assert {frame.function for frame in blame(busy(stacks))} >= {"crunch", "doze"}


def test_a_worker_that_ends_mid_profile_leaves_what_was_seen(target: Target, tmp_path: Path) -> None:
    """The capture ends with the worker, not with the duration."""
    session = CaptureSession([request(target, tmp_path, "cpu", 60.0)])
    log = tmp_path / "profiles" / f"profile-limit-{target.pid}-cpu.log"
    until(lambda: log.exists() and "Sampling process" in log.read_text())
    tell(target, 0.5)
    until(session.done)
    session.stop()
    (captured,) = session.collect().captured
    assert captured.samples > 5
    assert captured.note == f"worker {target.pid} ended while it was profiled (cpu)"


def test_stopping_a_capture_leaves_no_profiler(target: Target, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a profile trial; the check of left-over processes is in conftest."""
    tell(target, 60.0)
    session = CaptureSession([request(target, tmp_path, "cpu", 60.0)])
    session.stop()
    outcome = session.collect()
    assert outcome.captured == []
    assert [one.reason for one in outcome.missing] == [
        f"py-spy on worker {target.pid} did not end in time and was stopped (cpu)"
    ]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can start py-spy as nobody")
def test_a_refused_profiler_says_what_to_grant(target: Target, tmp_path: Path) -> None:
    """The kernel's refusal, not a made-up one."""
    found = py_spy_path()
    assert found is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(found, folder / "real")
        program = folder / "py-spy"
        program.write_text(f'#!/bin/sh\nexec setpriv --reuid {NOBODY} --clear-groups {folder / "real"} "$@"\n')
        program.chmod(0o755)
        outcome = capture([request(target, tmp_path, "cpu", 1.0)], program=program)
    assert outcome.notes == [grants.sentence()]
    assert outcome.captured == []


@pytest.mark.browser
def test_the_graph_zooms_and_searches_in_a_browser(tmp_path: Path) -> None:
    """Twice inline on one page and once in a frame: no error, no request, and they do not disturb each other."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow to import

    from pinchpoint.profiles.flamegraph import render_svg  # noqa: PLC0415 - beside it
    from pinchpoint.profiles.folded import parse  # noqa: PLC0415 - beside it

    stacks = parse("root (a.py:1);left (a.py:2) 30\nroot (a.py:1);right (a.py:3);deep (a.py:4) 10\n")
    first, second = (render_svg(stacks, title=title) for title in ("one", "two"))
    framed = f'<iframe srcdoc="{html.escape(first)}"></iframe>'
    page_file = tmp_path / "page.html"
    page_file.write_text(f"<!doctype html><meta charset=utf-8><title>t</title>{first}{second}{framed}")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    errors: list[str] = []
    urls: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda sent: urls.append(sent.url))
        page.goto(page_file.as_uri())
        one, two = page.locator("svg.flame").nth(0), page.locator("svg.flame").nth(1)
        one.locator("g.f", has_text="deep").click()
        one.locator("input").fill("LEFT|deep")
        assert one.locator(".hits").text_content() == "matched 100.0 %"
        assert one.locator("g.f:visible").count() == 4
        assert one.locator("g.f", has_text="deep").locator("rect").get_attribute("width") == "100%"
        assert two.locator(".hits").text_content() == ""
        assert two.locator("g.f:visible").count() == 5
        page.keyboard.press("Escape")
        assert one.locator("g.f:visible").count() == 5
        two.locator("g.f", has_text="right").first.hover()
        assert "10 samples, 25.0 %" in (two.locator(".info").text_content() or "")
        frame = page.frames[1]
        frame.locator("input").fill("right")
        assert frame.locator(".hits").text_content() == "matched 25.0 %"
        browser.close()
    assert errors == []
    assert [url for url in urls if not url.startswith(("file:", "about:"))] == []
