"""A case of the zoo on the real thing: companions, the plain server, the closed loop, and no orphan on any way out."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pinchpoint.app.faults.case import Case, Companion
from pinchpoint.app.faults.catalogue import all_cases
from pinchpoint.commands.zoo_case import prepared
from pinchpoint.errors import TargetError
from pinchpoint.processes import start
from pinchpoint.readiness import wait_http_ready

SLEEPER = next(one for one in all_cases() if one.name == "sleep-in-dependency")
SITE = Companion(
    argv=("{python}", "-m", "http.server", "--bind", "127.0.0.1", "{port}"), variable="SITE", place="server"
)
GONE_WITHIN_S = 5.0
HELD = """
import os, sys, time
from dataclasses import replace
from pinchpoint.app.faults.case import Companion
from pinchpoint.app.faults.catalogue import all_cases
from pinchpoint.commands.zoo_case import prepared
beside = Companion(argv=("{python}", "-m", "http.server", "--bind", "127.0.0.1", "{port}"), variable="SITE")
with prepared(replace(all_cases()[0], companions=(beside,))) as ready:
    print(ready.env["SITE"], flush=True)
    time.sleep(60)
"""


def beside(*companions: Companion) -> Case:
    """Return a case with companions."""
    return replace(SLEEPER, companions=companions)


def answers(url: str) -> bool:
    """Tell whether a server answers there."""
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310 - a companion of ours
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_companion_runs_for_as_long_as_the_case_and_is_told_to_the_target() -> None:
    """It answers from the start, and is gone at the end."""
    with prepared(beside(SITE)) as ready:
        url = ready.env["SITE"]
        assert answers(url)
    assert not answers(url)


def test_a_companion_that_is_the_fault_is_not_there_when_cured() -> None:
    """Nor is its address."""
    with prepared(beside(replace(SITE, when_cured=False)), cured=True) as ready:
        assert "SITE" not in ready.env


def test_a_companion_that_dies_ends_the_others_with_its_reason() -> None:
    """The first one is started before it."""
    broken = Companion(argv=("{python}", "-c", "raise SystemExit('no till at {port}')"))
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(TargetError, match="no till at"), prepared(beside(SITE, broken)):
        pass
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_killed_runner_leaves_no_companion() -> None:
    """Even kill -9: their guards end them."""
    with subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        url = runner.stdout.readline().strip()
        assert answers(url)
        os.kill(runner.pid, signal.SIGKILL)
    deadline_s = time.monotonic() + GONE_WITHIN_S
    while answers(url):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_the_plain_server_is_the_same_without_pinchpoint_in_it(checkout: Path) -> None:
    """A closed loop that knows nothing of pinchpoint finds the ceiling there."""
    press = checkout / "scripts" / "bench" / "zoo_press.py"
    with prepared(SLEEPER) as ready:
        plan = ready.plain()
        assert plan.command is not None
        assert plan.command.env is not None
        assert not [name for name in plan.command.env if name.startswith("PINCHPOINT_PROBE")]
        with start(plan.command) as child:
            wait_http_ready(plan.ready_url, child, 20.0)
            words = [sys.executable, str(press), str(plan.port), "8", "0", "0.5", "1.5", "/orders/7/label"]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert SLEEPER.ceiling_rps is not None
    assert found["failed"] == 0
    # Other tests run beside this one and may slow it down; faster than arithmetic permits it cannot be.
    assert 0 < found["rate"] <= 1.15 * SLEEPER.ceiling_rps(1.0)


def test_the_closed_loop_dials_again_where_a_server_closes(checkout: Path) -> None:
    """Every answer of this server ends its connection; what is not there counts as failed."""
    press = checkout / "scripts" / "bench" / "zoo_press.py"
    with prepared(beside(SITE)) as ready:
        port = ready.env["SITE"].rpartition(":")[2]
        words = [sys.executable, str(press), port, "4", "0", "0.2", "0.5"]
        good, bad = (
            json.loads(subprocess.run([*words, path], check=True, capture_output=True, text=True).stdout)
            for path in ("/", "/nothing")
        )
    assert (good["ok"] > 4, good["failed"]) == (True, 0)
    # A failure is followed by a pause of 0.1 s: four clients in half a second, and what was under way.
    assert (bad["ok"], 1 <= bad["failed"] <= 30) == (0, True)
