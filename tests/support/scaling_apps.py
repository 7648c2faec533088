"""Two ASGI apps whose capacity is arithmetic and whose CPU is idle: one scales with workers, the other does not.

`per_worker`: 6 tokens in each worker, held 50 ms a request: 120 requests/s for each worker.
`shared`: one file lock for all workers, held 10 ms a request: 100 requests/s for all of them together.
"""

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

TOKENS, TOKEN_S = 6, 0.050
LOCK_S = 0.010
LOCK_FILE = Path(os.environ.get("SCALING_LOCK", Path(tempfile.gettempdir()) / f"scaling-app-{os.getppid()}.lock"))

_tokens = asyncio.Semaphore(TOKENS)
_locksmith = ThreadPoolExecutor(1)
"""A worker has one thread that holds or waits for the file lock, so its own queue is in memory."""


async def per_worker(scope: Scope, receive: Receive, send: Send) -> None:
    """Hold one of this worker's tokens."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    async with _tokens:
        await asyncio.sleep(TOKEN_S)
    await _answer(send)


async def shared(scope: Scope, receive: Receive, send: Send) -> None:
    """Hold the lock that all workers share."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    await asyncio.get_running_loop().run_in_executor(_locksmith, _locked)
    await _answer(send)


def _locked() -> None:
    with LOCK_FILE.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(LOCK_S)


async def _answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"ok\n"})


async def _lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
