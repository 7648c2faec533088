"""Several hosts on one machine: a network namespace for each, a switch between them, and a clock and a name of its own.

Linux and root only; `why_not()` says what is missing. Nothing of the machine's own network is touched, so that any
address will do. What a killed test has left behind goes with the next one.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PREFIX = "pinchpoint-"
NETWORK = "10.77.0"
STOP_S = 10.0


@functools.cache
def why_not() -> str | None:
    """Return why there can be no hosts here; None when there can."""
    for tool in ("ip", "unshare", "hostname"):
        if shutil.which(tool) is None:
            return f"there is no `{tool}` here: apt-get install iproute2 util-linux hostname"
    name = f"{PREFIX}{os.getpid()}-try"
    made = _ip("netns", "add", name, check=False)
    if made.returncode != 0:
        return f"network namespaces are not permitted here ({made.stderr.strip()}): run as root, with CAP_SYS_ADMIN"
    try:
        clock = ("ip", "netns", "exec", name, "unshare", "--uts", "--time", "--monotonic", "1", "--fork", "true")
        tried = subprocess.run(clock, capture_output=True, text=True, check=False)
        return f"clocks of their own are not permitted here: {tried.stderr.strip()}" if tried.returncode else None
    finally:
        _ip("netns", "del", name)


@dataclass
class Host:
    """One host: what is started on it lives in its network, by its clock, under its name."""

    name: str
    address: str
    namespace: str
    ahead_s: int
    """How far its monotonic clock is ahead of the machine's."""
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *argv: str, log: Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> "Started":
        """Start a command, its output appended to `log`."""
        command = [
            *("ip", "netns", "exec", self.namespace),
            *("unshare", "--uts", "--time", "--monotonic", str(self.ahead_s), "--fork", "--kill-child"),
            *("sh", "-c", 'hostname "$0" && exec "$@"', self.name, *argv),
        ]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env={**os.environ, **(env or {})},
            )
        self._started.append(process)
        return Started(process, log)

    def unplug(self) -> None:
        """Pull the cable: nothing gets in or out, and nobody is told."""
        _ip("-n", self.namespace, "link", "set", "eth0", "down")

    def stop(self) -> None:
        """Kill all that was started on it."""
        for process in self._started:
            process.kill()
            process.wait()
        for pid in _ip("netns", "pids", self.namespace, check=False).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@dataclass
class Started:
    """A command on a host."""

    wrapper: subprocess.Popen[bytes]
    log: Path

    @property
    def inner(self) -> psutil.Process | None:
        """The command itself; None once it has ended, or has not begun."""
        try:
            return next(iter(psutil.Process(self.wrapper.pid).children()), None)
        except psutil.NoSuchProcess:
            return None

    def send(self, number: signal.Signals) -> None:
        """Signal the command, not what wraps it."""
        inner = self.inner
        if inner is not None:
            inner.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end; return the exit code."""
        return self.wrapper.wait(timeout_s)

    def said(self) -> str:
        """Return its output so far."""
        return self.log.read_text(errors="replace")


@contextmanager
def hosts(clocks: dict[str, int]) -> Iterator[dict[str, Host]]:
    """Make hosts of these names, whose clocks are so many seconds ahead, on one network; remove them on any way out."""
    _remove_stale()
    with ExitStack() as stack:
        switch = _namespace("switch", stack)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        made = {}
        for number, (name, ahead_s) in enumerate(clocks.items(), start=1):
            made[name] = _host(name, number, ahead_s, switch, stack)
        yield made


def _host(name: str, number: int, ahead_s: int, switch: str, stack: ExitStack) -> Host:
    host = Host(name, f"{NETWORK}.{number}", _namespace(name, stack), ahead_s)
    stack.callback(host.stop)
    port = f"port{number}"
    _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
    _ip("-n", switch, "link", "set", port, "master", "br0", "up")
    _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
    for link in ("lo", "eth0"):
        _ip("-n", host.namespace, "link", "set", link, "up")
    return host


def _namespace(name: str, stack: ExitStack) -> str:
    namespace = f"{PREFIX}{os.getpid()}-{name}"
    _ip("netns", "add", namespace)
    stack.callback(_ip, "netns", "del", namespace)
    return namespace


def _remove_stale() -> None:
    """Remove what tests that are gone have left, and the processes in it."""
    for line in _ip("netns", "list").stdout.splitlines():
        name = line.split()[0]
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and pid.isdigit() and not psutil.pid_exists(int(pid)):
            Host("", "", name, 0).stop()
            _ip("netns", "del", name)


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return _run(("ip", *words), check=check)


def _run(words: Sequence[str], *, check: bool) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=check)
