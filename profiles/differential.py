"""Compare two profiles in seconds per request, the only unit that holds across loads. METHOD §6.4.

A function whose seconds per request grow with load meets contention (a lock, the GIL, a pool); a constant one is
demand. Gregg's red/blue graphs compare shares instead, and lie when the load differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pinchpoint.profiles.attribution import owner_of_file, tally

if TYPE_CHECKING:
    from pinchpoint.profiles.folded import Stacks

MIN_SHARE = 0.02
"""Smaller changes, as a share of the larger total per request, are noise of sampling (METHOD §6.4)."""


@dataclass(frozen=True, slots=True)
class ProfiledLoad:
    """A profile, the thread time it stands for, and the requests served in that time."""

    stacks: Stacks
    thread_seconds: float
    """Samples / sampling rate, unless measured better."""
    requests: float

    def seconds_per_request(self, samples: int) -> float:
        """Turn a number of samples into thread seconds per request."""
        total = self.stacks.total
        return 0.0 if total == 0 else samples / total * self.thread_seconds / self.requests


@dataclass(frozen=True, slots=True)
class Growth:
    """One function at two loads, inclusive and self, in thread seconds per request."""

    function: str
    file: str
    owner: str
    low_s: float
    high_s: float
    self_low_s: float
    self_high_s: float

    @property
    def delta_s(self) -> float:
        """Inclusive growth; negative when it shrank."""
        return self.high_s - self.low_s


def differential(low: ProfiledLoad, high: ProfiledLoad, limit: int = 25) -> list[Growth]:
    """List the functions that changed, the largest growth of self time first.

    Ranked by self time, because every caller of a function that grew grew with it.

    Raises:
        ValueError: a side served no requests, so that seconds per request mean nothing.

    """
    if low.requests <= 0 or high.requests <= 0:
        raise ValueError("a differential needs requests on both sides")
    before, after = tally(low.stacks), tally(high.stacks)
    rows = [
        Growth(
            function=name.function,
            file=name.file,
            owner=owner_of_file(name.file),
            low_s=low.seconds_per_request(before.total[name]),
            high_s=high.seconds_per_request(after.total[name]),
            self_low_s=low.seconds_per_request(before.self[name]),
            self_high_s=high.seconds_per_request(after.self[name]),
        )
        for name in sorted({*before.total, *after.total}, key=lambda name: (name.function, name.file))
    ]
    least_s = MIN_SHARE * max(load.seconds_per_request(load.stacks.total) for load in (low, high))
    changed = [row for row in rows if max(abs(row.delta_s), abs(row.self_high_s - row.self_low_s)) > least_s]
    return sorted(changed, key=lambda row: (-(row.self_high_s - row.self_low_s), -row.delta_s))[:limit]
