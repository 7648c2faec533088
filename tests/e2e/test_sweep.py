"""A sweep on the real thing: an app that scales with workers, and one whose limit all workers share."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
DEADLINE_S = 100.0
pytestmark = pytest.mark.paced
PAIRS = [pytest.param("scaling_apps:per_worker", 2, marks=pytest.mark.long), ("scaling_apps:shared", 1)]
"""An app, and the number of workers to recommend."""


def swept(folder: Path, app: str, *words: str) -> tuple[int, dict[str, Any], str]:
    """Sweep an app of `support/scaling_apps.py`; return the exit code, `sweep.json`, and what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "pinchpoint", "sweep", "--get", "/", "--cwd", str(SUPPORT), *words, "--json", app],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("app", "expected"), PAIRS)
def test_the_right_worker_count_is_recommended(tmp_path: Path, app: str, expected: int) -> None:
    """120/s for each worker against 100/s for all of them; neither needs CPU, so the machine decides nothing."""
    code, sweep, said = swept(tmp_path, app, "--workers", "1,2", "--budget", "28s")

    assert code == 0, said
    assert [row["workers"] for row in sweep["rows"]] == [1, 2]
    assert all(row["counted"] == 1 for row in sweep["rows"]), said
    assert sweep["best"]["workers"] == expected, said
    assert sweep["best"]["still_rises"] is (expected == 2)
    stored = next((tmp_path / "runs").glob("*sweep*"))
    assert json.loads((stored / "sweep.json").read_text()) == sweep
    assert (stored / "sweep.html").stat().st_size > 1_000_000
    assert {path.name for path in stored.iterdir() if path.is_dir()} >= {"workers-1-r1", "workers-2-r1"}
