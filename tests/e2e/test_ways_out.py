"""Every way out of a run: the documented exit code, one clear sentence, a readable report, no process left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pinchpoint.readiness import free_port

DEADLINE_S = 40.0
GONE_S = 8.0


class Run:
    """A `pinchpoint` process in a folder of its own; whatever it started is found by that folder's name."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pinchpoint", "run", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PINCHPOINT_TEST_MARK": str(folder)},
        )

    @property
    def latest(self) -> Path:
        """The newest run folder."""
        return self.folder / "runs" / "latest"

    def events(self) -> list[str]:
        """Kinds of the events recorded so far."""
        path = self.latest / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["kind"] for line in lines if line.endswith("}")]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Poll until it holds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline_s, "the run did not get there in time"
            time.sleep(0.05)

    def finish(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, stdout, stderr."""
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def left(self) -> list[str]:
        """Processes of this run that are still there."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PINCHPOINT_TEST_MARK") == str(self.folder):
                    found.append(" ".join(process.cmdline())[:120] or process.name())
            except psutil.Error:
                continue
        return found

    def assert_nothing_left(self) -> None:
        """No process of the run outlives it by more than a few seconds."""
        deadline_s = time.monotonic() + GONE_S
        while left := self.left():
            assert time.monotonic() < deadline_s, left
            time.sleep(0.1)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs; kill what is left of them afterwards."""
    started: list[Run] = []

    def start(*words: str) -> Run:
        started.append(Run(tmp_path, *words))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def measuring(one: Run) -> Callable[[], bool]:
    """Hold once the first step is recorded."""
    return lambda: "step" in one.events()


def one_sentence(err: str, *words: str) -> None:
    """The problem is one line on stderr that holds the words, and no traceback."""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("pinchpoint: ")]
    assert len(lines) == 1, err
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_writes_a_partial_report_and_exits_with_130(
    run: Callable[..., Run], number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM are the same orderly way out."""
    one = run("--budget", "60s", "--no-profile")
    one.wait_until(measuring(one))
    one.process.send_signal(number)

    code, _, err = one.finish()

    assert code == 130
    one_sentence(err, "interrupted")
    report = json.loads((one.latest / "report.json").read_text())
    assert report["run"]["partial"] is True
    assert len(report["steps"]) >= 1
    one.assert_nothing_left()


def test_a_run_killed_with_9_leaves_a_readable_folder_and_no_process(run: Callable[..., Run]) -> None:
    """The children notice that their parent is gone; the report is rebuilt from what was recorded."""
    one = run("--budget", "60s", "--no-profile")
    one.wait_until(measuring(one))
    one.process.kill()
    one.process.communicate()

    one.assert_nothing_left()
    rebuilt = subprocess.run(
        [sys.executable, "-m", "pinchpoint", "report", str(one.latest), "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    report = json.loads(rebuilt.stdout)
    assert report["run"]["partial"] is True
    assert len(report["steps"]) >= 1


@pytest.mark.parametrize("numbers", [[signal.SIGHUP], [signal.SIGTERM, signal.SIGTERM]])
def test_an_impatient_interrupt_during_boot_is_orderly(run: Callable[..., Run], numbers: list[signal.Signals]) -> None:
    """A closed terminal, and a second signal while the first one is obeyed: one sentence, code 130, nothing left."""
    one = run("--budget", "60s", "--no-profile", "--url", f"http://127.0.0.1:{free_port()}", "--", "sleep", "100")
    one.wait_until(lambda: "target-start" in one.events())
    for number in numbers:
        one.process.send_signal(number)

    code, _, err = one.finish()

    assert code == 130
    one_sentence(err, "interrupted")
    one.assert_nothing_left()


def test_a_target_that_does_not_boot_is_told_with_its_last_words(run: Callable[..., Run], tmp_path: Path) -> None:
    """Exit code 4, and the app's own exception in the sentence."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('the moon is not full')\n")
    one = run("broken:app", "--budget", "30s")

    code, _, err = one.finish()

    assert code == 4
    one_sentence(err, "the moon is not full")
    assert (one.latest / "report.json").exists()
    one.assert_nothing_left()


def test_a_port_in_use_is_named(run: Callable[..., Run]) -> None:
    """Exit code 4, the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = run("--port", str(port), "--budget", "30s")
        code, _, err = one.finish()

    assert code == 4
    one_sentence(err, str(port), "--port")
    one.assert_nothing_left()


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["--budget", "soon"], "soon"),
        (["--fault", "gremlins"], "gremlins"),
        (["--scenario", "nothing"], "nothing"),
        (["-f", "no-such-file.py"], "no-such-file.py"),
        (["no_such_module:app"], "no_such_module"),
        (["--url", "http://example.com", "--", "true"], "example.com"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(run: Callable[..., Run], words: list[str], culprit: str) -> None:
    """Nothing is started."""
    code, _, err = run(*words).finish()

    assert code == 2
    one_sentence(err, culprit)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_the_run_with_one_sentence(run: Callable[..., Run], tmp_path: Path) -> None:
    """Exit code 3, the file that could not be written, and no process left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    try:
        one = run(
            "--budget",
            "40s",
            "--no-profile",
            "--out",
            str(disk / "run"),
            "--env",
            f"PINCHPOINT_APP_RUN_DIR={tmp_path}",
        )
        code, _, err = one.finish()
        assert code == 3
        one_sentence(err, "cannot write")
        one.assert_nothing_left()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
