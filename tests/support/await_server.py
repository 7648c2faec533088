"""Serve `await_app` under the probe, and ask it."""

import asyncio
import json
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from support import servers


class Server(servers.Server):
    """How it is asked."""

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

        def fresh() -> dict[str, float] | None:
            pages = [page for page in self.reader.read().values() if page.published_s > called]
            return pages[0].fields if pages else None

        found: dict[str, float] = self.wait_for(fresh)
        return found


def serving(folder: Path, loop: str, **environ: str) -> AbstractContextManager[Server]:
    """Serve with uvicorn on a kind of loop."""
    arguments = ("-m", "uvicorn", "await_app:app", "--log-level", "warning", "--port", "{port}", "--loop", loop)
    environ = {"PROBE_APP_DATABASE": f"sqlite+aiosqlite:///{folder}/app.db", **environ}
    return servers.serving(Server, folder, arguments, environ=environ)
