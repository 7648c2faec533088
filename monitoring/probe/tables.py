"""The page's tables: named rows, appended while there is room, published by whoever owns their figures."""

from __future__ import annotations

from typing import Callable, Sequence

from .layout import CALLS, GATES, HOOKS, OTHER, ROUTES, Table
from .real import RLock

Source = Callable[[float], Sequence[float]]
"""`at` (time.monotonic()) -> one number per column; NaN = unavailable."""


class Rows:
    """The rows of one table. The last row is kept for `(other)`, so a full table loses names, never figures."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._lock = RLock()
        self._sources: list[tuple[bytes, Source]] = []

    def add(self, name: str, source: Source) -> None:
        """Publish `source` under `name` from now on; nothing happens when no row is free."""
        with self._lock:
            if len(self._sources) < self.table.rows:
                self._sources.append((_encode(name, self.table.name_bytes), source))

    def full(self) -> bool:
        """Say whether only the row for `(other)` is left, or not even that."""
        return len(self._sources) >= self.table.rows - 1

    def pack(self, at: float) -> bytes:
        """Return the bytes of all rows in use; a source that fails leaves its columns unavailable."""
        pack = self.table.row.pack
        try:
            return b"".join([pack(name, *source(at)) for name, source in list(self._sources)])
        except Exception:
            return b"".join([self._packed(name, source, at) for name, source in list(self._sources)])

    def _packed(self, name: bytes, source: Source, at: float) -> bytes:
        try:
            return self.table.row.pack(name, *source(at))
        except Exception:
            return self.table.row.pack(name, *[float("nan")] * len(self.table.columns))

    def after_fork(self) -> None:
        """Renew the lock, which may have been held; the rows stay, and their owners start at zero."""
        self._lock = RLock()


def _encode(name: str, size: int) -> bytes:
    """UTF-8, cut between characters."""
    return name.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").replace("\0", " ").encode("utf-8")


class HookRows(Rows):
    """Rows of states. What the page has no row for is in the last one, which is as bad as the worst of them."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._rest: list[Source] = []

    def add(self, name: str, source: Source) -> None:
        """Publish this state, alone or with others."""
        with self._lock:
            if not self.full():
                super().add(name, source)
                return
            self._rest.append(source)
            if len(self._rest) == 1:
                super().add(OTHER, lambda at: (min(rest(at)[0] for rest in list(self._rest)),))


ROUTE_ROWS = Rows(ROUTES)
GATE_ROWS = Rows(GATES)
CALL_ROWS = Rows(CALLS)
HOOK_ROWS = HookRows(HOOKS)
ALL_ROWS = (ROUTE_ROWS, GATE_ROWS, CALL_ROWS, HOOK_ROWS)


def label(kind: str, name: str) -> str:
    """Return the name of a gate's or a peer's row."""
    return kind + " " + name
