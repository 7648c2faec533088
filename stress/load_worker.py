"""The engine's handle on one load process: what every kind offers, and the kind that runs on this machine."""

import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from pinchpoint.processes import Command
from pinchpoint.recording import LineTail
from pinchpoint.rows import DigestRow
from pinchpoint.stress.control import FD_VARIABLE, SETTINGS_VARIABLE, Lines, Settings, pack
from pinchpoint.stress.load_spec import GeneratorSpec
from pinchpoint.stress.scenarios import PATHS_VARIABLE

PLUGIN = "pinchpoint.stress.plugin"
REASON_LINES = 20
_LOG_PREFIX = re.compile(r"^\[[^\]]*\] \S+/[A-Z]+/[\w.]+: ")
"""Time, machine and logger of a line of Locust's log."""


class Child(Protocol):
    """What `spawn` returns: `processes.Child`, or a fake."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs."""

    def alive(self) -> bool:
        """Tell whether it runs."""

    def stop(self, grace_s: float = 5.0) -> int | None:
        """End it."""

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines it printed."""


class LoadWorker(Protocol):
    """One load process, here or on another machine. Nothing waits, but for `stop`; no method raises when it is gone."""

    @property
    def process(self) -> int:
        """Its number, its own for the whole run, as in its digest rows."""

    @property
    def name(self) -> str:
        """What messages call it: `load generator 0`, `load worker 2 on HOST`."""

    @property
    def remote(self) -> bool:
        """True when it runs on another machine: losing it voids a step, not the run."""

    @property
    def pid(self) -> int | None:
        """Its process, when it runs on this machine."""

    @property
    def delay_s(self) -> float:
        """Seconds that a message may take to it."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `take` has something to return; -1 when it is closed."""

    def send(self, message: dict[str, Any]) -> None:
        """Tell it something: the messages of `control`. When it is gone, `alive` says so from then on."""

    def take(self) -> list[dict[str, Any]]:
        """Return what it said since the last call; a `t_s` in it is in our clock."""

    def rows(self) -> list[DigestRow]:
        """Return the digest rows it wrote since the last call, times in our clock."""

    def alive(self) -> bool:
        """Tell whether it runs and listens."""

    def why(self) -> str:
        """Return its last words, and where there are more."""

    def stop(self) -> None:
        """End it and let go of it; harmless when it has ended."""

    def to_theirs(self, t_s: float) -> float:
        """Translate an instant of our monotonic clock to its clock."""


class LocalWorker:
    """A load process on this machine, over a socket pair; its rows come from the file it writes."""

    remote = False
    delay_s = 0.0

    def __init__(self, process: int, child: Child, channel: socket.socket, folder: Path) -> None:
        """Made by `start_local`."""
        self.process = process
        self.name = f"load generator {process}"
        self.pid: int | None = child.pid
        self._child = child
        self._channel = channel
        self._tail = LineTail(folder / f"client-{process}.jsonl")
        self._log = f"generator-{process}.log"
        self._lines = Lines()
        self._closed = False

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 when it is closed."""
        return -1 if self._closed else self._channel.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Tell it something."""
        try:
            self._channel.sendall(pack(message))
        except OSError:
            self.close()

    def take(self) -> list[dict[str, Any]]:
        """Return what it said since the last call."""
        heard: list[dict[str, Any]] = []
        while not self._closed:
            try:
                data = self._channel.recv(65_536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.close()
            heard += self._lines.feed(data)
        return heard

    def rows(self) -> list[DigestRow]:
        """Return the digest rows it wrote since the last call."""
        return cast("list[DigestRow]", self._tail.poll())

    def alive(self) -> bool:
        """Tell whether it runs and listens."""
        return self._child.alive() and not self._closed

    def why(self) -> str:
        """Return the last line it printed, and where the others are."""
        return f"{_last_line(self._child.log_tail(REASON_LINES)) or 'it printed nothing'}; see {self._log}"

    def close(self) -> None:
        """Hang up: it ends by itself then."""
        self._closed = True
        self._channel.close()

    def stop(self) -> None:
        """End it."""
        self.close()
        self._child.stop()

    def to_theirs(self, t_s: float) -> float:
        """Return the same instant: one machine has one monotonic clock."""
        return t_s

    def pin(self, cpus: Iterable[int]) -> None:
        """Let all its threads run on these CPUs only."""
        wanted = sorted(cpus)
        try:
            threads = [int(entry.name) for entry in Path(f"/proc/{self.pid}/task").iterdir()]
        except OSError:
            threads = [self.pid] if self.pid is not None else []
        for thread in threads:
            try:
                os.sched_setaffinity(thread, wanted)
            except OSError:  # it has just ended
                continue


def start_local(
    spec: GeneratorSpec,
    file: Path,
    settings: Settings,
    spawn: Callable[[Command], Child],
    environ: Mapping[str, str],
    cpus: frozenset[int] | None,
) -> LocalWorker:
    """Start a load process on this machine; it says `ready` once its first users have logged in.

    Raises:
        MeasurementError: it cannot be started.

    """
    ours, theirs = socket.socketpair()
    env = dict(environ)
    env[FD_VARIABLE] = str(theirs.fileno())
    env[SETTINGS_VARIABLE] = settings.to_json()
    env[PATHS_VARIABLE] = json.dumps(spec.get_paths)
    command = Command(
        name=f"load generator {settings.process}",
        argv=(sys.executable, "-P", "-m", PLUGIN, "-f", str(file), "--host", spec.host),
        log=spec.folder / f"generator-{settings.process}.log",
        env=env,
        cpus=cpus,
        pass_fds=(theirs.fileno(),),
    )
    try:
        child = spawn(command)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return LocalWorker(settings.process, child, ours, spec.folder)


def _last_line(text: str) -> str:
    lines = [_LOG_PREFIX.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
