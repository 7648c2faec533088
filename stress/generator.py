"""The engine's handle on all load workers. Imports no Locust: the processes do (see `plugin`)."""

import os
import select
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

from pinchpoint.errors import MeasurementError
from pinchpoint.measures import Model
from pinchpoint.processes import Command
from pinchpoint.rows import DigestRow
from pinchpoint.stress.arrivals import Spacing, share_users
from pinchpoint.stress.control import Segment, Settings
from pinchpoint.stress.load_spec import DEFAULT_SCENARIO, GeneratorSpec
from pinchpoint.stress.load_worker import Child, LoadWorker, LocalWorker, start_local

__all__ = ["DEFAULT_SCENARIO", "Child", "Generator", "GeneratorSpec", "Loss"]

START_USERS = 16
ANSWER_S = 5.0
"""A load process that does not take a command for this long hangs."""

LEAD_S = 0.05
"""A load level starts this much later than it is announced, so that all workers start it at the same instant."""

START_S = 30.0


@dataclass(frozen=True, slots=True)
class Loss:
    """A remote worker that was lost.

    Attributes:
        process: its number, as in its rows.
        name: its name.
        message: what happened, one sentence.
        segment: load level that was in force; 0 before the first.

    """

    process: int
    name: str
    message: str
    segment: int


@dataclass(slots=True, eq=False)
class _Part:
    """One worker and what it said."""

    worker: LoadWorker
    ready: bool = False
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
        self._cpus = spec.cpus
        self._all: list[_Part] = []
        self._on_duty: list[_Part] = []
        self._idled: list[_Part] = []
        self._processes = 0
        self._last_id = 0
        self.lost: list[Loss] = []
        """Remote workers lost so far, oldest first."""

    def __enter__(self) -> Self:
        """Use as a context manager to stop the processes whatever happens."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the processes."""
        self.stop()

    @property
    def workers(self) -> list[LoadWorker]:
        """The workers that there are, those included that are not ready yet."""
        return [part.worker for part in self._all]

    @property
    def pids(self) -> list[int]:
        """Process ids of the load processes on this machine."""
        return [part.worker.pid for part in self._all if part.worker.pid is not None]

    @property
    def parts(self) -> int:
        """Workers that the load is split over: those of the last segment, before any segment those that are ready."""
        return len(self._on_duty if self._last_id else [part for part in self._all if part.ready])

    def alive(self) -> bool:
        """Tell whether all workers run."""
        return bool(self._all) and all(part.worker.alive() for part in self._all)

    def start(
        self,
        deadline_s: float = START_S,
        remote: Callable[[Callable[[], Settings]], Iterable[LoadWorker]] = lambda _: (),
    ) -> None:
        """Start the processes and wait until the first users of all workers have logged in.

        Args:
            deadline_s: how long that may take, in seconds.
            remote: given `next_settings`, returns the workers of other machines, which start at the same time.

        Raises:
            MeasurementError: a process died or was not ready in time, with the reason; or there is no worker at all.

        """
        for _ in range(self._spec.processes):
            self._start_one(self._cpus)
        for worker in remote(self.next_settings):
            self.add(worker)
        self._await_ready(deadline_s)

    def next_settings(self) -> Settings:
        """Return the settings of the next worker, its number included; `folder` is ours.

        Numbers are never used again, so each worker has a file and a seed of its own.
        """
        process = self._processes
        self._processes += 1
        first = max(1, START_USERS // max(1, self._spec.processes))
        return Settings(
            folder=str(self._spec.folder.resolve()),
            process=process,
            start_users=first,
            max_users=max(1, share_users(self._spec.max_users, 0, max(1, self._spec.processes))),
            timeout_s=self._spec.timeout_s,
            seed=self._spec.seed,
            requests=self._spec.requests,
        )

    def add(self, worker: LoadWorker) -> None:
        """Take in a worker that was started elsewhere; it has its share of every load level after it says `ready`."""
        self._all.append(_Part(worker))

    def grow(self, cpus: Iterable[int] | None = None, deadline_s: float = START_S) -> None:
        """Start one more process on this machine, and wait until its first users have logged in.

        Args:
            cpus: where it may run; None: where the others may.
            deadline_s: how long that may take, in seconds.

        Raises:
            MeasurementError: it died or was not ready in time.

        """
        self._start_one(self._cpus if cpus is None else frozenset(cpus))
        self._await_ready(deadline_s)

    def pin(self, cpus: Iterable[int]) -> None:
        """Let the load processes of this machine, and those to come, run on these CPUs only."""
        self._cpus = frozenset(cpus)
        for part in self._all:
            if isinstance(part.worker, LocalWorker):
                part.worker.pin(self._cpus)

    def segment(
        self,
        model: Model,
        duration_s: float,
        *,
        rate_rps: float = 0.0,
        end_rate_rps: float | None = None,
        users: int = 0,
        spacing: Spacing = "poisson",
        curve: Sequence[Sequence[Any]] | None = None,
        at_s: float | None = None,
    ) -> tuple[int, float]:
        """Put a load level in force for `duration_s` seconds, from the same instant on all workers; they idle after it.

        Args:
            model: `rate` (open: arrivals per second) or `users` (closed).
            duration_s: seconds.
            rate_rps: arrivals per second at the start, all workers together.
            end_rate_rps: at the end, for a straight line; None for a constant rate.
            users: population, all workers together.
            spacing: of the arrivals.
            curve: pieces of the rate over time (see `curves`), in place of a constant rate or a line.
            at_s: when it takes force (monotonic seconds); None: in a moment. What is in force until then stays.

        Returns:
            The segment's id, as in the digest rows, and when it takes force (monotonic seconds, the last worker).

        Raises:
            MeasurementError: a process is dead or hangs.

        """
        self._listen(0.0)
        self.check()
        self._last_id += 1
        self._on_duty = [part for part in self._all if part.ready]
        pieces = None if curve is None else [list(piece) for piece in curve]
        whole = Segment(self._last_id, model, duration_s, rate_rps, end_rate_rps, users, spacing, pieces)
        self._share_out(whole, at_s)
        self._await(lambda part: part.segment == whole.id, ANSWER_S, "it did not take a command")
        return whole.id, max(part.started_s for part in self._on_duty)

    def _share_out(self, whole: Segment, at_s: float | None) -> None:
        """Send each worker on duty its share of a load level, for all of them to start at the same instant."""
        delay_s = max((part.worker.delay_s for part in self._on_duty), default=0.0)
        start_s = self._clock() + LEAD_S + delay_s if at_s is None else at_s
        parts = len(self._on_duty)
        for index, part in enumerate(list(self._on_duty)):
            share = replace(
                whole,
                users=share_users(whole.users, index, parts),
                part=index,
                parts=parts,
                max_users=max(1, share_users(self._spec.max_users, index, parts)),
                at_s=part.worker.to_theirs(start_s),
            )
            part.worker.send(share.message())

    def idle(self) -> None:
        """Offer nothing more; requests in flight finish."""
        self._last_id += 1
        self._idled = [part for part in self._all if part.ready]
        for part in self._idled:
            part.worker.send({"cmd": "idle", "id": self._last_id})

    def wait_drained(self, timeout_s: float) -> bool:
        """After `idle`: wait until nothing is in flight; False when something still is after `timeout_s`.

        Raises:
            MeasurementError: a process died.

        """
        deadline_s = self._clock() + timeout_s
        while not all(part.drained == self._last_id for part in self._idled if part in self._all):
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
        rows = [row for part in self._all for row in part.worker.rows()]
        self.check()
        return sorted(rows, key=lambda row: float(row["t0_s"]))

    @property
    def users(self) -> int:
        """Users the workers run, as last told; at most a second old."""
        return sum(part.users for part in self._all)

    @property
    def redials(self) -> int:
        """How often users dialled anew, so that no worker keeps all connections (METHOD §5.5); as of the last drain."""
        return sum(part.redials for part in self._all)

    def check(self) -> None:
        """See that all workers live; a remote one that does not is taken off the list and entered in `lost`.

        Raises:
            MeasurementError: a process of this machine does not, or no worker is left; with the reason.

        """
        for part in list(self._all):
            if part.error or not part.worker.alive():
                self._gone(part, "it ended")

    def stop(self, patience_s: float = 5.0) -> None:
        """End the workers; harmless when they have ended."""
        for part in self._all:
            part.worker.send({"cmd": "stop"})
        deadline_s = self._clock() + patience_s
        while any(part.worker.alive() for part in self._all) and self._clock() < deadline_s:
            self._listen(min(0.1, patience_s))
        for part in self._all:
            part.worker.stop()

    def _start_one(self, cpus: frozenset[int] | None) -> None:
        settings = self.next_settings()
        self.add(start_local(self._spec, self._file, settings, self._spawn, self._environ, cpus))

    def _await_ready(self, deadline_s: float) -> None:
        everyone = list(self._all)
        self._await(
            lambda part: part.ready, deadline_s, "its first users did not get through on_start", everyone=everyone
        )

    def _await(
        self,
        done: Callable[[_Part], bool],
        timeout_s: float,
        complaint: str,
        everyone: list[_Part] | None = None,
    ) -> None:
        """Wait until all workers on duty (or `everyone`) that still live are done."""
        deadline_s = self._clock() + timeout_s
        while True:
            asked = [part for part in (everyone or self._on_duty) if part in self._all]
            late = [part for part in asked if not done(part)]
            if not asked:
                raise MeasurementError("there is no load worker")
            if not late:
                return
            if self._clock() >= deadline_s:
                for part in late:
                    self._gone(part, f"{complaint} within {timeout_s:g} s")
            self._listen(0.1)
            self.check()

    def _listen(self, timeout_s: float) -> None:
        """Take in what the workers said, waiting up to `timeout_s` for the first word."""
        if self._hear() or timeout_s <= 0:
            return
        select.select([part.worker for part in self._all if part.worker.fileno() >= 0], [], [], timeout_s)
        self._hear()

    def _hear(self) -> bool:
        heard = [(part, message) for part in self._all for message in part.worker.take()]
        for part, message in heard:
            _take_in(part, message)
        return bool(heard)

    def _gone(self, part: _Part, complaint: str) -> None:
        """Let go of a worker that is of no use any more; only a remote one may be."""
        if not part.worker.remote:
            self._fail(part, complaint)
        message = f"{part.worker.name} was lost, {complaint}: {part.error or part.worker.why()}"
        self.lost.append(Loss(part.worker.process, part.worker.name, message, self._last_id))
        self._all.remove(part)
        if part in self._on_duty:
            self._on_duty.remove(part)
        part.worker.stop()
        if not self._all:
            raise MeasurementError(f"{message}; no load worker is left")

    def _fail(self, part: _Part, complaint: str) -> NoReturn:
        worker = part.worker
        raise MeasurementError(f"{worker.name} failed, {complaint}: {part.error or worker.why()}")


def _take_in(part: _Part, message: dict[str, Any]) -> None:
    match message["event"]:
        case "ready":
            part.ready = True
        case "segment":
            part.segment = message["id"]
            part.started_s = message["t_s"]
        case "drained":
            part.drained = message["id"]
            part.redials = message["redials"]
        case "users":
            part.users = message["count"]
        case "error":
            part.error = message["message"]
