"""Time in the database, as the caller sees it: SQLAlchemy's execute, commit and rollback, sync and async.

The dialect's own methods are timed, not the engine's events: a cancelled call fires no event, and would count as active
for ever. Rows that a driver fetches lazily (sqlite3 without aiosqlite) are not in it.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

from .level import Level
from .runtime import RUNTIME, Hook

_now = time.monotonic
_CALLS = ("do_execute", "do_execute_no_params", "do_executemany")
_ENDS = ("do_commit", "do_rollback")
_EMBEDDED = "sqlite"
_MARK = "_pinchpoint_watched"


class Calls:
    """Figures of all database calls of this process."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Start at zero; the dialects stay, as a forked child may use engines its parent made."""
        self.lock = threading.RLock()
        self.active = Level()
        self.calls = self.errors = 0
        self.seconds = 0.0

    def enter(self) -> float:
        """Count a call that begins; return when."""
        at = _now()
        self.active.shift(1, at)
        return at

    def leave(self, began: float, calls: int, failed: bool) -> None:
        """Count it out."""
        at = _now()
        self.active.shift(-1, at)
        with self.lock:
            self.seconds += at - began
            self.calls += calls
            self.errors += failed

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish; no figures before a database is used."""
        if not self.names:
            return
        fields.update(
            db_calls=self.calls,
            db_s=self.seconds,
            db_active=self.active.value,
            db_active_s=self.active.area(at),
            db_embedded=self.names == {_EMBEDDED},
            db_errors=self.errors,
        )


CALLS = Calls()
HOOK = Hook("database", CALLS.fill, CALLS.reset)
RUNTIME.add(HOOK)


def watch_dialect(dialect: Any) -> None:
    """Time the calls of one engine's dialect, once. Never raises."""
    if _MARK not in getattr(dialect, "__dict__", {_MARK: True}):
        HOOK.safely(_watch, dialect)


def _watch(dialect: Any) -> None:
    dialect.__dict__[_MARK] = True
    for names, calls in ((_CALLS, 1), (_ENDS, 0)):
        for name in names:
            setattr(dialect, name, _timed(getattr(dialect, name), calls))
    CALLS.names.add(dialect.name)


def _timed(original: Any, calls: int) -> Any:
    """Return `original` timed; commits and rollbacks take time but are no calls of the app's own."""

    @functools.wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = HOOK.safely(CALLS.enter)
        if began is None:
            return original(*args, **kwargs)
        failed = False
        try:
            return original(*args, **kwargs)
        except Exception:
            failed = True
            raise
        finally:
            HOOK.safely(CALLS.leave, began, calls, failed)

    return timed
