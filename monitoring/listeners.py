"""Who listens on a TCP port of this network namespace: for `--pid`, and for servers that leave their parent."""

from __future__ import annotations

import os

from pinchpoint.monitoring.netlink import TCP_LISTEN
from pinchpoint.monitoring.procfs import read_once
from pinchpoint.monitoring.sockets import parse_table


def find_listener(port: int) -> list[int]:
    """Return the pids of the processes of our user that hold a listening TCP socket on `port`, oldest first.

    Several share one after a fork (a master and its workers). Processes of other users, whose descriptors are closed to
    us, and of other network namespaces are not found. Costs some milliseconds: it looks through every descriptor.
    """
    texts = [read_once(f"/proc/self/net/{name}") or "" for name in ("tcp", "tcp6")]
    wanted = {
        f"socket:[{inode}]"
        for text in texts
        for inode, state, local, _ in parse_table(text)
        if state == TCP_LISTEN and local == port
    }
    if not wanted:
        return []
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names are all that is needed
    return sorted((pid for pid in pids if _holds(pid, wanted)), key=_started_ticks)


def _holds(pid: int, wanted: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        return any(_target(f"{folder}/{name}") in wanted for name in os.listdir(folder))  # noqa: PTH208 - likewise
    except OSError:
        return False


def _target(link: str) -> str | None:
    try:
        return os.readlink(link)  # noqa: PTH115 - `socket:[INODE]` is no path
    except OSError:
        return None


def _started_ticks(pid: int) -> tuple[int, int]:
    words = (read_once(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return (int(words[19]) if len(words) > 19 else 0), pid  # noqa: PLR2004 - starttime of proc(5)
