"""20 tokens of an `asyncio.Semaphore`, each held 40 ms on the event loop: 500 requests per second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tokens import Tokens

TOKENS = Tokens(20, 0.040)
_gate = asyncio.Semaphore(TOKENS.count)
_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"3")],
}
_BODY = {"type": "http.response.body", "body": b"ok\n"}


async def app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]) -> None:
    """Answer any request after its hold."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    async with _gate:
        end_s = TOKENS.take()
        await asyncio.sleep(end_s - time.monotonic())
        TOKENS.give(end_s)
    await send(_HEAD)
    await send(_BODY)
