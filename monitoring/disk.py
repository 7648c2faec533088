"""The block device under a process's working folder, and what it has done: Documentation/admin-guide/iostats.rst."""

from __future__ import annotations

import os
from typing import NamedTuple

from pinchpoint.monitoring.procfs import read_once

SECTOR_BYTES = 512
"""The unit of /proc/diskstats, whatever the device's own sectors are."""
_MS_PER_S = 1e3
_COLUMNS = 13


class DiskTimes(NamedTuple):
    """Cumulative figures of one device since boot."""

    read_bytes: int
    write_bytes: int
    ios: int
    busy_s: float
    """With at least one request in progress."""


def parse_disk(data: bytes, device: bytes) -> DiskTimes | None:
    """Return the figures of one device in `/proc/diskstats`; None when it is not listed."""
    for line in data.splitlines():
        words = line.split(None, 14)
        if len(words) >= _COLUMNS and words[2] == device:
            reads, read_sectors, writes, write_sectors, busy_ms = (int(words[column]) for column in (3, 5, 7, 9, 12))
            return DiskTimes(
                read_sectors * SECTOR_BYTES, write_sectors * SECTOR_BYTES, reads + writes, busy_ms / _MS_PER_S
            )
    return None


def device_under(path: str) -> str | None:
    """Return the name of the block device that holds `path`; None for memory, network and overlay file systems.

    File systems with device numbers of their own (btrfs) are found by their source in mountinfo.
    """
    try:
        number = os.stat(path).st_dev  # noqa: PTH116 - `/proc/PID/cwd` is no path of ours
    except OSError:
        return None
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in (read_once("/proc/self/mountinfo") or "").splitlines():
        front, _, back = line.partition(" - ")
        fields, kind = front.split(), back.split()
        if len(fields) > 2 and fields[2] == wanted and len(kind) > 1 and kind[1].startswith("/dev/"):  # noqa: PLR2004
            return os.path.basename(os.path.realpath(kind[1]))  # noqa: PTH119 - text in, text out
    return None
