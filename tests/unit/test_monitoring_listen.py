"""The accept queue: netlink messages, and the table that stands in for them."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.listen import ListenQueue, build_request, parse_reply, parse_tcp_table

if TYPE_CHECKING:
    from pathlib import Path

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:0000000A 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:9999 01 00000000:00000063 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   3: 0100007F:1F91 00000000:0000 0A 00000000:00000007 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
"""


def _listener(port: int, length: int, limit: int) -> bytes:
    """One struct inet_diag_msg of a listening socket, in its netlink header."""
    body = struct.pack("=BBBB", socket.AF_INET, 10, 0, 0) + struct.pack("!H", port) + bytes(46)
    body += struct.pack("=IIIII", 0, length, limit, 0, 30310)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def test_the_request_asks_for_the_listeners_of_one_port() -> None:
    """Header, then family, protocol and the mask of one state; the port in network order."""
    request = build_request(socket.AF_INET6, 8000)

    assert len(request) == 72
    assert struct.unpack_from("=IHH", request) == (72, 20, 0x301)
    assert struct.unpack_from("=BBBBI", request, 16) == (socket.AF_INET6, socket.IPPROTO_TCP, 0, 0, 1 << 10)
    assert struct.unpack_from("!H", request, 24) == (8000,)


def test_a_reply_lists_the_listeners_of_that_port_only() -> None:
    """An old kernel ignores the filter and answers with all of them."""
    data = _listener(8000, 3, 128) + _listener(8001, 9, 64) + _listener(8000, 1, 128) + DONE

    assert parse_reply(data, 8000) == ([(3, 128), (1, 128)], True)
    assert parse_reply(_listener(8000, 3, 128), 8000) == ([(3, 128)], False)


def test_a_refusal_is_an_error() -> None:
    """A kernel without inet_diag answers ENOENT; the caller turns to the table."""
    with pytest.raises(FileNotFoundError):
        parse_reply(struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -2) + bytes(16), 8000)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_reply_or_a_refusal(data: bytes) -> None:
    """A foreign message never hangs the reader or gives a figure of another port."""
    try:
        found, _ = parse_reply(data, 8000)
    except OSError:
        return
    assert len(found) <= len(data) // 80


def test_the_table_lists_waiting_connections_of_listeners() -> None:
    """Established connections and other ports are left out."""
    assert parse_tcp_table(TABLE, 8080) == [(3, None), (10, None)]
    assert parse_tcp_table("", 8080) == []


def test_without_netlink_the_table_is_read_once_a_second(tmp_path: Path) -> None:
    """It costs much more; in between nothing is measured."""
    (tmp_path / "tcp").write_text(TABLE)
    now_s = [5.0]
    queue = ListenQueue(8080, net_folder=str(tmp_path), same_network=False, clock=lambda: now_s[0])
    first, soon = queue.read(), queue.read()
    now_s[0] = 6.0

    assert (first, soon, queue.read()) == ((13, None), None, (13, None))


def test_a_port_without_a_listener_has_no_queue() -> None:
    """Not measured, rather than empty."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        queue = ListenQueue(free.getsockname()[1])
        actual = queue.read()
        queue.close()

    assert actual is None
