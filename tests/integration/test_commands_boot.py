"""Servers that boot slowly, in the background or not at all, and servers that run already."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pinchpoint.commands.attach import attach
from pinchpoint.commands.boot import wait_attached, wait_ready
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.inside import ask_interpreter, interpreter_of, server_seen, stranger, why_no_page
from pinchpoint.commands.target import plan_target
from pinchpoint.errors import TargetError, UsageError
from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.listeners import find_listener
from pinchpoint.processes import Child, Command, start
from pinchpoint.readiness import free_port

DEADLINE_S = 20.0
SERVER = """
import http.server, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if not os.path.exists("answered"):
            open("answered", "w").close()
            time.sleep(float(sys.argv[2]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): ...

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[..., tuple[Child, int]]]:
    """Start commands with `{port}` and `{server}` filled in; end them afterwards."""
    (tmp_path / "server.py").write_text(SERVER)
    children: list[Child] = []

    def launch(*argv: str, env: dict[str, str] | None = None) -> tuple[Child, int]:
        port = free_port()
        words = tuple(one.format(port=port, server=f"{sys.executable} server.py {port}") for one in argv)
        command = Command("target", words, tmp_path / "log", cwd=tmp_path, lingers=True, env=env)
        children.append(start(command))
        return children[-1], port

    yield launch
    for child in children:
        child.stop(1.0)


def ready(child: Child, port: int, deadline_s: float = DEADLINE_S) -> float:
    """Wait for the first answer."""
    return wait_ready(f"http://127.0.0.1:{port}/", child, deadline_s)


def gone(pid: int) -> bool:
    """Wait until a process is no more."""
    deadline_s = time.monotonic() + DEADLINE_S
    while psutil.pid_exists(pid) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_a_first_answer_that_takes_longer_than_two_seconds_is_waited_for(
    launched: Callable[..., tuple[Child, int]],
) -> None:
    """A server that takes one request at a time would never answer to askers who leave early."""
    child, port = launched("sh", "-c", "exec {server} 2.5")

    assert 2.0 < ready(child, port) < 10.0


@pytest.mark.parametrize("script", ["{server} 0 &", "setsid {server} 0 & exit 0", "(setsid {server} 0 &) &"])
def test_a_server_in_the_background_is_followed_and_ended(
    launched: Callable[..., tuple[Child, int]], script: str
) -> None:
    """The command is gone, its daemon serves; `stop` leaves nothing."""
    child, port = launched("sh", "-c", script)
    ready(child, port)

    assert child.wait(DEADLINE_S) == 0
    (listener,) = find_listener(port)
    assert listener in child.roots
    assert child.gone is False
    assert stranger(child.roots, port, find_listener) is None
    child.stop(1.0)
    assert gone(listener)
    assert child.gone is True


def test_a_daemon_that_dies_is_noticed(launched: Callable[..., tuple[Child, int]]) -> None:
    """Then nothing of the command is left."""
    child, port = launched("sh", "-c", "{server} 0 &")
    ready(child, port)
    (listener,) = find_listener(port)
    os.kill(listener, signal.SIGKILL)

    assert gone(listener)
    deadline_s = time.monotonic() + DEADLINE_S
    while not child.gone and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert child.gone is True


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no such setting; exit 3", "exited with code 3 before it answered: no such setting"),
        ("echo done", "exited with code 0 before it answered: done"),
        ("kill -9 $$", "exited with SIGKILL before it answered"),
    ],
)
def test_a_command_that_ends_early_is_noticed_at_once(
    launched: Callable[..., tuple[Child, int]], script: str, words: str
) -> None:
    """Long before the deadline, with its last words."""
    child, port = launched("sh", "-c", script)
    started_s = time.monotonic()

    with pytest.raises(TargetError, match=words):
        ready(child, port, 60.0)

    assert time.monotonic() - started_s < 5.0


def test_a_server_that_dies_over_its_first_request_is_noticed_at_once(
    launched: Callable[..., tuple[Child, int]],
) -> None:
    """Although the asker had the patience for a slow answer."""
    child, port = launched("sh", "-c", "(sleep 0.5; kill $$) & exec {server} 60")
    started_s = time.monotonic()

    with pytest.raises(TargetError, match="SIGTERM"):
        ready(child, port, 60.0)

    assert time.monotonic() - started_s < 10.0


def test_a_port_in_use_says_by_whom_and_how_to_press_that(
    launched: Callable[..., tuple[Child, int]], tmp_path: Path
) -> None:
    """Before anything is started."""
    child, port = launched("sh", "-c", "exec {server} 0")
    ready(child, port)

    with pytest.raises(TargetError, match=rf"port {port} is in use by PID {child.pid} .*--pid"):
        plan_target(RunConfig(url=f"http://localhost:{port}", command=("true",)), tmp_path, tmp_path / "pages")


def test_a_running_server_is_attached_to_by_any_of_its_pids(launched: Callable[..., tuple[Child, int]]) -> None:
    """The shell above it, or itself; not a process that has nothing to do with it."""
    child, port = launched("sh", "-c", "{server} 0; true")
    ready(child, port)
    (listener,) = find_listener(port)
    url = f"http://127.0.0.1:{port}"

    assert attach(listener, url, find_listener).root == listener
    assert attach(child.pid, url, find_listener).root == child.pid
    server = attach(listener, url, find_listener)
    assert (server.alive(), server.gone, server.returncode, server.page_folder) == (True, False, None, None)
    assert wait_attached(url, server.alive, DEADLINE_S) < DEADLINE_S
    with subprocess.Popen(["sleep", "30"]) as stranger_process:
        try:
            with pytest.raises(UsageError, match=rf"\(sleep\) does not serve {url}: PID {listener}"):
                attach(stranger_process.pid, url, find_listener)
        finally:
            stranger_process.kill()
    with pytest.raises(UsageError, match="there is no such process"):
        attach(2**22 - 1, url, find_listener)
    with pytest.raises(TargetError, match="no process of yours listens"):
        attach(listener, f"http://127.0.0.1:{free_port()}", find_listener)
    child.stop(1.0)
    assert (server.alive(), server.gone, server.returncode) == (False, True, -1)


def test_pages_of_a_server_that_was_started_with_the_probe_are_found(
    launched: Callable[..., tuple[Child, int]], tmp_path: Path
) -> None:
    """Its environment says where they are."""
    child, port = launched("sh", "-c", "exec {server} 0", env=probe_environment(tmp_path / "pages", os.environ))
    ready(child, port)

    assert attach(child.pid, f"http://127.0.0.1:{port}", find_listener).page_folder == tmp_path / "pages"


def test_why_the_probe_is_silent_is_read_off_the_process(
    launched: Callable[..., tuple[Child, int]], tmp_path: Path
) -> None:
    """`python -I`, an emptied environment, a PYTHONPATH of its own, a server that the probe does not know."""
    env = probe_environment(tmp_path / "pages", os.environ)
    isolated, port = launched(sys.executable, "-I", "server.py", "{port}", "0", env=env)
    ready(isolated, port)
    assert "python -I ignores PYTHONPATH" in why_no_page([isolated.pid], [])
    emptied, port = launched("env", "-i", sys.executable, "server.py", "{port}", "0", env=env)
    ready(emptied, port)
    assert "an environment of its own" in why_no_page([emptied.pid], [])
    other, port = launched("env", "PYTHONPATH=/x", sys.executable, "server.py", "{port}", "0", env=env)
    ready(other, port)
    assert "sets PYTHONPATH anew" in why_no_page([other.pid], [])
    unknown, port = launched(sys.executable, "server.py", "{port}", "0", env=env)
    ready(unknown, port)
    assert "that the probe knows" in why_no_page([unknown.pid], [])


def test_the_interpreter_of_a_running_server_is_asked_by_the_name_it_was_called(
    launched: Callable[..., tuple[Child, int]], tmp_path: Path
) -> None:
    """The link of a virtual environment, not what it points at; a server is recognised by its command line."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(Path(sys.executable).resolve())
    shutil.copy(tmp_path / "server.py", tmp_path / "uvicorn")
    child, port = launched(str(python), "uvicorn", "{port}", "0")
    ready(child, port)

    assert interpreter_of(child.pid) == str(python)
    assert server_seen([child.pid]) == "uvicorn"
    found = ask_interpreter([child.pid], RunConfig(cwd=tmp_path), os.environ, tmp_path)
    assert found is not None
    assert found.executable == str(python)
    assert found.interface is None
