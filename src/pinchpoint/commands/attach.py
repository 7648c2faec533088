"""A server that already runs: found by its pid, looked at from outside, never signalled, never ended."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from pinchpoint.errors import TargetError, UsageError
from pinchpoint.monitoring.injection import PAGE_FOLDER_VARIABLE
from pinchpoint.monitoring.processes_tree import find_members

MISSING = (
    "attached: no probe, so pools, routes, the event loop and the await profile are unavailable; "
    "start the server through pinchpoint, or with what `pinchpoint probe-env` prints, to see them"
)
PAGES_FOUND = "attached: the server was started with the probe, and its own pages are read"


@dataclass(frozen=True)
class Attached:
    """A running server, as a `Child` that nobody started here."""

    pid: int
    """As the user gave it."""
    root: int
    """The topmost of the server's processes: all the others are below it."""
    started: float
    """Of the root, so that a new process with its pid is not taken for it."""
    page_folder: Path | None
    """Of a probe it was started with."""

    @property
    def roots(self) -> list[int]:
        """Pids below which all its processes are."""
        return [self.root]

    @property
    def returncode(self) -> int | None:
        """Unknown: it is not our child. None while it runs, -1 afterwards."""
        return None if self.alive() else -1

    @property
    def gone(self) -> bool:
        """True when it does not run any more."""
        return not self.alive()

    def alive(self) -> bool:
        """Tell whether it still runs."""
        try:
            process = psutil.Process(self.root)
            return process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def log_tail(self, _lines: int = 20) -> str:
        """Return nothing: its output goes where it always went."""
        return ""


def attach(pid: int, url: str, listeners: Callable[[int], Collection[int]]) -> Attached:
    """Find the server that `pid` belongs to.

    `listeners` returns the pids that listen on a port, as far as they can be seen.

    Raises:
        UsageError: there is no such process, it is somebody else's, or it has nothing to do with `url`.
        TargetError: nobody listens there.

    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not Path(f"/proc/{pid}").is_dir():
        raise UsageError(f"--pid {pid}: there is no such process")
    owners = set(listeners(port))
    if not owners:
        raise TargetError(
            f"no process of yours listens on port {port}; start the server first, or run pinchpoint as its user"
        )
    root = _root(pid, owners)
    if root is None:
        names = ", ".join(f"{one} ({_name(one)})" for one in sorted(owners))
        raise UsageError(f"--pid {pid} ({_name(pid)}) does not serve {url}: PID {names} listens on port {port}")
    try:
        started = psutil.Process(root).create_time()
    except psutil.Error:
        raise UsageError(f"--pid {pid}: there is no such process") from None
    return Attached(pid, root, started, _page_folder(root))


def _root(pid: int, owners: set[int]) -> int | None:
    """Return the topmost process of the server: `pid` above a listener, else the highest listener above `pid`."""
    if owners & find_members([pid]).keys():
        root = pid
    else:
        above = [one for one in _ancestors(pid) if one in owners]
        if not above:
            return None
        root = above[-1]
    if root in owners:
        # A worker shares its socket with its master: the server is all of them.
        for one in _ancestors(root):
            if one not in owners:
                break
            root = one
    return root


def _ancestors(pid: int) -> list[int]:
    try:
        return [parent.pid for parent in psutil.Process(pid).parents() if parent.pid > 1]
    except psutil.Error:
        return []


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "gone"


def _page_folder(root: int) -> Path | None:
    for pid in find_members([root]):
        folder = (environment(pid) or {}).get(PAGE_FOLDER_VARIABLE)
        if folder and Path(folder).is_dir():
            return Path(folder)
    return None


def environment(pid: int) -> dict[str, str] | None:
    """Return the environment a process was started with; None when it may not be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def affinity(pid: int) -> frozenset[int] | None:
    """Return the CPUs a process is confined to; None when it may use as many as we may, or they are unknown."""
    try:
        cpus = frozenset(os.sched_getaffinity(pid))
    except (OSError, AttributeError):
        return None
    return cpus if cpus < frozenset(os.sched_getaffinity(0)) else None


def working_folder(pid: int) -> Path | None:
    """Return the folder a process works in; None when it may not be read."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
