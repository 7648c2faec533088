"""`pinchpoint exporter` and `probe-env`: metrics of servers that were started by hand, with or without the probe."""

import os
import shlex
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from rich.console import Console

from pinchpoint.errors import UsageError
from pinchpoint.monitoring.exporter import Exporter, Source
from pinchpoint.monitoring.injection import PAGE_FOLDER_VARIABLE, probe_environment
from pinchpoint.monitoring.probe.snapshots import Snapshot, Snapshots
from pinchpoint.monitoring.sampler import Sampler
from pinchpoint.rows import SampleRow

HOUSEKEEPING_S = 1.0
SAMPLE_INTERVAL_S = 0.5
"""Prometheus asks every few seconds; ten looks a second, as in a run, would be wasted."""
_NO_PAGES = Path(os.devnull) / "none"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it is checked to be ours alone


def default_pages() -> Path:
    """Return the folder in which this user's hand-started servers keep their pages, made if need be.

    Raises:
        UsageError: it cannot be made, or somebody else owns it.

    """
    parent = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    folder = parent / f"pinchpoint-pages-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError as error:
        raise UsageError(
            f"cannot use {folder} for the probe's pages: {error.strerror}; name one with --pages"
        ) from error
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        raise UsageError(f"{folder} belongs to somebody else; name another folder with --pages")
    return folder


def probe_exports(pages: Path | None) -> str:
    """Return shell commands after which every Python server started from that shell has the probe inside.

    Raises:
        UsageError: the folder cannot be made.

    """
    folder = pages or default_pages()
    try:
        environment = probe_environment(folder, os.environ)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}; name another folder with --pages") from error
    names = ("PYTHONPATH", PAGE_FOLDER_VARIABLE)
    return "\n".join(f"export {name}={shlex.quote(environment[name])}" for name in names)


def run_exporter(pid: int | None, pages: Path | None, host: str, port: int, console: Console) -> None:
    """Serve metrics until SIGTERM or SIGINT, or until the process given by `pid` has ended.

    Raises:
        UsageError: the port is taken, there is no such process, or the folder cannot be used.

    """
    if pid is not None and not runs(pid):
        raise UsageError(f"--pid {pid}: there is no such process")
    # A server without the probe must not be shown with the pages of others.
    folder = pages or (default_pages() if pid is None else pages_of(pid) or _NO_PAGES)
    source = Source(lambda: folder, tidy=True)
    follower = Follower(folder, pid, source.observe)
    exporter = Exporter(source.families, host, port)
    try:
        with _stopped_by_signals() as stop:
            follower.follow()
            exporter.start()
            console.print(f"metrics at {exporter.url}", highlight=False, soft_wrap=True)
            console.print(_what_is_seen(pid, folder), markup=False, highlight=False, soft_wrap=True, style="dim")
            while not stop.wait(HOUSEKEEPING_S):
                if not follower.follow():
                    console.print(f"process {pid} has ended", highlight=False)
                    return
    finally:
        exporter.stop()
        follower.stop()


def _what_is_seen(pid: int | None, folder: Path) -> str:
    if folder == _NO_PAGES:
        return (
            f"process {pid} was started without the probe: only what is seen from outside; to see inside it,"
            ' start it from a shell after  eval "$(pinchpoint probe-env)"'
        )
    return f"pages of probed processes from {folder}"


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def runs(pid: int) -> bool:
    """Say whether a process is there; one that ended and was not waited for by its parent is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def pages_of(pid: int) -> Path | None:
    """Return the folder in which a process started with the probe keeps its page; None without, or when not readable.

    The environment is the one the process was started with.
    """
    with suppress(psutil.Error, OSError):
        name = psutil.Process(pid).environ().get(PAGE_FOLDER_VARIABLE)
        return Path(name) if name else None
    return None


def root_of(pid: int, folder: Path, pages_of_process: Callable[[int], Path | None] = pages_of) -> int:
    """Return the topmost ancestor of `pid` that was started with the same page folder: the server's master.

    The shell that exported the folder is not one: an environment shows what a process was started with.
    """
    with suppress(psutil.Error):
        for parent in psutil.Process(pid).parents():
            if pages_of_process(parent.pid) != folder:
                break
            pid = parent.pid
    return pid


def listening_port(root: int) -> int | None:
    """Return the lowest TCP port that a process or one of its descendants listens on."""
    with suppress(psutil.Error):
        process = psutil.Process(root)
        ports: set[int] = set()
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                found = member.net_connections(kind="tcp")
                ports |= {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
        return min(ports, default=None)
    return None


class Follower:
    """The collector of one server given by its pid, or of every server that has pages in a folder."""

    def __init__(self, folder: Path, pid: int | None, sink: Callable[[SampleRow], None]) -> None:
        self._pid = pid
        self._folder = folder
        self._sink = sink
        self._snapshots = Snapshots(str(folder))
        self._sampler: Sampler | None = None
        self._followed: tuple[frozenset[int], int | None] = (frozenset(), None)

    def follow(self) -> bool:
        """Start the collector anew when a server or its port turned up; False once the given pid has ended."""
        if self._pid is not None and not runs(self._pid):
            return False
        roots = frozenset([self._pid] if self._pid is not None else map(self._root, self._pages()))
        known, port = self._followed
        if roots == known and port is not None:
            return True
        ports = [port for root in sorted(roots) if (port := listening_port(root)) is not None]
        if self._sampler is None or roots != known or ports:
            self._begin(roots, ports[0] if ports else None)
        return True

    def _begin(self, roots: frozenset[int], port: int | None) -> None:
        self.stop()
        self._followed = roots, port
        self._sampler = Sampler(
            root_pids=sorted(roots), port=port, pages=self._pages, sink=self._sink, interval_s=SAMPLE_INTERVAL_S
        )
        self._sampler.start()

    def _root(self, pid: int) -> int:
        return root_of(pid, self._folder)

    def _pages(self) -> dict[int, Snapshot]:
        """Return the pages of the living; a reader that keeps files open would collect those of the dead."""
        return {snapshot.pid: snapshot for snapshot in self._snapshots.read() if snapshot.alive}

    def stop(self) -> None:
        """Stop the collector."""
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
