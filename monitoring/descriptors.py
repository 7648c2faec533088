"""What a sleeping thread waits for, by the descriptors its system call names."""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

from pinchpoint.monitoring.procfs import read_once
from pinchpoint.monitoring.sockets import CLIENTS, LISTENING, PAIR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinchpoint.monitoring.sockets import SocketPeers

_POLLFD = struct.Struct("=ihh")
_POLL_MAX = 32
_SELECT_BYTES = 128
"""1,024 descriptors, all that fit in an fd_set."""
_OWN_POLL_MAX = 2
"""A driver that waits for its one socket with epoll watches one or two; a loop watches its clients."""

_ON_DISK = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFBLK})
_KNOWN_MAX = 256
"""Paths whose kind is remembered: asking again could hang on a network file system that is gone."""

Finding = tuple[str, str | None]
"""State, and the peer of the socket where it is one (`listening`: the thread waits for connections)."""


class Descriptors:
    """Reads what is behind the descriptors of one process."""

    def __init__(self, pid: int, sockets: SocketPeers) -> None:
        self._pid = pid
        self._sockets = sockets
        self._on_disk: dict[str, bool] = {}

    def one(self, number: int, *, sends: bool) -> Finding:
        """Return what a thread waits for in a call on one descriptor.

        A thread that reads from a client has no request yet, or not all of it: that is a server's idle place.
        """
        target = self._target(number)
        if target is None:
            return "other", None
        if target.startswith("socket:["):
            peer = self._sockets.peer(int(target[8:-1]))
            if peer == CLIENTS and not sends:
                return "idle", None
            return "socket", peer
        return ("disk" if target.startswith("/") and self._is_on_disk(number, target) else "other"), None

    def polled(self, address: int, count: int, *, has_loop: bool) -> Finding:
        """Return what a thread waits for in `poll`."""
        if count == 0:
            return "sleep", None
        data = self._memory(address, _POLLFD.size * min(count, _POLL_MAX))
        whole = data[: len(data) - len(data) % _POLLFD.size]
        return self._any(dict.fromkeys(number for number, _, _ in _POLLFD.iter_unpack(whole)), has_loop=has_loop)

    def selected(self, count: int, reading: int, writing: int, *, has_loop: bool) -> Finding:
        """Return what a thread waits for in `select`."""
        if count == 0 or not (reading or writing):
            return "sleep", None
        size = min((count + 63) // 64 * 8, _SELECT_BYTES)
        bits = 0
        for address in (reading, writing):
            if address:
                bits |= int.from_bytes(self._memory(address, size), "little")
        return self._any([number for number in range(min(count, size * 8)) if bits >> number & 1], has_loop=has_loop)

    def watched(self, number: int) -> Finding:
        """Return what a thread other than the event loop's waits for in `epoll_wait`."""
        text = read_once(f"/proc/{self._pid}/fdinfo/{number}") or ""
        watched = [int(line.split()[1]) for line in text.splitlines() if line.startswith("tfd:")]
        if not 0 < len(watched) <= _OWN_POLL_MAX:
            return "idle", None
        found = self._any(watched, has_loop=False)
        return found if found[0] == "socket" else ("idle", None)

    def _any(self, numbers: Iterable[int], *, has_loop: bool) -> Finding:
        """Return the state of a thread that waits for any of these.

        Clients and listeners make it a server at rest; a socket pair is how a loop wakes itself.
        """
        peers = [
            self._sockets.peer(int(target[8:-1]))
            for number in numbers
            if (target := self._target(number)) is not None and target.startswith("socket:[")
        ]
        if LISTENING in peers:
            return "idle", LISTENING
        if CLIENTS in peers:
            return "idle", None
        others = [peer for peer in peers if peer != PAIR]
        if others:
            return "socket", others[0]
        return ("socket" if has_loop else "idle"), None

    def _is_on_disk(self, number: int, path: str) -> bool:
        """Return True for a file, a folder or a block device; named pipes and terminals have paths as well."""
        if path not in self._on_disk:
            if len(self._on_disk) >= _KNOWN_MAX:
                self._on_disk.clear()
            try:
                mode = os.stat(f"/proc/{self._pid}/fd/{number}").st_mode  # noqa: PTH116 - no path, and hot
            except OSError:
                return False
            self._on_disk[path] = stat.S_IFMT(mode) in _ON_DISK
        return self._on_disk[path]

    def _target(self, number: int) -> str | None:
        try:
            return os.readlink(f"/proc/{self._pid}/fd/{number}")  # noqa: PTH115 - no path, and hot
        except OSError:
            return None

    def _memory(self, address: int, size: int) -> bytes:
        """Read the arguments of the call; a thread that is past it leaves nothing sensible, and nothing is taken."""
        try:
            memory = os.open(f"/proc/{self._pid}/mem", os.O_RDONLY)
        except OSError:
            return b""
        try:
            return os.pread(memory, size, address)
        except (OSError, OverflowError):
            return b""
        finally:
            os.close(memory)
