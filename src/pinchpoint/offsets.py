"""How far another machine's clock is ahead of ours: one measurement, and the figure in force over a run. Pure."""

import math
from dataclasses import dataclass

DRIFT = 2e-4
"""Seconds per second: crystals keep within 1e-4, and the kernel slews a clock by 5e-4 at most for short times."""
JUMP_S = 0.02
"""A clock that is off by this much more than drift and delay explain was set, or its machine was suspended."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far the other side's monotonic clock is ahead of ours, in seconds; the truth is within `error_s` of it."""

    seconds: float
    error_s: float


def offset_of(sent_s: float, theirs_s: float, received_s: float) -> Offset:
    """Return the offset that one exchange shows: our clock at both ends, theirs once in between.

    Theirs was read between our sending and our receiving, so that the middle is off by half the round trip at most
    (Cristian 1989).
    """
    return Offset(theirs_s - (sent_s + received_s) / 2, (received_s - sent_s) / 2)


class OffsetTrack:
    """The offset in force: kept until a measurement shows it wrong, so that times which touch still touch."""

    def __init__(self, first: Offset, now_s: float) -> None:
        self.offset = first
        self.jump_s: float | None = None
        """How far the clock jumped, at least; None: it did not."""
        self._first = first
        self._at_s = now_s

    @property
    def drift_s(self) -> float:
        """How far the clock has run away since the beginning, at least, in seconds."""
        moved_s = self.offset.seconds - self._first.seconds
        return math.copysign(max(0.0, abs(moved_s) - self._first.error_s - self.offset.error_s), moved_s)

    def add(self, found: Offset, now_s: float) -> None:
        """Take in a measurement made at `now_s`: its bounds hold, whatever its delay was."""
        aged_s = self.offset.error_s + DRIFT * max(0.0, now_s - self._at_s)
        apart_s = abs(found.seconds - self.offset.seconds)
        if apart_s - found.error_s - aged_s > JUMP_S:
            self.jump_s = apart_s
        if apart_s > found.error_s:
            self.offset = found
        else:
            self.offset = Offset(self.offset.seconds, min(aged_s, apart_s + found.error_s))
        self._at_s = now_s

    def to_ours(self, theirs_s: float) -> float:
        """Translate an instant of their clock to ours."""
        return theirs_s - self.offset.seconds

    def to_theirs(self, ours_s: float) -> float:
        """Translate an instant of our clock to theirs."""
        return ours_s + self.offset.seconds
