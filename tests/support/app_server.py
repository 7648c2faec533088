"""The reference app served by a process of its own, and a client of it."""

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pinchpoint.processes import Command, start
from pinchpoint.readiness import free_port, wait_http_ready

UVICORN = ("-m", "uvicorn", "pinchpoint.app.main:app", "--log-level", "error", "--no-access-log", "--port", "{port}")
GUNICORN = (
    *("-m", "gunicorn", "-c", "python:pinchpoint.app.gunicorn_conf", "-b", "127.0.0.1:{port}"),
    *("--workers", "2", "pinchpoint.app.main:app"),
)
TEST_USER = {"username": "test_user", "password": "password"}
NOT_INHERITED = ("PINCHPOINT_", "PROMETHEUS_", "DATABASE_", "WEB_CONCURRENCY")


class Api:
    """One client of a served app: a connection that is kept alive, and a token once it has logged in."""

    def __init__(self, port: int) -> None:
        """Connect with the first request."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._headers: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send one request; return status and text."""
        text = None if body is None else json.dumps(body)
        headers = self._headers if text is None else {**self._headers, "Content-Type": "application/json"}
        self._connection.request(method, path, text, headers)
        response = self._connection.getresponse()
        return response.status, response.read().decode()

    def ask_json(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Send one request; return the JSON of the answer, whose status must be the expected one."""
        answered, text = self.ask(method, path, body)
        assert answered == status, f"{method} {path}: {answered} {text}"
        return json.loads(text) if text else None

    def log_in(self) -> None:
        """Send the public account's token from now on."""
        token = self.ask_json("POST", "/login", TEST_USER)["access_token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def act_as(self, other: "Api") -> None:
        """Send another client's token from now on."""
        self._headers = other._headers

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@contextlib.contextmanager
def app_served(folder: Path, arguments: tuple[str, ...] = UVICORN, **variables: str) -> Iterator[int]:
    """Run `python ARGUMENTS` in a folder until the app answers; yield its port; stop it."""
    port = free_port()
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    command = Command(
        name="app",
        argv=(sys.executable, *(argument.format(port=port) for argument in arguments)),
        log=folder / "log",
        env={**clean, "TMPDIR": str(temporary), **variables},
        cwd=folder,
    )
    with start(command) as child:
        wait_http_ready(f"http://127.0.0.1:{port}/health", child)
        yield port


@contextlib.contextmanager
def client_of(port: int) -> Iterator[Api]:
    """Talk to a served app on a connection of one's own."""
    api = Api(port)
    try:
        yield api
    finally:
        api.close()
