"""A quantity that goes up and down, with its integral over time."""

from __future__ import annotations

from .real import RLock


class Level:
    """Any thread may shift it. `at` is time.monotonic() in seconds."""

    __slots__ = ("_area", "_lock", "_since", "value")

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may return a connection to its pool in the middle of a shift.
        self._lock = RLock()
        self.value = 0
        self._area = 0.0
        self._since = 0.0

    def shift(self, delta: int, at: float) -> None:
        """Go up or down by `delta`."""
        with self._lock:
            self._area += self.value * (at - self._since)
            self._since = at
            self.value += delta

    def assign(self, value: int, at: float) -> None:
        """Go to `value`."""
        with self._lock:
            self._area += self.value * (at - self._since)
            self._since = at
            self.value = value

    def area(self, at: float) -> float:
        """Return the integral up to `at`, in units times seconds."""
        with self._lock:
            area, value, since = self._area, self.value, self._since
        return area + value * max(0.0, at - since)
