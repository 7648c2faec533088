"""A closed loop of keep-alive connections, as cheap as Python can: its own process, one core.

    python closed_loop.py HOST PORT PATH CONNECTIONS WARMUP_S SECONDS

Prints one line of JSON: requests, errors (not 2xx), seconds, cpu_s (of this process), p50_ms,
p99_ms.
"""

import json
import selectors
import socket
import sys
import time

HEAD_END = b"\r\n\r\n"


class Connection:
    """One request at a time; the next leaves as soon as the answer is whole."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        self.buffer = b""
        self.sent_s = 0.0

    def send(self) -> None:
        """Send the request."""
        self.sent_s = time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> int | None:
        """Return the status when the answer is whole, else None.

        Raises:
            ConnectionError: the server closed.

        """
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buffer += data
        end = self.buffer.find(HEAD_END)
        if end < 0:
            return None
        length = _length(self.buffer[:end].lower())
        if len(self.buffer) < end + len(HEAD_END) + length:
            return None
        status = int(self.buffer[9:12])
        self.buffer = b""
        return status


def _length(head: bytes) -> int:
    at = head.index(b"content-length:") + len(b"content-length:")
    return int(head[at:].split(b"\r\n", 1)[0])


def press(connections: list[Connection], seconds: float) -> tuple[list[float], int]:
    """Keep every connection busy for `seconds`; return latencies in seconds, and how many answers were not 2xx."""
    latencies, errors = [], 0
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        end = time.perf_counter() + seconds
        waiting = len(connections)
        while waiting:
            for key, _ in selector.select(5.0):
                status = key.data.receive()
                if status is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - key.data.sent_s)
                errors += not 200 <= status < 300  # noqa: PLR2004 - the class of success
                if now < end:
                    key.data.send()
                else:
                    waiting -= 1
    return latencies, errors


def main() -> None:
    """Press and print."""
    host, port, path, count, warmup_s, seconds = sys.argv[1:]
    connections = [Connection(host, int(port), path) for _ in range(int(count))]
    press(connections, float(warmup_s))
    started, used = time.perf_counter(), time.process_time()
    latencies, errors = press(connections, float(seconds))
    took, used = time.perf_counter() - started, time.process_time() - used
    latencies.sort()
    at = {f"p{p}_ms": 1000 * latencies[min(len(latencies) - 1, len(latencies) * p // 100)] for p in (50, 99)}
    sys.stdout.write(
        json.dumps({"requests": len(latencies), "errors": errors, "seconds": took, "cpu_s": used, **at}) + "\n"
    )


if __name__ == "__main__":
    main()
