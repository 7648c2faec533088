"""A server to press: answers at once, or after a pause that the path names (`/sleep/0.1`); knows a login and items."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pinchpoint.processes import Child, Command, start
from pinchpoint.readiness import free_port, wait_http_ready


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    path = scope["path"]
    if path.startswith("/sleep/"):
        await asyncio.sleep(float(path.rpartition("/")[2]))
    body = json.dumps({"path": path, "query": scope["query_string"].decode()}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[Child, str]]:
    """Serve from one process; yield it and its URL."""
    port = free_port()
    here = Path(__file__)
    argv = (sys.executable, "-m", "uvicorn", "--no-access-log", "--port", str(port), f"{here.stem}:app")
    with start(Command(name="target", argv=argv, log=folder / "server.log", cwd=here.parent)) as child:
        url = f"http://127.0.0.1:{port}"
        wait_http_ready(f"{url}/", child)
        yield child, url
