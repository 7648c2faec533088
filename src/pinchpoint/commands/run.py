"""`pinchpoint run`: one live run from configuration to report, with every way out ending in a readable folder."""

import contextlib
import dataclasses
import datetime as dt
import functools
import importlib.metadata
import platform
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from pinchpoint.commands.afar import Afar
from pinchpoint.commands.calibrate import prepare
from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.describe import Description
from pinchpoint.commands.engine import Engine
from pinchpoint.commands.escalation import Escalation
from pinchpoint.commands.limits import limits_shown, load_shown, slo_of
from pinchpoint.commands.live import LiveProgress, PlainProgress
from pinchpoint.commands.load_workers import Recruit, gathered
from pinchpoint.commands.packs import audit, pack_shown
from pinchpoint.commands.plan import Plan, make_plan
from pinchpoint.commands.profiling import profile_step
from pinchpoint.commands.rebuild import Rebuilt, rebuild
from pinchpoint.commands.session import Session
from pinchpoint.commands.soak import Soaker
from pinchpoint.commands.staged import Staged
from pinchpoint.commands.stepper import Progress
from pinchpoint.commands.target import interpreter
from pinchpoint.commands.watch import KeptSamples, LoadStop
from pinchpoint.errors import ExitCode, Interrupted, MeasurementError, PinchpointError, TargetError, UsageError
from pinchpoint.monitoring.facts import host_facts
from pinchpoint.recording import LABEL_FILE, RUN_FILE, load_run, new_run_folder, write_json
from pinchpoint.stress.ramp import Slo

OURS = ("locust", "psutil", "py-spy")
"""Of pinchpoint's own packages, those that can change a result."""
REFERENCE = ("fastapi", "gunicorn", "sqlalchemy", "starlette", "uvicorn", "uvicorn-worker")
"""What serves the reference app."""


@dataclass(frozen=True)
class RunResult:
    """Where a finished run lies, what its report says, and the exit code it earned."""

    folder: Path
    rebuilt: Rebuilt | None
    exit_code: ExitCode
    problem: str | None = None


def execute(config: RunConfig, console: Console) -> RunResult:
    """Run, record, report.

    Raises:
        UsageError: the configuration makes no sense; nothing was started.

    """
    config = validated(config)
    say = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
    with interruptible(), gathered(config, say) as recruits:
        return _execute(config, console, recruits)


def _execute(config: RunConfig, console: Console, recruits: list[Recruit]) -> RunResult:
    started_s = time.monotonic()
    folder = new_run_folder(config.root, run_id(), config.out, force=config.force)
    write_json(folder / RUN_FILE, _describe(config, folder))
    write_json(folder / LABEL_FILE, {"fault": config.fault})
    problem = _live(config, folder, console, started_s, recruits)
    try:
        with interruptible():
            _finish(folder, started_s, problem)
            return _report(folder, problem, console)
    except (Interrupted, KeyboardInterrupt):
        message = f"interrupted while the report was written; `pinchpoint report {folder}` writes it"
        return RunResult(folder, None, ExitCode.INTERRUPTED, message)


def run_id() -> str:
    """Name a run by its start, sortable."""
    return dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]


def _describe(config: RunConfig, folder: Path) -> dict[str, Any]:
    """`run.json`; the fault's name is not in it, except where the user's own words (`argv`) hold it."""
    return {
        "id": folder.name,
        "mode": "soak" if config.soak is not None else "search" if config.stages is None else "stages",
        "started_at": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        "argv": list(config.argv),
        "budget_s": config.budget_s,
        "partial": True,
        "versions": _versions(),
        "host": host_facts(),
        "target": {
            "command": list(config.command)
            or config.target
            or (config.url if config.runs_already else "the reference app"),
            "workers": _workers(config),
            "worker_class": config.worker_class,
            "python": None if config.command or config.runs_already else interpreter(config),
            "pids": [],
            "server_cpus": _listed(config.server_cpus),
            "url": config.url,
            "attached_pid": config.pid,
        },
        "load": {
            "model": config.model,
            "scenario": None if config.locustfile or config.get_paths else (config.scenario or "items"),
            "locustfile": str(config.locustfile) if config.locustfile else None,
            "get_paths": list(config.get_paths),
            "processes": config.processes,
            **({"remote_workers": config.expect_workers} if config.expect_workers else {}),
            "max_users": config.max_users,
            "seed": config.seed,
            "load_cpus": _listed(config.load_cpus),
            "server_cpus": _listed(config.server_cpus),
            **load_shown(config),
            **pack_shown(config),
            **({"workers": config.workers} if _workers(config) is not None else {}),
        },
        "slo": limits_shown(config),
    }


def _workers(config: RunConfig) -> int | None:
    """Return how many workers were asked for; of a server with a command of its own nobody knows before it runs."""
    return None if config.command or config.runs_already else config.workers


def _listed(cpus: frozenset[int] | None) -> list[int] | None:
    return sorted(cpus) if cpus is not None else None


def _versions(app: Description | None = None) -> dict[str, str]:
    """Return ours; the app's own packages replace ours of the same name as soon as its interpreter was asked."""
    ours = {}
    for name in ("pinchpoint", *OURS, *(() if app is not None else REFERENCE)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            ours[name] = importlib.metadata.version(name)
    if app is None:
        return {"python": platform.python_version(), **ours}
    return {"python": app.python, "pinchpoint's python": platform.python_version(), **ours, **app.versions}


def _keep_facts(folder: Path, session: Session) -> None:
    """Add to run.json what became known of the target; a disk that is full is told by others."""
    plan, app = session.plan, session.app or session.plan.app
    with contextlib.suppress(MeasurementError, UsageError):
        run = load_run(folder)
        target = run["target"]
        target["server"] = server = session.server or plan.server
        target["server_version"] = plan.server_version or (app.versions.get(server or "") if app else None)
        target["worker_class"] = plan.worker_class
        target["interface"] = app.interface if app is not None else None
        target["python"] = plan.python or (app.executable if app is not None else None)
        target["python_version"] = app.python if app is not None else None
        target["implementation"] = app.implementation if app is not None else None
        target["notes"] = list(session.notes)
        if isinstance(session.target, Afar):
            target.update(session.target.facts())
            run["load"]["server_cpus"] = target["server_cpus"]
        if target["workers"] is None:
            target["workers"] = session.workers_seen
        run["versions"] = _versions(app)
        write_json(folder / RUN_FILE, run)


def _live(
    config: RunConfig, folder: Path, console: Console, started_s: float, recruits: list[Recruit]
) -> PinchpointError | None:
    """Run the engine; return what ended it early, if anything did. Children are gone when this returns."""
    progress = LiveProgress(console, config.budget_s) if console.is_terminal else PlainProgress(console)
    try:
        with interruptible(), progress, Session(config, folder) as session:
            session.say = progress.note
            session.recruits = recruits
            if (url := session.serve_metrics()) is not None:
                console.print(f"metrics at {url}", highlight=False, soft_wrap=True)
            progress.watch(lambda: session.sampler.latest if session.sampler is not None else None)
            outcome = _pressed(session, progress, started_s)
            audit(session)
            if outcome == "target-died" and session.attached_pid is not None:
                # Of a server that we started, death is the breaking point; of one that we did not, nobody knows why.
                raise TargetError(f"the server with PID {session.attached_pid} exited during the run")
            session.event("end", partial=False, outcome=outcome)
    except PinchpointError as error:
        return error
    except KeyboardInterrupt:
        return Interrupted("interrupted")
    return None


def _pressed(session: Session, progress: PlainProgress, started_s: float) -> str:
    """Soak, follow the user's stages or search, as it was asked for; return how that ended."""
    config = session.config
    plan = make_plan(config.budget_s, profile=config.profile)
    if not config.aftermath:
        plan = dataclasses.replace(plan, overload_s=0.0, recovery_s=0.0)
    kept = KeptSamples(progress, lambda: session.sampler.latest if session.sampler is not None else None)
    slo = slo_of(config, kept.rows)
    engine = _engine(session, plan, slo, kept, started_s)
    _keep_facts(session.folder, session)
    try:
        if config.soak is not None:
            stop = LoadStop(config, session.clock, kept.rows)
            return Soaker(session, config.soak, slo, kept, plan.boot_s, stop).run()
        if config.stages is not None:
            staged = Staged(session, config.stages, slo, progress, config.thresholds, config.autostop)
            staged.after_warmup = prepare(session, progress.note).measure
            return staged.run(started_s)
        engine.after_warmup = prepare(session, progress.note).measure
        return engine.run(started_s)
    finally:
        _keep_facts(session.folder, session)


def _engine(session: Session, plan: Plan, slo: Slo, progress: Progress, started_s: float) -> Engine:
    """Return the search, whose generator may grow while the budget has time for it."""
    ends_s = started_s + plan.budget_s - plan.reserve_s
    escalation = Escalation(session, slo, lambda: ends_s - session.clock())
    profile = profile_step if session.config.profile else None
    return Engine(session, plan, slo, progress, profile, voids=escalation.voids)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into the same orderly way out as Ctrl-C."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise Interrupted(f"interrupted by {signal.Signals(number).name}")

    # What is ignored stays ignored: that is what `nohup` asks for.
    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finish(folder: Path, started_s: float, problem: PinchpointError | None) -> None:
    with contextlib.suppress(MeasurementError, UsageError):
        run = load_run(folder)
        run["partial"] = problem is not None
        run["problem"] = str(problem) if problem is not None else None
        run["duration_s"] = time.monotonic() - started_s
        write_json(folder / RUN_FILE, run)


def _report(folder: Path, problem: PinchpointError | None, console: Console) -> RunResult:
    rebuilt: Rebuilt | None = None
    try:
        rebuilt = rebuild(folder)
    except PinchpointError as error:
        problem = problem or error
    except Exception:
        # A bug of ours in the report must not hide why the run ended.
        if problem is not None:
            console.print(f"pinchpoint: {problem}", markup=False, highlight=False, soft_wrap=True)
        raise
    if rebuilt is not None and rebuilt.damaged_rows:
        console.print(f"{rebuilt.damaged_rows} damaged rows of the recording were left out", highlight=False)
    if problem is not None:
        return RunResult(folder, rebuilt, problem.exit_code, str(problem))
    console.print(f"finished in {folder}", highlight=False, style="dim")
    if rebuilt is not None and rebuilt.crossed and rebuilt.diagnosis.validity.status != "invalid":
        return RunResult(folder, rebuilt, ExitCode.THRESHOLD_CROSSED, "; ".join(rebuilt.crossed))
    invalid = rebuilt is not None and rebuilt.diagnosis.validity.status == "invalid"
    return RunResult(folder, rebuilt, ExitCode.INVALID_MEASUREMENT if invalid else ExitCode.DONE)
