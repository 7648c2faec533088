"""Peers: what requests call and wait for - databases, other services, mail servers - with time and errors of each."""

from __future__ import annotations

import math
import time

from . import feeds
from .layout import CALLS, OTHER
from .level import Level
from .real import RLock
from .runtime import RUNTIME, Hook
from .tables import CALL_ROWS, label

_now = time.monotonic
DATABASE, HTTP, SMTP = "db", "http", "smtp"
EMBEDDED = "sqlite"
_COLUMNS = len(CALLS.columns)
_PREFIXES = {DATABASE: "db", HTTP: "http"}


class Peer:
    """Figures of the calls to one peer. Any thread may report."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Start at zero. A call that began before is not counted when it ends."""
        self.lock = RLock()
        self.active = Level()
        self.calls = self.errors = 0
        self.seconds = 0.0
        self._since = _now()

    def enter(self) -> float:
        """Count a call that begins; return when."""
        at = _now()
        self.active.shift(1, at)
        return at

    def leave(self, began: float, failed: bool, calls: int = 1) -> None:
        """Count it out. `calls` is 0 for what takes time but is no call of the app's own, such as a commit."""
        at = _now()
        if began < self._since:
            return
        self.active.shift(-1, at)
        with self.lock:
            self.seconds += at - began
            self.calls += calls
            self.errors += failed

    def figures(self, at: float) -> list[float]:
        """Return the peer's row of the page; a call in progress counts as soon as it ends."""
        if feeds.void(label(self.kind, self.name)):
            return [math.nan] * _COLUMNS
        return [self.calls, self.errors, self.seconds, self.active.value, self.active.area(at)]


class Peers:
    """All peers of this process, and the totals of databases and of HTTP services."""

    def __init__(self) -> None:
        self.named: dict[str, Peer] = {}
        self._lock = RLock()

    def get(self, kind: str, name: str) -> Peer:
        """Return the one peer of this kind and name; `(other)` of its kind when the page has no row left."""
        found = self.named.get(label(kind, name))
        return found if found is not None else self._add(kind, name)

    def _add(self, kind: str, name: str) -> Peer:
        with self._lock:
            name = OTHER if CALL_ROWS.full() else name
            key = label(kind, name)
            if key not in self.named:
                peer = self.named[key] = Peer(kind, name)
                CALL_ROWS.add(key, peer.figures)
            return self.named[key]

    def reset(self) -> None:
        """Start at zero in a forked child; the peers stay."""
        self._lock = RLock()
        for peer in self.named.values():
            peer.reset()

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish the totals of every kind in use."""
        peers = list(self.named.values())
        if not peers:
            return
        for kind, prefix in _PREFIXES.items():
            of_kind = [peer.figures(at) for peer in peers if peer.kind == kind]
            if of_kind and not feeds.incomplete(kind):
                for figure, values in zip(("calls", "errors", "s", "active", "active_s"), zip(*of_kind)):
                    fields[prefix + "_" + figure] = sum(values)
        databases = [peer for peer in peers if peer.kind == DATABASE]
        if databases and not feeds.incomplete(DATABASE):
            fields["db_embedded"] = all(peer.name.startswith(EMBEDDED) for peer in databases)


PEERS = Peers()
HOOK = Hook("calls", PEERS.fill, PEERS.reset)
RUNTIME.add(HOOK)
