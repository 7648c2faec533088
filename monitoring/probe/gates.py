"""Gates: whatever admits only so many at a time - connection pools, worker threads, locks - and lets the others wait.

Every hook that watches one reports to a `Gate`; rows of the page and the totals among its fields come from there.
"""

from __future__ import annotations

import math
import time
from typing import Any, Callable

from . import feeds
from .layout import GATE_TOTALS, GATES, OTHER
from .level import Level
from .real import RLock
from .runtime import RUNTIME, Hook
from .tables import GATE_ROWS, label

_now = time.monotonic
POOL = "db-pool"
_COLUMNS = len(GATES.columns)


class Gate:
    """Figures of one gate. Any thread may report.

    The order is `ask`, then `got` or `gave_up`, and after `got`, `back`. `pause` and `resume` stand around work that a
    waiter does itself, such as opening a connection: that is no waiting.
    """

    def __init__(self, kind: str, name: str, size: Callable[[], float | None] | None = None) -> None:
        self.kind = kind
        self.name = name
        self.size = size
        self.reset()

    def reset(self) -> None:
        """Start at zero. Whatever was taken before is not counted when it comes back."""
        self.lock = RLock()
        self.busy = Level()
        self.waiting = Level()
        self.wait_s = self.hold_s = self.open_s = 0.0
        self.taken = self.timeouts = self.opened = 0
        self.generation = object()

    def ask(self) -> float:
        """Count one that begins to wait; return when."""
        at = _now()
        self.waiting.shift(1, at)
        return at

    def got(self, began: float, excluded_s: float = 0.0) -> tuple[object, float]:
        """Count one that got in, of whose wait `excluded_s` was no waiting; return what `back` wants."""
        at = _now()
        self.waiting.shift(-1, at)
        self.busy.shift(1, at)
        with self.lock:
            self.wait_s += max(0.0, at - began - excluded_s)
            self.taken += 1
        return self.generation, at

    def took(self) -> tuple[object, float]:
        """Count one that got in without waiting; return what `back` wants."""
        at = _now()
        self.busy.shift(1, at)
        with self.lock:
            self.taken += 1
        return self.generation, at

    def gave_up(self, began: float, timed_out: bool) -> None:
        """Count one that never got in; a wait that timed out was a wait."""
        at = _now()
        self.waiting.shift(-1, at)
        if timed_out:
            with self.lock:
                self.timeouts += 1
                self.wait_s += at - began

    def back(self, taken: tuple[object, float]) -> None:
        """Count one that is through, unless its coming was never counted here."""
        generation, since = taken
        if generation is not self.generation:
            return
        at = _now()
        self.busy.shift(-1, at)
        with self.lock:
            self.hold_s += at - since

    def pause(self) -> float:
        """Whoever opens a connection does not wait meanwhile; return when it began."""
        at = _now()
        self.waiting.shift(-1, at)
        return at

    def resume(self, began: float) -> float:
        """Count what was opened, or failed to open; return the seconds it took, to be excluded from the wait."""
        at = _now()
        self.waiting.shift(1, at)
        return self.opened_in(at - began)

    def opened_in(self, seconds: float) -> float:
        """Count a connection opened outside any wait; return `seconds`."""
        with self.lock:
            self.opened += 1
            self.open_s += seconds
        return seconds

    def figures(self, at: float) -> list[float]:
        """Return the gate's row of the page."""
        if feeds.void(label(self.kind, self.name)):
            return [math.nan] * _COLUMNS
        return [
            self.limit(),
            self.busy.value,
            self.busy.area(at),
            self.waiting.value,
            self.waiting.area(at),
            self.wait_s,
            self.hold_s,
            self.taken,
            self.timeouts,
            self.opened,
            self.open_s,
        ]

    def limit(self) -> float:
        """Return how many it admits; NaN when that is unknown or unlimited."""
        try:
            size = self.size() if self.size is not None else None
            return math.nan if size is None or math.isinf(size) else size
        except Exception:  # one whose size cannot be told is no reason to lose the figures of all
            return math.nan


class Gates:
    """All gates of this process, and their totals by kind."""

    def __init__(self) -> None:
        self.all: list[Gate] = []
        self._named: dict[str, Gate] = {}
        self._lock = RLock()

    def open(self, kind: str, name: str, size: Callable[[], float | None] | None = None) -> Gate:
        """Return a new gate with a row of its own, or the shared `(other)` one when the page has no row left.

        A second gate of the same name gets a number behind it.
        """
        with self._lock:
            full = GATE_ROWS.full()
            key = label(kind, OTHER if full else name)
            if full and key in self._named:
                return self._named[key]
            same = sum(1 for gate in self.all if gate.kind == kind and gate.name.partition(" #")[0] == name)
            gate = Gate(kind, OTHER if full else name if not same else "%s #%d" % (name, same + 1), size)
            self._named.setdefault(label(kind, gate.name), gate)
            self.all.append(gate)
            GATE_ROWS.add(label(kind, gate.name), gate.figures)
            return gate

    def named(self, kind: str, name: str, size: Callable[[], float | None] | None = None) -> Gate:
        """Return the one gate of this kind and name, opened at first use."""
        gate = self._named.get(label(kind, name))
        return gate if gate is not None else self.open(kind, name, size)

    def reset(self) -> None:
        """Start at zero in a forked child; the gates stay, as it may use what its parent made."""
        self._lock = RLock()
        for gate in self.all:
            gate.reset()

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish the totals of every kind in use."""
        if not self.all:
            return
        for kind, prefix in GATE_TOTALS.items():
            of_kind = [gate.figures(at) for gate in self.all if gate.kind == kind]
            if of_kind and not feeds.incomplete(kind):
                for figure, values in zip(_FIGURES, zip(*of_kind)):
                    fields[prefix + "_" + figure] = sum(values)
        pools = [gate.figures(at) for gate in self.all if gate.kind == POOL]
        if pools and not feeds.incomplete(POOL):
            for figure, values in zip(_POOL_FIGURES, zip(*pools)):
                fields["pool_" + figure] = sum(values)


_FIGURES = ("size", "busy", "busy_s", "waiting", "waiting_s", "wait_s", "hold_s", "taken", "timeouts")
_POOL_FIGURES = (*_FIGURES[:7], "checkouts", "timeouts", "connects", "connect_s")

GATES_OPEN = Gates()
HOOK = Hook("gates", GATES_OPEN.fill, GATES_OPEN.reset)
RUNTIME.add(HOOK)


def held(owner: Any, taken: tuple[object, float]) -> None:
    """Remember on `owner` (anything with a `__dict__`) what `give_back` wants."""
    owner.__dict__[_HELD] = taken


def give_back(gate: Gate, owner: Any) -> None:
    """Count `owner` as returned, if its taking was counted."""
    taken = owner.__dict__.pop(_HELD, None)
    if taken is not None:
        gate.back(taken)


_HELD = "_pinchpoint_taken"
