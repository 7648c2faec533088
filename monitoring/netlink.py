"""Ask the kernel about sockets over netlink, as `ss` does: sock_diag(7), <linux/inet_diag.h>, <linux/unix_diag.h>."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
TCP_LISTEN = 10
_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_DUMP_REQUEST = 0x301
_NLM_F_REQUEST = 0x1
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_INET_REQUEST = struct.Struct("=BBBBI2s2s32sI8s")
"""struct inet_diag_req_v2: family, protocol, extensions, pad, states, two ports, addresses, device, cookie."""
_EXACT_REQUEST = struct.Struct("=BBBBI48s")
"""The same, its ports, addresses, device and cookie as one struct inet_diag_sockid."""
_ALL_STATES = 0xFFFFFFFF
_UNIX_REQUEST = struct.Struct("=BBHIIIII")
"""struct unix_diag_req: family, protocol, pad, states, inode, what to show, cookie."""
_TIMEOUT_S = 0.05
_RECEIVE_BYTES = 1 << 16
ANY_COOKIE = 0xFFFFFFFF


def open_netlink() -> socket.socket | None:
    """Return a socket to ask with; None where the kernel has no sock_diag."""
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
    except OSError:
        return None
    netlink.settimeout(_TIMEOUT_S)
    return netlink


def tcp_request(family: int, states: int, port: int = 0) -> bytes:
    """Return the message asking for TCP sockets of `family` in one of `states` (a mask), on one local port or all."""
    source = struct.pack("!H", port)
    body = _INET_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, states, source, bytes(2), bytes(32), 0, b"\xff" * 8)
    return _message(body)


def tcp_exact_request(family: int, identity: bytes) -> bytes:
    """Return the message asking for one TCP socket, by the `idiag_id` of an earlier answer; no end follows it."""
    return _message(_EXACT_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES, identity), _NLM_F_REQUEST)


def unix_request(states: int, show: int) -> bytes:
    """Return the message that asks for the unix sockets in any of `states`, with what `show` (a mask) says."""
    return _message(_UNIX_REQUEST.pack(socket.AF_UNIX, 0, 0, states, 0, show, ANY_COOKIE, ANY_COOKIE))


def _message(body: bytes, flags: int = _NLM_F_DUMP_REQUEST) -> bytes:
    return HEADER.pack(HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + body


def ask(netlink: socket.socket, request: bytes) -> Iterator[bytes]:
    """Yield the body of every message of the answer.

    Raises:
        OSError: the kernel refuses, or does not answer at once.

    """
    netlink.send(request)
    done = False
    while not done:
        bodies, done = split(netlink.recv(_RECEIVE_BYTES))
        yield from bodies


def split(data: bytes) -> tuple[list[bytes], bool]:
    """Return the bodies in one datagram, and whether the answer is complete.

    Raises:
        OSError: the kernel refuses (no such module).

    """
    bodies: list[bytes] = []
    for kind, body in _messages(data):
        if kind == _NLMSG_DONE:
            return bodies, True
        if kind == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else errno.EPROTO  # noqa: PLR2004 - an int
            raise OSError(code, "sock_diag was refused")
        bodies.append(body)
    return bodies, False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind = HEADER.unpack_from(data, offset)[:2]
        if length < HEADER.size:
            return
        yield kind, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3
