"""Serve `await_app` under the probe, and ask it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.pages import PageReader

SUPPORT = Path(__file__).resolve().parent
DEADLINE_S = 20.0


class Server:
    """A server under the probe, which publishes in `folder`/pages."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.log = folder / "log"
        self._pages = PageReader(folder / "pages")

    async def _get(self, path: str) -> tuple[int, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), json.loads(body) if body else None

    def get_all(self, *paths: str) -> list[int]:
        """Request all paths at once; return the statuses."""

        async def together() -> list[int]:
            return [status for status, _ in await asyncio.gather(*[self._get(path) for path in paths])]

        return asyncio.run(together())

    def keep_asking(self, seconds: float, *paths: str) -> dict[str, float]:
        """Request each path again and again, one at a time, for so long; return path -> share of its time waited."""
        until_s = time.monotonic() + seconds
        waited: defaultdict[str, float] = defaultdict(float)
        total: defaultdict[str, float] = defaultdict(float)

        async def again(path: str) -> None:
            while time.monotonic() < until_s:
                _, answer = await self._get(path)
                waited[path] += answer["wait_s"]
                total[path] += answer["wait_s"] + answer["sleep_s"]

        async def together() -> None:
            await asyncio.gather(*[again(path) for path in paths])

        asyncio.run(together())
        return {path: waited[path] / total[path] for path in total}

    def fields(self) -> dict[str, float]:
        """Return the page's fields, published after this call."""
        called = time.monotonic()
        found: dict[str, float] = {}

        def fresh() -> bool:
            pages = [page for page in self._pages.read().values() if page.published_s > called]
            found.update(pages[0].fields if pages else {})
            return bool(found)

        wait_until(fresh)
        return found

    def close(self) -> None:
        """Close the files."""
        self._pages.close()


def wait_until(ready: Callable[[], bool]) -> None:
    """Return once `ready`, or fail at the deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if ready():
            return
        time.sleep(0.005)
    pytest.fail("nothing came before the deadline")


def _answers(server: Server, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, server.log.read_text()
    try:
        return server.get_all("/") == [200]
    except (OSError, IndexError):
        return False


@contextmanager
def serving(folder: Path, loop: str, **environ: str) -> Iterator[Server]:
    """Start uvicorn on a kind of loop, wait until it answers, and stop it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = probe_environment(folder / "pages", {**os.environ, "PYTHONPATH": str(SUPPORT), **environ})
    environment["PROBE_APP_DATABASE"] = f"sqlite+aiosqlite:///{folder}/app.db"
    command = [sys.executable, "-m", "uvicorn", "await_app:app", "--log-level", "warning", "--port", str(port)]
    server = Server(port, folder)
    with (
        server.log.open("wb") as log,
        subprocess.Popen([*command, "--loop", loop], env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: _answers(server, process))
            yield server
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            server.close()
