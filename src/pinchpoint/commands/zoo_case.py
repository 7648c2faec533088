"""One case of the fault zoo, prepared and run: its folder, database and companions, and the words of `pinchpoint run`.

Nothing here tells the run what is wrong with the target: the label stays with the caller.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import typer

from pinchpoint.app.faults.case import CURED, SCRATCH, SEVERITY, Case, Companion
from pinchpoint.app.faults.pace import Kind, PaceMeter, Reading, mean_pace
from pinchpoint.app.faults.serving.caged import unavailable
from pinchpoint.commands import scratch, zoo_database
from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import HOST, RunConfig
from pinchpoint.commands.options import configure
from pinchpoint.commands.quota import Quota
from pinchpoint.commands.target import TargetPlan, plan_target
from pinchpoint.commands.zoo_packages import missing_packages
from pinchpoint.errors import TargetError
from pinchpoint.processes import Child, Command, start
from pinchpoint.readiness import free_port
from pinchpoint.recording import EVENTS_FILE, read_lines

PYTHON, PORT = "{python}", "{port}"
DATABASE = "DATABASE_URL"
COMPANION_READY_S = 20.0
COMPANION_GRACE_S = 2.0
POLL_S = 0.05
RUN_GRACE_S = 60.0
"""A run that takes this much longer than its budget is ended."""
PRESSED = frozenset({"ramp", "search", "overload", "profile-limit", "stage"})
"""Phases in which a step that broke shows what the server can do."""
_TWO = 2


@dataclass(frozen=True)
class Cores:
    """Whose CPUs are whose; None: any."""

    server: frozenset[int] | None
    load: frozenset[int] | None


@dataclass(frozen=True)
class Prepared:
    """A case that can be started now: everything beside the target runs."""

    case: Case
    severity: float
    cured: bool
    cores: Cores
    folder: Path
    """Of the logs and of the target's working folder; gone afterwards."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the target finds in its environment besides ours."""

    def server_words(self) -> list[str]:
        """Return the options of `pinchpoint run` about the server."""
        case = self.case
        knobs = case.knobs if not self.cured or case.cured_knobs is None else case.cured_knobs
        words = [_filled(word) for word in knobs]
        if not {"--server-cpus", "--load-cpus"} & set(words):
            words += ["--server-cpus", _listed(self.cores.server), "--load-cpus", _listed(self.cores.load)]
        for name, value in self.env.items():
            words += ["--env", f"{name}={value}"]
        return words

    def target_words(self) -> list[str]:
        """Return the words that end its command line."""
        case = self.case
        target = case.target if not self.cured or case.cured_target is None else case.cured_target
        return [_filled(word) for word in target]

    @property
    def several_workers(self) -> bool:
        """True when the server has more than one worker process."""
        return _workers([*self.server_words(), *self.target_words()]) > 1

    def words(self) -> list[str]:
        """Return the words after `pinchpoint run`, but for what is asked of this run alone (`--budget`, `--out`)."""
        return [*self.case.load, *self.server_words(), *self.target_words()]

    def plain(self) -> TargetPlan:
        """Return the same server without pinchpoint: no probe inside it.

        Raises:
            UsageError: the case's words make no sense.
            TargetError: the app cannot be imported, or nothing here can serve it.

        """
        config = validated(self._parsed())
        plan = plan_target(config, self.folder, self.folder)
        assert plan.command is not None  # noqa: S101 - only a server that runs already has none
        return replace(plan, command=replace(plan.command, env=plan.env))

    def _parsed(self) -> RunConfig:
        target, command = self.target_words(), tuple[str, ...]()
        if "--" in target:
            cut = target.index("--")
            target, command = target[:cut], tuple(target[cut + 1 :])
        parser = typer.Typer(add_completion=False)
        parser.command()(configure)
        words = ["--cwd", str(self.folder / "work"), *self.server_words(), *target]
        config: RunConfig = parser(args=words, standalone_mode=False)
        return replace(config, command=command)


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    exit_code: int | None
    """None when it had to be ended."""
    wall_s: float
    paces: list[Reading] = field(default_factory=list)
    """Readings of the pace of the server's first core, meanwhile; see `pace.PaceMeter`."""


def unmet(case: Case, postgres: str | None = None) -> str | None:
    """Return the reason why this machine cannot run a case, as a clause; None when it can.

    Args:
        case: the case.
        postgres: URL of a PostgreSQL server in which databases may be made; None where there is none.

    """
    for need in case.needs:
        if (reason := _unmet(need)) is not None:
            return reason
    if case.database == "postgresql" and postgres is None:
        return "it needs a PostgreSQL server"
    words = [*case.target, *(case.cured_target or ()), *(word for one in case.companions for word in one.argv)]
    if absent := missing_packages(words):
        return f"it needs {', '.join(absent)}, not installed here"
    return None


def _unmet(need: str) -> str | None:
    match need:
        case "root":
            return None if os.geteuid() == 0 else "it needs root"
        case "two-cores":
            return None if len(os.sched_getaffinity(0)) >= _TWO else "it needs two cores"
        case "netns":
            return None if _can_unshare() else "it needs the right to make a network namespace"
        case "cgroup-cpu" | "cgroup-memory" | "cgroup-blkio":
            return unavailable(need.removeprefix("cgroup-"))
    return f"it needs {need!r}, of which nothing is known here"


def _can_unshare() -> bool:
    program = shutil.which("unshare")
    return (
        program is not None
        and subprocess.run([program, "-n", "true"], check=False, capture_output=True).returncode == 0
    )


def split(case: Case) -> Cores:
    """Choose the cores: load on the last one, the server on as many of the others as the case says.

    Where that many cannot be spared, load and server share them all.
    """
    allowed = sorted(os.sched_getaffinity(0))
    wanted = max(case.server_cores, _workers([*case.knobs, *case.target]))
    if wanted > len(allowed) - 1:
        return Cores(None, None)
    return Cores(frozenset(allowed[:wanted]), frozenset(allowed[-1:]))


def _workers(words: Sequence[str]) -> int:
    for word, following in pairwise(words):
        if word in {"--workers", "-w"} and following.isdigit():
            return int(following)
    return 1


@contextlib.contextmanager
def prepared(
    case: Case, *, severity: float = 1.0, cured: bool = False, postgres: str | None = None
) -> Iterator[Prepared]:
    """Make everything that a case needs beside its target, and remove it on any way out.

    Args:
        case: the case; the caller has asked `unmet`.
        severity: multiplies its fault.
        cured: take the fault out.
        postgres: URL of a PostgreSQL server in which a database of the case's own is made.

    Raises:
        TargetError: a companion did not start.
        MeasurementError: the database cannot be made.

    """
    with contextlib.ExitStack() as stack:
        folder = scratch.zoo_folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("work", "files"):
            (folder / name).mkdir()
        env = {SEVERITY: f"{severity:g}", SCRATCH: str(folder / "files"), **({CURED: "1"} if cured else {}), **case.env}
        if case.database == "sqlite":
            env[DATABASE] = f"sqlite:///{folder / 'files' / 'data.db'}"
        elif case.database == "postgresql":
            assert postgres is not None  # noqa: S101 - `unmet` has said so
            env[DATABASE] = stack.enter_context(zoo_database.fresh(postgres))
        cores = split(case)
        for companion in case.companions:
            if companion.when_cured or not cured:
                env |= _beside(companion, cores, env, folder, stack)
        yield Prepared(case, severity, cured, cores, folder, env)


def _beside(
    companion: Companion, cores: Cores, env: Mapping[str, str], folder: Path, stack: contextlib.ExitStack
) -> dict[str, str]:
    """Start a companion; return what the target is told of it."""
    port = free_port() if any(PORT in word for word in companion.argv) else None
    name = f"companion-{port or 'busy'}"
    command = Command(
        name=name,
        argv=tuple(_filled(word).replace(PORT, str(port)) for word in companion.argv),
        log=folder / f"{name}.log",
        env={**os.environ, **env},
        cwd=folder / "work",
        cpus=cores.server if companion.place == "server" else cores.load,
    )
    child = start(command)
    stack.callback(child.stop, COMPANION_GRACE_S)
    if port is None:
        return {}
    _await_listening(child, port)
    return {} if companion.variable is None else {companion.variable: f"http://{HOST}:{port}"}


def _await_listening(child: Child, port: int) -> None:
    deadline_s = time.monotonic() + COMPANION_READY_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1.0):
            return
        if not child.alive() or time.monotonic() > deadline_s:
            raise TargetError(f"the companion {child.command.argv} did not start: {child.log_tail(3)}")
        time.sleep(POLL_S)


def run(ready: Prepared, out: Path, budget_s: float, extra: Sequence[str] = ()) -> Ended:
    """Run `pinchpoint run` on a prepared case, in a process of its own; its folder is `out`, its talk `out`.log.

    `extra` are further options, such as `--seed 3`.
    """
    out = out.resolve()
    options = ["--budget", f"{budget_s:g}s", "--out", str(out), *extra]
    argv = (sys.executable, "-m", "pinchpoint", "run", *options, *ready.words())
    environ = {**os.environ, "NO_COLOR": "1"}
    started_s = time.monotonic()
    command = Command("pinchpoint", argv, out.with_suffix(".log"), env=environ, cwd=ready.folder / "work")
    with contextlib.ExitStack() as stack:
        child = stack.enter_context(start(command))
        if ready.case.keeps is not None:
            quota = Quota(child.pid, out / EVENTS_FILE, ready.case.keeps)
            quota.start()
            stack.callback(quota.end)
        meter = stack.enter_context(PaceMeter(min(ready.cores.server or os.sched_getaffinity(0))))
        code = child.wait(budget_s + RUN_GRACE_S)
        return Ended(code, time.monotonic() - started_s, meter.readings)


def pace_at_limit(ended: Ended, folder: Path) -> dict[Kind, float] | None:
    """Return the mean paces of the server's core while more was offered than it could do; None when it was not read."""
    steps = [row["data"] for row in read_lines(folder / EVENTS_FILE) if row.get("kind") == "step"]
    beyond = [one for one in steps if one["phase"] in PRESSED and not one["passed"]]
    return mean_pace(ended.paces, [(one["t_start_s"], one["t_end_s"]) for one in beyond])


def _filled(word: str) -> str:
    return word.replace(PYTHON, sys.executable)


def _listed(cpus: frozenset[int] | None) -> str:
    return "any" if cpus is None else ",".join(map(str, sorted(cpus)))
