"""The processes and files of one live run, and the promise that none of them outlives it."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.target import HOST, TargetPlan, plan_target
from pinchpoint.errors import MeasurementError, TargetError
from pinchpoint.monitoring.exporter import Exporter, Source
from pinchpoint.monitoring.pages import PageReader
from pinchpoint.monitoring.sampler import Sampler
from pinchpoint.processes import Child, start, wait_http_ready
from pinchpoint.recording import EVENTS_FILE, SERVER_FILE, LineWriter
from pinchpoint.rows import SampleRow
from pinchpoint.stress.generator import Generator, GeneratorSpec

STOP_GRACE_S = 3.0
FULL_DISK_BYTES = 65_536
"""Less than a line of the recording or a log may need at once."""
PROBE_FOLDER_PREFIX = "pinchpoint-probe-"


class Session:
    """Target, collector and load generator of one run; a context manager that stops them all on any way out."""

    def __init__(self, config: RunConfig, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.folder = folder
        self.clock = clock
        self._stack = contextlib.ExitStack()
        self._events = LineWriter(folder / EVENTS_FILE)
        self._stack.callback(self._events.close)
        self._probe_folder = _probe_folder()
        self._stack.callback(shutil.rmtree, self._probe_folder, ignore_errors=True)
        self.plan: TargetPlan = plan_target(config, folder, self._probe_folder)
        self.target: Child | None = None
        self.sampler: Sampler | None = None
        self.generator: Generator | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def event(self, kind: str, **data: Any) -> None:
        """Append one event to the recording."""
        self._events.write({"kind": kind, "t_s": self.clock(), "data": data})

    def start_target(self, deadline_s: float) -> float:
        """Start the target and the collector, and wait until it answers.

        Returns:
            Seconds it took.

        Raises:
            TargetError: it exited, or did not answer in time.

        """
        self.target = start(self.plan.command)
        self._stack.callback(self.target.stop, STOP_GRACE_S)
        self.event("target-start", pid=self.target.pid)
        try:
            seconds = wait_http_ready(self.plan.ready_url, self.target, deadline_s)
        except TargetError as error:
            if not self.target.alive():
                raise
            way_out = "a longer --budget gives it more time to start, --ready PATH asks for another page"
            raise TargetError(f"{error}; {way_out}") from None
        self.event("target-ready", seconds=seconds)
        self._start_sampler()
        return seconds

    def _start_sampler(self) -> None:
        assert self.target is not None  # noqa: S101 - start_target sets it
        writer = LineWriter(self.folder / SERVER_FILE)
        self._stack.callback(writer.close)

        def sink(row: SampleRow) -> None:
            writer.write(row)

        reader = PageReader(self._probe_folder)
        self.sampler = Sampler(root_pid=self.target.pid, port=self.plan.port, pages=reader.read, sink=sink)
        self.sampler.start()
        self._stack.callback(self.sampler.stop)

    def serve_metrics(self) -> str | None:
        """Answer Prometheus from now on, where that was asked for; return the address.

        Raises:
            UsageError: the port is taken.

        """
        if self.config.metrics_port is None:
            return None
        source = Source(self._probe_folder, lambda: row_of(self.sampler))
        exporter = Exporter(source.families, HOST, self.config.metrics_port)
        self._stack.callback(exporter.stop)
        exporter.start()
        return exporter.url

    def start_generator(self, deadline_s: float) -> None:
        """Start the load processes; returns once their first users have logged in.

        Raises:
            MeasurementError: they died or are not ready in time.

        """
        spec = generator_spec(self.config, self.plan.base_url, self.folder)
        self.generator = Generator(spec, spawn=start)
        self._stack.callback(self.generator.stop)
        self.generator.start(deadline_s)
        self.event("load-ready", pids=self.generator.pids)

    def check(self) -> None:
        """Raise when something the measurement rests on is gone.

        Raises:
            TargetError: the target exited.
            MeasurementError: the generator died, or the recording cannot be written.

        """
        if self.sampler is not None and self.sampler.error is not None:
            raise MeasurementError(str(self.sampler.error)) from self.sampler.error
        if self.generator is not None:
            self._check_generator(self.generator)
        if self.target is not None and not self.target.alive():
            code = self.target.returncode
            message = f"the target {ending(code)}; {_last_words(self.target.log_tail(1))}"
            self.event("target-exit", code=code, message=message)
            raise TargetError(message)

    def _check_generator(self, generator: Generator) -> None:
        """See that the load processes live; on a full disk they cannot even say why they died."""
        try:
            generator.check()
        except MeasurementError as error:
            if shutil.disk_usage(self.folder).free < FULL_DISK_BYTES:
                message = f"cannot write {self.folder}: the disk is full; free some space or choose another with --out"
                raise MeasurementError(message) from error
            raise

    @property
    def worker_pids(self) -> list[int]:
        """Pids of the target's workers, as the collector saw them last."""
        row = self.sampler.latest if self.sampler is not None else None
        return [process["pid"] for process in row["processes"] if process["role"] == "worker"] if row else []


def row_of(sampler: Sampler | None) -> list[SampleRow]:
    """Return the collector's newest row, if there is one."""
    row = sampler.latest if sampler is not None else None
    return [row] if row is not None else []


def ending(code: int | None) -> str:
    """Say how a process ended: its exit code, or the signal that killed it."""
    if code is None or code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _last_words(line: str) -> str:
    return f"its last words: {line.strip()}" if line.strip() else "it said nothing"


def generator_spec(config: RunConfig, host: str, folder: Path) -> GeneratorSpec:
    """Say which load a configuration asks for."""
    return GeneratorSpec(
        host=host,
        folder=folder,
        scenario=config.scenario,
        locustfile=config.locustfile,
        get_paths=config.get_paths,
        processes=config.processes,
        max_users=config.max_users,
        cpus=config.load_cpus,
        seed=config.seed,
    )


def _probe_folder() -> Path:
    """Make a folder for the probe pages, in memory where the system has a place for that."""
    shared = Path("/dev/shm")  # noqa: S108 - the name is made by mkdtemp
    parent = shared if shared.is_dir() else Path(tempfile.gettempdir())
    _remove_stale(parent)
    return Path(tempfile.mkdtemp(prefix=f"{PROBE_FOLDER_PREFIX}{os.getpid()}-", dir=parent))


def _remove_stale(parent: Path) -> None:
    """Remove what runs killed with -9 left behind: folders named after a pid that is gone."""
    for folder in parent.glob(f"{PROBE_FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(PROBE_FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
