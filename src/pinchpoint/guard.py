"""The guard: a small process between pinchpoint and one command, so that the command never outlives pinchpoint.

It is run by path (`python -I -S guard.py FD`) and uses the standard library only. It reads what to start from the
socket FD, starts it, reports its pid and its exit code, and ends the whole tree when it is asked to, when the command
exits (with `lingers`: when it fails, or when nothing it left behind runs any more), or when pinchpoint is gone (end of
file on the socket; the kernel closes it even on kill -9). On Linux it is a "child subreaper" (prctl(2)): whatever a
descendant does (double fork, setsid), its orphans become children of the guard and are found.

Messages are JSON, one a line. In: {"argv", "cwd", "cpus", "close", "lingers"} once, then {"stop": GRACE_S} any number
of times. Out: {"pid"} or {"step", "errno"} once, then {"exit": CODE}.
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
LINUX = sys.platform == "linux"

ORPHANED_GRACE_S = 3.0  # after pinchpoint died: nobody waits for a graceful end
LEFTOVER_GRACE_S = 1.0  # what the command left behind when it exited
KILL_PATIENCE_S = 5.0  # a process in uninterruptible I/O dies late, or never
KILL_TICK_S = 0.02


class RefusedError(Exception):
    """The command could not be started: `args` are the step (`exec`, `cwd`, `cpus`, `session`) and the errno."""


def prctl(option: int, value: int) -> None:
    """Set a property of this process (prctl(2)); where there is no such call, process groups must do."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def parents() -> dict[int, int]:
    """Read the parent of every process from /proc (proc(5): field 4 of stat)."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the start-up time of the guard
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - likewise
                    # The command name may hold spaces and brackets: what follows the last bracket is safe to split.
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    return found


def below(root: int, parent_of: dict[int, int]) -> list[int]:
    """Return all descendants of `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in parent_of.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            found.append(pid)
            todo.append(pid)
    return found


def sweep(session: int, mark: str) -> None:
    """Kill what a killed guard left: processes of the command's session, or with `mark` in their environment."""
    if not LINUX:
        try:
            os.killpg(session, signal.SIGKILL)
        except OSError:
            return
        return
    deadline_s = time.monotonic() + KILL_PATIENCE_S
    while (left := [pid for pid in parents() if belongs(pid, session, mark)]) and time.monotonic() < deadline_s:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(KILL_TICK_S)


def belongs(pid: int, session: int, mark: str) -> bool:
    """Tell whether a process is alive and one of the command's. Its environment is readable to the same user only."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - see above
            dead = file.read().rpartition(b")")[2].split()[0] in {b"Z", b"X"}
        if dead or pid == os.getpid():
            return False
        if os.getsid(pid) == session:
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - see above
            return mark.encode() in file.read().split(b"\0")
    except (OSError, IndexError):
        return False


def spawn(spec: dict[str, Any]) -> int:
    """Start the command in a session of its own; return its pid once the exec has worked.

    Raises:
        RefusedError: it could not be started.

    """
    read_end, write_end = os.pipe()
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        become(spec, guard, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        failure = pipe.read().decode()
    # Held open here, the peer of a passed socket would never see the command's end of file.
    for fd in spec["close"]:
        os.close(fd)
    if failure:
        os.waitpid(pid, 0)
        step, _, number = failure.partition(" ")
        raise RefusedError(step, int(number))
    return pid


def become(spec: dict[str, Any], guard: int, failure_fd: int) -> None:
    """Turn the forked child into the command. Never returns: the pipe closes on exec or carries `step errno`."""
    step = "session"
    try:
        # Python ignores SIGPIPE, and ignored signals stay ignored over an exec.
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)
        step = "cwd"
        if spec["cwd"] is not None:
            os.chdir(spec["cwd"])
        step = "cpus"
        if spec["cpus"] is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, spec["cpus"])
        step = "exec"
        os.execvp(spec["argv"][0], spec["argv"])  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(failure_fd, f"{step} {error.errno}".encode())
    finally:
        os._exit(127)


class Guard:
    """Watch one command and end its tree. Single-threaded: PDEATHSIG fires when the *thread* that forked ends."""

    def __init__(self, control: socket.socket, command: int, parent: int, *, lingers: bool = False) -> None:
        self._control = control
        self._lingers = lingers
        self._command = command
        self._parent = parent
        self._buffer = b""
        self._listening = True
        self._exited = False
        self._deadline_s: float | None = None
        self._wake, self._wake_writer = socket.socketpair()

    def run(self) -> None:
        """Return when no descendant is left, or when one will not die."""
        self._catch_signals()
        while self._reap():
            if self._deadline_s is not None and time.monotonic() >= self._deadline_s:
                if time.monotonic() >= self._deadline_s + KILL_PATIENCE_S:
                    return
                self._signal_all(signal.SIGKILL)
            self._listen()
        if not LINUX:
            self._signal_all(signal.SIGKILL)

    def _catch_signals(self) -> None:
        self._wake_writer.setblocking(False)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end(ORPHANED_GRACE_S))
        # A process that pinchpoint forked may hold the other end of the socket open: then only this signal tells.
        # It also comes when just the thread that started us has ended, so the parent is looked at.
        signal.signal(signal.SIGUSR1, lambda *_: None)
        prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)

    def _reap(self) -> bool:
        """Collect the dead; False when no child is left. Orphaned descendants are children too (subreaper)."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._command:
                self._exited = True
                code = os.waitstatus_to_exitcode(status)
                send(self._control, {"exit": code})
                if code != 0 or not self._lingers:
                    self._end(LEFTOVER_GRACE_S)
                    self._signal_all(signal.SIGTERM)

    def _end(self, grace_s: float) -> None:
        """Ask the command to end, and set the time at which everything left is killed. The earliest time wins."""
        first = self._deadline_s is None
        wanted = time.monotonic() + grace_s
        self._deadline_s = wanted if self._deadline_s is None else min(self._deadline_s, wanted)
        if not first:
            return
        # Only the command, or what it left behind: servers such as gunicorn end their own workers, in their own order.
        for pid in self._orphans() if self._exited else [self._command]:
            for number in (signal.SIGTERM, signal.SIGCONT):
                try:
                    os.kill(pid, number)
                except OSError:
                    continue

    def _orphans(self) -> list[int]:
        return [pid for pid, parent in parents().items() if parent == os.getpid()] if LINUX else []

    def _signal_all(self, number: signal.Signals) -> None:
        if not LINUX:
            self._signal_group(number)
            return
        for pid in below(os.getpid(), parents()):
            try:
                os.kill(pid, number)
            except OSError:
                continue

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._command, number)
        except OSError:
            return

    def _listen(self) -> None:
        """Sleep until a signal, a message or the deadline."""
        timeout_s = None
        if self._deadline_s is not None:
            timeout_s = max(self._deadline_s - time.monotonic(), KILL_TICK_S)
        watched = [self._wake, self._control] if self._listening else [self._wake]
        ready, _, _ = select.select(watched, [], [], timeout_s)
        if self._wake in ready:
            self._wake.recv(4096)
            if os.getppid() != self._parent:
                self._end(ORPHANED_GRACE_S)
        if self._control in ready:
            self._hear()

    def _hear(self) -> None:
        try:
            heard = self._control.recv(4096)
        except ConnectionError:
            heard = b""
        if not heard:
            self._listening = False
            self._end(ORPHANED_GRACE_S)
            return
        *lines, self._buffer = (self._buffer + heard).split(b"\n")
        for line in lines:
            self._end(float(json.loads(line)["stop"]))


def send(control: socket.socket, message: dict[str, Any]) -> None:
    """Tell pinchpoint; when it is gone nobody needs to know."""
    try:
        control.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return


def receive_spec(control: socket.socket) -> dict[str, Any] | None:
    """Read the first line; None when pinchpoint died first."""
    text = b""
    while not text.endswith(b"\n"):
        try:
            heard = control.recv(65536)
        except ConnectionError:
            return None
        if not heard:
            return None
        text += heard
    spec: dict[str, Any] = json.loads(text)
    return spec


def main(fd: int) -> None:
    """Serve one command."""
    parent = os.getppid()
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    spec = receive_spec(control)
    if spec is None:
        return
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        pid = spawn(spec)
    except RefusedError as error:
        send(control, {"step": error.args[0], "errno": error.args[1]})
        return
    send(control, {"pid": pid})
    Guard(control, pid, parent, lingers=spec.get("lingers", False)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
