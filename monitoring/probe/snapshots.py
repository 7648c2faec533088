"""Read a folder of pages from any process, the app's own included, and remember those of processes that ended.

The collector has a reader of its own (`monitoring/pages.py`), which keeps files open and reads ten times a second; this
one is for a scrape every few seconds, and has the standard library only.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from typing import Callable, Iterable, Iterator, Mapping

from .layout import FIELDS, HEADER, MAGIC, PAGE_BYTES, PAGE_SUFFIX, TABLES, VALUES, VERSION, Table
from .real import RLock

FRESH_S = 1.0
"""A page younger than this is alive without asking the system; pages are published 20 times a second."""
ENDED_KEPT = 64
"""So many ended processes keep their counters: a server that replaces workers all day must not grow without end."""
_TRIES = 5
_SLACK_S = 1.0
"""Start times come in clock ticks, and a process publishes only after it started."""


class Snapshot:
    """One process's page. Unavailable figures are left out."""

    def __init__(
        self,
        pid: int,
        published_s: float,
        fields: dict[str, float],
        tables: Mapping[str, Mapping[str, Mapping[str, float]]],
    ) -> None:
        self.pid = pid
        self.published_s = published_s
        self.fields = fields
        self.tables = tables
        self.alive = True


class Snapshots:
    """Follows one folder. Any thread may ask.

    `lives(pid, published_s)` says whether the process that published a page at that time still runs. With `tidy`, the
    files of ended processes that are no longer kept are removed: for whoever is the folder's only reader.
    """

    def __init__(
        self,
        folder: str,
        clock: Callable[[], float] = time.monotonic,
        lives: Callable[[int, float], bool] | None = None,
        tidy: bool = False,
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._lives = lives or process_lives
        self._tidy = tidy
        self._known: dict[tuple[int, int], Snapshot] = {}  # by pid and inode, in the order of their first sight
        self._lock = RLock()

    def read(self) -> list[Snapshot]:
        """Return the newest snapshot of every process, ended ones last seen up to `ENDED_KEPT` included."""
        with self._lock:
            here = dict(self._files())
            for key, path in here.items():
                known = self._known.get(key)
                if known is None or known.alive:
                    self._look(key, path)
            for key, snapshot in self._known.items():
                snapshot.alive = snapshot.alive and key in here
            self._drop_oldest(here)
            return list(self._known.values())

    def end(
        self,
        pid: int,
        published_s: float,
        fields: Mapping[str, float],
        tables: Mapping[str, Mapping[str, Mapping[str, float]]] | None,
    ) -> None:
        """Take what another reader saw last of a process that ended; it may have removed the page meanwhile."""
        with self._lock:
            keys = [key for key in self._known if key[0] == pid]
            key = keys[-1] if keys else (pid, -1)
            known = self._known.get(key)
            if known is None or (known.alive and known.published_s <= published_s):
                kept = known.tables if known is not None else {}
                self._known[key] = Snapshot(pid, published_s, dict(fields), tables if tables is not None else kept)
                self._known[key].alive = False

    def _look(self, key: tuple[int, int], path: str) -> None:
        snapshot = read_page(path) or self._known.get(key)
        if snapshot is None or snapshot.pid != key[0]:
            return
        fresh = self._clock() - snapshot.published_s < FRESH_S
        snapshot.alive = fresh or self._lives(snapshot.pid, snapshot.published_s)
        if not snapshot.alive:
            # It may have published its last words between the two looks.
            snapshot = read_page(path) or snapshot
            snapshot.alive = False
        self._known[key] = snapshot

    def _drop_oldest(self, here: Mapping[tuple[int, int], str]) -> None:
        ended = [key for key, snapshot in self._known.items() if not snapshot.alive]
        ended.sort(key=lambda key: self._known[key].published_s)
        for key in ended[:-ENDED_KEPT]:
            # An empty one stands for it as long as its file does, or the next look would take it up again.
            old = self._known.pop(key)
            if key not in here:
                continue
            if self._tidy:
                with contextlib.suppress(OSError):
                    os.unlink(here[key])  # noqa: PTH108 - no pathlib in other people's processes
            else:
                emptied = self._known[key] = Snapshot(old.pid, old.published_s, {}, {})
                emptied.alive = False

    def _files(self) -> Iterator[tuple[tuple[int, int], str]]:
        try:
            with os.scandir(self.folder) as entries:
                found = [(entry.name, entry.inode(), entry.path) for entry in entries]
        except OSError:
            return
        for name, inode, path in found:
            stem = name[: -len(PAGE_SUFFIX)]
            if name.endswith(PAGE_SUFFIX) and stem.isascii() and stem.isdigit():
                yield (int(stem), inode), path


def read_page(path: str) -> Snapshot | None:
    """Return the page in a file; None when it is none of ours, not yet written, or never whole."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        for _ in range(_TRIES):
            before = os.pread(descriptor, HEADER.size, 0)
            body = os.pread(descriptor, PAGE_BYTES, 0)
            after = os.pread(descriptor, HEADER.size, 0)
            if len(before) < HEADER.size or len(body) < PAGE_BYTES or len(after) < HEADER.size:
                return None
            sequences = {HEADER.unpack_from(part)[3] for part in (before, body, after)}
            if len(sequences) == 1 and not sequences.pop() % 2:
                return parse(body)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def parse(body: bytes) -> Snapshot | None:
    """Return what stands on a whole page, or None when it is another version's."""
    magic, version, count, _sequence, pid, published_s = HEADER.unpack_from(body)
    if magic != MAGIC or version != VERSION or count != len(FIELDS):
        return None
    fields = _available(FIELDS, VALUES.unpack_from(body, HEADER.size))
    return Snapshot(pid, published_s, fields, {table.name: dict(_rows(table, body)) for table in TABLES})


def _rows(table: Table, body: bytes) -> Iterator[tuple[str, dict[str, float]]]:
    for name, *figures in table.row.iter_unpack(memoryview(body)[table.offset : table.end]):
        if not name[0]:
            return
        yield name.rstrip(b"\0").decode("utf-8", "replace"), _available(table.columns, figures)


def _available(names: Iterable[str], values: Iterable[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values) if not math.isnan(value)}


def process_lives(pid: int, published_s: float) -> bool:
    """Say whether the process that published at `published_s` still runs; a pid given away again does not count."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:  # noqa: PTH123 - no pathlib in other people's processes
            words = file.read().rpartition(b")")[2].split()
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        # Start times count from boot, suspended time included; the page's clock leaves that out.
        suspended_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        started_s = int(words[19]) / ticks_per_s - suspended_s
    except (OSError, ValueError, IndexError, AttributeError):
        return _pid_exists(pid) if not os.path.isdir("/proc/self") else False  # noqa: PTH112
    return words[0] not in {b"Z", b"X"} and started_s <= published_s + _SLACK_S


def _pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
