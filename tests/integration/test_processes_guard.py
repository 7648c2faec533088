"""No orphan, ever: real commands below real guards, ended in every way there is."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pinchpoint.errors import UsageError
from pinchpoint.processes import Child, Command, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guard's full strength is Linux")

GONE_WITHIN_S = 5.0

STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def note():
    path = pathlib.Path(sys.argv[1], str(os.getpid()))
    path.with_suffix(".tmp").touch()
    path.with_suffix(".tmp").rename(path)
"""
"""Ignores polite signals; `note()` tells the test a pid through a file name."""

FAMILY = (
    STUBBORN
    + """
if os.fork() == 0:
    if os.fork() == 0:  # twice forked: its parent dies
        note()
        time.sleep(60)
    os._exit(0)
if os.fork() == 0:
    os.setsid()  # out of the session and the process group
    note()
    time.sleep(60)
note()
time.sleep(60)
"""
)

PARENT = """
import os, sys, time
from pathlib import Path
from pinchpoint.processes import Command, start
child = start(Command("family", (sys.executable, "-c", sys.argv[1], sys.argv[2]), Path(sys.argv[3])))
if sys.argv[4] == "forks" and os.fork() == 0:
    time.sleep(8)  # holds the guard's socket open meanwhile
    os._exit(0)
time.sleep(60)
"""

OPEN_DESCRIPTORS = """
import os
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
print([fd for fd in range(1024) if is_open(fd)], flush=True)
"""


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Path]:
    """Return the folder in which processes tell their pids; kills what a failed test left."""
    folder = tmp_path / "notes"
    folder.mkdir()
    yield folder
    for pid in noted(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def noted(folder: Path) -> set[int]:
    """Return the pids told so far."""
    return {int(path.name) for path in folder.iterdir() if path.name.isdigit()}


def runs(pid: int) -> bool:
    """Tell whether a process lives; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Poll until a condition holds; False when it never did."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def python(code: str, *arguments: str, log: Path) -> Command:
    """Return a command that runs some Python."""
    return Command("snippet", (sys.executable, "-c", code, *arguments), log)


def start_family(notes: Path) -> Child:
    """Start a stubborn command with a twice forked and a session-changing child; all three are up on return."""
    child = start(python(FAMILY, str(notes), log=notes.parent / "log"))
    assert until(lambda: len(noted(notes)) == 3)
    return child


def test_stop_ends_a_stubborn_family_to_the_last_member(notes: Path) -> None:
    """Ignored SIGTERM, double fork and setsid escape nothing; stopping twice is fine."""
    child = start_family(notes)

    code = child.stop(grace_s=0.2)

    assert code == -signal.SIGKILL
    assert [pid for pid in noted(notes) if runs(pid)] == []
    assert child.stop() == code


@pytest.mark.parametrize("habit", ["forks not", "forks"])
def test_kill_9_of_the_parent_leaves_no_process(notes: Path, habit: str) -> None:
    """The guard ends the tree without help, also when a fork of the parent lives on and keeps the socket open."""
    arguments = [sys.executable, "-c", PARENT, FAMILY, str(notes), str(notes.parent / "log"), habit]
    with subprocess.Popen(arguments) as parent:
        assert until(lambda: len(noted(notes)) == 3)
        parent.kill()

    everyone_gone = until(lambda: not any(map(runs, noted(notes))), GONE_WITHIN_S)

    assert everyone_gone


def test_kill_9_of_the_guard_ends_the_family_too(notes: Path) -> None:
    """The kernel kills the command with its guard; the next question finds the rest."""
    child = start_family(notes)

    os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)

    assert until(lambda: not runs(child.pid), GONE_WITHIN_S)
    assert child.wait(GONE_WITHIN_S) == -signal.SIGKILL
    assert [pid for pid in noted(notes) if runs(pid)] == []
    assert child.stop() == -signal.SIGKILL


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel tells the guard that its parent *thread* died; that is no reason to end anything."""
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(start(Command("x", ("sleep", "60"), tmp_path / "log"))))
    thread.start()
    thread.join()

    with children[0] as child:
        assert child.wait(0.3) is None


def test_what_a_command_leaves_behind_ends_with_it(notes: Path) -> None:
    """A server that exits and leaves a worker: the exit is told at once, the worker is gone after stop."""
    code = (
        STUBBORN
        + "if os.fork() == 0:\n    note()\n    time.sleep(60)\nwhile not os.listdir(sys.argv[1]): pass\nsys.exit(3)"
    )
    child = start(python(code, str(notes), log=notes.parent / "log"))

    assert child.wait(10) == 3
    assert until(lambda: not any(map(runs, noted(notes))), GONE_WITHIN_S)
    assert child.stop() == 3


@pytest.mark.parametrize(("code", "expected"), [("raise SystemExit(7)", 7), ("pass", 0), ("import os; os.abort()", -6)])
def test_the_exit_code_passes_through(tmp_path: Path, code: str, expected: int) -> None:
    """As subprocess tells it: negative for a signal."""
    with start(python(code, log=tmp_path / "log")) as child:
        assert child.wait(10) == expected
        assert (child.alive(), child.returncode) == (False, expected)


def test_a_polite_command_ends_by_itself_within_the_grace(tmp_path: Path) -> None:
    """SIGTERM comes first, and what the command does with it counts."""
    code = "import signal, time\nsignal.signal(15, lambda *_: exit(4))\nprint('ready', flush=True)\ntime.sleep(60)"
    child = start(python(code, log=tmp_path / "log"))
    assert until(lambda: child.log_tail() == "ready")

    assert child.alive()
    assert child.stop(grace_s=10) == 4


def test_a_second_stop_hurries_the_first(notes: Path) -> None:
    """Ctrl-C twice: the shorter grace wins, from another thread as well."""
    child = start_family(notes)
    patient = threading.Thread(target=child.stop, args=(60.0,))
    started_s = time.monotonic()
    patient.start()

    code = child.stop(grace_s=0.1)
    patient.join()

    assert code == -signal.SIGKILL
    assert time.monotonic() - started_s < 10


def test_twenty_children_leave_no_zombie_and_no_descriptor(tmp_path: Path) -> None:
    """Started together, stopped one by one."""
    before = psutil.Process().num_fds()

    children = [start(Command(f"sleeper {i}", ("sleep", "60"), tmp_path / "log")) for i in range(20)]
    codes = {child.stop() for child in children}

    assert codes == {-signal.SIGTERM}
    assert psutil.Process().children(recursive=True) == []
    assert psutil.Process().num_fds() == before


def test_children_inherit_the_passed_descriptors_and_no_others(tmp_path: Path) -> None:
    """Neither the control socket nor another child's descriptors leak; the peer sees the end when the child ends."""
    read_end, write_end = os.pipe()
    with start(Command("first", ("sleep", "60"), tmp_path / "first")):
        code = OPEN_DESCRIPTORS + f"os.write({write_end}, b'hello')"
        command = Command("second", (sys.executable, "-c", code), tmp_path / "log", pass_fds=(write_end,))
        with start(command) as child:
            os.close(write_end)
            with os.fdopen(read_end, "rb") as pipe:
                assert pipe.read() == b"hello"
            child.wait(10)

    assert child.log_tail() == str([0, 1, 2, write_end])


def test_environment_folder_and_cpus_are_those_of_the_command(tmp_path: Path) -> None:
    """And Ctrl-C of our terminal cannot reach it: it has a session of its own."""
    code = (
        "import os\n"
        "own_session = os.getsid(0) == os.getpid()\n"
        "print(os.environ['A'], 'HOME' in os.environ, os.getcwd(), os.sched_getaffinity(0), own_session)"
    )
    cpu = min(os.sched_getaffinity(0))
    command = Command("snippet", (sys.executable, "-c", code), tmp_path / "log", {"A": "1"}, tmp_path, frozenset({cpu}))
    with start(command) as child:
        child.wait(10)

    assert child.log_tail() == f"1 False {tmp_path} {{{cpu}}} True"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"argv": ("no-such-server",)}, "the program 'no-such-server' was not found; install it or give its full path"),
        ({"argv": ("/etc/passwd",)}, "'/etc/passwd' cannot be executed: Permission denied"),
        ({"cwd": Path("/no/such")}, "in the folder /no/such: No such file or directory"),
        ({"cpus": frozenset({4000})}, "on CPU 4000: Invalid argument; this machine lets us use others only"),
    ],
)
def test_a_command_that_cannot_start_says_why(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    """One clear sentence, at once, with the name the user knows."""
    settings: dict[str, object] = {"name": "the target", "argv": ("true",), "log": tmp_path / "log"}

    with pytest.raises(UsageError) as caught:
        start(Command(**(settings | changes)))  # type: ignore[arg-type]

    assert expected in str(caught.value)
    assert str(caught.value).startswith("cannot start the target")


def test_a_script_of_a_moved_environment_is_told_from_a_missing_one(tmp_path: Path) -> None:
    """The kernel says "no such file" to both."""
    script = tmp_path / "uvicorn"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)

    with pytest.raises(UsageError) as caught:
        start(Command("the target", ("./uvicorn",), tmp_path / "log", cwd=tmp_path))

    assert f"the interpreter in the first line of {script} does not exist" in str(caught.value)


def test_log_tail_has_the_last_lines_of_both_streams(tmp_path: Path) -> None:
    """Whatever bytes were printed."""
    with start(Command("noisy", ("sh", "-c", r"seq 30; printf 'bad \377\n\n' >&2"), tmp_path / "new" / "log")) as child:
        child.wait(10)

    assert child.log_tail(3) == "29\n30\nbad �"
