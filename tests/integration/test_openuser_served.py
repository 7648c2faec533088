"""The openuser endpoints and scenario on a real server: workers that agree, and Locust without a failure."""

import json
import re
import subprocess
import sys
from pathlib import Path

from pinchpoint.stress.scenarios import SCENARIOS
from support.app_server import GUNICORN, Api, app_served, client_of

WORKERS_ASKED = 12
"""Connections dealt out by the kernel to two workers: all at one would be a chance of one in 2,000."""
LOAD_S = 5


def counters(api: Api) -> dict[str, float]:
    """Return what `/metrics` tells of the cache, summed over the workers."""
    pattern = r'^app_cache_(hits|misses)_total{cache="agents"} (\S+)$'
    return {name: float(value) for name, value in re.findall(pattern, api.ask("GET", "/metrics")[1], re.MULTILINE)}


def listed_by_all(port: int, token_of: Api) -> list[list[int]]:
    """List the agents on several connections, and so at every worker."""
    found = []
    for _ in range(WORKERS_ASKED):
        with client_of(port) as api:
            api.act_as(token_of)
            found.append([agent["id"] for agent in api.ask_json("GET", "/agents?limit=100")])
    return found


def test_a_write_at_one_worker_is_seen_at_every_other_at_once(tmp_path: Path) -> None:
    """Each keeps a cache of its own, and none is asked to forget."""
    with app_served(tmp_path, GUNICORN) as port, client_of(port) as api:
        api.log_in()
        created: list[int] = []
        for number in range(4):
            created.append(api.ask_json("POST", "/agents", {"name": f"Agent {number}"}, status=201)["id"])
            assert listed_by_all(port, api) == [created] * WORKERS_ASKED
        api.ask_json("DELETE", f"/agents/{created.pop()}", status=204)
        assert listed_by_all(port, api) == [created] * WORKERS_ASKED

        counted = counters(api)
        # After each of the five writes every worker that was asked has missed once, and had the rest in memory.
        assert sum(counted.values()) == 5 * WORKERS_ASKED
        assert 5 <= counted["misses"] <= 10


def test_locust_alone_sends_five_seconds_of_it_without_a_failure(tmp_path: Path) -> None:
    """The file is a plain Locust file, and the app answers all it sends."""
    with app_served(tmp_path) as port:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "locust", "-f", str(SCENARIOS["openuser"].path), "--headless"),
                *("--host", f"http://127.0.0.1:{port}", "--users", "10", "--spawn-rate", "10"),
                *("--run-time", f"{LOAD_S}s", "--json-file", "figures"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    entries = {entry["name"]: entry for entry in json.loads((tmp_path / "figures.json").read_text())}
    assert {name for name, entry in entries.items() if entry["num_failures"]} == set()
    # Six typical users start with all of these, and ten users send over sixty requests.
    assert entries.keys() >= {"/login", "/agents/create", "/tasks/create", "/health"}
    assert sum(entry["num_requests"] for entry in entries.values()) > 40
