"""`pinchpoint checklist` on the real thing: the reference app at a load that it serves, and at one that it does not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PEAK = 40
pytestmark = [pytest.mark.paced, pytest.mark.timeout(200)]


def checked(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, what was printed as JSON, and what was said."""
    command = [sys.executable, "-m", "pinchpoint", "checklist", "--out", str(folder), "--json", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.long
def test_the_reference_app_passes_at_a_load_it_serves_easily(tmp_path: Path) -> None:
    """One statement a request, no leak, a pool that is nearly idle; it counts no caches, and that is said."""
    code, found, said = checked(tmp_path / "out", "--budget", "115s", "--peak", str(PEAK))
    by_name = {line["name"]: line for line in found["lines"]}

    failed = {name: line["shown"] for name, line in by_name.items() if line["status"] == "failed"}
    assert (code, failed) == (0, {}), said
    assert found["runs"] == ["load", "soak"]
    assert {line["item"] for line in found["lines"]} == set(range(1, 9))
    assert by_name["Statements per request (N+1)"]["value"] == pytest.approx(1.0, abs=0.05)
    assert by_name["Memory leak"]["shown"].startswith("no leak")
    assert by_name["Throughput at the expected peak"]["value"] == pytest.approx(PEAK, rel=0.2)
    assert by_name["/items/[id]"]["how"].endswith("'list operations': GET")
    assert by_name["/items/create"]["limit"] == 500.0
    assert by_name["Database connections"]["value"] < 0.5
    missing = {name for name, line in by_name.items() if line["status"] == "not measured"}
    assert missing <= {"Cache hit rate", "Anything else that grows", "Accept queue"}, by_name
    assert by_name["Cache hit rate"]["how"] == "the app's /metrics counts no cache hits or misses"
    assert json.loads((tmp_path / "out" / "checklist.json").read_text()) == found
    assert (tmp_path / "out" / "load" / "report.html").is_file()


def test_a_load_beyond_the_limit_fails_its_lines(tmp_path: Path) -> None:
    """A call that blocks the loop lets 76/s through; 70/s leave no room, and 105/s queue. No time for a soak."""
    code, found, said = checked(tmp_path / "out", "--budget", "50s", "--peak", "70", "--fault", "sync-call")
    by_name = {line["name"]: line["status"] for line in found["lines"]}

    assert code == 1, said
    assert by_name["Throughput at peak + 50 %"] == "failed"
    assert by_name["p95 at peak + 50 %"] == "failed"
    assert by_name["Busiest event loop"] in {"attention", "failed"}
    assert by_name["Memory leak"] == "not measured"
