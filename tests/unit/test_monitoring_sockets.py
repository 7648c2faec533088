"""Who is at the other end of a socket, and which disk lies under a folder."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from pinchpoint.monitoring.descriptors import Descriptors
from pinchpoint.monitoring.disk import DiskTimes, parse_disk
from pinchpoint.monitoring.listeners import find_listener
from pinchpoint.monitoring.sockets import CLIENTS, LISTENING, PAIR, SocketPeers, name_inet, parse_inet, parse_table

if TYPE_CHECKING:
    from pathlib import Path

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 7 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 8 1 0 100 0 0 10 0
   2: 0100007F:C001 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0
"""
DISKSTATS = b" 254       0 vda 10 1 20 3 4 5 60 7 0 4500 9 1 1 1 1 1 1\n 254       1 vda1 1 1 1 1 1 1 1 1 0 1 1\n"


def test_peers_are_named_from_the_table() -> None:
    """A connection to a served port is a client's; every other one leads to its peer."""
    assert name_inet(parse_table(TABLE)) == {7: LISTENING, 8: CLIENTS, 9: "127.0.0.1:5432"}


def test_a_mapped_address_is_written_as_what_it_is() -> None:
    """IPv4 over an IPv6 socket; struct inet_diag_msg."""
    address = socket.inet_pton(socket.AF_INET6, "::ffff:10.0.0.7")
    body = struct.pack("=BB2x", socket.AF_INET6, 1) + struct.pack("!HH", 40000, 80) + bytes(16) + address
    body += bytes(68 - len(body)) + struct.pack("=I", 31)

    assert parse_inet(body) == (31, 1, 40000, "10.0.0.7:80")
    assert parse_inet(body[:60]) is None


@pytest.mark.parametrize("same_network", [True, False])
def test_real_sockets_are_known_by_netlink_and_by_table(same_network: bool) -> None:
    """Both ends of one connection, and the listener."""
    peers = SocketPeers(same_network=same_network)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as accepted:
            found = [peers.peer(os.fstat(one.fileno()).st_ino) for one in (server, client, accepted)]
        assert find_listener(port) == [os.getpid()]
    peers.close()

    assert found == [LISTENING, f"127.0.0.1:{port}", CLIENTS]


def test_unix_sockets_are_known_by_path(tmp_path: Path) -> None:
    """As PostgreSQL's; a pair has no name."""
    path = str(tmp_path / "s")
    peers = SocketPeers()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        one, other = socket.socketpair()
        with one, other, server.accept()[0]:
            found = [peers.peer(os.fstat(end.fileno()).st_ino) for end in (client, one)]
    peers.close()

    assert found == [f"unix {path}", PAIR]


def test_what_is_behind_a_descriptor_tells_disk_from_socket(tmp_path: Path) -> None:
    """Of our own process."""
    peers = SocketPeers(same_network=False)
    own = Descriptors(os.getpid(), peers)
    file = os.open(tmp_path / "f", os.O_CREAT | os.O_RDONLY)
    reading, writing = os.pipe()
    os.mkfifo(tmp_path / "named")
    named, null = os.open(tmp_path / "named", os.O_RDWR), os.open("/dev/null", os.O_RDONLY)
    opened = (file, reading, named, null)
    found = [own.one(number, sends=False) for number in (*opened, 999_999)]
    for number in (*opened, writing):
        os.close(number)

    assert found == [("disk", None), *[("other", None)] * 4]
    assert own.polled(0, 0, has_loop=False) == ("sleep", None)
    assert own.selected(0, 0, 0, has_loop=True) == ("sleep", None)


def test_nobody_listens_on_a_free_port() -> None:
    """Bound is not listening."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert find_listener(free.getsockname()[1]) == []


def test_a_disk_is_read_by_its_whole_name() -> None:
    """Sectors of 512 bytes; busy time in milliseconds."""
    assert parse_disk(DISKSTATS, b"vda") == DiskTimes(20 * 512, 60 * 512, 14, 4.5)
    assert parse_disk(DISKSTATS, b"sda") is None
