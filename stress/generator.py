"""The engine's handle on the load processes. Imports no Locust: the processes do (see `plugin`)."""

import ast
import json
import os
import re
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, Self

from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.measures import Model
from pinchpoint.processes import Command
from pinchpoint.recording import LineTail
from pinchpoint.rows import DigestRow
from pinchpoint.stress.arrivals import Spacing, share, share_users
from pinchpoint.stress.control import FD_VARIABLE, SETTINGS_VARIABLE, Lines, Segment, Settings, pack
from pinchpoint.stress.scenarios import PATHS_FILE, PATHS_VARIABLE, SCENARIOS

PLUGIN = "pinchpoint.stress.plugin"
DEFAULT_SCENARIO = "items"
DEFAULT_MAX_USERS = 128
START_USERS = 16
ANSWER_S = 5.0
"""A load process that does not take a command for this long hangs."""

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


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """Which load, from how many processes. One of `get_paths`, `locustfile` and `scenario` counts, in that order.

    Attributes:
        host: base URL of the target.
        folder: the run folder; digests go to `client-<process>.jsonl`, output to `generator-<process>.log`.
        scenario: name of a bundled scenario.
        locustfile: any Locust file, run unchanged.
        get_paths: paths to GET in turn.
        processes: load processes; the rate is split exactly over them.
        max_users: most users of all processes together in the rate model.
        cpus: CPUs the load processes may run on.
        timeout_s: of a request, where the Locust file sets none.
        seed: of the arrival times.

    """

    host: str
    folder: Path
    scenario: str | None = None
    locustfile: Path | None = None
    get_paths: tuple[str, ...] = ()
    processes: int = 1
    max_users: int = DEFAULT_MAX_USERS
    cpus: frozenset[int] | None = None
    timeout_s: float = 10.0
    seed: int = 1

    def check(self) -> Path:
        """Return the Locust file to run.

        Raises:
            UsageError: there is no such scenario or file, it is not Python, or a number makes no sense.

        """
        if self.processes < 1 or self.max_users < self.processes:
            raise UsageError(
                f"{self.max_users} users cannot be split over {self.processes} load processes; use at least 1 each"
            )
        if self.get_paths:
            wrong = [path for path in self.get_paths if not path.startswith("/")]
            if wrong:
                raise UsageError(f"--get needs a path that starts with /, not '{wrong[0]}'")
            return PATHS_FILE
        if self.locustfile is not None:
            return _checked_file(self.locustfile)
        name = self.scenario or DEFAULT_SCENARIO
        if name not in SCENARIOS:
            raise UsageError(f"there is no scenario '{name}'; choose one of: {', '.join(sorted(SCENARIOS))}")
        return SCENARIOS[name].path


def _checked_file(path: Path) -> Path:
    """Refuse, before anything starts, what Locust would refuse later."""
    if not path.is_file():
        raise UsageError(f"there is no Locust file {path}; give its path with -f")
    try:
        ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"the Locust file {path} is not valid Python: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read the Locust file {path}: {error.strerror}") from error
    return path.resolve()


@dataclass(slots=True)
class _Process:
    """One load process and what it said."""

    child: Child
    channel: socket.socket
    tail: LineTail
    lines: Lines = field(default_factory=Lines)
    ready: bool = False
    closed: bool = False
    segment: int = 0
    started_s: float = 0.0
    drained: int = 0
    users: int = 0
    redials: int = 0
    error: str = ""


class Generator:
    """Starts the load processes, tells them what to offer, and reads what they saw."""

    def __init__(
        self,
        spec: GeneratorSpec,
        spawn: Callable[[Command], Child],
        clock: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Check the settings; nothing is started yet.

        Raises:
            UsageError: see `GeneratorSpec.check`.

        """
        self._spec = spec
        self._file = spec.check()
        self._spawn = spawn
        self._clock = clock
        self._environ = environ
        self._processes: list[_Process] = []
        self._last_id = 0

    def __enter__(self) -> Self:
        """Use as a context manager to stop the processes whatever happens."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the processes."""
        self.stop()

    @property
    def pids(self) -> list[int]:
        """Process ids, one per load process."""
        return [process.child.pid for process in self._processes]

    def alive(self) -> bool:
        """Tell whether all load processes run."""
        return bool(self._processes) and all(process.child.alive() for process in self._processes)

    def start(self, deadline_s: float = 30.0) -> None:
        """Start the processes and wait until their first users have logged in.

        Args:
            deadline_s: how long that may take, in seconds.

        Raises:
            MeasurementError: a process died or was not ready in time; with the reason.

        """
        for index in range(self._spec.processes):
            self._processes.append(self._start_one(index))
        self._await(lambda process: process.ready, deadline_s, "its first users did not get through on_start")

    def segment(
        self,
        model: Model,
        duration_s: float,
        *,
        rate_rps: float = 0.0,
        end_rate_rps: float | None = None,
        users: int = 0,
        spacing: Spacing = "poisson",
    ) -> tuple[int, float]:
        """Put a load level in force at once, for `duration_s` seconds; the processes idle after that.

        Args:
            model: `rate` (open: arrivals per second) or `users` (closed).
            duration_s: seconds.
            rate_rps: arrivals per second at the start, all processes together.
            end_rate_rps: at the end, for a straight line; None for a constant rate.
            users: population, all processes together.
            spacing: of the arrivals.

        Returns:
            The segment's id, as in the digest rows, and when it took force (monotonic seconds, the last process).

        Raises:
            MeasurementError: a process is dead or hangs.

        """
        self._last_id += 1
        parts = len(self._processes)
        for part, process in enumerate(self._processes):
            segment = Segment(
                id=self._last_id,
                model=model,
                duration_s=duration_s,
                rate_rps=share(rate_rps, part, parts),
                end_rate_rps=None if end_rate_rps is None else share(end_rate_rps, part, parts),
                users=share_users(users, part, parts),
                spacing=spacing,
            )
            self._send(process, segment.message())
        self._await(lambda process: process.segment == self._last_id, ANSWER_S, "it did not take a command")
        return self._last_id, max(process.started_s for process in self._processes)

    def idle(self) -> None:
        """Offer nothing more; requests in flight finish."""
        self._last_id += 1
        for process in self._processes:
            self._send(process, {"cmd": "idle", "id": self._last_id})

    def wait_drained(self, timeout_s: float) -> bool:
        """After `idle`: wait until nothing is in flight; False when something still is after `timeout_s`.

        Raises:
            MeasurementError: a process died.

        """
        deadline_s = self._clock() + timeout_s
        while not all(process.drained == self._last_id for process in self._processes):
            if self._clock() >= deadline_s:
                return False
            self._listen(min(0.1, max(0.0, deadline_s - self._clock())))
            self.check()
        return True

    def rows(self) -> list[DigestRow]:
        """Return the digest rows written since the last call, by time.

        Raises:
            MeasurementError: a process died.

        """
        self._listen(0.0)
        rows: list[Any] = [row for process in self._processes for row in process.tail.poll()]
        self.check()
        return sorted(rows, key=lambda row: float(row["t0_s"]))

    @property
    def users(self) -> int:
        """Users the processes run, as last told; at most a second old."""
        return sum(process.users for process in self._processes)

    @property
    def redials(self) -> int:
        """How often users dialled anew, so that no worker keeps all connections (METHOD §5.5); as of the last drain."""
        return sum(process.redials for process in self._processes)

    def check(self) -> None:
        """See that all processes live.

        Raises:
            MeasurementError: one does not, with the reason.

        """
        for index, process in enumerate(self._processes):
            if process.error or process.closed or not process.child.alive():
                self._fail(index, "it ended")

    def stop(self, patience_s: float = 5.0) -> None:
        """End the processes; harmless when they have ended."""
        for process in self._processes:
            try:
                process.channel.sendall(pack({"cmd": "stop"}))
            except OSError:
                continue
        deadline_s = self._clock() + patience_s
        for process in self._processes:
            while not process.closed and process.child.alive() and self._clock() < deadline_s:
                self._listen(min(0.1, patience_s))
            process.channel.close()
            process.child.stop()

    def _start_one(self, index: int) -> _Process:
        folder, parts = self._spec.folder, self._spec.processes
        settings = Settings(
            folder=str(folder.resolve()),
            process=index,
            processes=parts,
            start_users=max(1, START_USERS // parts),
            max_users=share_users(self._spec.max_users, index, parts),
            timeout_s=self._spec.timeout_s,
            seed=self._spec.seed,
        )
        ours, theirs = socket.socketpair()
        env = dict(self._environ)
        env[FD_VARIABLE] = str(theirs.fileno())
        env[SETTINGS_VARIABLE] = settings.to_json()
        env[PATHS_VARIABLE] = json.dumps(self._spec.get_paths)
        command = Command(
            name=f"load generator {index}",
            argv=(sys.executable, "-P", "-m", PLUGIN, "-f", str(self._file), "--host", self._spec.host),
            log=folder / f"generator-{index}.log",
            env=env,
            cpus=self._spec.cpus,
            pass_fds=(theirs.fileno(),),
        )
        try:
            child = self._spawn(command)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Process(child=child, channel=ours, tail=LineTail(folder / f"client-{index}.jsonl"))

    def _await(self, done: Callable[[_Process], bool], timeout_s: float, complaint: str) -> None:
        deadline_s = self._clock() + timeout_s
        while not all(done(process) for process in self._processes):
            self._listen(0.1)
            self.check()
            late = [index for index, process in enumerate(self._processes) if not done(process)]
            if late and self._clock() >= deadline_s:
                self._fail(late[0], f"{complaint} within {timeout_s:g} s")

    def _send(self, process: _Process, message: dict[str, Any]) -> None:
        try:
            process.channel.sendall(pack(message))
        except OSError:
            process.closed = True
            self.check()

    def _listen(self, timeout_s: float) -> None:
        """Take in what the processes said, waiting up to `timeout_s` for the first word."""
        open_channels = {process.channel: process for process in self._processes if not process.closed}
        readable, _, _ = select.select(list(open_channels), [], [], timeout_s)
        for channel in readable:
            process = open_channels[channel]
            try:
                data = channel.recv(65_536)
            except OSError:
                data = b""
            process.closed = not data
            for message in process.lines.feed(data):
                _take_in(process, message)

    def _fail(self, index: int, complaint: str) -> NoReturn:
        process = self._processes[index]
        reason = process.error or _last_line(process.child.log_tail(REASON_LINES)) or "it printed nothing"
        raise MeasurementError(f"load generator {index} failed, {complaint}: {reason}; see generator-{index}.log")


def _take_in(process: _Process, message: dict[str, Any]) -> None:
    match message["event"]:
        case "ready":
            process.ready = True
        case "segment":
            process.segment = message["id"]
            process.started_s = message["t_s"]
        case "drained":
            process.drained = message["id"]
            process.redials = message["redials"]
        case "users":
            process.users = message["count"]
        case "error":
            process.error = message["message"]


def _last_line(text: str) -> str:
    lines = [_LOG_PREFIX.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
