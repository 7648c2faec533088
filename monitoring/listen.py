"""The accept queue of a TCP port: how many connections wait for `accept`, and how many may.

Asked over netlink (sock_diag(7), as `ss` does): 11 us, against 120 us and growing with every connection for
/proc/net/tcp, which is only the way out, then read once a second. Listeners sharing a port (SO_REUSEPORT) are summed. A
listener that is alone is asked for by its own name, which saves the kernel the walk over all of them; once a second it
is looked whether it still is.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

from pinchpoint.monitoring.netlink import TCP_LISTEN, open_netlink, split, tcp_exact_request, tcp_request
from pinchpoint.monitoring.procfs import read_once

if TYPE_CHECKING:
    from collections.abc import Callable

_PORT_OFFSET = 4
_QUEUE_OFFSET = 56
"""In struct inet_diag_msg: after 4 bytes, the 48 bytes of the socket id and `expires` come rqueue and wqueue."""
_IDENTITY = slice(4, 52)
"""struct inet_diag_sockid: ports, addresses, device, cookie."""
_QUEUES = struct.Struct("=II")
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_FALLBACK_INTERVAL_S = 1.0
_RETRY_INTERVAL_S = 1.0
_RECEIVE_BYTES = 1 << 16


def build_request(family: int, port: int) -> bytes:
    """Return the netlink message that asks for every listening TCP socket of `family` on `port`."""
    return tcp_request(family, 1 << TCP_LISTEN, port)


def parse_reply(data: bytes, port: int) -> tuple[list[tuple[int, int]], bool]:
    """Return the (length, limit) of each listener in one datagram, and whether the answer is complete.

    Raises:
        OSError: the kernel refuses (no inet_diag module).

    """
    bodies, done = split(data)
    return [_QUEUES.unpack_from(body, _QUEUE_OFFSET) for body in _of_port(bodies, port)], done


def _of_port(bodies: list[bytes], port: int) -> list[bytes]:
    return [
        body
        for body in bodies
        if len(body) >= _QUEUE_OFFSET + _QUEUES.size and struct.unpack_from("!H", body, _PORT_OFFSET)[0] == port
    ]


def parse_tcp_table(text: str, port: int) -> list[tuple[int, int | None]]:
    """Return (length, None) of each listener on `port` in `/proc/net/tcp` or `tcp6`, which do not name the limit."""
    found: list[tuple[int, int | None]] = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 4 and words[3] == "0A" and words[1].endswith(f":{port:04X}"):  # noqa: PLR2004 - columns used
            found.append((int(words[4].partition(":")[2], 16), None))
    return found


class ListenQueue:
    """Follows the accept queue of one port.

    `net_folder` shows the target's network; netlink sees only ours, so `same_network` says whether it may be used.
    """

    def __init__(
        self,
        port: int,
        *,
        net_folder: str = "/proc/self/net",
        same_network: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port = port
        self._net_folder = net_folder
        self._clock = clock
        self._socket = open_netlink() if same_network else None
        self._alone: bytes | None = None
        self._look_everywhere_s = 0.0
        self._table_due_s = 0.0

    def read(self) -> tuple[int, int | None] | None:
        """Return (waiting connections, limit) summed over the port's listeners; None where none was seen this time."""
        if self._socket is None:
            return self._read_table()
        try:
            return _sum(self._ask_one(self._socket) or self._ask_all(self._socket))
        except OSError:
            self.close()
            return self._read_table()

    def _ask_one(self, netlink: socket.socket) -> list[tuple[int, int | None]]:
        """Ask for the listener that was alone a moment ago; nothing when there was none, or it is gone."""
        if self._alone is None or self._clock() >= self._look_everywhere_s:
            return []
        netlink.send(self._alone)
        try:
            found, _ = parse_reply(netlink.recv(_RECEIVE_BYTES), self._port)
        except TimeoutError:
            raise
        except OSError:
            found = []
        return list(found)

    def _ask_all(self, netlink: socket.socket) -> list[tuple[int, int | None]]:
        self._look_everywhere_s = self._clock() + _RETRY_INTERVAL_S
        found = [(family, body) for family in _FAMILIES for body in self._ask(netlink, family)]
        self._alone = tcp_exact_request(found[0][0], found[0][1][_IDENTITY]) if len(found) == 1 else None
        return [_QUEUES.unpack_from(body, _QUEUE_OFFSET) for _, body in found]

    def _ask(self, netlink: socket.socket, family: int) -> list[bytes]:
        netlink.send(build_request(family, self._port))
        found: list[bytes] = []
        done = False
        while not done:
            bodies, done = split(netlink.recv(_RECEIVE_BYTES))
            found += _of_port(bodies, self._port)
        return found

    def _read_table(self) -> tuple[int, int | None] | None:
        now_s = self._clock()
        if now_s < self._table_due_s:
            return None
        self._table_due_s = now_s + _FALLBACK_INTERVAL_S
        texts = [read_once(f"{self._net_folder}/{name}") or "" for name in ("tcp", "tcp6")]
        return _sum([listener for text in texts for listener in parse_tcp_table(text, self._port)])

    def close(self) -> None:
        """Close the netlink socket; the table still answers."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _sum(listeners: list[tuple[int, int | None]]) -> tuple[int, int | None] | None:
    if not listeners:
        return None
    limits = [limit for _, limit in listeners if limit is not None]
    return sum(length for length, _ in listeners), sum(limits) if len(limits) == len(listeners) else None
