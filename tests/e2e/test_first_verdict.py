"""One command to a named bottleneck, on the real thing: gunicorn, Locust, the collector, py-spy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.profiles.capture import py_spy_path
from pinchpoint.recording import load_recording
from pinchpoint.report.build import validate

DEADLINE_S = 110.0


def pinchpoint(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run the command line in `folder`; return its exit code, the JSON it printed, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "pinchpoint", *words, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_the_reference_app_is_pressed_to_its_limit(tmp_path: Path) -> None:
    """Exit 0, a valid report, a limit that was reached, steps from both sides, and flame graphs at both loads."""
    code, report, said = pinchpoint(tmp_path, "run", "--budget", "45s")

    assert code == 0, said
    assert validate(report) == []
    assert json.loads((tmp_path / "runs" / "latest" / "report.json").read_text()) == report
    assert report["capacity"]["reached"] is True
    assert report["capacity"]["sustainable_rps"] > 100
    steps = [step for step in report["steps"] if step["phase"] in {"baseline", "ramp", "search", "overload"}]
    assert len(steps) >= 5
    assert all(step["goodput_rps"] > 0 for step in steps)
    assert all(step["server"]["cpu_cores"] > 0 for step in steps)
    assert all(step["server"]["loop_busy"] > 0 for step in steps)
    if py_spy_path() is not None and "ptrace" not in said:
        taken = {(profile["phase"], profile["kind"]) for profile in report["profiles"] if profile["samples"] > 100}
        assert {("profile-baseline", "wall"), ("profile-limit", "cpu")} <= taken
    assert (tmp_path / "runs" / "latest" / "report.html").stat().st_size > 100_000


@pytest.mark.timeout(120)
def test_a_fault_stays_out_of_the_signals(tmp_path: Path) -> None:
    """The label lies in a file of its own, and no signal file holds the fault's name (verdicts: test_selftest)."""
    code, _, said = pinchpoint(tmp_path, "run", "--budget", "20s", "--no-profile", "--fault", "db-pool")

    assert code == 0, said
    folder = tmp_path / "runs" / "latest"
    assert json.loads((folder / "label.json").read_text()) == {"fault": "db-pool"}
    assert "db-pool" not in json.dumps(load_recording(folder).settings)
    signals = "".join((folder / name).read_text() for name in ("events.jsonl", "server.jsonl", "client-0.jsonl"))
    # The probe calls every app's pool of connections `db-pool NAME`.
    assert "db-pool" not in signals.replace('"db-pool ', "")


@pytest.mark.paced
@pytest.mark.timeout(120)
def test_the_users_model_presses_with_populations(tmp_path: Path) -> None:
    """Closed load, labelled as such: steps in users, no offered rate."""
    locustfile = tmp_path / "impatient.py"
    locustfile.write_text(
        "from locust import FastHttpUser, constant, task\n"
        "class Impatient(FastHttpUser):\n"
        "    wait_time = constant(0.1)\n"
        "    @task\n"
        "    def root(self):\n"
        "        self.client.get('/')\n"
    )
    words = ("--model", "users", "--users", "2,8", "--dwell", "2", "-f", str(locustfile), "--no-profile")
    code, report, said = pinchpoint(tmp_path, "run", "--budget", "20s", *words)

    assert code == 0, said
    ramp = [step for step in report["steps"] if step["phase"] in {"baseline", "ramp"}]
    assert [step["users"] for step in ramp[:2]] == [2, 8]
    assert all(step["offered_rps"] is None for step in ramp)
    assert report["run"]["load"]["model"] == "users"
