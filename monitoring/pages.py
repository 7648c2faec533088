"""Read the probe's pages from outside: no lock, no signal, nothing the app could hold up."""

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import NamedTuple, TypeVar

from pinchpoint.monitoring.probe.layout import (
    FIELDS,
    HEADER,
    MAGIC,
    PAGE_BYTES,
    PAGE_SUFFIX,
    SCALAR_BYTES,
    TABLES,
    VALUES,
    VERSION,
    Table,
)

Tables = dict[str, dict[str, dict[str, float]]]
"""Table -> row -> column -> figure; rows not in use and unavailable figures are left out."""

_Parsed = TypeVar("_Parsed")
_RAW_TABLES = dict[str, tuple[bytes, dict[str, dict[str, float]]]]
"""Table -> its bytes, and what they mean."""
_QUIET_READS = 10
"""After so many reads without a new page, the folder is listed every third time only: it costs as much as two pages."""
_LIST_EVERY = 3
_TRIES = 5
"""A page being written is whole again within microseconds; after these tries the last whole one stands."""


class Page(NamedTuple):
    """One process's figures at `published_s` (`time.monotonic()`); unavailable fields are left out."""

    pid: int
    published_s: float
    fields: dict[str, float]


class TornPageError(Exception):
    """The page changed while it was read."""


def parse_page(before: bytes, body: bytes, after: bytes) -> Page | None:
    """Return the page in `body`, or None when it is none of ours (foreign, short, another version, not yet written).

    `body` is its header and fields; `before` and `after` are its header, read before and after: the reader's half of
    the sequence lock.

    Raises:
        TornPageError: it was being written meanwhile.

    """
    head = _parse_head(before, body, after)
    if head is None:
        return None
    return Page(*head, _available(FIELDS, VALUES.unpack_from(body, HEADER.size)))


def _parse_head(before: bytes, body: bytes, after: bytes) -> tuple[int, float] | None:
    """Return pid and time of publication; None for a page that is none of ours.

    Raises:
        TornPageError: it was being written meanwhile.

    """
    if len(body) < SCALAR_BYTES or len(before) < HEADER.size or len(after) < HEADER.size:
        return None
    magic, version, count, sequence, pid, published_s = HEADER.unpack_from(body)
    if magic != MAGIC or version != VERSION or count != len(FIELDS):
        return None
    if sequence % 2 or not HEADER.unpack_from(before)[3] == sequence == HEADER.unpack_from(after)[3]:
        raise TornPageError
    return pid, published_s


def _available(names: Iterable[str], values: Sequence[float]) -> dict[str, float]:
    """Leave out what is NaN: alone among numbers, it is not equal to itself."""
    return dict(compress(zip(names, values, strict=True), map(operator.eq, values, values)))


def parse_tables(before: bytes, body: bytes, after: bytes, known: _RAW_TABLES | None = None) -> Tables | None:
    """Return the tables of the page in `body`, all of it, or None when it is none of ours.

    `known` are those of the last time, of which the same bytes mean the same; it is brought up to date.

    Raises:
        TornPageError: it was being written meanwhile.

    """
    if len(body) < PAGE_BYTES or _parse_head(before, body, after) is None:
        return None
    known = {} if known is None else known
    for table in TABLES:
        raw = body[table.offset : table.end]
        last = known.get(table.name)
        if last is None or last[0] != raw:
            known[table.name] = raw, dict(_rows(table, raw))
    return {name: rows for name, (_, rows) in known.items()}


def _rows(table: Table, raw: bytes) -> Iterator[tuple[str, dict[str, float]]]:
    for name, *figures in table.row.iter_unpack(raw):
        if not name[0]:
            return
        yield name.rstrip(b"\0").decode("utf-8", "replace"), _available(table.columns, figures)


class PageReader:
    """Follow the pages in one folder, with file descriptors kept open (about 5 µs a page).

    Reads instead of mapping: a mapped file that somebody cuts short would kill the reader with SIGBUS.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, tuple[int, int]] = {}  # pid -> (inode, file descriptor)
        self._pages: dict[int, Page] = {}
        self._raw_tables: dict[int, _RAW_TABLES] = {}
        self._quiet = 0

    def read(self) -> dict[int, Page]:
        """Return the newest whole page of every process seen so far, dead ones included until `forget`."""
        if self._quiet < _QUIET_READS or self._quiet % _LIST_EVERY == 0:
            for pid, inode in self._files():
                self._reopen(pid, inode)
        self._quiet += 1
        for pid, (_, descriptor) in list(self._open.items()):
            page = _read(descriptor, SCALAR_BYTES, parse_page)
            if page is not None and page.pid == pid:
                self._pages[pid] = page
        return dict(self._pages)

    def tables(self, pid: int) -> Tables | None:
        """Return the tables of one process's page, not to be changed; None without a whole page."""
        known = self._open.get(pid)
        if known is None:
            return None
        raw = self._raw_tables.setdefault(pid, {})
        return _read(known[1], PAGE_BYTES, lambda before, body, after: parse_tables(before, body, after, raw))

    def forget(self, pid: int) -> None:
        """Let go of a dead process's page, and remove its file, so that it does not come back with the next read."""
        self._pages.pop(pid, None)
        self._shut(pid)
        (self._folder / f"{pid}{PAGE_SUFFIX}").unlink(missing_ok=True)

    def close(self) -> None:
        """Close every file; the reader may still be used afterwards."""
        for pid in list(self._open):
            self._shut(pid)

    def _files(self) -> list[tuple[int, int]]:
        """Return pid and inode of every page in the folder; a folder that is gone holds none."""
        try:
            with os.scandir(self._folder) as entries:
                names = [(entry.name, entry.inode()) for entry in entries]
        except OSError:
            return []
        stems = [(name[: -len(PAGE_SUFFIX)], inode) for name, inode in names if name.endswith(PAGE_SUFFIX)]
        return [(int(stem), inode) for stem, inode in stems if stem.isascii() and stem.isdigit()]

    def _reopen(self, pid: int, inode: int) -> None:
        """Open a page seen for the first time, or replaced by a new process that got the same pid."""
        known = self._open.get(pid)
        if known is not None and known[0] == inode:
            return
        self._shut(pid)
        self._quiet = 0
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            self._open[pid] = (inode, os.open(self._folder / f"{pid}{PAGE_SUFFIX}", flags))
        except OSError:
            return

    def _shut(self, pid: int) -> None:
        known = self._open.pop(pid, None)
        self._raw_tables.pop(pid, None)
        if known is not None:
            os.close(known[1])


def _read(descriptor: int, size: int, parse: Callable[[bytes, bytes, bytes], _Parsed | None]) -> _Parsed | None:
    for _ in range(_TRIES):
        try:
            before = os.pread(descriptor, HEADER.size, 0)
            body = os.pread(descriptor, size, 0)
            return parse(before, body, os.pread(descriptor, HEADER.size, 0))
        except TornPageError:
            continue
        except OSError:
            return None
    return None
