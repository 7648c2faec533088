"""How the target is started: its command line, its environment, its address."""

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pinchpoint.commands.config import RunConfig
from pinchpoint.errors import TargetError, UsageError
from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.processes import Command, free_port, port_in_use

REFERENCE_APP = "pinchpoint.app.main:app"
REFERENCE_CONF = "python:pinchpoint.app.gunicorn_conf"
HOST = "127.0.0.1"
READY_PATHS = {True: "/health", False: "/"}
"""By whether the target is the reference app."""


@dataclass(frozen=True)
class TargetPlan:
    """What will be started, and where it will answer."""

    command: Command
    base_url: str
    ready_url: str
    port: int | None
    worker_class: str | None
    python: str


def plan_target(config: RunConfig, folder: Path, probe_folder: Path) -> TargetPlan:
    """Work out the target's command; starts nothing.

    Raises:
        UsageError: the target's interpreter or command does not exist.
        TargetError: the port is taken.

    """
    python = _interpreter(config)
    base_url, port = _address(config)
    environment = probe_environment(probe_folder, _environment(config))
    argv, worker_class = _argv(config, python, port)
    ready = config.ready_path if config.target or config.command else READY_PATHS[True]
    command = Command(
        name="target",
        argv=argv,
        log=folder / "target.log",
        env=environment,
        cwd=config.cwd,
        cpus=config.server_cpus,
    )
    return TargetPlan(command, base_url, base_url + ready, port, worker_class, python)


def check_program(config: RunConfig) -> None:
    """Refuse an interpreter or a server command that is not there, before anything is written or started.

    Raises:
        UsageError: neither PATH nor the target's folder has it.

    """
    _interpreter(config)
    if not config.command:
        return
    program = config.command[0]
    path = _environment(config).get("PATH", os.defpath)
    if shutil.which((config.cwd or Path()) / program) is None and shutil.which(program, path=path) is None:
        raise UsageError(f"there is no program '{program}'; install it or give its full path after `--`")


def _interpreter(config: RunConfig) -> str:
    if config.python is None:
        return sys.executable
    found = shutil.which(config.python)
    if found is None:
        raise UsageError(f"--python {config.python}: there is no such interpreter")
    return found


def _address(config: RunConfig) -> tuple[str, int | None]:
    if config.url is not None:
        parts = urlsplit(config.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        _refuse_taken_port(port, "give --url another one, in the command too")
        return f"{parts.scheme}://{parts.netloc}", port
    if config.port is not None:
        _refuse_taken_port(config.port, "choose another with --port, or leave --port out and a free one is used")
    port = config.port or free_port()
    return f"http://{HOST}:{port}", port


def _refuse_taken_port(port: int, way_out: str) -> None:
    holder = port_in_use(HOST, port)
    if holder:
        raise TargetError(f"{holder}; {way_out}")


def _argv(config: RunConfig, python: str, port: int | None) -> tuple[tuple[str, ...], str | None]:
    if config.command:
        return config.command, None
    worker_class = config.worker_class
    argv = [python, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "--workers", str(config.workers)]
    if config.target is None:
        argv += ["-c", REFERENCE_CONF]
    elif worker_class is None:
        worker_class = "uvicorn_worker.UvicornWorker"
    if worker_class is not None:
        argv += ["--worker-class", worker_class]
    if config.threads is not None:
        argv += ["--threads", str(config.threads)]
    return (*argv, config.target or REFERENCE_APP), worker_class


def _environment(config: RunConfig) -> dict[str, str]:
    environment = dict(os.environ)
    if config.target is None and not config.command:
        environment.update({"PINCHPOINT_APP_FAULT": config.fault} if config.fault else {})
    environment.update(config.env)
    return environment


def known_faults() -> dict[str, tuple[str, str]]:
    """Return {fault: (class, cause)} of the reference app, without importing its service."""
    from pinchpoint.app import faults  # noqa: PLC0415 - only runs with --fault need it

    return {name: (fault.label_class, fault.label_cause) for name, fault in faults.FAULTS.items()}


def check_target(config: RunConfig) -> None:
    """Refuse a `MODULE:APP` that cannot be one, before anything starts.

    Raises:
        UsageError: it has no colon, or the module's file is not there in the target's own folder and interpreter.

    """
    if config.target is None:
        return
    module, colon, attribute = config.target.partition(":")
    if not colon or not module or not attribute:
        raise UsageError(f"{config.target!r} is not MODULE:APP; write it like app.main:app")
    root = config.cwd or Path.cwd()
    as_path = root.joinpath(*module.split("."))
    here = as_path.with_suffix(".py").is_file() or (as_path / "__init__.py").is_file()
    installed = config.python is not None or importlib.util.find_spec(module.split(".")[0]) is not None
    if not here and not installed:
        raise UsageError(f"there is no module {module} in {root}; name the app's folder with --cwd")
