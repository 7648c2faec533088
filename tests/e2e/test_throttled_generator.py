"""A load generator that is the limit is called one, on the real thing; a server's limit is not."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.commands.quota import Quota

BUDGET = "25s"
DEADLINE_S = 80.0
pytestmark = [pytest.mark.paced, pytest.mark.timeout(100)]
BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench"
SLOW = """
import time
from gevent import monkey
from locust import FastHttpUser, constant, task

class Slow(FastHttpUser):
    wait_time = constant(0)

    @task
    def root(self):
        {work}
        self.client.get("/")
"""
BURN = "end = time.thread_time() + 0.02\n        while time.thread_time() < end: pass"
BLOCK = "monkey.get_original('time', 'sleep')(0.02)"


def pressed(folder: Path, *words: str, keep: float | None = None) -> tuple[int, dict[str, Any]]:
    """Run the command line; return its exit code and its report."""
    out = folder / "run"
    argv = [sys.executable, "-m", "pinchpoint", "run", "--budget", BUDGET, "--no-profile", "--out", str(out), *words]
    with (folder / "said.log").open("wb") as log, subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log) as child:
        watchdog = threading.Timer(DEADLINE_S, child.kill)
        watchdog.start()
        quota = None if keep is None else Quota(child.pid, out / "events.jsonl", keep)
        try:
            if quota is not None:
                quota.start()
            code = child.wait()
        finally:
            watchdog.cancel()
            if quota is not None:
                quota.end()
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return code, report


def test_a_generator_whose_quota_is_cut_is_the_limit(tmp_path: Path) -> None:
    """It hardly uses CPU, so only its stops tell."""
    words = ("--get", "/items/42", "--cwd", str(BENCH), "bench_app:app")
    code, report = pressed(tmp_path, *words, keep=0.2)
    assert (code, report["verdict"]["class"]) == (3, "generator"), report["verdict"]["summary"]


@pytest.mark.parametrize(
    "work", [pytest.param(BURN, id="burns", marks=pytest.mark.long), pytest.param(BLOCK, id="blocks")]
)
def test_a_slow_locust_file_is_the_limit(tmp_path: Path, work: str) -> None:
    """Whether its tasks compute or sleep behind gevent's back."""
    file = tmp_path / "slow.py"
    file.write_text(SLOW.format(work=work))
    code, report = pressed(tmp_path, "-f", str(file))
    assert (code, report["verdict"]["class"]) == (3, "generator"), report["verdict"]["summary"]


def test_users_that_pause_are_no_limit_of_the_generator(tmp_path: Path) -> None:
    """A closed load of people who read their pages does not break the app, and nobody is to blame for that."""
    file = tmp_path / "calm.py"
    text = SLOW.format(work="").replace("constant(0)", "constant(1)").replace("class Slow", "class Calm")
    file.write_text(text)
    words = ("--model", "users", "--users", "5,10,20", "--dwell", "2", "-f", str(file))
    code, report = pressed(tmp_path, *words)
    assert code == 0, report["verdict"]["summary"]
    assert report["verdict"]["class"] == "none", report["verdict"]["summary"]
