"""A plain open loop for what no closed one can show: arrivals that come however slow the answers are.

    python zoo_open.py PORT PATH LIMIT_MS SHARE SEED RATE:SECONDS…

Knows nothing of pinchpoint. Poisson arrivals, each on a connection of its own; latency counts from the moment that the
arrival was due. Prints one line of JSON: rate (at which SHARE of the answers is late: slower than LIMIT_MS, failed, or
not there; a straight line through the shares at all rates, and the highest rate if none reached SHARE), ok, failed,
median_ms, cpu_s (of this process). What came at each rate goes to stderr.
"""

import contextlib
import heapq
import json
import math
import random
import selectors
import socket
import sys
import time
from collections.abc import Mapping, Sequence
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

    def run(self, rate: float, seconds: float, chance: random.Random) -> dict[str, float]:
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
        middle = sorted(self.took)[len(self.took) // 2] if self.took else math.inf
        return {
            "rate": rate,
            "sent": sent,
            "late_share": late / max(sent, 1),
            "ok": len(self.took),
            "failed": self.failed,
            "median_ms": 1000 * middle,
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


def crossing(levels: Sequence[Mapping[str, float]], share: float) -> float:
    """Return the rate at which the late share is `share`: least squares, weighted with the arrivals of each rate."""
    highest = max(one["rate"] for one in levels)
    if all(one["late_share"] <= share for one in levels):
        return highest
    sent = sum(one["sent"] for one in levels)
    rate = sum(one["sent"] * one["rate"] for one in levels) / sent
    late = sum(one["sent"] * one["late_share"] for one in levels) / sent
    across = sum(one["sent"] * (one["rate"] - rate) * (one["late_share"] - late) for one in levels)
    spread = sum(one["sent"] * (one["rate"] - rate) ** 2 for one in levels)
    return min(highest, rate + (share - late) * spread / across) if across > 0 else 0.0


def main() -> None:
    """Offer each level in turn, and print."""
    port, path, limit_ms, share, seed, *levels = sys.argv[1:]
    chance = random.Random(int(seed))  # noqa: S311 - arrivals, no secret
    used_s, told = time.process_time(), []
    for level in levels:
        rate, _, seconds = level.partition(":")
        told.append(Level(int(port), path, float(limit_ms) / 1000).run(float(rate), float(seconds), chance))
        sys.stderr.write(json.dumps(told[-1]) + "\n")
    took = {
        "rate": crossing(told, float(share)),
        "ok": sum(one["ok"] for one in told),
        "failed": sum(one["failed"] for one in told),
        "median_ms": told[0]["median_ms"],
        "cpu_s": time.process_time() - used_s,
    }
    sys.stdout.write(json.dumps(took) + "\n")


if __name__ == "__main__":
    main()
