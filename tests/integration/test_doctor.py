"""`pinchpoint doctor` on this machine, as a user runs it."""

import json
import os
import subprocess
import sys
import time

import pytest

LIMIT_S = 5.0


def doctor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    command = [sys.executable, "-m", "pinchpoint", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.alone
def test_it_says_in_five_seconds_what_it_found_about_a_process() -> None:
    """Every check has an answer and no other takes it down; asked about this very process, which has no probe."""
    began = time.monotonic()
    done = doctor("--json", "--pid", str(os.getpid()))
    elapsed_s = time.monotonic() - began

    value = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert elapsed_s < LIMIT_S
    assert value["usable"] is True
    checks = {check["name"]: check for check in value["checks"]}
    assert len(checks) == len(value["checks"]) == 25
    assert checks["probe"]["status"] == "missing"
    assert [name for name, check in checks.items() if "this check itself failed" in check["consequence"]] == []
    assert [name for name, check in checks.items() if not check["value"] or not check["consequence"]] == []


def test_a_process_that_is_not_there_is_exit_code_2() -> None:
    """In one sentence."""
    done = doctor("--pid", str(2**22 + 1))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"pinchpoint: --pid {2**22 + 1}: there is no such process\n"
