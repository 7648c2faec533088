"""The regression gate: its script with a stand-in for pytest, its conftest with pytest-benchmark itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PYTEST_STAND_IN = """#!/usr/bin/env bash
echo "$*" >>calls
code=$(head -n 1 codes) && sed -i 1d codes
exit "$code"
"""
COMMON_STAND_IN = """
ensure_venv() { :; }
say() { printf '%s\\n' "$*" >&2; }
die() { say "error: $*"; exit 2; }
"""
SETTINGS = """
[tool.pytest.ini_options]
addopts = ["--strict-markers", "--import-mode=importlib", "-p", "no:cacheprovider"]
pythonpath = [{tests!r}]
filterwarnings = ["error"]
"""
SUITE = """
import os, time, pytest
pytestmark = pytest.mark.performance

def test_a_pause(measure):
    measure(os.environ["REQUIREMENT"], "a pause", lambda: time.sleep(float(os.environ["PAUSE_S"])), rounds=20)
"""


def gate(checkout: Path, folder: Path, codes: list[int], *arguments: str) -> tuple[int, list[str], str]:
    """Run the script where pytest ends with these codes in turn; return its code, pytest's arguments, its stderr."""
    (folder / "scripts").mkdir()
    shutil.copy(checkout / "scripts" / "perf-gate.sh", folder / "scripts")
    (folder / "scripts" / "common.sh").write_text(COMMON_STAND_IN)
    stand_in = folder / ".venv" / "bin" / "pytest"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(PYTEST_STAND_IN)
    stand_in.chmod(0o755)
    (folder / "codes").write_text("".join(f"{code}\n" for code in codes))
    (folder / "calls").touch()
    done = subprocess.run(
        ["bash", "scripts/perf-gate.sh", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, (folder / "calls").read_text().splitlines(), done.stderr


SUITE_CALL = "tests/performance -m performance"
COMPARE_CALL = f"{SUITE_CALL} --benchmark-compare=baseline --benchmark-compare-fail=mean:20%"


@pytest.mark.parametrize(
    ("arguments", "codes", "code", "calls"),
    [
        (("save",), [0], 0, [f"{SUITE_CALL} --benchmark-save=baseline"]),
        (("save", "before"), [0], 0, [f"{SUITE_CALL} --benchmark-save=before"]),
        (("compare",), [0], 0, [COMPARE_CALL]),
        (("compare", "baseline"), [1, 0], 0, [COMPARE_CALL] * 2),
        (("compare",), [1, 1], 1, [COMPARE_CALL] * 2),
        (("compare",), [4], 2, [COMPARE_CALL]),
        (("compare",), [1, 2], 2, [COMPARE_CALL] * 2),
        ((), [], 2, []),
        (("--help",), [], 0, []),
    ],
)
def test_the_gate_closes_when_a_failure_shows_twice(
    checkout: Path, tmp_path: Path, arguments: tuple[str, ...], codes: list[int], code: int, calls: list[str]
) -> None:
    """Once may be the machine; and what could not be compared is neither slower nor as fast as before."""
    ended, called, said = gate(checkout, tmp_path, codes, *arguments)

    assert (ended, called) == (code, calls)
    assert said.count("failed") == sum(each == 1 for each in codes)


@pytest.fixture
def suite(checkout: Path, tmp_path: Path) -> Path:
    """A project with one benchmark, a pause, that is measured as the API is."""
    pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed: pip install 'pinchpoint[dev]'")
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(tests=str(checkout / "tests")))
    (tmp_path / "suite").mkdir()
    shutil.copy(checkout / "tests" / "performance" / "conftest.py", tmp_path / "suite")
    (tmp_path / "suite" / "test_pause.py").write_text(SUITE)
    return tmp_path


def run(suite: Path, *options: str, pause_ms: float = 8, requirement: str = "Create Operations") -> tuple[int, str]:
    """Measure; return pytest's code and all it printed."""
    variables = {"PAUSE_S": str(pause_ms / 1000), "REQUIREMENT": requirement}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "suite", *options],
        cwd=suite,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.alone
def test_a_mean_that_is_a_fifth_slower_than_the_saved_one_fails_the_run(suite: Path) -> None:
    """Compared by the name it was saved under; as slow as before is slow enough to pass."""
    gated = ("-m", "performance", "--benchmark-compare=before", "--benchmark-compare-fail=mean:20%")

    saved = run(suite, "-m", "performance", "--benchmark-save=before")
    same = run(suite, *gated)
    slower = run(suite, *gated, pause_ms=12)
    looked_at = run(suite, "-m", "performance", "--benchmark-compare", pause_ms=12)

    assert [code for code, _ in (saved, same, slower, looked_at)] == [0, 0, 1, 0], slower[1]
    assert "0001_before.json" in saved[1]
    assert "0001_before" in same[1]
    assert "Performance has regressed" in slower[1]
    assert "Create Operations  a pause" in slower[1]


def test_a_missed_requirement_fails_the_run_and_is_in_the_table(suite: Path) -> None:
    """A health check of 60 ms is beyond what is acceptable, whatever it was before."""
    code, said = run(suite, "-m", "performance", pause_ms=60, requirement="Health Check")

    assert code == 1
    assert "performance requirements (ms)" in said
    assert "< 50  missed" in said


def test_benchmarks_run_only_where_they_are_asked_for(suite: Path) -> None:
    """Without `-m performance` they are skipped, with the command that runs them."""
    code, said = run(suite, "-rs")

    assert code == 0
    assert "pytest tests/performance -m performance" in said


def test_comparing_with_nothing_is_said_and_comparing_with_a_wrong_name_refused(suite: Path) -> None:
    """A gate without a baseline must not look like one that was passed."""
    nothing = run(suite, "-m", "performance", "--benchmark-compare")
    wrong = run(suite, "-m", "performance", "--benchmark-compare=befor")
    no_gate = run(suite, "-m", "performance", "--benchmark-compare", "--benchmark-compare-fail=mean:20%")

    assert [code for code, _ in (nothing, wrong, no_gate)] == [0, 4, 4]
    assert "Nothing to compare with yet" in nothing[1]
    assert "no saved run is called befor (saved: none)" in wrong[1]
    assert "nothing to compare with yet" in no_gate[1]
