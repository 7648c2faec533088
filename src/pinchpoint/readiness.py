"""Whether a server could listen, and whether it answers yet; if it ended instead, why."""

import errno
import http.client
import re
import signal
import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import psutil

from pinchpoint.errors import TargetError

READY_POLL_S = 0.05
READY_ANSWER_S = 2.0  # the first request may compile templates or open connections
SERVER_ERROR = 500
REASON_LINES = 200  # gunicorn prints about 60 lines after the exception that matters
EXCEPTION_LINE = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|SystemExit|NotFound)(?::|$)")
LOG_PREFIX = re.compile(r"^(?:(?:\[[^\]]*\]\s*)+|[A-Z]+:\s+)(?=\S)")
"""`[time] [pid] [LEVEL]` of gunicorn, `LEVEL:` of uvicorn."""


class Watched(Protocol):
    """What readiness needs to know of a child."""

    @property
    def returncode(self) -> int | None:
        """See `Child`."""

    def log_tail(self, lines: int = 20) -> str:
        """See `Child`."""


def wait_http_ready(
    url: str,
    child: Watched | None,
    deadline_s: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    *,
    status: Callable[[str], int | None] | None = None,
) -> float:
    """Poll `url` until it answers with any status below 500; return the seconds that took.

    Args:
        url: http or https; redirects are not followed, certificates are not checked.
        child: the server, so that its death ends the wait; None for one that was not started by us.
        deadline_s: how long to wait at most.
        clock: monotonic seconds.
        sleep: waits between polls.
        status: asks once; None means no answer.

    Raises:
        TargetError: the server exited, or did not answer in time; with the reason from its log.

    """
    ask = status or http_status
    started_s = clock()
    answer = None
    while True:
        if child is not None and child.returncode is not None:
            raise TargetError(f"the target exited with {_ending(child.returncode)} before it answered{_reason(child)}")
        latest = ask(url)
        if latest is not None and latest < SERVER_ERROR:
            return clock() - started_s
        answer = latest or answer
        if clock() - started_s >= deadline_s:
            what = "did not answer" if answer is None else f"answered only status {answer}"
            raise TargetError(f"the target {what} at {url} within {deadline_s:g} s{_reason(child)}")
        sleep(READY_POLL_S)


def http_status(url: str) -> int | None:
    """GET once; None when nobody speaks HTTP there (yet)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # Readiness asks "is it up", not "is it who it says"; local certificates are self-signed.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(host, parts.port, timeout=READY_ANSWER_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=READY_ANSWER_S)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _ending(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _reason(child: Watched | None) -> str:
    """Condense a log to the last exception and the last line."""
    if child is None:
        return ""
    lines = [line.strip() for line in child.log_tail(REASON_LINES).splitlines() if line.strip()]
    if not lines:
        return "; it printed nothing"
    exceptions = [line for line in lines if EXCEPTION_LINE.match(line)]
    return ": " + " … ".join(dict.fromkeys([*exceptions[-1:], LOG_PREFIX.sub("", lines[-1])]))


def free_port(host: str = "127.0.0.1") -> int:
    """Let the kernel pick a TCP port that nobody listens on."""
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def port_in_use(host: str, port: int) -> str | None:
    """Return None when a server could listen on this port, else a clause that says who already does."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: connections that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return f"port {port} is in use by {_listener(port)}" if error.errno == errno.EADDRINUSE else None
    return None


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"PID {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        return "another process"
    return "another process"
