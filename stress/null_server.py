"""A server that does nothing but answer: `python -m pinchpoint.stress.null_server --fd N --answers PATH`.

What a load process reaches against it is the load process's own limit. It answers from a table, in one thread per
process, without looking at more of a request than its end: HTTP/1.1 with keep-alive, pipelining, bodies with a length
or in chunks. On SIGTERM it prints how many requests it answered, one JSON line per process.
"""

import argparse
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

from pinchpoint.stress.answers import Answer, best_match, read_answers

RECEIVE_BYTES = 65_536
LONGEST_HEAD_BYTES = 65_536
MOST_KEYS = 20_000
"""Requests whose answer is remembered; a Locust file may ask for a new path each time."""

HEAD_END = b"\r\n\r\n"
EMPTY_JSON = Answer("GET", "/", 200, b"{}", (("content-type", "application/json"),))


class BadRequestError(ValueError):
    """Bytes that are no HTTP/1 request."""


def rendered(answer: Answer, method: str = "GET") -> bytes:
    """Return the answer as it goes over the wire."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in answer.headers)]
    bodyless = answer.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if not bodyless:
        lines.append(f"content-length: {len(answer.body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    return head if bodyless or method == "HEAD" else head + answer.body


class Table:
    """Request line (`GET /path?query`) -> bytes to send."""

    def __init__(self, answers: list[Answer]) -> None:
        """Prepare every answer that was kept."""
        self._answers = answers
        self._ready: dict[bytes, bytes] = {}

    def answer(self, key: bytes) -> bytes:
        """Return what to send."""
        found = self._ready.get(key)
        if found is None:
            if len(self._ready) >= MOST_KEYS:
                self._ready.clear()
            method, _, path = key.decode("latin-1").partition(" ")
            found = self._ready[key] = rendered(best_match(self._answers, method, path) or EMPTY_JSON, method)
        return found


def take_request(data: bytes, start: int) -> tuple[bytes, int, bool] | None:
    """Find the request that begins at `start`.

    Returns:
        (`METHOD target`, where the next one begins, whether the connection stays open); None while it is incomplete.

    Raises:
        BadRequestError: it is no request.

    """
    head_end = data.find(HEAD_END, start)
    if head_end < 0:
        if len(data) - start > LONGEST_HEAD_BYTES:
            raise BadRequestError
        return None
    line_end = data.find(b"\r\n", start)
    key = data[start : data.rfind(b" ", start, line_end)]
    end = head_end + len(HEAD_END)
    keep = True
    head = data[line_end : head_end + 2].lower()
    if b"\r\nconnection: close" in head:
        keep = False
    if (at := head.find(b"\r\ncontent-length:")) >= 0:
        try:
            end += int(head[at + 17 : head.find(b"\r\n", at + 17)])
        except ValueError:
            raise BadRequestError from None
    elif b"\r\ntransfer-encoding:" in head:
        after = _chunks_end(data, end)
        if after is None:
            return None
        end = after
    if b" " not in key:
        raise BadRequestError
    return None if end > len(data) else (key, end, keep)


def _chunks_end(data: bytes, at: int) -> int | None:
    """Return where a chunked body that begins at `at` ends, trailers included; None while it is incomplete."""
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        try:
            size = int(data[at:line_end].partition(b";")[0], 16)
        except ValueError:
            raise BadRequestError from None
        if size == 0:
            if data.startswith(b"\r\n", line_end + 2):
                return line_end + 4
            trailers_end = data.find(HEAD_END, line_end)
            return None if trailers_end < 0 else trailers_end + len(HEAD_END)
        at = line_end + 2 + size + 2
        if at > len(data):
            return None


class Connection:
    """One client."""

    __slots__ = ("_rest", "_unsent", "closing", "sock")

    def __init__(self, sock: socket.socket) -> None:
        """Nothing was read yet."""
        self.sock = sock
        self._rest = b""
        self._unsent = b""
        self.closing = False

    def serve(self, answer: Callable[[bytes], bytes]) -> int:
        """Read what there is and answer every complete request; return how many.

        Raises:
            OSError: the client is gone.
            BadRequestError: it sends no HTTP.

        """
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            raise ConnectionResetError
        if self._rest:
            data = self._rest + data
        at, count, out = 0, 0, b""
        while at < len(data) and not self.closing and (found := take_request(data, at)) is not None:
            key, at, keep = found
            out += answer(key)
            count += 1
            self.closing = not keep
        self._rest = data[at:]
        if out:
            self.flush(out)
        return count

    def flush(self, more: bytes = b"") -> bool:
        """Send as much as goes; return True when all is sent.

        Raises:
            OSError: the client is gone.

        """
        data = self._unsent + more if self._unsent else more
        try:
            sent = self.sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        self._unsent = data[sent:]
        return not self._unsent


class Server:
    """One process's event loop."""

    def __init__(self, listener: socket.socket, table: Table) -> None:
        """Serve on a listening socket."""
        self._listener = listener
        self._answer = table.answer
        self._clients: dict[int, Connection] = {}
        self._poll = select.epoll()
        self._poll.register(listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self.answered = 0

    def run(self) -> NoReturn:
        """Serve until a signal ends the process."""
        listening = self._listener.fileno()
        while True:
            for fd, events in self._poll.poll():
                if fd == listening:
                    self._accept()
                else:
                    self._serve(fd, events)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # another process took it
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[sock.fileno()] = Connection(sock)
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _serve(self, fd: int, events: int) -> None:
        client = self._clients[fd]
        try:
            if events & ~select.EPOLLOUT:
                self.answered += client.serve(self._answer)
            done = client.flush()
            if done and client.closing:
                raise ConnectionResetError
            if not done or events & select.EPOLLOUT:
                self._poll.modify(fd, select.EPOLLIN if done else select.EPOLLOUT)
        except (OSError, BadRequestError):
            self._poll.unregister(fd)
            del self._clients[fd]
            client.sock.close()


def main() -> None:
    """Serve on an inherited listening socket."""
    parser = argparse.ArgumentParser(prog="pinchpoint.stress.null_server")
    parser.add_argument("--fd", type=int, required=True, help="listening socket")
    parser.add_argument("--answers", type=Path, required=True, help="what to answer; see `answers`")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    listener = socket.socket(fileno=asked.fd)
    listener.setblocking(False)
    table = Table(read_answers(asked.answers))
    children: list[int] = []
    for _ in range(asked.processes - 1):
        pid = os.fork()
        if not pid:
            children = []
            break
        children.append(pid)
    server = Server(listener, table)

    def end(*_: object) -> NoReturn:
        for pid in children:
            os.kill(pid, signal.SIGTERM)
        for pid in children:
            os.waitpid(pid, 0)
        sys.stdout.write(json.dumps({"answered": server.answered}) + "\n")
        sys.stdout.flush()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    server.run()


if __name__ == "__main__":
    main()
