"""Serve the probe's numbers, and those seen from outside, to Prometheus. The app is never asked for anything."""

from __future__ import annotations

import errno
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinchpoint.errors import UsageError
from pinchpoint.monitoring.outside import Outside
from pinchpoint.monitoring.probe.exposition import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    Exposition,
    Family,
    render,
    wants_openmetrics,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pinchpoint.rows import SampleRow

DEFAULT_PORT = 9464
"""The port that OpenTelemetry's Prometheus exporters use."""
METRICS_PATH = "/metrics"
_REQUEST_TIMEOUT_S = 10.0
_FRONT_PAGE = b'<!doctype html><title>pinchpoint exporter</title><a href="/metrics">metrics</a>\n'
DASHBOARD = Path(__file__).resolve().parent / "dashboard.json"


def dashboard() -> dict[str, Any]:
    """Return the Grafana dashboard that fits these metrics."""
    value: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return value


class Source:
    """All metrics of one target: from its pages, and from the collector's rows. Any thread may ask and tell.

    `pages` says where the pages are, which may be known only once the target runs. `tidy`: remove the pages of workers
    that ended long ago; only where nobody else reads them.
    """

    def __init__(self, pages: Callable[[], Path], *, tidy: bool = False) -> None:
        self._pages = pages
        self._tidy = tidy
        self._inside: dict[Path, Exposition] = {}
        self._outside = Outside()
        self._lock = threading.Lock()

    def observe(self, row: SampleRow) -> None:
        """Take the collector's next row: whoever dies between two scrapes is in one of them for the last time."""
        with self._lock:
            self._outside.observe(row)
            for process in row["processes"]:
                age_s, fields = process["probe_age_s"], process["probe"]
                if process.get("gone") and fields is not None and age_s is not None:
                    snapshots = self._exposition().snapshots
                    snapshots.end(process["pid"], row["t_s"] - age_s, fields, process.get("tables"))

    def families(self) -> list[Family]:
        """Return the metrics as of now."""
        with self._lock:
            return [*self._exposition().families(), *self._outside.families()]

    def _exposition(self) -> Exposition:
        folder = self._pages()
        if folder not in self._inside:
            self._inside[folder] = Exposition(str(folder), tidy=self._tidy)
        return self._inside[folder]


class Exporter:
    """An HTTP server in threads of its own, from `start` to `stop`.

    Args:
        families: returns the metrics; called for each scrape, from any thread.
        host: address to listen on.
        port: 0 lets the kernel choose a free one; `port` says which.

    Raises:
        UsageError: the address cannot be had.

    """

    def __init__(self, families: Callable[[], Iterable[Family]], host: str, port: int) -> None:
        class Handler(_Handler):
            source = staticmethod(families)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(_refusal(host, port, error)) from error
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.host = host
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="pinchpoint-exporter", daemon=True
        )

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{METRICS_PATH}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port; stopping twice is fine."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _refusal(host: str, port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another one, or 0 for any that is free"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"port {port} may only be used by root; choose one above 1023"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot listen on {host} port {port}: {reason}"


class _Handler(BaseHTTPRequestHandler):
    source: Callable[[], Iterable[Family]]
    protocol_version = "HTTP/1.1"
    server_version = "pinchpoint"
    sys_version = ""
    timeout = _REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == METRICS_PATH:
            openmetrics = wants_openmetrics(self.headers.get("Accept", ""))
            text = render(self.source(), openmetrics)
            self._answer(200, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE, text.encode())
        elif path == "/":
            self._answer(200, "text/html; charset=utf-8", _FRONT_PAGE)
        else:
            self._answer(404, "text/plain; charset=utf-8", b"the metrics are at /metrics\n")

    do_HEAD = do_GET  # noqa: N815 - the base class names it so

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: scrapes come every few seconds."""
