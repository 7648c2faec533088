"""`pinchpoint selftest` on the real thing: a known bottleneck is pressed, named, and nothing is left behind."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

DEADLINE_S = 90.0


def leftovers() -> set[Path]:
    """Return the folders of cases that are there."""
    return set(Path(tempfile.gettempdir()).glob("pinchpoint-zoo-*"))


def asked(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a folder of its own."""
    argv = [sys.executable, "-m", "pinchpoint", "selftest", *words]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.mark.alone
@pytest.mark.timeout(100)
def test_a_known_bottleneck_is_named_on_this_machine(tmp_path: Path) -> None:
    """Settings of a project that the user happens to stand in change nothing."""
    (tmp_path / "pyproject.toml").write_text('[tool.pinchpoint]\nbudget = "1h"\nworkers = 7\n')
    before = leftovers()
    done = asked(tmp_path, "--case", "sleep-in-dependency", "--budget", "30s", "--json")
    found = json.loads(done.stdout)
    (case,) = found["cases"]
    assert (done.returncode, case["judgement"], case["got"]) == (0, "right", "blocking/sync-call"), done.stderr
    assert (tmp_path / case["run"] / "report.html").is_file()
    assert leftovers() <= before


def test_all_cases_are_listed_with_what_they_need(tmp_path: Path) -> None:
    """Without running any."""
    done = asked(tmp_path, "--list")
    assert done.returncode == 0
    assert "sleep-in-dependency" in done.stdout.replace("\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_case_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    """With one sentence and no traceback."""
    done = asked(tmp_path, "--case", "sleep-in-dependenzy")
    assert done.returncode == 2
    assert "did you mean sleep-in-dependency" in done.stderr
