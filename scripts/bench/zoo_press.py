"""A plain closed loop for the labels of the zoo: several paths in turn, and servers that close, shed or break.

    python zoo_press.py PORT CONNECTIONS REDIAL_S WARMUP_S SECONDS PATH…

Knows nothing of pinchpoint. A connection that the server closes is opened again; after a failure (no answer, or a
status that is not 2xx) it waits a little, so that fast refusals are no storm. REDIAL_S above 0 makes every connection a
new one after about so many seconds: kept for ever, most of them may belong to one worker of several.

Prints one line of JSON: rate (answers of 2xx per second), ok, failed, median_ms, cpu_s (of this process).
"""

import contextlib
import itertools
import json
import math
import random
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

HOST = "127.0.0.1"
HEAD_END = b"\r\n\r\n"
CHUNKS_END = b"0\r\n\r\n"
PAUSE_S = 0.1
TIMEOUT_S = 20.0
TICK_S = 0.05
READ_BYTES = 262_144
FEW = 400
"""Fewer answers come in visible groups (ten at once, as a pool frees them), which a count over a window cuts apart."""
NO_BODY = {204, 304}


@dataclass
class Client:
    """One connection, or none at the moment, with one request at a time."""

    port: int
    paths: Iterator[str]
    redial_s: float = 0.0
    expires_s: float = math.inf
    """When this connection is to be replaced."""
    link: socket.socket | None = None
    out: bytes = b""
    head: bytes = b""
    tail: bytes = b""
    missing: int | None = None
    """Bytes of the body still to come; None while the head is read, and where only the end tells."""
    status: int = 0
    chunked: bool = False
    closes: bool = False
    used: bool = False
    """This connection has brought an answer before."""
    since_s: float = 0.0
    resumes_s: float | None = 0.0
    """When a waiting client goes on; None while a request is under way."""

    def go(self, now_s: float) -> None:
        """Send the next request, on a new connection where the last one is gone."""
        if self.link is None:
            self.link = socket.socket()
            self.link.setblocking(False)
            self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.link.connect_ex((HOST, self.port))
            self.used = False
            if self.redial_s:
                self.expires_s = now_s + self.redial_s * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        self.out = f"GET {next(self.paths)} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nAccept: */*\r\n\r\n".encode()
        self.head, self.tail, self.missing, self.status, self.chunked = b"", b"", None, 0, False
        self.since_s, self.resumes_s = now_s, None

    def write(self) -> None:
        """Send what the socket takes. Raises OSError when the connection is refused or gone."""
        assert self.link is not None  # noqa: S101 - `go` made it
        with contextlib.suppress(BlockingIOError):
            self.out = self.out[self.link.send(self.out) :]

    def read(self) -> bool:
        """Take in what has come; return True when the answer is whole. Raises OSError when it will never be."""
        assert self.link is not None  # noqa: S101 - `go` made it
        try:
            data = self.link.recv(READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            if self.status and self.missing is None and not self.chunked:
                self.closes = True
                return True
            raise ConnectionResetError("closed without an answer")
        if self.status:
            return self._body(data)
        self.head += data
        end = self.head.find(HEAD_END)
        return end >= 0 and self._head(self.head[:end].lower(), self.head[end + len(HEAD_END) :])

    def _head(self, head: bytes, rest: bytes) -> bool:
        self.status = int(head[9:12])
        fields = dict(line.split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        said = fields.get(b"connection", b"").strip()
        self.closes = said == b"close" or (head.startswith(b"http/1.0") and said != b"keep-alive")
        self.chunked = b"chunked" in fields.get(b"transfer-encoding", b"")
        length = fields.get(b"content-length")
        if self.status in NO_BODY:
            self.missing = 0
        elif length is not None:
            self.missing = int(length)
        return self._body(rest)

    def _body(self, data: bytes) -> bool:
        if self.chunked:
            self.tail = (self.tail + data)[-len(CHUNKS_END) :]
            return self.tail == CHUNKS_END
        if self.missing is None:
            return False
        self.missing -= len(data)
        return self.missing <= 0

    def drop(self) -> None:
        """Close the connection."""
        if self.link is not None:
            self.link.close()
            self.link = None


@dataclass
class Loop:
    """All clients, and what came of them."""

    clients: list[Client]
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    ok: list[tuple[float, float]] = field(default_factory=list)
    """When an answer of 2xx was whole, and how long it took, seconds."""
    failed: list[float] = field(default_factory=list)

    def press(self, seconds: float) -> None:
        """Keep every client busy."""
        end_s = time.perf_counter() + seconds
        looks_s = 0.0
        while (now_s := time.perf_counter()) < end_s:
            if now_s >= looks_s:
                self._look_after(now_s)
                looks_s = now_s + TICK_S
            for key, mask in self.selector.select(TICK_S):
                self._move(key.data, mask)

    def _look_after(self, now_s: float) -> None:
        """Wake those whose pause is over, and give up those that wait for too long."""
        for client in self.clients:
            if client.resumes_s is not None:
                if now_s >= client.resumes_s:
                    self._next(client, now_s)
            elif now_s - client.since_s > TIMEOUT_S:
                self._fail(client, now_s)

    def _next(self, client: Client, now_s: float) -> None:
        fresh = client.link is None
        client.go(now_s)
        events = selectors.EVENT_READ | selectors.EVENT_WRITE
        assert client.link is not None  # noqa: S101 - `go` made it
        if fresh:
            self.selector.register(client.link, events, client)
        else:
            self._write(client)
            if client.out:
                self.selector.modify(client.link, events, client)

    def _write(self, client: Client) -> None:
        try:
            client.write()
        except OSError:
            self._lost(client, time.perf_counter())

    def _move(self, client: Client, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and client.out:
            self._write(client)
            if client.link is not None and not client.out:
                self.selector.modify(client.link, selectors.EVENT_READ, client)
        if client.link is None or not mask & selectors.EVENT_READ:
            return
        try:
            whole = client.read()
        except OSError:
            self._lost(client, time.perf_counter())
            return
        if whole:
            self._done(client, time.perf_counter())

    def _done(self, client: Client, now_s: float) -> None:
        if not 200 <= client.status < 300:  # noqa: PLR2004 - the class of success
            self._fail(client, now_s, keep=not client.closes)
            return
        self.ok.append((now_s, now_s - client.since_s))
        client.used = True
        if client.closes or now_s > client.expires_s:
            self._drop(client)
        self._next(client, now_s)

    def _lost(self, client: Client, now_s: float) -> None:
        """Dial again where the server has only ended a kept connection; anything else is a failure."""
        if client.used and not client.head:
            self._drop(client)
            self._next(client, now_s)
        else:
            self._fail(client, now_s)

    def _fail(self, client: Client, now_s: float, *, keep: bool = False) -> None:
        self.failed.append(now_s)
        if not keep:
            self._drop(client)
        client.out, client.resumes_s = b"", now_s + PAUSE_S

    def _drop(self, client: Client) -> None:
        if client.link is not None:
            self.selector.unregister(client.link)
            client.drop()


def rate_of(times_s: list[float], start_s: float, end_s: float) -> float:
    """Return answers per second in a window; of few answers, the slope of their number over time (least squares)."""
    inside = [one for one in times_s if start_s <= one < end_s]
    if len(inside) >= FEW or len(inside) < 3:  # noqa: PLR2004 - two points are no slope
        return len(inside) / (end_s - start_s)
    mean = sum(inside) / len(inside)
    middle = (len(inside) - 1) / 2
    spread = sum((one - mean) ** 2 for one in inside)
    return sum((at - middle) * (one - mean) for at, one in enumerate(inside)) / spread


def main() -> None:
    """Press and print."""
    port, count, redial_s, warmup_s, seconds, *paths = sys.argv[1:]
    turns = itertools.cycle(paths)
    loop = Loop([Client(int(port), turns, float(redial_s)) for _ in range(int(count))])
    loop.press(float(warmup_s))
    start_s, used_s = time.perf_counter(), time.process_time()
    loop.press(float(seconds))
    end_s, used_s = time.perf_counter(), time.process_time() - used_s
    took = sorted(lasted for at, lasted in loop.ok if at >= start_s)
    told = {
        "rate": rate_of([at for at, _ in loop.ok], start_s, end_s),
        "ok": len(took),
        "failed": sum(at >= start_s for at in loop.failed),
        "median_ms": 1000 * took[len(took) // 2] if took else None,
        "cpu_s": used_s,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
