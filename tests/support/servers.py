"""Start a Python server under the probe, wait until it answers, and stop it. Each test adds how its server is asked."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.pages import PageReader
from pinchpoint.readiness import free_port, http_status

SUPPORT = Path(__file__).resolve().parent
DEADLINE_S = 30.0
LOOK_S = 0.005


def wait_for(look: Callable[[], Any], log: Path | None = None) -> Any:
    """Return what `look` finds, or fail at the deadline, with what the server said."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        found = look()
        if found:
            return found
        time.sleep(LOOK_S)
    said = f"; the server said: {log.read_text()}" if log is not None else ""
    return pytest.fail(f"nothing came before the deadline{said}")


class Server:
    """A server under the probe, which publishes in `folder`/pages."""

    ready_path = "/"

    def __init__(self, port: int, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.log = folder / "log"
        self.process = process
        self.reader = PageReader(folder / "pages")

    def answers(self) -> bool:
        """Say whether it does yet; fails when it never will."""
        assert self.process.poll() is None, self.log.read_text()
        return http_status(f"http://127.0.0.1:{self.port}{self.ready_path}") == 200

    def wait_for(self, look: Callable[[], Any]) -> Any:
        """Return what `look` finds, or fail at the deadline."""
        return wait_for(look, self.log)


AnyServer = TypeVar("AnyServer", bound=Server)


@contextmanager
def started(
    kind: type[AnyServer],
    folder: Path,
    arguments: tuple[str, ...],
    *,
    stop: signal.Signals = signal.SIGTERM,
    environ: Mapping[str, str] | None = None,
) -> Iterator[AnyServer]:
    """Start `python ARGUMENTS` with `{port}` filled in, the support folder importable; stop it on the way out."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    environment = probe_environment(folder / "pages", {**os.environ, "PYTHONPATH": str(SUPPORT), **(environ or {})})
    command = [sys.executable, *[argument.format(port=port) for argument in arguments]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    server = kind(port, folder, process)
    try:
        yield server
    finally:
        process.send_signal(stop)
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        server.reader.close()


@contextmanager
def serving(
    kind: type[AnyServer],
    folder: Path,
    arguments: tuple[str, ...],
    *,
    stop: signal.Signals = signal.SIGTERM,
    environ: Mapping[str, str] | None = None,
) -> Iterator[AnyServer]:
    """Start a server and wait until it answers."""
    with started(kind, folder, arguments, stop=stop, environ=environ) as server:
        server.wait_for(server.answers)
        yield server
