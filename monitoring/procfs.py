"""Read small kernel files many times a second: kept descriptors and pure parsers over their text.

`proc(5)` is the source of every format. A kept descriptor costs about 1 us a read, opening anew about 10 us (METHOD
§3.3); it also stays bound to the task it was opened for, so a reused pid can never be mistaken for the old process.
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NS_PER_S = 1e9
_READ_BYTES = 1 << 16
_FIRST_BYTES = 448
"""Most files here are shorter, and this much comes from the interpreter's own memory, not from malloc's."""
_KEEP_SHARE = 4
"""One in so many descriptors of the process may be kept: the load generator and the server's sockets need the rest."""
_KEEP_MAX = 4096


class DescriptorBudget:
    """How many descriptors may still be kept open."""

    def __init__(self, limit: int | None = None) -> None:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.left = limit if limit is not None else min(soft // _KEEP_SHARE, _KEEP_MAX)


class KeptFile:
    """A kernel file that is read again and again. Over budget, it is opened for every read instead."""

    __slots__ = ("_budget", "_fd", "_path", "_size")

    def __init__(self, path: str | Path, budget: DescriptorBudget) -> None:
        self._path = path
        self._budget = budget
        self._size = _FIRST_BYTES
        self._fd: int | None = None
        if budget.left > 0:
            try:
                self._fd = os.open(path, os.O_RDONLY)
            except OSError:
                return
            budget.left -= 1

    def read(self) -> bytes | None:
        """Return the whole text (kernel files: at most 64 KiB is asked for at once), or None when it cannot be read."""
        try:
            if self._fd is not None:
                data = os.pread(self._fd, self._size, 0)
                return data if len(data) < self._size else self._read_longer(self._fd)
            fd = os.open(self._path, os.O_RDONLY)
        except OSError:
            return None
        try:
            return _pread_all(fd)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _read_longer(self, fd: int) -> bytes:
        """Read a text that did not fit, and make room for it to grow."""
        data = _pread_all(fd)
        self._size = min(2 * len(data), _READ_BYTES)
        return data

    def close(self) -> None:
        """Give the descriptor back; closing twice is fine."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._budget.left += 1


def _pread_all(fd: int) -> bytes:
    data = os.pread(fd, _READ_BYTES, 0)
    if len(data) < _READ_BYTES:
        return data
    parts = [data]
    while data:
        data = os.pread(fd, _READ_BYTES, sum(map(len, parts)))
        parts.append(data)
    return b"".join(parts)


class Stat(NamedTuple):
    """The fields of `/proc/PID/stat` that are used here."""

    state: str
    ppid: int
    major_faults: int
    cpu_s: float
    """utime + stime of the whole process, ended threads included; truncated to clock ticks."""
    threads: int
    started_ticks: int
    """Since boot; with the pid it names a process for good."""
    rss_bytes: int


def parse_stat(data: bytes) -> Stat | None:
    """Parse `/proc/PID/stat`; the command may hold blanks and brackets, so fields count from the last one."""
    _, bracket, rest = data.rpartition(b")")
    parts = rest.split(None, 22)
    if not bracket or len(parts) < 22:  # noqa: PLR2004 - up to rss, the 24th field
        return None
    return Stat(  # by position: half the cost
        parts[0].decode("ascii", "replace"),
        int(parts[1]),
        int(parts[9]),
        (int(parts[11]) + int(parts[12])) / TICKS_PER_S,
        int(parts[17]),
        int(parts[19]),
        int(parts[21]) * PAGE_BYTES,
    )


def parse_state(data: bytes) -> str | None:
    """Return only the state letter of `/proc/PID/task/TID/stat`."""
    end = data.rfind(b")")
    return chr(data[end + 2]) if 0 <= end < len(data) - 2 else None


def parse_schedstat(data: bytes) -> tuple[int, int, int] | None:
    """Return (ns on a CPU, ns waiting for one, times put on one) of one thread."""
    parts = data.split()
    if len(parts) != 3:  # noqa: PLR2004 - the three numbers
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def parse_switches(data: bytes) -> tuple[int, int] | None:
    """Return (voluntary, involuntary) context switches from `/proc/PID/task/TID/status`."""
    voluntary = number_after(data, b"\nvoluntary_ctxt_switches:")
    involuntary = number_after(data, b"\nnonvoluntary_ctxt_switches:")
    return None if voluntary is None or involuntary is None else (voluntary, involuntary)


def number_after(data: bytes, label: bytes) -> int | None:
    """Return the whole number that follows `label`, or None."""
    start = data.find(label)
    if start < 0:
        return None
    words = data[start + len(label) : start + len(label) + 40].split(None, 1)
    return int(words[0]) if words and words[0].isdigit() else None


def read_once(path: str | Path) -> str | None:
    """Return the text of a small file, or None when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _read_all(fd).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)


def _read_all(fd: int) -> bytes:
    """Read to the end: some kernel files hand out a page at a time."""
    parts = []
    while part := os.read(fd, _READ_BYTES):
        parts.append(part)
    return b"".join(parts)
