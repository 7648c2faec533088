"""The reference app under gunicorn, as a user starts it."""

import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

_SPEC = importlib.util.spec_from_file_location("support_postgres", Path(__file__).parents[1] / "support/postgres.py")
assert _SPEC is not None
assert _SPEC.loader is not None
postgres = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(postgres)

DEADLINE_S = 20.0


class Server:
    """A running gunicorn master and how to talk to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, str]:
        """Send one request on a connection of its own; return status and text."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def workers(self) -> set[int]:
        """Return the pids of the living workers."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds; fail after a deadline. Refused connections count as not yet."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if condition():
                return
        time.sleep(0.02)
    pytest.fail("condition not met in time")


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command(port: int, *flags: str) -> list[str]:
    """Return the documented command for an installed package."""
    conf = "python:pinchpoint.app.gunicorn_conf"
    return [sys.executable, "-m", "gunicorn", "-c", conf, "-b", f"127.0.0.1:{port}", *flags, "pinchpoint.app.main:app"]


@contextlib.contextmanager
def serving(folder: Path, *flags: str, **variables: str) -> Iterator[Server]:
    """Run the app from an empty folder; wait until it answers; stop it."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PINCHPOINT_", "PROMETHEUS_", "DATABASE_"))}
    temporary = folder / "tmp"
    temporary.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(port, *flags),
            cwd=folder,
            env={**clean, "TMPDIR": str(temporary), **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Server(process, port)
        wait_until(lambda: process.poll() is not None or server.ask("GET", "/health")[0] == 200)
        assert process.poll() is None, (folder / "log").read_text()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def count_of(metrics: str, route: str) -> int:
    """Return how many successful requests `/metrics` has counted for a route."""
    pattern = rf'http_request_duration_seconds_count{{handler="{re.escape(route)}",method="GET",status="2xx"}} (\S+)'
    found = re.search(pattern, metrics)
    return int(float(found[1])) if found else 0


def test_two_workers_share_one_seed_one_secret_and_one_set_of_counters(tmp_path: Path) -> None:
    """Booting together they seed once; a token of one is good at the other; a killed one leaves counters, no gauge."""
    with serving(tmp_path, "--workers", "2") as server:
        wait_until(lambda: "app_workers 2.0" in server.ask("GET", "/metrics")[1])
        assert len(json.loads(server.ask("GET", "/items?offset=9999")[1])) == 1
        assert json.loads(server.ask("GET", "/items?offset=10000")[1]) == []

        login = {"username": "test_user", "password": "password"}
        token = json.loads(server.ask("POST", "/login", login)[1])["access_token"]
        # 20 connections dealt out by the kernel: all at one worker would be a chance of one in 500,000.
        assert {server.ask("GET", "/me", token=token)[0] for _ in range(20)} == {200}
        # A worker counts a request when its answer is out: one killed before that would take its last count along.
        wait_until(lambda: count_of(server.ask("GET", "/metrics")[1], "/me") == 20)

        victim = min(server.workers())
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in server.workers() and len(server.workers()) == 2)
        wait_until(lambda: "app_workers 2.0" in server.ask("GET", "/metrics")[1])

        assert count_of(server.ask("GET", "/metrics")[1], "/me") == 20
        assert list(tmp_path.glob(f"tmp/*/metrics/gauge_live*_{victim}.db")) == []
        assert list(tmp_path.glob("tmp/*/metrics/histogram_*.db")) != []

    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "tmp"]
    assert list((tmp_path / "tmp").glob("pinchpoint-app-*")) == []


def test_gunicorns_own_asgi_worker_serves_from_a_named_run_folder(tmp_path: Path) -> None:
    """The class is a flag away, and a folder the user named is kept."""
    run_dir = tmp_path / "kept"
    with serving(tmp_path, "-k", "asgi", PINCHPOINT_APP_RUN_DIR=str(run_dir)) as server:
        assert server.ask("POST", "/items/", {"name": "Lamp", "price": 1})[0] == 201

    with serving_again(tmp_path, run_dir) as server:
        assert json.loads(server.ask("GET", "/items/10001")[1])["name"] == "Lamp"


@contextlib.contextmanager
def serving_again(folder: Path, run_dir: Path) -> Iterator[Server]:
    """Start a second boot on the same run folder."""
    second = folder / "second"
    second.mkdir()
    with serving(second, PINCHPOINT_APP_RUN_DIR=str(run_dir)) as server:
        yield server


def test_uvicorn_alone_serves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Without a master the app prepares itself, and cleans up although uvicorn dies by the signal that stops it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "pinchpoint.app.main:app", "--port", str(port), "--log-level", "error"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        server = Server(process, port)
        wait_until(lambda: server.ask("GET", "/items/10000")[0] == 200)
        made = [path.name for path in tmp_path.glob("pinchpoint-app-*/items.db")]
    finally:
        process.terminate()
        process.wait(timeout=10)

    assert made == ["items.db"]
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_refused_even_with_a_socket_for_each_worker(tmp_path: Path) -> None:
    """With SO_REUSEPORT alone two servers would share the port in silence."""
    with serving(tmp_path, "--workers", "2") as server:
        second = subprocess.run(
            command(server.port, "--workers", "2"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    assert second.returncode == 1
    assert f"127.0.0.1:{server.port} is in use; name a free one with --bind." in second.stderr
    assert "Traceback" not in second.stderr


def test_a_bad_setting_ends_the_master_with_one_line(tmp_path: Path) -> None:
    """No worker is started, no traceback shown."""
    done = subprocess.run(
        command(free_port()),
        cwd=tmp_path,
        env={**os.environ, "PINCHPOINT_APP_FAULT_SEVERITY": "no"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "PINCHPOINT_APP_FAULT_SEVERITY: input should be a valid number, unable to parse string as a number."
    ]


@pytest.mark.postgres
@pytest.mark.parametrize(
    "variables", [{"PINCHPOINT_APP_POOL_SIZE": "1"}, {"PINCHPOINT_APP_FAULT": "slow-query,db-pool"}]
)
def test_postgresql_serves_the_same_routes(tmp_path: Path, variables: dict[str, str]) -> None:
    """Two workers seed one PostgreSQL once; all works with one connection a worker, and with faults in the way."""
    reason = postgres.skip_reason()
    if reason is not None:
        pytest.skip(reason)
    with (
        postgres.temporary_postgres() as url,
        serving(tmp_path, "-w", "2", DATABASE_URL=url, **variables) as server,
    ):
        created = json.loads(server.ask("POST", "/items", {"name": "Lamp", "price": 1})[1])
        assert json.loads(server.ask("GET", f"/items/{created['id']}")[1]) == created
        assert created["id"] == 10_001
        assert [item["id"] for item in json.loads(server.ask("GET", "/items?q=lAMP")[1])] == [10_001]
        assert server.ask("POST", "/login", {"username": "test_user", "password": "password"})[0] == 200
        assert server.ask("POST", "/register", {"username": "test_user", "password": "password"})[0] == 409
