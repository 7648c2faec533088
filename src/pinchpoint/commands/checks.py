"""A configuration made whole and held against this machine, before anything is written or started."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pinchpoint.commands.attach import affinity, working_folder
from pinchpoint.commands.config import HOST, RunConfig, check_host, split_cpus
from pinchpoint.commands.load_workers import check_workers
from pinchpoint.commands.session import generator_spec
from pinchpoint.commands.target import check_program, check_target, known_faults
from pinchpoint.errors import UsageError
from pinchpoint.readiness import EXCEPTION_LINE, free_port, port_in_use

PORT, WORKERS, THREADS = "{port}", "{workers}", "{threads}"
LOCUSTFILE_S = 30.0


def validated(config: RunConfig) -> RunConfig:
    """Return the configuration with its placeholders filled in and its CPUs chosen.

    Raises:
        UsageError: it makes no sense.

    """
    config = _filled_in(config)
    if config.target is not None and config.url is not None and not config.runs_already and not config.command:
        raise UsageError("--url goes with a command after `--`; MODULE:APP gets its address with --port")
    if config.url is not None:
        check_host(config.url, config.allow_hosts)
        if not config.command and not config.runs_already:
            raise UsageError(
                f"--url {config.url} needs the command that starts the server, after `--`, or --pid of a running one, "
                "or --agent on its host"
            )
    elif config.command:
        raise UsageError("a server command needs its address: give --url http://127.0.0.1:PORT before `--`")
    if config.target is not None and config.command:
        raise UsageError("give MODULE:APP or a command after `--`, not both")
    if config.runs_already:
        config = _attached(config)
    check_program(config)
    check_target(config)
    _check_fault(config)
    _check_metrics_port(config.metrics_port)
    check_workers(config)
    generator_spec(config, config.url or "", config.root).check()
    _check_locustfile(config)
    return _pinned(config)


def _check_metrics_port(port: int | None) -> None:
    holder = port_in_use(HOST, port) if port else None
    if holder:
        raise UsageError(f"--metrics-port {port}: {holder}; choose another one, or 0 for any that is free")


def _filled_in(config: RunConfig) -> RunConfig:
    """Put a port and the numbers of workers and threads where the user's words leave them open."""
    words = (config.url or "", *config.command, *config.env.values())
    url = config.url
    port = config.port
    if any(PORT in word for word in words):
        if url is None and config.command:
            url = f"http://{HOST}:{PORT}"
        port = port or _port_of(url) or free_port()
    known = {PORT: port or None, WORKERS: config.workers, THREADS: config.threads}

    def fill(word: str) -> str:
        for mark, value in known.items():
            word = word.replace(mark, str(value)) if value is not None else word
        return word

    return replace(
        config,
        url=fill(url) if url is not None else None,
        port=port,
        command=tuple(fill(word) for word in config.command),
        env={name: fill(value) for name, value in config.env.items()},
    )


def _port_of(url: str | None) -> int | None:
    match = re.search(r":(\d+)(?:/|$)", url or "")
    return int(match[1]) if match else None


def _attached(config: RunConfig) -> RunConfig:
    """Refuse what cannot be asked of a server that runs already, and take over what it was started with."""
    how = f"--pid {config.pid}" if config.pid is not None else f"--agent {config.agent}"
    if config.pid is not None and config.agent is not None:
        raise UsageError("--pid names a server on this host, and --agent one on another: give the pid to the agent")
    if config.url is None:
        raise UsageError(f"{how} needs the server's address: --url http://127.0.0.1:PORT")
    if config.command or config.target is not None:
        raise UsageError(f"{how} presses a server that runs already: leave out MODULE:APP and the command after `--`")
    refused = {
        "--env": bool(config.env),
        "--python": config.python is not None,
        "--worker-class": config.worker_class is not None,
        "--threads": config.threads is not None,
        "--factory": config.factory,
        "--server-cpus": config.server_cpus is not None,
        "--port": config.port is not None,
    }
    for option, given in refused.items():
        if given:
            raise UsageError(f"{option} changes nothing about a server that runs already; leave it out with {how}")
    if config.pid is None:
        # Its cores are its own; ours are all the generator's.
        return replace(config, server_cpus=None, pin=False, profile=False)
    if config.pid == os.getpid():
        raise UsageError("--pid is pinchpoint itself")
    return replace(
        config,
        cwd=config.cwd or working_folder(config.pid),
        server_cpus=affinity(config.pid),
        pin=False,
    )


def _check_fault(config: RunConfig) -> None:
    if config.fault is None:
        return
    if config.target is not None or config.command or config.runs_already:
        raise UsageError("--fault switches on a fault of the reference app; it goes with no other target")
    known = known_faults()
    if config.fault not in known:
        raise UsageError(f"there is no fault {config.fault!r}; known: {', '.join(sorted(known))}")


def _check_locustfile(config: RunConfig) -> None:
    """Import the user's Locust file once, in a child: what raises there would otherwise be told after the boot."""
    if config.locustfile is None or config.get_paths:
        return
    path = config.locustfile.resolve()
    command = [sys.executable, "-P", "-m", "locust", "-f", str(path), "--list", "--headless"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=LOCUSTFILE_S
        )
    except (subprocess.TimeoutExpired, OSError):
        return  # slow is not wrong: the load processes have more time
    if done.returncode != 0:
        raise UsageError(f"the Locust file {config.locustfile} cannot be used: {_reason(done.stderr, path)}")
    if not any(line.startswith(" ") and line.strip() for line in done.stdout.splitlines()):
        raise UsageError(f"the Locust file {config.locustfile} defines no User class")


def _reason(said: str, path: Path) -> str:
    """Condense what Locust printed to the exception and the last line of the file that led to it."""
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    exceptions = [line for line in lines if EXCEPTION_LINE.match(line)]
    numbers = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', said)
    where = f" (line {numbers[-1]})" if numbers else ""
    return f"{(exceptions or lines or ['Locust refused it'])[-1].strip()}{where}"


def _pinned(config: RunConfig) -> RunConfig:
    if not config.pin or config.server_cpus is not None or config.load_cpus is not None or config.processes == 0:
        return config
    server_cpus, load_cpus = split_cpus(config.workers)
    return replace(config, server_cpus=server_cpus, load_cpus=load_cpus)
