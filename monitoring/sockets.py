"""Who is at the other end of a socket, by the inode that `/proc/PID/fd` shows.

Asked of the kernel in one go, only when a thread waits on a socket nobody knows yet, and never for more than a
five-hundredth of the time. Peers: `127.0.0.1:5432`, `[::1]:80`, `unix PATH`; `CLIENTS` on a connection that came in
over a port somebody listens on, `LISTENING` on such a port itself.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING

from pinchpoint.monitoring.netlink import TCP_LISTEN, ask, open_netlink, tcp_request, unix_request
from pinchpoint.monitoring.procfs import read_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CLIENTS = "clients"
LISTENING = "listening"
PAIR = "unix (pair)"
UNKNOWN = "unknown"
_REFRESH_INTERVAL_S = 0.5
_COST_SHARE = 0.002
_MISSED_MAX = 1000
_ALL_STATES = 0xFFF & ~((1 << 6) | (1 << 7))
"""But TIME_WAIT and CLOSE, which no process waits on."""
_INET = struct.Struct("=BB2x2s2s16s16s")
_INODE_OFFSET = 68
_UNIX = struct.Struct("=BBBxI8x")
_SHOW_NAME, _SHOW_PEER = 1, 4
_NAME, _PEER = 0, 2
_ATTRIBUTE = struct.Struct("=HH")
_TABLE_COLUMNS = 10
_V4_BYTES = 4
_MAPPED = "::ffff:"

Entry = tuple[int, int, int, str]
"""Inode, state, local port, peer."""


def parse_inet(body: bytes) -> Entry | None:
    """Parse struct inet_diag_msg."""
    if len(body) < _INODE_OFFSET + 4:
        return None
    family, state, source, target, _, address = _INET.unpack_from(body)
    inode = struct.unpack_from("=I", body, _INODE_OFFSET)[0]
    raw = address[:_V4_BYTES] if family == socket.AF_INET else address
    return inode, state, int.from_bytes(source, "big"), _peer(raw, int.from_bytes(target, "big"))


def parse_table(text: str) -> Iterator[Entry]:
    """Parse `/proc/net/tcp` or `tcp6`; addresses are 32-bit words in the machine's byte order."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < _TABLE_COLUMNS:
            continue
        address, _, port = words[2].partition(":")
        parts = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
        raw = struct.pack(f"={len(parts)}I", *parts)
        local = int(words[1].partition(":")[2], 16)
        yield int(words[9]), int(words[3], 16), local, _peer(raw, int(port, 16))


def _peer(address: bytes, port: int) -> str:
    if len(address) == _V4_BYTES:
        return f"{socket.inet_ntop(socket.AF_INET, address)}:{port}"
    text = socket.inet_ntop(socket.AF_INET6, address)
    return f"{text.removeprefix(_MAPPED)}:{port}" if text.startswith(_MAPPED) and "." in text else f"[{text}]:{port}"


def name_inet(entries: Iterable[Entry]) -> dict[int, str]:
    """Return the peer of each socket, by inode."""
    entries = list(entries)
    served = {port for _, state, port, _ in entries if state == TCP_LISTEN}
    return {
        inode: LISTENING if state == TCP_LISTEN else CLIENTS if port in served else peer
        for inode, state, port, peer in entries
        if inode
    }


def name_unix(bodies: Iterable[bytes]) -> dict[int, str]:
    """Return the peer of each unix socket, by inode, from struct unix_diag_msg with names and peers.

    An accepted socket bears the listener's name, so the one with a name of its own is the server's end.
    """
    names: dict[int, str] = {}
    peers: dict[int, int] = {}
    listening: set[int] = set()
    for body in bodies:
        if len(body) < _UNIX.size:
            continue
        _, _, state, inode = _UNIX.unpack_from(body)
        if state == TCP_LISTEN:
            listening.add(inode)
        for kind, value in _attributes(body[_UNIX.size :]):
            if kind == _NAME:
                names[inode] = value.rstrip(b"\0").replace(b"\0", b"@").decode("utf-8", "replace")
            elif kind == _PEER and len(value) >= _V4_BYTES:
                peers[inode] = struct.unpack_from("=I", value)[0]
    found = dict.fromkeys(listening, LISTENING)
    for inode, peer in peers.items():
        found[inode] = CLIENTS if inode in names else f"unix {names[peer]}" if peer in names else PAIR
    return found


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


class SocketPeers:
    """Names peers by inode. `net_folder` shows the target's network; netlink sees only ours."""

    def __init__(
        self,
        *,
        net_folder: str = "/proc/self/net",
        same_network: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._net_folder = net_folder
        self._clock = clock
        self._netlink = open_netlink() if same_network else None
        self._known: dict[int, str] = {}
        self._missed: set[int] = set()
        self._due_s = 0.0

    def peer(self, inode: int) -> str:
        """Return the peer of a socket; `unknown` when it is not TCP or unix, or not looked up yet."""
        found = self._known.get(inode)
        if found is None and inode not in self._missed and self._clock() >= self._due_s:
            self._refresh()
            found = self._known.get(inode)
            if found is None:
                self._missed.add(inode)
        return UNKNOWN if found is None else found

    def _refresh(self) -> None:
        started_s = self._clock()
        try:
            known = self._ask(self._netlink) if self._netlink is not None else self._read_tables()
        except OSError:
            self.close()
            known = self._read_tables()
        self._known = known
        if len(self._missed) > _MISSED_MAX:
            self._missed.clear()
        ended_s = self._clock()
        self._due_s = ended_s + max(_REFRESH_INTERVAL_S, (ended_s - started_s) / _COST_SHARE)

    def _ask(self, netlink: socket.socket) -> dict[int, str]:
        bodies = [
            body
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in ask(netlink, tcp_request(family, _ALL_STATES))
        ]
        found = name_inet(entry for body in bodies if (entry := parse_inet(body)) is not None)
        with contextlib.suppress(OSError):  # the module for unix sockets is one of its own
            found.update(name_unix(ask(netlink, unix_request(_ALL_STATES, _SHOW_NAME | _SHOW_PEER))))
        return found

    def _read_tables(self) -> dict[int, str]:
        texts = [read_once(f"{self._net_folder}/{name}") or "" for name in ("tcp", "tcp6")]
        return name_inet(entry for text in texts for entry in parse_table(text))

    def close(self) -> None:
        """Close the netlink socket; the tables still answer."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None
