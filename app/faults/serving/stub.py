"""A partner's HTTP service that answers every request alike, after a delay, and serves only so many at a time.

    python -m pinchpoint.app.faults.serving.stub --port 8101 --delay-ms 50 --at-once 5

Requests over `--at-once` wait their turn, first come first served. The delay starts when the turn comes and takes no
CPU. Every method and path gets 200 and the same small JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import Callable

from .settings import cured, severity

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Later = Callable[[float, Callable[[], None]], object]


def _after(delay_s: float, call: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(delay_s, call)


class Desk:
    """Serves `at_once` requests at a time (None: any number), each for `delay_s` seconds."""

    def __init__(self, delay_s: float, at_once: int | None, answer: bytes, later: Later | None = None) -> None:
        self.delay_s = delay_s
        self.at_once = at_once
        self.answer = answer
        self._later = later or _after
        self.busy = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def queue(self, finish: Callable[[], None], wanted: Callable[[], bool]) -> None:
        """Call `finish` once its turn has come and its delay has passed; skip it if it is not `wanted` any more."""

        def start() -> None:
            if wanted():
                self.busy += 1
                self._later(self.delay_s, done)

        def done() -> None:
            self.busy -= 1
            while self._waiting and self._free():
                self._waiting.popleft()()
            finish()

        if self._free():
            start()
        else:
            self._waiting.append(start)

    def _free(self) -> bool:
        return self.at_once is None or self.busy < self.at_once


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, in order."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base class names it
        """Forget the client; what it waits for is dropped when its turn comes."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Queue the request as soon as it is whole."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        end = self._buffer.find(_HEAD_END)
        if self._busy or end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        whole = end + len(_HEAD_END) + (int(length[1]) if length else 0)
        if len(self._buffer) < whole:
            return
        self._buffer = self._buffer[whole:]
        self._busy = True
        self._desk.queue(self._finish, lambda: self._transport is not None)

    def _finish(self) -> None:
        self._busy = False
        if self._transport is not None:
            self._transport.write(self._desk.answer)
            self._next()


def whole_answer(body: dict[str, object]) -> bytes:
    """Return an HTTP/1.1 answer with `body` as JSON."""
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


async def serve(desk: Desk, host: str, port: int) -> None:
    """Serve until cancelled. Raises OSError if the port is taken."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(desk), host, port, backlog=4096)
    async with server:
        await server.serve_forever()


def main(argv: list[str] | None = None) -> None:
    """Read the command line and serve. Raises SystemExit (2) for a bad one."""
    parser = argparse.ArgumentParser(description="Answers every HTTP request alike, after a delay.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--at-once", type=int, help="requests served at a time; more wait their turn")
    parser.add_argument("--scaled", action="store_true", help="multiply the delay by the severity")
    parser.add_argument("--lifted", action="store_true", help="no --at-once when cured")
    given = parser.parse_args(argv)
    delay_s = given.delay_ms / 1000 * (severity() if given.scaled else 1.0)
    at_once = None if given.lifted and cured() else given.at_once
    answer = whole_answer({"status": "ok", "currency": "EUR", "rate": 1.25})
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Desk(delay_s, at_once, answer), "127.0.0.1", given.port))


if __name__ == "__main__":
    main()
