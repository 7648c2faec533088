"""Control groups on the real thing: they hold, the collector sees that they do, and nothing of them is left."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinchpoint.app.faults.serving.caged import parent_of, unavailable
from pinchpoint.monitoring.cgroup import CgroupReader
from pinchpoint.monitoring.procfs import DescriptorBudget
from pinchpoint.rows import CgroupRow

CAGED = (sys.executable, "-m", "pinchpoint.app.faults.serving.caged")
DEADLINE_S = 15.0

BURN = "print('in', flush=True)\nwhile True: pass"
GROW = "input()\nheld = [bytearray(b'x') * 2**20 for _ in range(400)]"
PARENT = f"import subprocess, sys\nprint('in', flush=True)\nsubprocess.run([sys.executable, '-c', {GROW!r}])\ninput()"


def needs(controller: str) -> None:
    """Skip where no group can be made."""
    if (reason := unavailable(controller)) is not None:
        pytest.skip(reason)


@contextlib.contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a group until the block ends; it has entered the group when this returns."""
    with subprocess.Popen([*CAGED, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"in\n"
            yield child
        finally:
            child.kill()


def wait_for(pid: int, enough: str, least: int) -> CgroupRow:
    """Read as the collector does until a counter has come so far."""
    reader = CgroupReader(pid, DescriptorBudget(16))
    try:
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            row = reader.read()
            assert row is not None
            if (row[enough] or 0) >= least:  # type: ignore[literal-required]
                return row
            assert time.monotonic() < deadline_s, row
            time.sleep(0.05)
    finally:
        reader.close()


def gone(folder: Path) -> bool:
    """Wait until a group is removed."""
    deadline_s = time.monotonic() + DEADLINE_S
    while folder.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return not folder.exists()


def test_the_collector_sees_a_quota_that_throttles() -> None:
    """A loop without end under a tenth of a core: throttled in nearly every period, and the group goes with it."""
    needs("cpu")
    with running("--cpu", "0.1", "--", sys.executable, "-c", BURN) as child:
        folder = parent_of("cpu", proc=Path("/proc/self")).folder / f"pinchpoint-{child.pid}"
        assert folder.is_dir()
        row = wait_for(child.pid, "throttled_periods", 3)

    assert row["cpu_limit_cores"] == pytest.approx(0.1)
    assert row["throttled_s"] is not None
    assert row["throttled_s"] > 0
    assert gone(folder)


def test_the_collector_sees_a_process_that_the_memory_limit_ends() -> None:
    """A child grows to 400 MiB under a limit of 120 MiB; its parent lives on, as gunicorn's master does."""
    needs("memory")
    with running("--memory", str(120 * 2**20), "--", sys.executable, "-c", PARENT) as child:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
        row = wait_for(child.pid, "oom_kills", 1)
        assert child.poll() is None

    assert row["memory_limit_bytes"] == 120 * 2**20
    assert (row["memory_limit_hits"] or 0) > 0


def test_the_command_keeps_the_process_number_and_the_exit_code() -> None:
    """It replaces the one that built the group."""
    needs("cpu")
    words = [*CAGED, "--cpu", "1", "--", sys.executable, "-c", "import os, sys; print(os.getpid()); sys.exit(7)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        printed, _ = child.communicate(timeout=DEADLINE_S)

    assert (int(printed), child.returncode) == (child.pid, 7)
