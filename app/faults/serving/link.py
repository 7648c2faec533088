"""Run a server behind a network link of its own, its port published on this host: as a container on a slow network.

    python -m ….link --port 8101 --mbit 100 -- COMMAND …

The command replaces this process, in a network namespace whose only interface, `eth0`, sends no faster than the rate
(a token bucket: tc-tbf(8)); it listens on 0.0.0.0:PORT there. A child, in a second namespace at the other end of the
link, passes on what comes to 127.0.0.1:PORT of this host. Nothing of this host's own network is touched, and neither
namespace has a way out. When cured the link has no rate. Needs root, `ip` and `tc`.
"""

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from .settings import cured

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_BURST = "64kb"
_QUEUE = "50ms"
"""How much may wait in the bucket, as time; TCP keeps little there, the rest stays with its sender."""
HERE, THERE = "10.231.77.1", "10.231.77.2"


def outside(server: int) -> list[list[str]]:
    """Return the commands for the end where clients come in; `server` is a process at the other end."""
    return [
        ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(server)],
        ["ip", "address", "add", f"{HERE}/30", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
    ]


def inside(mbit: float | None) -> list[list[str]]:
    """Return the commands for the server's end; `mbit` (10^6 bits per second) None: as fast as it goes."""
    commands = [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{THERE}/30", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
    ]
    bucket = ["tbf", "rate", f"{mbit}mbit", "burst", _BURST, "latency", _QUEUE]
    return commands if mbit is None else [*commands, ["tc", "qdisc", "add", "dev", "eth0", "root", *bucket]]


class End(asyncio.Protocol):
    """One end of a passed-on connection: reads no faster than the other end takes it."""

    def __init__(self) -> None:
        self.other: asyncio.Transport | None = None
        self.own: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the other end before anything is read."""
        if isinstance(transport, asyncio.Transport):
            self.own = transport
            transport.pause_reading()

    def join(self, other: asyncio.Transport) -> None:
        """Begin."""
        self.other = other
        if self.own is not None:
            self.own.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is not None:
            self.other.write(data)

    def pause_writing(self) -> None:
        """Let the other end wait."""
        if self.other is not None:
            self.other.pause_reading()

    def resume_writing(self) -> None:
        """Let the other end go on."""
        if self.other is not None and not self.other.is_closing():
            self.other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base class names it
        """Close the other end too."""
        if self.other is not None:
            self.other.close()


async def publish(listener: socket.socket, host: str, port: int) -> None:
    """Pass every connection of `listener` on to HOST:PORT, until cancelled."""
    loop = asyncio.get_running_loop()
    waiting = set()

    async def passed_on(client: socket.socket) -> None:
        near, end = await loop.connect_accepted_socket(End, client)
        try:
            far, other = await loop.create_connection(End, host, port)
        except OSError:
            near.abort()
            return
        end.join(far)
        other.join(near)

    while True:
        client, _ = await loop.sock_accept(listener)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(passed_on(client))
        waiting.add(task)
        task.add_done_callback(waiting.discard)


def _leave() -> None:
    """Leave this host's network for a new one."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(commands: Sequence[Sequence[str]]) -> None:
    for command in commands:
        subprocess.run(command, check=True)


def _front(port: int, server: int, moved: int, linked: int) -> None:
    """Be the child: listen on this host, then move to the other end of the link and pass on."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)
        listener.setblocking(False)
        _leave()
        os.read(moved, 1)
        _run(outside(server))
        os.write(linked, b"x")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(publish(listener, THERE, port))


def enter(port: int, mbit: float | None) -> None:
    """Move this process behind a link. Raises OSError or CalledProcessError when that is not permitted."""
    (moved, tell_moved), (linked, tell_linked) = os.pipe(), os.pipe()
    server = os.getpid()
    if os.fork() == 0:
        try:
            os.close(tell_moved)
            os.close(linked)
            _front(port, server, moved, tell_linked)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.stderr.write(f"link: {error}\n")
        finally:
            os._exit(1)
    os.close(moved)
    os.close(tell_linked)
    _leave()
    os.write(tell_moved, b"x")
    if not os.read(linked, 1):
        raise OSError("the other end of the link could not be made")
    _run(inside(mbit))


def main(argv: Sequence[str]) -> int:
    """Make the link and become the command; return 1 with a sentence on stderr if that fails."""
    parser = argparse.ArgumentParser(prog="link", description="Run a server behind a slow link.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mbit", type=float, required=True)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(argv)
    try:
        enter(given.port, None if cured() else given.mbit)
        os.execvp(given.command[0], given.command)  # noqa: S606 - becoming the command is the point
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"link: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
