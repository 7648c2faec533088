"""Bundled scenarios on the real thing: a search judged by its parts, and a size of load whose database is checked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.report.build import validate

pytestmark = pytest.mark.paced


def ran(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Press the reference app; return the exit code, the report, and what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "pinchpoint", "run", "--json", "--no-profile", "--no-calibrate", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=80,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.long
@pytest.mark.timeout(90)
def test_the_customers_are_judged_at_the_heaviest_load_that_held(tmp_path: Path) -> None:
    """Exit 0, a row for each of the six tasks, and the same table in the file as on the terminal."""
    code, report, said = ran(tmp_path, "--scenario", "customers", "--budget", "30s")

    assert code == 0, said
    assert validate(report) == []
    assert (report["run"]["load"]["model"], report["run"]["load"]["pack"]) == ("rate", "customers")
    assert report["pack"]["at"].startswith("at "), report["pack"]["at"]
    assert len(report["scenarios"]) == 6
    assert [one["name"] for one in report["scenarios"] if not one["requests"]] == []
    assert {one["compliance"] for one in report["scenarios"]} <= {"passed", "partially_passed", "failed"}
    text = (tmp_path / "runs" / "latest" / "report.md").read_text()
    assert "## Scenario customers, at " in text
    assert "| Get Customer |" in text


@pytest.mark.timeout(90)
def test_the_stock_is_counted_after_a_light_load_of_buyers(tmp_path: Path) -> None:
    """Ten users in stages that fit the budget; the database says that nothing was oversold, and targets are graded."""
    code, report, said = ran(tmp_path, "--scenario", "inventory", "--preset", "light", "--budget", "40s")

    assert code == 0, said
    assert validate(report) == []
    load, pack = report["run"]["load"], report["pack"]
    assert (load["model"], load["preset"], load["stages"]) == ("users", "light", "5s:10,10s:10")
    assert pack["at"] == "over the whole load, up to 10 users"
    assert pack["audit"]["ok"] is True, said
    assert pack["audit"]["orders"] > 0
    grades = {one["name"]: one["grade"] for one in pack["targets"]}
    assert grades["Oversold pieces"] == grades["Products with negative stock"] == "green"
    assert set(grades.values()) <= {"green", "yellow", "red", None}
    assert grades["Throughput, light load"] is not None
