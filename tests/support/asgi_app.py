"""An app whose answers the tests time: served by every ASGI server under the probe."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()
HOLD_S = 0.1

if "PROBE_APP_BREAK" in os.environ:
    broken: Any = sys.modules["_pinchpoint_probe.asgi"]
    broken.REQUESTS.starts = None


@app.get("/ready")
async def ready() -> dict[str, int]:
    """Answer at once, with the process that does."""
    return {"pid": os.getpid()}


@app.get("/hold/{item_id}")
async def hold(item_id: int, seconds: float = HOLD_S) -> dict[str, int]:
    """Answer after a while."""
    await asyncio.sleep(seconds)
    return {"id": item_id}


@app.get("/stream")
async def stream() -> StreamingResponse:
    """Answer piece by piece."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x"
            await asyncio.sleep(HOLD_S / 4)

    return StreamingResponse(pieces())


@app.get("/background")
async def background(tasks: BackgroundTasks) -> dict[str, int]:
    """Answer at once, and go on for much longer."""
    tasks.add_task(asyncio.sleep, 10 * HOLD_S)
    return {}


@app.get("/fail")
async def fail() -> None:
    """Break."""
    raise RuntimeError


@app.get("/block")
async def block() -> dict[str, int]:
    """Hold the loop, so that others have to wait for it."""
    time.sleep(HOLD_S)  # noqa: ASYNC251 - the fault to be seen
    return {}


@app.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    """Say one word."""
    await websocket.accept()
    await websocket.send_text("word")
    await websocket.close()
