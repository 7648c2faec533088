"""The inventory's Locust files as the document runs them: headless, with an HTML page and CSV files."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinchpoint.processes import Command, start
from pinchpoint.readiness import free_port, wait_http_ready
from pinchpoint.stress import scenarios
from pinchpoint.stress.scenarios.pack_inventory import PACK

FOLDER = Path(scenarios.__file__).parent
SECONDS = 4
DEADLINE_S = 60.0


def headless(folder: Path, file: str, port: int) -> list[dict[str, str]]:
    """Press for some seconds with the command of the document; return the rows of `results_stats.csv`.

    Locust exits with 1 when a request failed.
    """
    options = ("--users", "20", "--spawn-rate", "20", "--run-time", f"{SECONDS}s", "--stop-timeout", "10")
    outputs = ("--headless", "--html", "results.html", "--csv", "results")
    host = ("--host", f"http://127.0.0.1:{port}")
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(FOLDER / file), *host, *options, *outputs],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "results.html").stat().st_size > 10_000
    assert (folder / "results_failures.csv").read_text().count("\n") == 1
    with (folder / "results_stats.csv").open(newline="") as file_of_rows:
        return list(csv.DictReader(file_of_rows))


@pytest.mark.timeout(180)
def test_the_headless_runs_have_no_unexpected_failure(tmp_path: Path) -> None:
    """Refusals that belong there are none; afterwards nothing is oversold and the books agree."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = (sys.executable, "-m", "uvicorn", "--no-access-log", "--port", str(port), "pinchpoint.app.main:app")
    database = f"sqlite:///{tmp_path}/shop.db"
    env = {**os.environ, "PINCHPOINT_APP_RUN_DIR": str(tmp_path / "run"), "DATABASE_URL": database}
    with start(Command(name="target", argv=argv, log=tmp_path / "log", cwd=tmp_path, env=env)) as server:
        wait_http_ready(f"{url}/inventory/health", server)
        mix = headless(tmp_path / "mix", "inventory.py", port)
        special = headless(tmp_path / "special", "inventory_scenarios.py", port)
        checked = subprocess.run(
            [sys.executable, "-m", "pinchpoint.app.stock", database],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )

    names = {name for part in PACK.parts for name in part.endpoints}
    for rows in (mix, special):
        assert {row["Failure Count"] for row in rows} == {"0"}
        assert int(rows[-1]["Request Count"]) > 10 * SECONDS
    assert {row["Name"] for row in mix[:-1]} <= names
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["ok"] is True
