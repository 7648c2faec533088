"""Start, await and stop child processes, with no orphan ever: each runs below a guard (see `guard.py`)."""

import errno
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from pinchpoint import guard
from pinchpoint.errors import MeasurementError, PinchpointError, UsageError

TOKEN_VARIABLE = "PINCHPOINT_GUARD"  # noqa: S105 - the name of a variable
GUARD_START_S = 30.0  # a Python without site starts in 0.05 s; a box under load takes longer
NEWS_SLICE_S = 0.1  # another thread may have read the news that this one waits for
TAIL_BYTES = 65_536


@dataclass(frozen=True)
class Command:
    """What to start.

    Attributes:
        name: what messages call it, such as `target`.
        argv: the program, looked up on PATH, and its arguments; never a shell.
        log: where stdout and stderr are appended.
        env: the whole environment; None inherits ours.
        cwd: the working directory; None inherits ours.
        cpus: the CPUs it may run on; None inherits ours.
        pass_fds: descriptors it inherits under the same numbers; the caller closes its own copies.
        lingers: what it leaves behind when it exits with code 0 (a daemon) is kept until `stop`.

    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    cpus: frozenset[int] | None = None
    pass_fds: tuple[int, ...] = ()
    lingers: bool = False


class Child:
    """A started command. Any thread may call any method."""

    def __init__(
        self, command: Command, pid: int, keeper: subprocess.Popen[bytes], control: socket.socket, token: str
    ) -> None:
        """Made by `start`."""
        self.command = command
        self.pid = pid
        self._keeper = keeper
        self._control = control
        self._token = token
        self._lock = threading.RLock()  # a signal handler may stop what its own thread just asks about
        self._buffer = b""
        self._code: int | None = None
        self._gone = False

    def __enter__(self) -> Self:
        """Stop it on the way out of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def alive(self) -> bool:
        """Tell whether the command itself still runs."""
        return self.returncode is None

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        with self._lock:
            self._read_news()
            return self._code

    @property
    def roots(self) -> list[int]:
        """Pids below which all its processes are: the command, and daemons that have left it. Linux; else the command.

        The guard is a subreaper, so that whatever loses its parent becomes the guard's own child.
        """
        if self._finished():
            return []
        try:
            return [one.pid for one in psutil.Process(self._keeper.pid).children()] or [self.pid]
        except psutil.Error:
            return [self.pid]

    @property
    def gone(self) -> bool:
        """True when neither the command nor anything it started runs any more."""
        return self._finished()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the command to exit; None when it still runs after `timeout_s`."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while (code := self.returncode) is None:
            left_s = NEWS_SLICE_S if deadline_s is None else deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            self._await_news(min(left_s, NEWS_SLICE_S))
        return code

    def stop(self, grace_s: float = 5.0) -> int | None:
        """SIGTERM the command, and after `grace_s` SIGKILL all its descendants. Returns when none is left.

        Calling it again, also while another thread is in it, can only make it faster.
        """
        self._tell({"stop": grace_s})
        deadline_s = time.monotonic() + grace_s + 2 * guard.KILL_PATIENCE_S
        while not self._finished() and time.monotonic() < deadline_s:
            self._await_news(NEWS_SLICE_S)
        if not self._finished():
            self._keeper.kill()
            self._keeper.wait()
            self._finished()
        return self._code

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of its output, without trailing blank ones."""
        try:
            with self.command.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def _finished(self) -> bool:
        """Tell whether the guard, and so the whole tree, is gone."""
        with self._lock:
            self._read_news()
            return self._gone

    def _tell(self, message: dict[str, Any]) -> None:
        with self._lock:
            if not self._gone:
                guard.send(self._control, message)

    def _await_news(self, timeout_s: float) -> None:
        try:
            select.select([self._control], [], [], timeout_s)
        except (OSError, ValueError):
            return  # another thread read the end of file and closed the socket

    def _read_news(self) -> None:
        """Take in what the guard said; the caller holds the lock."""
        while not self._gone:
            try:
                heard = self._control.recv(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                heard = b""
            if not heard:
                self._settle()
                return
            *lines, self._buffer = (self._buffer + heard).split(b"\n")
            for line in lines:
                self._code = json.loads(line).get("exit", self._code)

    def _settle(self) -> None:
        """Reap the guard, which is gone, and do its work if somebody killed it before it was done."""
        self._gone = True
        self._control.close()
        killed = self._keeper.wait() != 0
        if killed or self._code is None:
            guard.sweep(self.pid, f"{TOKEN_VARIABLE}={self._token}")
        if self._code is None:
            self._code = -signal.SIGKILL  # the kernel sent it with the guard's end (PDEATHSIG)


def start(command: Command) -> Child:
    """Start a command below its guard; returns once the exec has worked.

    Raises:
        UsageError: the program does not exist or cannot be executed, the folder or the CPUs are wrong.
        MeasurementError: the log cannot be written, or the guard did not come up.

    """
    token = f"{os.getpid()}-{secrets.token_hex(8)}"
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            keeper = _start_guard(command, theirs.fileno(), token)
    except OSError as error:
        ours.close()
        raise MeasurementError(f"cannot start {command.name}: {error.strerror} ({error.filename})") from error
    try:
        return Child(command, _handshake(command, ours), keeper, ours, token)
    except BaseException:
        ours.close()  # the guard ends what it may have started
        keeper.wait()
        raise


def _start_guard(command: Command, control_fd: int, token: str) -> subprocess.Popen[bytes]:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ if command.env is None else command.env)
    with command.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(control_fd)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env | {TOKEN_VARIABLE: token},
            pass_fds=(control_fd, *command.pass_fds),
            # Ctrl-C in the terminal goes to pinchpoint alone, which decides what ends and in which order.
            start_new_session=True,
        )


def _handshake(command: Command, control: socket.socket) -> int:
    """Tell the guard what to start; return the command's pid."""
    spec = {
        "argv": command.argv,
        "cwd": None if command.cwd is None else str(command.cwd),
        "cpus": None if command.cpus is None else sorted(command.cpus),
        "close": command.pass_fds,
        "lingers": command.lingers,
    }
    control.settimeout(GUARD_START_S)
    guard.send(control, spec)
    text = b""
    try:
        # Byte by byte: the exit code may follow at once and belongs to the child.
        while not text.endswith(b"\n"):
            byte = control.recv(1)
            if not byte:
                break
            text += byte
    except OSError:
        text = b""
    if not text.endswith(b"\n"):
        raise MeasurementError(f"cannot start {command.name}: its guard did not answer; see {command.log}")
    answer: dict[str, int] = json.loads(text)
    if "pid" not in answer:
        raise _refusal(command, str(answer["step"]), answer["errno"])
    control.settimeout(None)
    return answer["pid"]


def _refusal(command: Command, step: str, number: int) -> PinchpointError:
    """Say in the user's words why a command did not start."""
    reason = os.strerror(number)
    program = command.argv[0]
    if step == "cwd":
        return UsageError(f"cannot start {command.name} in the folder {command.cwd}: {reason}")
    if step == "cpus":
        cpus = ",".join(map(str, sorted(command.cpus or ())))
        return UsageError(f"cannot start {command.name} on CPU {cpus}: {reason}; this machine lets us use others only")
    if step == "exec" and number == errno.ENOENT:
        if found := _find(command):
            return UsageError(
                f"cannot start {command.name}: the interpreter in the first line of {found} does not exist"
            )
        return UsageError(
            f"cannot start {command.name}: the program '{program}' was not found; install it or give its full path"
        )
    return UsageError(f"cannot start {command.name}: '{program}' cannot be executed: {reason}")


def _find(command: Command) -> str | None:
    """Look the program up as the exec did: one of a moved virtual environment is there and cannot be run."""
    path = (os.environ if command.env is None else command.env).get("PATH", os.defpath)
    return shutil.which((command.cwd or Path()) / command.argv[0]) or shutil.which(command.argv[0], path=path)
