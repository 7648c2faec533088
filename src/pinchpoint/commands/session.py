"""The processes and files of one live run, and the promise that none of them outlives it."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pinchpoint.commands import inside, scratch
from pinchpoint.commands.afar import Afar
from pinchpoint.commands.attach import MISSING, PAGES_FOUND, Attached, attach
from pinchpoint.commands.boot import wait_attached, wait_ready
from pinchpoint.commands.config import HOST, RunConfig
from pinchpoint.commands.load_workers import Recruit, drifted, enlist
from pinchpoint.commands.target import TargetPlan, plan_target
from pinchpoint.diagnosis.resource_gates import split_told
from pinchpoint.errors import MeasurementError, TargetError
from pinchpoint.monitoring.awaits import AwaitRecorder
from pinchpoint.monitoring.exporter import Exporter, Source
from pinchpoint.monitoring.listeners import find_listener
from pinchpoint.monitoring.pages import PageReader
from pinchpoint.monitoring.sampler import Sampler
from pinchpoint.processes import Child, Command, start
from pinchpoint.recording import AWAITS_FILE, EVENTS_FILE, SERVER_FILE, LineWriter
from pinchpoint.rows import SampleRow
from pinchpoint.stress.generator import Generator, GeneratorSpec
from pinchpoint.stress.remote import RemoteWorker

if TYPE_CHECKING:
    from pinchpoint.commands.describe import Description
    from pinchpoint.monitoring.remote import RemoteSampler

STOP_GRACE_S = 3.0
FULL_DISK_BYTES = 65_536
"""Less than a line of the recording or a log may need at once."""
PROBE_PATIENCE_S = 2.0
"""Of load, after which a process that has the probe has a page."""


class Session:
    """Target, collector and load generator of one run; a context manager that stops them all on any way out."""

    def __init__(self, config: RunConfig, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.folder = folder
        self.clock = clock
        self.say: Callable[[str], None] = lambda _: None
        """Tells the user something at once; set by whoever watches."""
        self.notes: list[str] = []
        self.load_environ: dict[str, str] = {}
        """What the load processes find in their environment besides ours."""
        self.target: Child | Attached | Afar | None = None
        self.app: Description | None = None
        """The app's interpreter, as far as it was asked."""
        self.server: str | None = None
        """`gunicorn`, `uvicorn` and so on, as far as it is known."""
        self.sampler: Sampler | RemoteSampler | None = None
        self.generator: Generator | None = None
        self.recruits: list[Recruit] = []
        """Load workers of other hosts that have come; set by who waited for them."""
        self._awaits: AwaitRecorder | None = None
        self._metrics: Source | None = None
        self.workers_seen: int | None = None
        self._loaded_s: float | None = None
        self._probe_checked = False
        self._stack = contextlib.ExitStack()
        try:
            self._events = LineWriter(folder / EVENTS_FILE)
            self._stack.callback(self._events.close)
            self._probe_folder = self._temporary(scratch.probe_folder())
            reference = config.target is None and not config.command and not config.runs_already
            own = self._temporary(scratch.app_folder()) if reference else None
            self.plan: TargetPlan = plan_target(config, folder, self._probe_folder, own)
            if config.pid is not None:
                self.target = attach(config.pid, self.plan.base_url, find_listener)
            elif config.agent is not None:
                self.target = Afar(config, clock)
                self._stack.callback(self.target.close)
        except BaseException:
            self._stack.close()
            raise

    def _temporary(self, folder: Path) -> Path:
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def at_end(self, callback: Callable[[], object]) -> None:
        """Have something done when the session ends, before what was there first is stopped."""
        self._stack.callback(callback)

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
        for message in self.plan.notes:
            self.note(message)
        if isinstance(self.target, Afar):
            return self._start_afar(self.target, deadline_s)
        if isinstance(self.target, Attached):
            server: Child | Attached = self.target
            self.event("target-start", pid=self.target.root)
            self.note(MISSING if self.target.page_folder is None else PAGES_FOUND)
            seconds = wait_attached(self.plan.ready_url, self.target.alive, deadline_s)
        else:
            server = self.target = self._start(self.plan.command)
            seconds = self._await_ready(server, deadline_s)
        self.event("target-ready", seconds=seconds)
        self.app = self.plan.app or inside.ask_interpreter(server.roots, self.config, self.plan.env, self.folder)
        self.server = self.plan.server or inside.server_seen(server.roots)
        self._start_sampler(server)
        return seconds

    def _start_afar(self, target: Afar, deadline_s: float) -> float:
        """Wait until the server on another host answers, and have its agent collect."""
        self.event("target-start", machine=target.sampler.machine)
        seconds = wait_attached(self.plan.ready_url, target.alive, deadline_s)
        self.event("target-ready", seconds=seconds)
        awaits = LineWriter(self.folder / AWAITS_FILE)
        self._stack.callback(awaits.close)
        sink = self._sample_sink()
        self._stack.callback(target.close)  # before its files
        target.begin(self.plan.port, sink, awaits.write)
        self.sampler, self.app = target.sampler, target.app
        self.server = target.facts().get("server")
        for message in target.notes:
            self.note(message)
        self._tell_news(target)
        return seconds

    def _tell_news(self, target: Afar) -> None:
        for kind, data in target.news():
            if kind == "note":
                self.note(data["message"])
            else:
                self.event(kind, **data)

    @property
    def attached_pid(self) -> int | None:
        """Pid of a server that neither we nor an agent of ours started."""
        return self.target.attached if isinstance(self.target, Afar) else self.config.pid

    def _start(self, command: Command | None) -> Child:
        assert command is not None  # noqa: S101 - only a server that runs already has none
        child = start(command)
        self._stack.callback(child.stop, STOP_GRACE_S)
        self.event("target-start", pid=child.pid)
        return child

    def _await_ready(self, child: Child, deadline_s: float) -> float:
        try:
            seconds = wait_ready(self.plan.ready_url, child, deadline_s)
        except TargetError as error:
            if child.gone or child.returncode not in {None, 0}:
                raise
            way_out = "a longer --budget gives it more time to start, --ready PATH asks for another page"
            raise TargetError(f"{error}; {way_out}") from None
        if (stranger := inside.stranger(child.roots, self.plan.port, find_listener)) is not None:
            self.note(stranger)
        return seconds

    @property
    def page_folder(self) -> Path:
        """Where the probe's pages are."""
        if isinstance(self.target, Attached) and self.target.page_folder is not None:
            return self.target.page_folder
        return self._probe_folder

    def note(self, message: str) -> None:
        """Record a sentence and tell it to the user; once."""
        if message not in self.notes:
            self.notes.append(message)
            self.event("note", message=message)
            self.say(message)

    def _sample_sink(self) -> Callable[[SampleRow], None]:
        writer = LineWriter(self.folder / SERVER_FILE)
        self._stack.callback(writer.close)

        def sink(row: SampleRow) -> None:
            writer.write(row)
            if self._metrics is not None:
                self._metrics.observe(row)

        return sink

    def _start_sampler(self, target: Child | Attached) -> None:
        sink = self._sample_sink()
        reader = PageReader(self.page_folder)
        self._stack.callback(reader.close)
        # Pages are removed only where they are ours, and nobody else reads them.
        ours = isinstance(target, Child) and self.config.metrics_port is None
        self.sampler = Sampler(
            root_pids=target.roots or [target.pid],
            port=self.plan.port,
            pages=reader.read,
            tables=reader.tables,
            forget=reader.forget if ours else None,
            sink=sink,
        )
        self.sampler.start()
        self._stack.callback(self.sampler.stop)
        awaits = LineWriter(self.folder / AWAITS_FILE)
        self._stack.callback(awaits.close)
        self._awaits = AwaitRecorder(self.page_folder, awaits.write, clock=self.clock)
        self._awaits.start()
        self._stack.callback(self._awaits.stop)

    def serve_metrics(self) -> str | None:
        """Answer Prometheus from now on, where that was asked for; return the address.

        Raises:
            UsageError: the port is taken.

        """
        if self.config.metrics_port is None:
            return None
        self._metrics = Source(lambda: self.page_folder)
        exporter = Exporter(self._metrics.families, HOST, self.config.metrics_port)
        self._stack.callback(exporter.stop)
        exporter.start()
        return exporter.url

    def start_generator(self, deadline_s: float) -> None:
        """Start the load processes; returns once their first users have logged in.

        Raises:
            MeasurementError: they died or are not ready in time.

        """
        spec = generator_spec(self.config, self.plan.base_url, self.folder)
        self.generator = Generator(spec, spawn=start, environ={**os.environ, **self.load_environ})
        self._stack.callback(self.generator.stop)
        self.generator.start(deadline_s, lambda settings: enlist(self.recruits, spec, settings))
        if self.generator.lost:
            raise MeasurementError(self.generator.lost[0].message)
        self.event("load-ready", pids=self.generator.pids)
        self.tell_split(len(self.generator.workers), self.config.load_cpus, "as it was started")
        for worker in self._remote_workers(self.generator):
            offset = worker.offset
            data = {"process": worker.process, "name": worker.name}
            self.event("worker-joined", **data, offset_s=offset.seconds, offset_error_s=offset.error_s)
        self._loaded_s = self.clock()

    def tell_split(self, processes: int, load_cpus: frozenset[int] | None, reason: str) -> None:
        """Record how load and server share the machine from now on, and tell the user."""
        load, server = (None if cpus is None else sorted(cpus) for cpus in (load_cpus, self.config.server_cpus))
        remote = len(self._remote_workers(self.generator)) if self.generator is not None else 0
        data = {"processes": processes, "load_cpus": load, "server_cpus": server, "reason": reason}
        self.event("generator", **data, **({"remote": remote} if remote else {}))
        self.say(split_told(processes, load, server, remote))

    def check(self) -> None:
        """Raise when something the measurement rests on is gone.

        Raises:
            TargetError: the target exited.
            MeasurementError: the generator died, or the recording cannot be written.

        """
        if self.sampler is not None and self.sampler.error is not None:
            raise MeasurementError(str(self.sampler.error)) from self.sampler.error
        if self._awaits is not None and self._awaits.error is not None:
            raise MeasurementError(str(self._awaits.error)) from self._awaits.error
        if isinstance(self.target, Afar):
            self._tell_news(self.target)
        if self.generator is not None:
            self._check_generator(self.generator)
        self._check_target()
        self._check_probe()

    def _check_target(self) -> None:
        target = self.target
        if target is None or target.alive() or (target.returncode == 0 and not target.gone):
            return  # code 0 with something left: a command that put its server into the background
        code = target.returncode
        if isinstance(target, Attached):
            message = f"the server that was attached to (PID {target.root}) has exited"
        elif isinstance(target, Afar):
            message = target.message
        else:
            message = f"the target {ending(code)}; {_last_words(target.log_tail(1))}"
        self.event("target-exit", code=code, message=message)
        raise TargetError(message)

    def _check_probe(self) -> None:
        """After a while of load: count the workers, and say why none of them reports from inside, if none does."""
        row = self.sampler.latest if self.sampler is not None else None
        if row is None or self._loaded_s is None or self.clock() - self._loaded_s < PROBE_PATIENCE_S:
            return
        self.workers_seen = len(self.worker_pids) or self.workers_seen
        silent = not self._probe_checked and not any(one["probe"] for one in row["processes"])
        if silent and isinstance(self.target, Afar) and self.attached_pid is None:
            self.target.sampler.explain(self.worker_pids)
        elif silent and self.attached_pid is None:
            self.note(inside.why_no_page(self.worker_pids, self.target.roots if self.target is not None else []))
        self._probe_checked = True

    @staticmethod
    def _remote_workers(generator: Generator) -> list[RemoteWorker]:
        return [worker for worker in generator.workers if isinstance(worker, RemoteWorker)]

    def _check_generator(self, generator: Generator) -> None:
        """See that the load processes live; on a full disk they cannot even say why they died."""
        for worker in self._remote_workers(generator):
            if (message := drifted(worker)) is not None:
                self.note(message)
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
        requests=config.requests,
    )
