"""Capture with a py-spy that does what the test says."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pinchpoint.errors import UsageError
from pinchpoint.processes import Command
from pinchpoint.profiles import grants
from pinchpoint.profiles.capture import (
    ATTACH_S,
    CaptureKind,
    CaptureOutcome,
    Missing,
    ProfileRequest,
    ProfilerUnavailable,
    capture,
    py_spy_argv,
    py_spy_path,
)
from pinchpoint.profiles.folded import parse
from pinchpoint.profiles.sources import read_lines

PROGRAM = Path("/fake/py-spy")
DENIED = "Permission Denied: Try running again with elevated permissions by going 'sudo env ...'\n"


@dataclass
class FakeChild:
    """A py-spy that writes `text` and exits with `code` once the clock shows `ends_s`."""

    clock: "FakeClock"
    ends_s: float
    code: int = 0
    log: str = ""
    stopped: bool = False
    reaped: bool = False

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""
        if self.stopped:
            return -15
        return self.code if self.clock.now_s >= self.ends_s else None

    def stop(self, grace_s: float = 5.0) -> int | None:
        """End it if it runs, and note that nobody needs to wait for it any more."""
        self.reaped = True
        self.stopped = self.returncode is None
        return self.returncode

    def log_tail(self, lines: int = 20) -> str:
        """Return the output."""
        return self.log


@dataclass
class FakeClock:
    """A clock that only sleeping moves."""

    now_s: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Pass the time."""
        self.now_s += seconds


@dataclass
class FakePySpy:
    """Starts fake children; each takes the next of the given (text, code, log, seconds)."""

    clock: FakeClock
    results: list[tuple[str | None, int, str, float]]
    commands: list[Command] = field(default_factory=list)
    children: list[FakeChild] = field(default_factory=list)

    def __call__(self, command: Command) -> FakeChild:
        """Start one."""
        text, code, log, ends_s = self.results[len(self.commands)]
        self.commands.append(command)
        if text is not None:
            Path(command.argv[command.argv.index("--output") + 1]).write_text(text)
        child = FakeChild(self.clock, ends_s, code, log)
        self.children.append(child)
        return child


def requests(folder: Path, *pids: int, kind: CaptureKind = "cpu") -> list[ProfileRequest]:
    """Ask for six seconds of each pid."""
    return [ProfileRequest("profile-limit", pid, kind, 6.0, folder / "profiles") for pid in pids]


def run(folder: Path, results: list[tuple[str | None, int, str, float]], pids: Iterable[int]) -> CaptureOutcome:
    """Capture with fakes."""
    clock = FakeClock()
    spy = FakePySpy(clock, results)
    return capture(
        requests(folder, *pids), root=Path("/srv"), launch=spy, program=PROGRAM, clock=clock, sleep=clock.sleep
    )


@pytest.mark.parametrize(("kind", "flags"), [("cpu", []), ("gil", ["--gil"]), ("wall", ["--idle"])])
def test_the_command_never_stops_the_target(tmp_path: Path, kind: CaptureKind, flags: list[str]) -> None:
    """Nonblocking, raw, whole seconds, full paths, threads."""
    request = ProfileRequest("profile-limit", 12, kind, 2.2, tmp_path, rate_hz=50)
    argv = py_spy_argv(PROGRAM, request, Path("/x.tmp"))
    assert list(argv) == [
        *("/fake/py-spy", "record", "--pid", "12", "--duration", "3", "--rate", "50", "--format", "raw"),
        *("--output", "/x.tmp", "--nonblocking", "--full-filenames", "--threads", *flags),
    ]


def test_profiles_are_kept_without_machine_paths(tmp_path: Path) -> None:
    """Every worker at once; the project's root is cut; the raw file goes."""
    text = "thread (7): MainThread;<module> (/srv/run.py:1);f (/srv/shop.py:3) 4\n"
    outcome = run(tmp_path, [(text, 0, "", 6.1), (text, 0, "", 6.3)], (10, 11))
    assert [(one.pid, one.samples, one.path.name, one.note) for one in outcome.captured] == [
        (10, 4, "profile-limit-10-cpu.folded", None),
        (11, 4, "profile-limit-11-cpu.folded", None),
    ]
    folded = outcome.captured[0].path
    assert folded.read_text() == "thread (7): MainThread;<module> (run.py:1);f (shop.py:3) 4\n"
    assert parse(folded.read_text()).total == 4
    assert not list(folded.parent.glob("*.tmp"))


def test_the_text_of_sampled_lines_is_kept(tmp_path: Path) -> None:
    """It tells a sleep from work, long after the source has changed."""
    source = tmp_path / "shop.py"
    source.write_text("import time\n\n\ntime.sleep(1)\n")
    clock = FakeClock()
    spy = FakePySpy(clock, [(f"<module> ({source}:4) 2\n", 0, "", 1.0)])
    outcome = capture(requests(tmp_path, 5), root=tmp_path, launch=spy, program=PROGRAM, clock=clock, sleep=clock.sleep)
    assert read_lines(outcome.captured[0].path) == {"shop.py:4": "time.sleep(1)"}


def test_no_samples_is_a_measurement(tmp_path: Path) -> None:
    """A worker that did nothing has a profile with zero samples, not a missing one."""
    assert [one.samples for one in run(tmp_path, [("", 0, "Samples: 0", 6.0)], (10,)).captured] == [0]


def test_a_refusal_is_one_sentence_for_all_workers(tmp_path: Path) -> None:
    """The run goes on; the user reads what to grant, once."""
    outcome = run(tmp_path, [(None, 1, DENIED, 0.1)] * 2, (10, 11))
    assert outcome.captured == []
    assert outcome.unavailable == ProfilerUnavailable(grants.sentence())
    assert outcome.notes == [grants.sentence()]


def test_a_worker_that_dies_keeps_what_was_seen_of_it(tmp_path: Path) -> None:
    """A short profile says that it is short; one that saw nothing is missing, with the reason."""
    died = "py-spy> Stopped sampling because process exited\n"
    outcome = run(tmp_path, [("<module> (/srv/a.py:1) 9\n", 0, died, 1.0), ("", 0, died, 1.0)], (10, 11))
    assert [(one.pid, one.samples, one.note) for one in outcome.captured] == [
        (10, 9, "worker 10 ended while it was profiled (cpu)")
    ]
    assert outcome.missing == [Missing("profile-limit", 11, "cpu", "worker 11 ended before it was sampled")]
    assert len(outcome.notes) == 2


def test_a_dead_pid_is_named(tmp_path: Path) -> None:
    """py-spy's own message is a backtrace."""
    log = "Error: Failed to get process executable name. Check that the process is running.\n"
    gone = 2**22 + 1  # above Linux's largest pid
    assert run(tmp_path, [(None, 1, log, 0.1)], (gone,)).notes == [f"worker {gone} ended before it was sampled"]


def test_an_unreadable_process_is_explained_in_py_spys_words(tmp_path: Path) -> None:
    """The target may be no Python process at all."""
    log = "Error: Failed to find python version from target process\n\nStack backtrace:\n   0: anyhow\n"
    pid = os.getpid()
    assert run(tmp_path, [(None, 1, log, 0.1)], (pid,)).notes == [
        f"py-spy cannot read worker {pid}: Failed to find python version from target process"
    ]


def test_a_profiler_that_hangs_is_stopped_at_the_deadline(tmp_path: Path) -> None:
    """A capture ends by itself, and what the others wrote is kept."""
    clock = FakeClock()
    spy = FakePySpy(clock, [(None, 0, "", 1e9), ("<module> (/srv/a.py:1) 1\n", 0, "", 6.0)])
    outcome = capture(requests(tmp_path, 10, 11), launch=spy, program=PROGRAM, clock=clock, sleep=clock.sleep)
    assert clock.now_s == pytest.approx(6 + ATTACH_S, abs=0.1)
    assert [child.stopped for child in spy.children] == [True, False]
    assert [child.reaped for child in spy.children] == [True, True]
    assert [one.pid for one in outcome.captured] == [11]
    assert outcome.notes == ["py-spy on worker 10 did not end in time and was stopped (cpu)"]


def test_a_profiler_that_cannot_start_is_a_note(tmp_path: Path) -> None:
    """Never an exception that ends the run."""

    def refuse(command: Command) -> FakeChild:
        raise UsageError("cannot run py-spy: Exec format error")

    outcome = capture(requests(tmp_path, 10), launch=refuse, program=PROGRAM, sleep=lambda _: None)
    assert outcome.notes == ["py-spy did not start on worker 10: cannot run py-spy: Exec format error"]


def test_without_py_spy_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not beside the interpreter, not on PATH."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert py_spy_path() is None
    outcome = capture(requests(tmp_path, 10), sleep=lambda _: None)
    assert outcome.notes == [grants.NOT_INSTALLED]


def test_py_spy_beside_the_interpreter_wins_over_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is not activated is not on PATH."""
    for folder in ("venv", "path"):
        program = tmp_path / folder / "py-spy"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "venv" / "python"))
    assert py_spy_path() == tmp_path / "venv" / "py-spy"
    (tmp_path / "venv" / "py-spy").unlink()
    assert py_spy_path() == tmp_path / "path" / "py-spy"


@pytest.mark.parametrize(
    ("scope", "contained", "platform", "grant"),
    [
        (1, False, "linux", "sudo sysctl kernel.yama.ptrace_scope=0"),
        (1, True, "linux", "--cap-add SYS_PTRACE"),
        (0, False, "linux", "CAP_SYS_PTRACE"),
        (0, False, "darwin", "sudo"),
    ],
)
def test_the_sentence_names_the_grant_that_helps_here(scope: int, contained: bool, platform: str, grant: str) -> None:
    """One sentence: what to type depends on who refuses."""
    text = grants.sentence(scope, contained=contained, platform=platform)
    assert grant in text
    assert text.count("\n") == 0


@pytest.mark.parametrize(
    ("log", "refused"),
    [
        (DENIED, True),
        ("Caused by:\n    0: Permission denied (os error 13)\n", True),
        ("Error: Operation not permitted (os error 1)\n", True),
        ("Error: No such file or directory (os error 2)\n", False),
        ("Error: something (os error 10)\n", False),
    ],
)
def test_refusals_are_told_from_other_failures(log: str, refused: bool) -> None:
    """Only a refusal is mended by a grant."""
    assert grants.is_refusal(log) is refused
