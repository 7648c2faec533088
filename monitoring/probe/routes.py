"""Requests by route: `GET /items/{id}` with how many, how many failed, how long.

A framework's own template is used where it can be had; else the path with what looks like an id taken out, so that a
million items are one row.

Database statements are counted for those requests alone whose handlers are timed (some a second, drawn at random), so
that the others pay nothing for it: a context variable, which follows tasks, threads and greenlets, leads to the tally.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from contextvars import ContextVar

from . import feeds
from .layout import OTHER, ROUTES
from .real import RLock
from .runtime import RUNTIME, Hook
from .tables import ROUTE_ROWS

NO_ROUTE = "(no route)"
NOT_FOUND = 404
CLIENT_ERROR = 400
SERVER_ERROR = 500
_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY"))
_PATHS_KEPT = 1024
_SEGMENTS = 8
_LONGEST_PATH = 512
_WINDOW_S = 1.0
_COLUMNS = len(ROUTES.columns)
_DATABASES = "db "
"""How the rows of databases begin in `feeds`."""
_PLAIN = re.compile(r"[A-Za-z0-9._~@:+-]{1,40}")
_ID = re.compile(
    r"\d+"  # 42
    r"|[^\s]*\d{4}[^\s]*"  # 2024-01-31, order-12345
    r"|(?=[^\s]*\d)[0-9a-fA-F-]{8,}"  # hashes, UUIDs
    r"|(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[A-Za-z0-9_~-]{16,}"  # tokens
)


def normalised(path: str) -> str:
    """Return the path with `{}` for whatever looks like an id, and cut short: few names for many paths.

    An id is a number, four digits in a row, a hash or UUID, a long word with digits, and anything that is not plain
    ASCII or longer than 40 characters.
    """
    # Cut before it is remembered: a thousand paths as long as a server lets them be would be 64 MB.
    return _normalised(path[:_LONGEST_PATH])


@functools.lru_cache(maxsize=_PATHS_KEPT)
def _normalised(path: str) -> str:
    segments = path.split("/")
    kept = [_without_id(segment) for segment in segments[: _SEGMENTS + 1]]
    return "/".join(kept) + ("/..." if len(segments) > _SEGMENTS + 1 else "")


def _without_id(segment: str) -> str:
    if segment in {"", "{}"}:
        return segment
    return "{}" if _PLAIN.fullmatch(segment) is None or _ID.fullmatch(segment) is not None else segment


class Tally:
    """Database statements of one request that is in progress."""

    __slots__ = ("statements",)

    def __init__(self) -> None:
        self.statements = 0


TALLY: "ContextVar[Tally | None]" = ContextVar("pinchpoint_tally", default=None)
"""The tally of the request on whose behalf this context runs; None: its statements are not counted."""


def begin_tally() -> Tally:
    """Count the statements of the request that begins in this context."""
    tally = Tally()
    TALLY.set(tally)
    return tally


def end_tally(tally: Tally | None) -> None:
    """Count no more here: a server may serve its next request in the same context."""
    # Not `reset`: a request may end in another context, which raises. What outlives it counts where nobody looks.
    if TALLY.get() is tally:
        TALLY.set(None)


class RouteRow:
    """Figures of one route."""

    __slots__ = (
        "_before", "_rolled", "client_errors", "counted", "done", "longest", "server_errors", "service_s", "statements",
    )  # fmt: skip

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start at zero."""
        self.done = self.client_errors = self.server_errors = self.counted = self.statements = 0
        self.service_s = self.longest = self._before = self._rolled = 0.0

    def add(self, status: int, seconds: float) -> None:
        """Count one finished request; unlocked."""
        self.done += 1
        self.service_s += seconds
        if seconds > self.longest:  # noqa: PLR1730 - max() costs as much as all the rest
            self.longest = seconds
        if status >= CLIENT_ERROR:
            if status >= SERVER_ERROR:
                self.server_errors += 1
            else:
                self.client_errors += 1

    def take(self, tally: Tally) -> None:
        """Add the statements of one request; unlocked."""
        self.counted += 1
        self.statements += tally.statements

    def figures(self, at: float) -> list[float]:
        """Return the row of the page; the longest time is that of the last one to two seconds."""
        if feeds.void(feeds.ROUTE):
            return [math.nan] * _COLUMNS
        longest = self.longest
        if at - self._rolled >= _WINDOW_S:
            self._before, self._rolled, self.longest = longest, at, 0.0
        figures = [self.done, self.client_errors, self.server_errors, self.service_s, max(self._before, longest)]
        # Statements of a hook that has failed stand still while requests go on.
        unseen = feeds.void(_DATABASES)
        return [*figures, *([math.nan, math.nan] if unseen else [self.counted, self.statements])]


_TOTALS = (
    ("requests_done", operator.attrgetter("done")),
    ("responses_4xx", operator.attrgetter("client_errors")),
    ("responses_5xx", operator.attrgetter("server_errors")),
    ("service_s", operator.attrgetter("service_s")),
)


class Routes:
    """All routes of this process."""

    def __init__(self) -> None:
        self.named: dict[tuple[str, str], RouteRow] = {}
        self._lock = RLock()

    def reset(self) -> None:
        """Start at zero in a forked child; the names stay."""
        self._lock = RLock()
        for row in list(self.named.values()):
            row.reset()

    def row(self, method: str, template: str | None, path: str, status: int) -> RouteRow:
        """Return the row of a request; `(other)` when the page has none left, or the method is none of HTTP's.

        Without a template it is `(no route)` for a 404, else the normalised path.
        """
        if template is None:
            template = NO_ROUTE if status == NOT_FOUND else normalised(path)
        row = self.named.get((method, template))
        return row if row is not None else self._add(method, template)

    def count(self, method: str, template: str | None, path: str, status: int, seconds: float) -> None:
        """Count a finished request from the one thread that serves (0.3 us). `status` 0: it ended without any."""
        self.row(method, template, path, status).add(status, seconds)

    def count_threadsafe(
        self, method: str, template: str | None, path: str, status: int, seconds: float, tally: Tally | None = None
    ) -> None:
        """Count a finished request from any thread (0.4 us)."""
        row = self.row(method, template, path, status)
        with self._lock:
            row.add(status, seconds)
            if tally is not None:
                row.take(tally)

    def totals(self) -> dict[str, float]:
        """Return the sums over all routes, by name of their field."""
        rows = list(self.named.values())
        return {field: sum(map(figure, rows)) for field, figure in _TOTALS}

    def _add(self, method: str, template: str) -> RouteRow:
        with self._lock:
            key = (method, template) if method in _METHODS and not ROUTE_ROWS.full() else ("", OTHER)
            row = self.named.get(key)
            if row is None:
                row = self.named[key] = RouteRow()
                ROUTE_ROWS.add(" ".join(filter(None, key)), row.figures)
            return row


def _no_fields(_fields: dict[str, float], _at: float) -> None:
    """Routes are a table, and have no fields."""


ROUTES_SEEN = Routes()
HOOK = Hook("routes", _no_fields, ROUTES_SEEN.reset)
RUNTIME.add(HOOK)
