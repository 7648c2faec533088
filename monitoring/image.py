"""Where in a process's memory CPython keeps the GIL: the writable data of libpython, or of the python binary.

A thread that waits for the GIL sleeps on a futex there; every other lock of a Python program lies on the heap or, since
3.13's parking lot, on a stack (METHOD §3.2; seen on 3.9.18, 3.10, 3.11.7, 3.12.1, 3.13.0). `proc(5)` has the format.
"""

from __future__ import annotations

import os
import re

from pinchpoint.monitoring.procfs import read_once

_LIBRARY = re.compile(r"/libpython[23][^/]*\.so[^/]*$")
_BINARY = re.compile(r"/(?:python|pypy)[^/]*$")
_AGAIN_S = 10.0
_UNKNOWN_AGAIN_S = 1.0
_PATH_FIELD = 5


def parse_image(maps: str, binary: str) -> list[tuple[int, int]] | None:
    """Return the address ranges of the interpreter's writable data; None when no interpreter is mapped.

    Its zeroed data (bss) is an unnamed mapping right behind the named one.
    """
    regions = [_region(line) for line in maps.splitlines()]
    library = {path for *_, path in regions if _LIBRARY.search(path)}
    images = library or ({binary} if _BINARY.search(binary) else set())
    found: list[tuple[int, int]] = []
    end = -1
    for low, high, writable, path in regions:
        behind = path == "" and low == end
        if path in images or behind:
            end = high
            if writable:
                found.append((low, high))
    return found or None


def _region(line: str) -> tuple[int, int, bool, str]:
    words = line.split(None, _PATH_FIELD)
    low, _, high = words[0].partition("-")
    path = words[_PATH_FIELD].strip().removesuffix(" (deleted)") if len(words) > _PATH_FIELD else ""
    return int(low, 16), int(high, 16), "w" in words[1], path


class Image:
    """Tells which futex addresses mean the GIL. The map is read again every ten seconds: a process may have exec'd."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ranges: list[tuple[int, int]] | None = None
        self._due_s = 0.0

    def holds(self, address: int, now_s: float) -> bool | None:
        """Say whether an address lies in the interpreter's data; None when there is none to be seen."""
        if now_s >= self._due_s:
            self._ranges = self._read()
            self._due_s = now_s + (_UNKNOWN_AGAIN_S if self._ranges is None else _AGAIN_S)
        if self._ranges is None:
            return None
        return any(low <= address < high for low, high in self._ranges)

    def _read(self) -> list[tuple[int, int]] | None:
        try:
            binary = os.readlink(f"/proc/{self._pid}/exe").removesuffix(" (deleted)")  # noqa: PTH115 - plain text
        except OSError:
            return None
        return parse_image(read_once(f"/proc/{self._pid}/maps") or "", binary)
