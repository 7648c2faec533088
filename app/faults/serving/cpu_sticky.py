"""gunicorn's configuration of a shop whose carts live in the worker: a client's connections go to one worker.

Each worker has a listening socket of its own (SO_REUSEPORT), and a filter in the kernel chooses among them by the
client's address (SO_ATTACH_REUSEPORT_CBPF, socket(7)). Behind one proxy, or one load generator, all clients are one.
"""

import ctypes
import socket
import struct
from typing import TYPE_CHECKING

from .settings import cured

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

workers = 2
reuse_port = True
control_socket_disable = True

_SO_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h
_LD_WORD_ABSOLUTE, _ALU_MODULO, _RETURN_A = 0x20, 0x94, 0x16  # linux/bpf_common.h
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF (-0x100000) as an unsigned word, linux/filter.h
_SOURCE_ADDRESS = 12  # RFC 791: offset in the header of IPv4


def by_client() -> bytes:
    """Return a filter that chooses a socket by the client's address."""
    steps = [
        (_LD_WORD_ABSOLUTE, _NETWORK_HEADER + _SOURCE_ADDRESS),
        (_ALU_MODULO, workers),
        (_RETURN_A, 0),
    ]
    return b"".join(struct.pack("HBBI", code, 0, 0, value) for code, value in steps)


def post_fork(_server: "Arbiter", worker: "Worker") -> None:
    """Put the filter on the worker's sockets; it holds for all sockets of the address."""
    if cured():
        return
    program = ctypes.create_string_buffer(by_client())
    option = struct.pack("HL", len(by_client()) // 8, ctypes.addressof(program))
    for listener in worker.sockets:
        listener.sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, option)
