"""A plain open loop for what no closed one can show: arrivals that come however slow the answers are.

    python zoo_open.py PORT PATH LIMIT_MS SEED RATE:SECONDS…

Knows nothing of pinchpoint. Poisson arrivals, each on a connection of its own; latency counts from the moment that the
arrival was due. Prints one line of JSON: for each RATE, how many were sent, the share that was late (slower than
LIMIT_MS, failed, or without an answer), the median, and how late the loop itself was at worst.
"""

import contextlib
import heapq
import json
import random
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

HOST = "127.0.0.1"
DRAIN_S = 4.0
"""Two retries of a lost SYN (after 1 s and 3 s) and what they wait for."""
READ_BYTES = 65_536
SUCCESS = b"HTTP/1.1 2"


@dataclass(eq=False)
class Request:
    """One arrival: its connection, and what came back."""

    due_s: float
    link: socket.socket
    out: bytes
    head: bytes = b""


@dataclass
class Level:
    """All arrivals of one rate."""

    port: int
    path: str
    limit_s: float
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    took: list[float] = field(default_factory=list)
    failed: int = 0
    lag_s: float = 0.0
    under_way: int = 0

    def run(self, rate: float, seconds: float, chance: random.Random) -> dict[str, float | int | None]:
        """Offer `rate` for `seconds`, wait for the answers, and say what came."""
        begun_s = time.perf_counter()
        due, at_s = [], begun_s
        while (at_s := at_s + chance.expovariate(rate)) < begun_s + seconds:
            due.append(at_s)
        heapq.heapify(due)
        sent, end_s = len(due), begun_s + seconds + DRAIN_S
        while (due or self.under_way) and (now_s := time.perf_counter()) < end_s:
            while due and due[0] <= now_s:
                self._send(heapq.heappop(due), now_s)
            for key, mask in self.selector.select(max(0.0, min(0.05, due[0] - now_s) if due else 0.05)):
                self._move(key.data, mask)
        late = sum(one > self.limit_s for one in self.took) + self.failed + self.under_way
        middle = sorted(self.took)[len(self.took) // 2] if self.took else None
        return {
            "rate": rate,
            "sent": sent,
            "late_share": late / max(sent, 1),
            "failed": self.failed,
            "median_ms": None if middle is None else 1000 * middle,
            "lag_ms": 1000 * self.lag_s,
        }

    def _send(self, due_s: float, now_s: float) -> None:
        self.lag_s = max(self.lag_s, now_s - due_s)
        link = socket.socket()
        link.setblocking(False)
        link.connect_ex((HOST, self.port))
        text = f"GET {self.path} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nConnection: close\r\n\r\n"
        self.under_way += 1
        self.selector.register(link, selectors.EVENT_WRITE, Request(due_s, link, text.encode()))

    def _move(self, request: Request, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                with contextlib.suppress(BlockingIOError):
                    request.out = request.out[request.link.send(request.out) :]
                if not request.out:
                    self.selector.modify(request.link, selectors.EVENT_READ, request)
                return
            data = request.link.recv(READ_BYTES)
        except OSError:
            self._end(request, ok=False)
            return
        if data:
            request.head = (request.head + data)[: len(SUCCESS)]
        else:
            self._end(request, ok=request.head == SUCCESS)

    def _end(self, request: Request, *, ok: bool) -> None:
        self.under_way -= 1
        self.selector.unregister(request.link)
        request.link.close()
        if ok:
            self.took.append(time.perf_counter() - request.due_s)
        else:
            self.failed += 1


def main() -> None:
    """Offer each level in turn, and print."""
    port, path, limit_ms, seed, *levels = sys.argv[1:]
    chance = random.Random(int(seed))  # noqa: S311 - arrivals, no secret
    told = []
    for level in levels:
        rate, _, seconds = level.partition(":")
        told.append(Level(int(port), path, float(limit_ms) / 1000).run(float(rate), float(seconds), chance))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
