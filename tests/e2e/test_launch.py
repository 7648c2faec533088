"""Every way to launch, on real servers: an app by its name, a command, a daemon, a server that runs already."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pinchpoint.readiness import free_port, http_status
from pinchpoint.report.build import validate

pytestmark = pytest.mark.timeout(90)
DEADLINE_S = 60.0
BUDGET = ("--budget", "20s", "--no-profile", "--get", "/", "--json")
FLASK = """
import time
from flask import Flask

def create_app():
    app = Flask(__name__)

    @app.get("/")
    def root():
        time.sleep(0.02)
        return "hello"

    return app
"""
ASGI = """
import asyncio
four = asyncio.Semaphore(4)

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    async with four:
        await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
UVICORN = (sys.executable, "-m", "uvicorn", "plain:app", "--no-access-log", "--lifespan", "off", "--port")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a Flask factory and a plain ASGI app.

    Both serve 200 requests/s at most, so that a busy machine's generator is not the first to break.
    """
    (tmp_path / "shop.py").write_text(FLASK)
    (tmp_path / "plain.py").write_text(ASGI)
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[tuple[psutil.Popen, str]]:
    """Return a server that somebody else started, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with psutil.Popen([*UVICORN, str(port)], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as server:
        wait_until(lambda: http_status(url) == 200)
        yield server, url
        if server.poll() is None:
            server.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until it holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start `pinchpoint run` in the folder."""
    command = [sys.executable, "-m", "pinchpoint", "run", *words]
    environ = {**os.environ, "PINCHPOINT_TEST_MARK": str(folder)}
    return subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """Return exit code, report and talk of a run."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in err
    return process.returncode, json.loads(out) if out else {}, err


def interrupted(process: subprocess.Popen[str], folder: Path) -> tuple[int, dict[str, Any], str]:
    """Return the same of a run that Ctrl-C ends once two loads of the ramp are measured: its report says enough."""
    events = folder / "runs" / "latest" / "events.jsonl"
    wait_until(lambda: events.exists() and events.read_text().count('"phase":"ramp"') >= 2)
    process.send_signal(signal.SIGINT)
    return finished(process)


def left(folder: Path) -> list[str]:
    """Return the processes of a test's runs that are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get("PINCHPOINT_TEST_MARK") == str(folder)
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_a_flask_factory_runs_under_gunicorn_with_what_its_environment_has(folder: Path) -> None:
    """WSGI is found, threads make it gthread, and run.json says what served."""
    code, report, said = finished(started(folder, *BUDGET, "--threads", "4", "shop:create_app"))

    assert code == 0, said
    assert validate(report) == []
    target = report["run"]["target"]
    assert (target["server"], target["worker_class"], target["interface"]) == ("gunicorn", "gthread", "wsgi")
    assert target["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert "shop:create_app takes no arguments, so it is called" in said
    assert {"flask", "gunicorn", "locust", "pinchpoint"} <= report["run"]["versions"].keys()
    # Four threads hold 20 ms each: 200 requests/s at most.
    assert report["capacity"]["sustainable_rps"] < 220
    wait_until(lambda: not left(folder))


def test_a_command_gets_a_free_port_and_the_probe(folder: Path) -> None:
    """Inside figures without any change to the command but where its port stands."""
    code, report, said = interrupted(started(folder, *BUDGET, "--", *UVICORN, "{port}"), folder)

    assert code == 130, said
    target = report["run"]["target"]
    assert (target["server"], target["workers"]) == ("uvicorn", 1)
    assert all(step["server"]["inflight"] is not None for step in report["steps"] if step["phase"] == "ramp")
    assert all(step["server"]["loop_lag_ms"] is not None for step in report["steps"] if step["phase"] == "ramp")
    wait_until(lambda: not left(folder))


def test_a_server_that_a_script_puts_into_the_background_is_measured_and_ended(folder: Path) -> None:
    """`python -I` keeps the probe out: the report is made from outside, and a note says why."""
    script = folder / "serve.sh"
    words = " ".join([UVICORN[0], "-I", *UVICORN[1:]])
    script.write_text(f"setsid {words} $PORT --app-dir . &\n")
    code, report, said = interrupted(started(folder, *BUDGET, "--env", "PORT={port}", "--", "sh", str(script)), folder)

    assert code == 130, said
    assert all(step["server"]["cpu_cores"] > 0 for step in report["steps"] if step["phase"] == "ramp")
    assert "python -I ignores PYTHONPATH" in said
    assert any("python -I" in note for note in report["run"]["target"]["notes"])
    wait_until(lambda: not left(folder))


def test_a_running_server_is_measured_from_outside_and_left_running(
    folder: Path, running: tuple[psutil.Popen, str]
) -> None:
    """CPU and memory are seen; what is missing is said."""
    server, url = running
    code, report, said = interrupted(started(folder, *BUDGET, "--url", url, "--pid", str(server.pid)), folder)

    assert code == 130, said
    assert all(step["server"]["cpu_cores"] > 0 for step in report["steps"] if step["phase"] == "ramp")
    assert "attached: no probe" in said
    assert any("attached: no probe" in note for note in report["run"]["target"]["notes"])
    assert report["run"]["target"]["attached_pid"] == server.pid
    assert server.poll() is None
    assert http_status(url) == 200


def test_an_attached_server_that_dies_ends_the_run_with_a_partial_report(
    folder: Path, running: tuple[psutil.Popen, str]
) -> None:
    """Exit code 4: nobody here knows why it died."""
    server, url = running
    process = started(folder, *BUDGET, "--url", url, "--pid", str(server.pid))
    events = folder / "runs" / "latest" / "events.jsonl"
    wait_until(lambda: events.exists() and '"baseline"' in events.read_text())
    server.send_signal(signal.SIGKILL)
    code, report, said = finished(process)

    assert code == 4, said
    assert f"PID {server.pid}" in said
    assert report["run"]["partial"] is True
    assert len(report["steps"]) >= 1
    wait_until(lambda: not left(folder))
