"""The customers and the fastapi scenario as plain Locust files, against the reference app."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pinchpoint.processes import Command, start
from pinchpoint.readiness import free_port, wait_http_ready
from pinchpoint.stress.scenarios import SCENARIOS
from pinchpoint.stress.scenarios.pack_customers import PACK as CUSTOMERS
from pinchpoint.stress.scenarios.pack_fastapi import PACK as FASTAPI
from support.scenario_users import playing

LOCUST_S = 60.0
OURS = ("PINCHPOINT_", "PROMETHEUS_", "DATABASE_", "LOCUST_")


def environment(**variables: str) -> dict[str, str]:
    """Return ours without settings of the app or of Locust."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | variables


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the reference app on SQLite; yield its URL."""
    folder = tmp_path_factory.mktemp("app")
    port = free_port()
    argv = (sys.executable, "-m", "uvicorn", "--no-access-log", "--port", str(port), "pinchpoint.app.main:app")
    env = environment(PINCHPOINT_APP_RUN_DIR=str(folder))
    with start(Command(name="app", argv=argv, log=folder / "server.log", env=env, cwd=folder)) as child:
        url = f"http://127.0.0.1:{port}"
        wait_http_ready(f"{url}/health", child)
        yield url


def run_locust(
    file: Path, host: str, folder: Path, *kinds: str, duration: str = "5s"
) -> tuple[int, list[dict[str, Any]], str]:
    """Run `locust -f FILE` with five users; return its exit code, its statistics by name, and what it said."""
    load = ("--headless", "-u", "5", "-r", "5", "-t", duration, "--host", host, "--only-summary")
    command = [sys.executable, "-m", "locust", "-f", str(file), *load, "--json-file", str(folder / "stats"), *kinds]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=LOCUST_S, cwd=folder, env=environment()
    )
    said = done.stdout + done.stderr
    stats = folder / "stats.json"
    assert stats.exists(), said
    return done.returncode, json.loads(stats.read_text(encoding="utf-8")), said


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        ("customers", {name for part in CUSTOMERS.parts for name in part.endpoints}),
        ("fastapi", {name for part in FASTAPI.parts for name in part.endpoints} | {"/login"}),
    ],
    ids=["customers", "fastapi"],
)
def test_plain_locust_runs_the_file_without_a_failure(
    host: str, tmp_path: Path, scenario: str, names: set[str]
) -> None:
    """Headless for five seconds: exit code 0, no failure, and no name that is not the scenario's."""
    code, stats, said = run_locust(SCENARIOS[scenario].path, host, tmp_path)

    assert code == 0, said
    assert {entry["name"]: entry["num_failures"] for entry in stats if entry["num_failures"]} == {}
    assert {entry["name"] for entry in stats} <= names
    assert sum(entry["num_requests"] for entry in stats) > 5


def test_a_copy_of_the_file_runs_anywhere_and_with_one_kind_of_users(host: str, tmp_path: Path) -> None:
    """It needs nothing beside it: neither the package nor its neighbours."""
    (tmp_path / "locustfile.py").write_bytes(SCENARIOS["customers"].path.read_bytes())

    code, stats, said = run_locust(Path("locustfile.py"), host, tmp_path, "AdminUser", duration="2s")

    assert code == 0, said
    assert {entry["name"] for entry in stats} <= {"/customers", "/customers/create"}
    assert [entry["num_requests"] >= 5 for entry in stats if entry["name"] == "/customers/create"] == [True]


def test_the_app_refuses_every_invalid_customer_of_the_scenario(host: str) -> None:
    """422 for each: otherwise the users would flag the reference app itself."""
    with playing(SCENARIOS["customers"].path) as users:
        invalid = users.constant("INVALID_CUSTOMERS")

    answers = [httpx.post(f"{host}/customers", json=body).status_code for body in invalid]

    assert answers == [422] * len(invalid)
    assert len(invalid) >= 5
