"""The seed's story on the real thing: clashing ids fail a scenario and are named; unique ones cure it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.readiness import free_port, http_status
from pinchpoint.report.build import validate
from pinchpoint.stress.scenarios import SCENARIOS
from support.servers import wait_for

PARTS = ["Create Pet", "Order a Pet", "Create User", "Login User"]


def pinchpoint(folder: Path, *words: str, **variables: str) -> tuple[int, str, str]:
    """Run the command line in `folder`; return its exit code and what it printed on both streams."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PINCHPOINT_", "DATABASE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pinchpoint", *words],
        cwd=folder,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    return done.returncode, done.stdout, done.stderr


def story(folder: Path, **variables: str) -> dict[str, Any]:
    """Press the reference app with the pack for a minute; return the report."""
    code, printed, said = pinchpoint(
        folder, "run", "--scenario", "petstore", "--budget", "60s", "--no-profile", "--json", **variables
    )
    report: dict[str, Any] = json.loads(printed)
    assert code == 0, said
    assert validate(report) == []
    assert [part["name"] for part in report["pack"]["parts"]] == PARTS
    assert [part["peak_users"] for part in report["pack"]["parts"]] == [20, 30, 30, 30]
    return report


def parts_of(report: dict[str, Any], figure: str) -> dict[str, Any]:
    """Return part -> one of its figures."""
    return {part["name"]: part[figure] for part in report["pack"]["parts"]}


@pytest.mark.paced
@pytest.mark.long
@pytest.mark.timeout(240)
def test_clashing_ids_fail_create_user_and_unique_ones_cure_it(tmp_path: Path) -> None:
    """Create User: a quarter fails, as a conflict of ids, races beside it; without clashes all four pass."""
    clash, unique = tmp_path / "clash", tmp_path / "unique"
    clash.mkdir()
    unique.mkdir()

    told = story(clash, PINCHPOINT_PETSTORE_IDS="clash")
    cured = story(unique)

    assert 0.2 < parts_of(told, "error_rate")["Create User"] < 0.3
    assert 0.01 < parts_of(told, "error_rate")["Order a Pet"] < 0.1
    assert parts_of(told, "compliance") == {
        "Create Pet": "passed",
        "Order a Pet": "partially_passed",
        "Create User": "failed",
        "Login User": "passed",
    }
    named = [one["statement"] for one in told["pack"]["findings"] if one["kind"] == "id-conflict"]
    assert [text.partition(":")[0] for text in named] == ["Create User"]
    assert "409 Conflict: the ids they bring are taken" in named[0]
    races = [one["statement"] for one in told["pack"]["findings"] if one["kind"] == "race"]
    assert [text.partition(":")[0] for text in races] == ["Order a Pet"]
    assert set(parts_of(cured, "compliance").values()) == {"passed"}
    assert set(parts_of(cured, "error_rate").values()) == {0.0}
    assert cured["pack"]["findings"] == []

    code, _, said = pinchpoint(clash, "report", "runs/latest", "--k6", "summary.json")
    metrics = json.loads((clash / "summary.json").read_text())["metrics"]

    assert code == 0, said
    assert metrics["http_req_failed{scenario:Create User}"]["thresholds"] == {"rate<0.01": {"ok": False}}
    assert metrics["http_req_duration{scenario:Login User}"]["thresholds"] == {"p(95)<500": {"ok": True}}
    assert metrics["vus_max"]["values"]["max"] == 110


@pytest.mark.timeout(120)
def test_the_same_file_runs_under_locust_by_itself(tmp_path: Path) -> None:
    """Headless, against the app under uvicorn: every request succeeds, under the pack's names."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "pinchpoint.app.main:app", "--port", str(port), "--log-level", "error"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        wait_for(lambda: http_status(f"http://127.0.0.1:{port}/health") == 200)
        words = ("-f", str(SCENARIOS["petstore"].path), "--host", f"http://127.0.0.1:{port}", "--headless")
        done = subprocess.run(
            [sys.executable, "-m", "locust", *words, "-u", "22", "-r", "22", "-t", "8s", "--csv", "seen"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        server.terminate()
        server.wait(timeout=10)

    names = (tmp_path / "seen_stats.csv").read_text()
    assert done.returncode == 0, done.stderr
    for name in ("/petstore/pets", "/petstore/orders", "/petstore/users", "/petstore/login"):
        assert f"POST,{name}," in names
    assert (tmp_path / "seen_failures.csv").read_text().count("\n") <= 1
