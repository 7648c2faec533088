"""How the target is started: its command line, its environment, its address."""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from pinchpoint.commands.config import HOST, RunConfig
from pinchpoint.commands.describe import LOG_FILE, Description, Inquiry, describe
from pinchpoint.commands.launch import launch
from pinchpoint.commands.plan import make_plan
from pinchpoint.errors import TargetError, UsageError
from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.processes import Command
from pinchpoint.readiness import free_port, port_in_use

REFERENCE_APP = "pinchpoint.app.main:app"
REFERENCE_CONF = "python:pinchpoint.app.gunicorn_conf"
REFERENCE_WORKER = "pinchpoint.app.gunicorn_conf.AppWorker"
REFERENCE_FOLDER = "PINCHPOINT_APP_RUN_DIR"
REFERENCE_WORKER_VARIABLE = "PINCHPOINT_APP_WORKER_CLASS"
READY_PATHS = {True: "/health", False: "/"}
"""By whether the target is the reference app."""
TRACER_VARIABLE = "PINCHPOINT_TRACER_PID"
"""Read by `monitoring/probe/tracer.py`."""
SERVER_COMMANDS = {
    "gunicorn": "gunicorn",
    "uvicorn": "uvicorn",
    "hypercorn": "hypercorn",
    "granian": "granian",
    "waitress-serve": "waitress",
    "waitress": "waitress",
    "flask": "flask",
    "manage.py": "django",
    "fastapi": "uvicorn",
    "datasette": "uvicorn",
}
"""Words of a command line -> the server they start, or the package whose server it is."""


@dataclass(frozen=True)
class TargetPlan:
    """What will be started, and where it will answer."""

    command: Command | None
    """None for a server that runs already."""
    base_url: str
    ready_url: str
    port: int | None
    python: str | None
    """None where COMMAND decides."""
    server: str | None = None
    server_version: str | None = None
    worker_class: str | None = None
    app: Description | None = None
    """What the app's interpreter said of itself; None where it was not asked."""
    notes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def plan_target(config: RunConfig, folder: Path, probe_folder: Path, scratch: Path | None = None) -> TargetPlan:
    """Work out the target's command; starts nothing but a short child that asks the app's interpreter.

    `folder` is the run's, `probe_folder` takes the probe's pages, `scratch` what the reference app writes.

    Raises:
        UsageError: the interpreter, the command or MODULE:APP does not exist, or is no app.
        TargetError: the port is taken, the app cannot be imported, or nothing there can serve it.

    """
    base_url, port = _address(config)
    if config.runs_already:
        return TargetPlan(None, base_url, base_url + config.ready_path, port, None)
    plain = _environment(config, scratch)
    if config.command:
        plan = TargetPlan(None, base_url, "", port, None, server=server_of(config.command))
        argv: tuple[str, ...] = config.command
    elif config.target is None:
        argv, plan = _reference(config, plain, base_url, port)
    else:
        argv, plan = _app(config, plain, folder, base_url, port)
    command = Command(
        name="target",
        argv=argv,
        log=folder / "target.log",
        env=probe_environment(probe_folder, {**plain, TRACER_VARIABLE: str(os.getpid())}),
        cwd=config.cwd,
        cpus=config.server_cpus,
        lingers=bool(config.command),
    )
    ready = config.ready_path if config.target or config.command else READY_PATHS[True]
    return replace(plan, command=command, ready_url=base_url + ready, env=plain)


def _reference(
    config: RunConfig, env: Mapping[str, str], base_url: str, port: int
) -> tuple[tuple[str, ...], TargetPlan]:
    python = interpreter(config)
    argv = [python, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "--workers", str(config.workers)]
    argv += ["-c", REFERENCE_CONF]
    argv += ["--worker-class", config.worker_class] if config.worker_class is not None else []
    argv += ["--threads", str(config.threads)] if config.threads is not None else []
    worker_class = config.worker_class or env.get(REFERENCE_WORKER_VARIABLE) or REFERENCE_WORKER
    plan = TargetPlan(None, base_url, "", port, python, server="gunicorn", worker_class=worker_class)
    return (*argv, REFERENCE_APP), plan


def _app(
    config: RunConfig, env: Mapping[str, str], folder: Path, base_url: str, port: int
) -> tuple[tuple[str, ...], TargetPlan]:
    python = interpreter(config)
    inquiry = Inquiry(
        python=python,
        env=env,
        cwd=config.cwd,
        log=folder / LOG_FILE,
        target=config.target,
        factory=config.factory,
        worker_class=config.worker_class,
    )
    app = describe(inquiry, make_plan(config.budget_s, profile=config.profile).boot_s)
    chosen = launch(config, app, python, port)
    plan = TargetPlan(
        None,
        base_url,
        "",
        port,
        python,
        server=chosen.server,
        server_version=chosen.version,
        worker_class=chosen.worker_class,
        app=app,
        notes=chosen.notes,
    )
    return chosen.argv, plan


def server_of(command: Iterable[str]) -> str | None:
    """Return the server that a command line starts, as far as its words tell."""
    for word in command:
        name = Path(word).name
        if name in SERVER_COMMANDS:
            return SERVER_COMMANDS[name]
    return None


def check_program(config: RunConfig) -> None:
    """Refuse an interpreter or a server command that is not there, before anything is written or started.

    Raises:
        UsageError: neither PATH nor the target's folder has it.

    """
    interpreter(config)
    if not config.command:
        return
    program = config.command[0]
    path = _environment(config).get("PATH", os.defpath)
    if shutil.which((config.cwd or Path()) / program) is None and shutil.which(program, path=path) is None:
        raise UsageError(f"there is no program '{program}'; install it or give its full path after `--`")


def interpreter(config: RunConfig) -> str:
    """Return the interpreter of MODULE:APP, absolute but with its links: they are what makes a virtual environment.

    Raises:
        UsageError: there is no such program.

    """
    if config.python is None:
        return sys.executable
    found = shutil.which(config.python) or shutil.which((config.cwd or Path()) / config.python)
    if found is None:
        if Path(config.python).is_dir() and (Path(config.python) / "bin" / "python").exists():
            raise UsageError(f"--python {config.python} is a folder; try --python {config.python}/bin/python")
        raise UsageError(f"--python {config.python}: there is no such interpreter")
    return os.path.abspath(found)  # noqa: PTH100 - Path.absolute keeps `..`, resolve follows the links


def _address(config: RunConfig) -> tuple[str, int]:
    if config.url is not None:
        parts = urlsplit(config.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if not config.runs_already:
            way_out = "press it as it is with --pid, or give --url another port, in the command too ({port} finds one)"
            _refuse_taken_port(parts.hostname or HOST, port, way_out)
        return f"{parts.scheme}://{parts.netloc}", port
    if config.port is not None:
        way_out = "choose another with --port, or leave --port out and a free one is used"
        _refuse_taken_port(HOST, config.port, way_out)
    port = config.port or free_port()
    return f"http://{HOST}:{port}", port


def _refuse_taken_port(host: str, port: int, way_out: str) -> None:
    for one in dict.fromkeys((host, HOST)):
        try:
            holder = port_in_use(one, port)
        except OSError:  # a name that does not resolve: readiness will tell
            continue
        if holder:
            raise TargetError(f"{holder}; {way_out}")


def _environment(config: RunConfig, scratch: Path | None = None) -> dict[str, str]:
    environment = dict(os.environ)
    if config.target is None and not config.command:
        environment.update({"PINCHPOINT_APP_FAULT": config.fault} if config.fault else {})
        if scratch is not None:
            environment.setdefault(REFERENCE_FOLDER, str(scratch))
    environment.update(config.env)
    return environment


def known_faults() -> dict[str, tuple[str, str]]:
    """Return {fault: (class, cause)} of the reference app, without importing its service."""
    from pinchpoint.app import faults  # noqa: PLC0415 - only runs with --fault need it

    labels = {name: (fault.label_class, fault.label_cause) for name, fault in faults.FAULTS.items()}
    return labels | {name: (defect.label_class, defect.label_cause) for name, defect in faults.DEFECTS.items()}


def check_target(config: RunConfig) -> None:
    """Refuse a `MODULE:APP` that cannot be one, before anything starts.

    Raises:
        UsageError: it has no colon, or is a file's name.

    """
    if config.target is None:
        return
    module, colon, attribute = config.target.partition(":")
    if module.endswith(".py") or "/" in module:
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise UsageError(f"{config.target!r} names a file; write it as MODULE:APP, like {dotted}:{attribute or 'app'}")
    if not colon or not module or not attribute:
        raise UsageError(f"{config.target!r} is not MODULE:APP; write it like app.main:app")
