"""Record what the probes say their tasks await: one thread, once a second, from files, without asking the target."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from pinchpoint.monitoring.probe.awaits_format import Awaits, parse
from pinchpoint.monitoring.probe.layout import AWAITS_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pinchpoint.rows import AwaitRow

_JOIN_TIMEOUT_S = 5.0
_NONE = Awaits(0, 0, 0, 0, {})


class AwaitReader:
    """Turns the cumulative files of one page folder into rows of what is new.

    Args:
        folder: the probes' page folder; it may not exist yet.
        clock: must be the clock that the samples and the events use.
        wall: the clock of file times, in seconds since the epoch.

    """

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._wall = wall
        self._seen: dict[int, tuple[tuple[int, int], Awaits]] = {}

    def read(self) -> list[AwaitRow]:
        """Return a row for each process that has published since; dead ones say their last words once."""
        rows = (self._row(pid, path) for pid, path in self._files())
        return [row for row in rows if row is not None]

    def _files(self) -> list[tuple[int, Path]]:
        try:
            names = [path.name for path in self._folder.iterdir() if path.name.endswith(AWAITS_SUFFIX)]
        except OSError:
            return []
        stems = sorted(name.removesuffix(AWAITS_SUFFIX) for name in names)
        return [(int(stem), self._folder / f"{stem}{AWAITS_SUFFIX}") for stem in stems if stem.isdecimal()]

    def _row(self, pid: int, path: Path) -> AwaitRow | None:
        identity, before = self._seen.get(pid, ((0, 0), _NONE))
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                status = os.fstat(file.fileno())
                if (status.st_ino, status.st_mtime_ns) == identity:
                    return None
                now = parse(file.read())
        except OSError:
            return None
        if now is None or now.pid != pid:
            return None
        self._seen[pid] = ((status.st_ino, status.st_mtime_ns), now)
        if now.ticks < before.ticks:
            before = _NONE  # another process that got the same pid
        if now.ticks == before.ticks:
            return None
        age_s = max(self._wall() - status.st_mtime, 0.0)
        return {
            "t_s": self._clock() - age_s,
            "pid": pid,
            "ticks": now.ticks - before.ticks,
            "tasks": now.tasks - before.tasks,
            "walked": now.walked - before.walked,
            "stacks": {
                stack: count - before.stacks.get(stack, 0)
                for stack, count in now.stacks.items()
                if count > before.stacks.get(stack, 0)
            },
        }


class AwaitRecorder:
    """Writes rows to `sink` from its own daemon thread.

    Args:
        folder: the probes' page folder.
        sink: takes each row; an exception of it ends the recording and stands in `error`.
        interval_s: between reads.
        clock: must be the clock that the samples and the events use.
        waiter: sleeps so many seconds, or returns True as soon as the recorder shall stop.

    """

    def __init__(
        self,
        folder: Path,
        sink: Callable[[AwaitRow], None],
        *,
        interval_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        waiter: Callable[[float], bool] | None = None,
    ) -> None:
        self._stop = threading.Event()
        self._reader = AwaitReader(folder, clock)
        self._sink = sink
        self._interval_s = interval_s
        self._wait = waiter if waiter is not None else self._stop.wait
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="pinchpoint-awaits", daemon=True)

    @property
    def error(self) -> Exception | None:
        """What ended the recording, if anything did."""
        return self._error

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Read once more, and end; stopping twice, or before the start, is fine."""
        self._stop.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            stopping = False
            while not stopping:
                stopping = self._wait(self._interval_s) or self._stop.is_set()
                for row in self._reader.read():
                    self._sink(row)
        except Exception as error:  # noqa: BLE001 - the engine polls `error`; a thread has nobody else to tell
            self._error = error
