"""Servers forked from a zygote, and what their pages show."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pinchpoint
from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.pages import PageReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUPPORT = Path(__file__).resolve().parent
DEADLINE_S = 20.0
PUBLISHED_S = 0.015
"""Between two pages; the zygote asks for more of them than usual."""


class Zygote:
    """Forks servers that have imported everything."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder = folder
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(SUPPORT)])}
        command = [sys.executable, str(SUPPORT / "zygote.py"), kind]
        with (folder / "zygote.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=probe_environment(folder / "pages", environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @contextlib.contextmanager
    def serving(self, name: str) -> Iterator[Server]:
        """Start a server, and stop it."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = self.folder / f"{name}.log"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port} {log}\n")
        self._process.stdin.flush()
        server = Server(port, int(self._process.stdout.readline()), log, PageReader(self.folder / "pages"))
        try:
            yield server
        finally:
            os.kill(server.pid, signal.SIGKILL)
            server.reader.close()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Server:
    """A server, its log, and its page."""

    def __init__(self, port: int, pid: int, log: Path, reader: PageReader) -> None:
        self.port = port
        self.pid = pid
        self.log = log
        self.reader = reader

    def ask(self, path: str, body: str | None = None, timeout_s: float = DEADLINE_S) -> tuple[int, bytes]:
        """Return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def said(self) -> str:
        """Return what it logged, without the folders of our code: they may be called anything, `pinchpoint` too."""
        log = self.log.read_text()
        for folder in {sys.prefix, str(SUPPORT.parents[1]), str(Path(pinchpoint.__file__).parents[1])}:
            log = log.replace(folder, "")
        return log

    def answers(self) -> list[tuple[int, bytes]]:
        """Return what the app says to all there is to ask."""
        return [self.ask(path) for path in ("/", "/everything", "/stream", "/missing", "/boom", "/everything", "/")]

    def shown(self) -> tuple[set[str], dict[str, dict[str, dict[str, float]]]]:
        """Return the fields that are available and the tables, published from now on."""
        called = time.monotonic()

        def look() -> Any:
            page = self.reader.read().get(self.pid)
            # Tables come with every fifth page.
            return page if page is not None and page.published_s > called + 5 * PUBLISHED_S else None

        fields = set(wait_for(look).fields)
        return fields, self.reader.tables(self.pid) or {}


def wait_for(look: Callable[[], Any]) -> Any:
    """Return what `look` finds, or fail at the deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            found = look()
            if found:
                return found
        time.sleep(0.005)
    return pytest.fail("nothing came before the deadline")
