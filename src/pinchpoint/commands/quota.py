"""Cut the CPU of a run's load processes as a quota does: they run for a part of every period, and stand still else."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import psutil

LOAD_PROCESS = "pinchpoint.stress.plugin"
LOOK_EVERY = 10
"""Periods between two looks for load processes that have come since."""
WAIT_S = 0.02


class Quota(threading.Thread):
    """Stops and continues the load processes below `root_pid` from the moment they are ready until `end`.

    A control group's quota cannot be set everywhere; SIGSTOP and SIGCONT in a fixed cycle are what it does.
    """

    def __init__(self, root_pid: int, events: Path, keep: float, period_s: float = 0.1) -> None:
        """Leave them `keep` (0..1) of every period, once `events` (a run's events.jsonl) says `load-ready`."""
        super().__init__(daemon=True)
        self._root_pid = root_pid
        self._events = events
        self._run_s = keep * period_s
        self._stop_s = (1.0 - keep) * period_s
        self._over = threading.Event()
        self.periods = 0
        """Periods cut so far."""

    def run(self) -> None:
        """Cut until the end."""
        while not self._over.wait(WAIT_S):
            with contextlib.suppress(OSError):
                if b'"load-ready"' in self._events.read_bytes():
                    break
        pids: list[int] = []
        while not self._over.is_set():
            if self.periods % LOOK_EVERY == 0:
                pids = load_pids(self._root_pid)
            self.periods += 1
            try:
                _signal(pids, signal.SIGSTOP)
                self._over.wait(self._stop_s)
            finally:
                _signal(pids, signal.SIGCONT)
            self._over.wait(self._run_s)

    def end(self) -> None:
        """Let them run for good."""
        self._over.set()
        self.join()


def load_pids(root_pid: int) -> list[int]:
    """Return the load processes below a process; those that serve a calibration included."""
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(root_pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if LOAD_PROCESS in words and words[0].endswith(_python_names()):
                    found.append(process.pid)
    return found


def _python_names() -> tuple[str, ...]:
    return ("python", "python3", *(f"python3.{minor}" for minor in range(11, 16)))


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
