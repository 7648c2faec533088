"""The signals of a soak as series: requests completed; the workers' memory, descriptors, threads; who was replaced."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter

import numpy as np

from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.diagnosis.memory import carried_memory
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.rows import DigestRow, ProcessRow
from pinchpoint.soak_records import Restart

LOOK_BACK_S = 10.0
"""PSS is read again after 8 s at most (`rows.ProcessRow`)."""

AROUND_S = 3.0
"""Memory before and after a worker was replaced: the mean over this long on either side."""


@dataclass(frozen=True)
class Look:
    """The workers at one instant; sums over them, None when one of them was not read."""

    t_s: float
    pids: frozenset[int]
    memory_bytes: float | None
    rss_bytes: float | None
    fds: float | None
    threads: float | None


class Served:
    """How many requests were completed, well or not, until some moment."""

    def __init__(self, digests: Iterable[DigestRow]) -> None:
        rows = sorted(digests, key=lambda row: row["t1_s"])
        self._times = [row["t1_s"] for row in rows]
        self._counts = np.cumsum([_completed(row) for row in rows], dtype=float)
        first_s = rows[0]["t0_s"] if rows else 0.0
        self._times, self._counts = [first_s, *self._times], np.concatenate(([0.0], self._counts))

    def until(self, t_s: float) -> float:
        """Return the count at that time, interpolated within a digest row."""
        return float(np.interp(t_s, self._times, self._counts))

    def between(self, t0_s: float, t1_s: float) -> int:
        """Return how many were completed in between."""
        return round(self.until(t1_s) - self.until(t0_s))


def _completed(row: DigestRow) -> int:
    return sum(one["ok"] + one["failed"] for name, one in row["names"].items() if not name.startswith(SETUP_PREFIX))


def looks(samples: Samples, t0_s: float, t1_s: float) -> list[Look]:
    """Return the workers at every tick of the collector within the window that saw any."""
    found = []
    anchors: dict[int, tuple[float, float]] = {}
    for row in samples.between(t0_s - LOOK_BACK_S, t1_s):
        workers = [one for one in row["processes"] if one["role"] == "worker" and not one.get("gone")]
        memory = [carried_memory(one, anchors) for one in workers]
        if workers and row["t_s"] >= t0_s:
            found.append(
                Look(
                    t_s=row["t_s"],
                    pids=frozenset(one["pid"] for one in workers),
                    memory_bytes=_sum(memory),
                    rss_bytes=_total(workers, lambda one: one["rss_bytes"]),
                    fds=_total(workers, lambda one: one["fds"]),
                    threads=_total(workers, lambda one: one["threads"]),
                )
            )
    return found


def _total(workers: Sequence[ProcessRow], read: Callable[[ProcessRow], int | None]) -> float | None:
    return _sum([read(one) for one in workers])


def _sum(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def longest_stretch(found: Sequence[Look]) -> list[Look]:
    """Return the longest run of looks with the same workers: memory starts anew with each that is replaced."""
    stretches = [list(group) for _, group in groupby(found, key=attrgetter("pids"))]
    return max(stretches, key=lambda one: one[-1].t_s - one[0].t_s, default=[])


def restarts(found: Sequence[Look], served: Served, origin_s: float) -> list[Restart]:
    """Return when workers went, and what that did to memory; several that go within `AROUND_S` are one restart."""
    grouped: list[tuple[float, set[int]]] = []
    for before, after in pairwise(found):
        gone = before.pids - after.pids
        if gone and grouped and after.t_s - grouped[-1][0] < AROUND_S:
            grouped[-1][1].update(gone)
        elif gone:
            grouped.append((after.t_s, set(gone)))
    return [_restart(found, served, origin_s, t_s, gone) for t_s, gone in grouped]


def _restart(found: Sequence[Look], served: Served, origin_s: float, t_s: float, gone: set[int]) -> Restart:
    before = _mean([one.memory_bytes for one in found if t_s - AROUND_S <= one.t_s < t_s and gone & one.pids])
    after = _mean([one.memory_bytes for one in found if t_s <= one.t_s < t_s + AROUND_S])
    freed = before - after if before is not None and after is not None else None
    return Restart(round(t_s - origin_s, 3), sorted(gone), served.between(origin_s, t_s), freed)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
