"""What every test relies on: nothing left behind, and a reason for each skip."""

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

# A shell starts background jobs with SIGINT ignored, and children inherit that: Ctrl-C could not be tested there.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup with SIGHUP, and a run that was told to outlive its terminal rightly does.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parent.parent
SETTLE_S = 3.0
"""How long something a test has stopped may take to be gone."""

STOLEN_SHARE = 0.02
"""Of a core: with more than this taken by the hypervisor meanwhile, a failure of a test that looks at clocks says
nothing, and it is run again."""

TRIES, PAUSE_S = 2, 5
_begun: dict[str, float] = {}

HELPERS = ("resource_tracker", "forkserver")
"""Processes of Python's own `multiprocessing`, which live as long as the interpreter."""


def _children() -> set[tuple[int, str]]:
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            # Dead but not reaped counts too: it is a leak of ours.
            command = " ".join(child.cmdline()) or f"{child.name()} ({child.status()})"
        except psutil.NoSuchProcess:
            continue
        except psutil.ZombieProcess:
            command = "zombie"
        if not any(helper in command for helper in HELPERS):
            found.add((child.pid, command))
    return found


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.is_alive()}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a child process or a thread behind. Fixtures of wider scope were there before."""
    threads, pids = _threads(), {pid for pid, _ in _children()}
    yield
    deadline_s = time.monotonic() + SETTLE_S
    while True:
        left = [f"process {pid}: {command}" for pid, command in _children() if pid not in pids]
        left += [f"thread {thread.name}" for thread in _threads() - threads]
        if not left:
            return
        if time.monotonic() > deadline_s:
            pytest.fail("left behind: " + "; ".join(left))
        time.sleep(0.02)


@pytest.fixture
def checkout() -> Path:
    """Return the root of the checkout; skips where only the wheel is installed."""
    if not (ROOT / "src" / "pinchpoint").is_dir():
        pytest.skip("needs the checkout; this run tests the installed wheel")
    return ROOT


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what looks at the checkout itself, so that it can be run where the other unit tests run on the wheel."""
    if "checkout" in getattr(item, "fixturenames", ()):
        item.add_marker("sources")
    if item.get_closest_marker("alone") is not None:
        item.add_marker(pytest.mark.flaky(reruns=TRIES, reruns_delay=PAUSE_S, condition=_disturbed))
    if ROOT / "tests" / "unit" in item.path.parents:
        item.add_marker("unit")


def _disturbed() -> bool:
    """Tell whether the hypervisor gave our cores to somebody else during the test that has just failed."""
    lasted_s = time.monotonic() - _begun["at_s"]
    return _stolen_s() - _begun["stolen_s"] > max(STOLEN_SHARE * lasted_s, 0.03)


def _stolen_s() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, with the reason and the way out."""
    _begun.update(at_s=time.monotonic(), stolen_s=_stolen_s())
    if item.get_closest_marker("postgres") and not (
        shutil.which("postgres") or any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    ):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if item.get_closest_marker("browser") and not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("Chromium is not installed: apt-get install chromium")
