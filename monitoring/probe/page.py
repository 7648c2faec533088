"""Write the page: a file mapped into memory, so that publishing is a few stores and no system call."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import struct
from typing import Mapping, Sequence

from .layout import (
    FIELDS,
    HEADER,
    MAGIC,
    PAGE_BYTES,
    PAGE_SUFFIX,
    SCALAR_BYTES,
    SEQUENCE_OFFSET,
    TABLES,
    VALUES,
    VERSION,
)

_SEQUENCE = struct.Struct("<Q")
_UNAVAILABLE = dict.fromkeys(FIELDS, math.nan)
"""Every field, in order: to copy and fill it costs a third of asking for each."""


class PageFile:
    """The page of process `pid`. One writer only.

    Raises:
        OSError: the folder is gone, or its disk is full: said now, and not as SIGBUS at the first store.

    """

    def __init__(self, folder: str, pid: int) -> None:
        path = os.path.join(folder, f"{pid}{PAGE_SUFFIX}")  # noqa: PTH118 - no pathlib in other people's processes
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - left by an earlier process that had this pid
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, PAGE_BYTES)
            self._map = mmap.mmap(descriptor, PAGE_BYTES)
        except BaseException:
            os.unlink(path)  # noqa: PTH108
            raise
        finally:
            os.close(descriptor)
        self._pid = pid
        self._sequence = 0

    def write(self, fields: Mapping[str, float], published_s: float, tables: Sequence[bytes] = ()) -> None:
        """Publish; fields that are left out are unavailable, tables that are left out stand as they were.

        A table is its rows, packed, and `tables` are in the order of TABLES.
        """
        whole = _UNAVAILABLE.copy()
        whole.update(fields)
        if len(whole) > len(FIELDS):  # names that are no fields have no place
            whole = {name: whole[name] for name in FIELDS}
        values = VALUES.pack(*whole.values())
        writing, written = self._sequence + 1, self._sequence + 2
        # Going odd changes the lowest byte only, so a reader sees it whole; it goes even once the values are complete.
        _SEQUENCE.pack_into(self._map, SEQUENCE_OFFSET, writing)
        HEADER.pack_into(self._map, 0, MAGIC, VERSION, len(FIELDS), writing, self._pid, published_s)
        self._map[HEADER.size : SCALAR_BYTES] = values
        for table, rows in zip(TABLES, tables):
            self._map[table.offset : table.offset + len(rows)] = rows
        _SEQUENCE.pack_into(self._map, SEQUENCE_OFFSET, written)
        self._sequence = written
