"""A bounded cache in a worker's memory that is never stale for the workers of one machine.

Entries stay in the worker that read them. What the workers share is one stamp per group of keys, in a file that they
all map: who writes changes the stamp, and an entry is good only while the stamp is the one from before it was read. So
a write is seen by all workers at once, and what was read while somebody wrote is not used again. Whoever shares the
database but not the file (an app on another machine) is seen after `MAX_AGE_S` at the latest.
"""

import mmap
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

ENTRIES_MAX = 256
MAX_AGE_S = 10.0
SLOTS = 1024
"""Stamps in the file. Groups that share one by chance forget together, which costs a miss and nothing else."""
SLOT_BYTES = 8

Value = TypeVar("Value")


class Counters(NamedTuple):
    """What to call on a hit and on a miss."""

    hit: Callable[[], object]
    miss: Callable[[], object]


def uncounted(_cache: str) -> Counters:
    """Return counters for an app without `/metrics`: nobody would read them."""
    return Counters(hit=lambda: None, miss=lambda: None)


class _Entry(NamedTuple, Generic[Value]):
    stamp: int
    until_s: float
    value: Value


class Cache(Generic[Value]):
    """Values by group and key; the least recently used one goes when there are too many."""

    def __init__(
        self,
        stamps: Path,
        counters: Counters,
        *,
        entries_max: int = ENTRIES_MAX,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Map the file `stamps`, which is made if there is none; `clock` counts seconds."""
        self._counters = counters
        self._entries_max = entries_max
        self._max_age_s = max_age_s
        self._clock = clock
        self._entries: OrderedDict[tuple[str, Hashable], _Entry[Value]] = OrderedDict()
        with stamps.open("a+b") as handle:
            handle.truncate(SLOTS * SLOT_BYTES)
            # Items of eight bytes are stored in one piece: nobody reads half a stamp.
            self._stamps = memoryview(mmap.mmap(handle.fileno(), SLOTS * SLOT_BYTES)).cast("Q")

    async def read(self, group: str, key: Hashable, load: Callable[[], Awaitable[Value]]) -> Value:
        """Return the value of a key, from memory if it is still good, else from `load`."""
        # Before the load: a write meanwhile changes the stamp, and makes what is loaded good for this answer only.
        stamp = self._stamps[slot_of(group)]
        entry = self._entries.get((group, key))
        if entry is not None and entry.stamp == stamp and self._clock() < entry.until_s:
            self._entries.move_to_end((group, key))
            self._counters.hit()
            return entry.value
        self._counters.miss()
        value = await load()
        self._entries[group, key] = _Entry(stamp, self._clock() + self._max_age_s, value)
        self._entries.move_to_end((group, key))
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)
        return value

    def written(self, group: str) -> None:
        """Forget a group in all workers. Call it after the write is committed, also when it is not known whether it is.

        The time, not a count: two workers that add to a count at once could bring an old value back.
        """
        self._stamps[slot_of(group)] = time.monotonic_ns()

    def __len__(self) -> int:
        """Return how many values are kept, good ones or not."""
        return len(self._entries)


def slot_of(group: str) -> int:
    """Return the number of a group's stamp, the same in every process."""
    return zlib.crc32(group.encode()) % SLOTS
