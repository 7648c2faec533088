"""Waiting until a started server answers, however slowly, and whether or not its command stays in the foreground."""

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from pinchpoint.processes import Child
from pinchpoint.readiness import wait_http_ready

FIRST_ANSWER_S = 2.0
LONGEST_ANSWER_S = 60.0
SLICE_S = 0.25
"""How soon the death of the command is noticed while an answer is awaited."""


class Foreground:
    """A child as readiness should see it: a command that put its server into the background has not died."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @property
    def returncode(self) -> int | None:
        """Exit code; None while the command, or what it left behind after success, runs."""
        code = self._child.returncode
        return None if code == 0 and not self._child.gone else code

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of its output."""
        return self._child.log_tail(lines)


class Asker:
    """GETs a page once a call, with more patience each time nothing came: a first request may compile or connect a lot.

    The wait for an answer ends at once when `gone` says that nobody is left to give one, and at the deadline.
    """

    def __init__(
        self, deadline_s: float, gone: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._end_s = clock() + deadline_s
        self._gone = gone
        self._patience_s = FIRST_ANSWER_S

    def status(self, url: str) -> int | None:
        """Return the status; None when nobody speaks HTTP there (yet)."""
        until_s = min(self._clock() + self._patience_s, self._end_s)
        parts = urlsplit(url)
        connection = _connection(parts.scheme, parts.hostname or "", parts.port)
        try:
            connection.connect()
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            if not self._readable(connection.sock, until_s):
                self._patience_s = min(2 * self._patience_s, LONGEST_ANSWER_S)
                return None
            return connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def _readable(self, sock: socket.socket, until_s: float) -> bool:
        """Wait for the first byte of the answer without reading it."""
        sock.settimeout(SLICE_S)
        while not self._gone():
            if isinstance(sock, ssl.SSLSocket):
                # Its bytes cannot be peeked at: one wait, as long as patience lasts.
                sock.settimeout(max(until_s - self._clock(), SLICE_S))
                return True
            try:
                sock.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                if self._clock() >= until_s:
                    return False
            else:
                sock.settimeout(FIRST_ANSWER_S)
                return True
        return False


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=FIRST_ANSWER_S)
    # Readiness asks "is it up", not "is it who it says"; local certificates are self-signed.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001
    return http.client.HTTPSConnection(host, port, timeout=FIRST_ANSWER_S, context=context)


def wait_ready(url: str, child: Child, deadline_s: float) -> float:
    """Wait until `url` answers with a status below 500; return the seconds that took.

    Raises:
        TargetError: the server exited, or did not answer in time; with the reason from its log.

    """
    watched = Foreground(child)
    asker = Asker(deadline_s, lambda: watched.returncode is not None)
    return wait_http_ready(url, watched, deadline_s, status=asker.status)


def wait_attached(url: str, alive: Callable[[], bool], deadline_s: float) -> float:
    """Wait until a server that runs already answers.

    Raises:
        TargetError: it does not, within `deadline_s`.

    """
    asker = Asker(deadline_s, lambda: not alive())
    return wait_http_ready(url, None, deadline_s, status=asker.status)
