"""A host that others use, too: in one of ten seconds, drawn at random, a run's server does not get to run at all."""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil

from pinchpoint.recording import EVENTS_FILE, read_lines

SHARE = 0.1
LOOK_S = 0.05


class Thief:
    """Stops the server of the run in `folder` (SIGSTOP, its whole tree) in random whole seconds, once it is ready.

    A context manager; whatever happens, the server runs on afterwards.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._events = folder / EVENTS_FILE
        self._random = random.Random(seed)  # noqa: S311 - a disturbance, not a secret
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._steal, name="thief")
        self.stolen, self.seconds = 0, 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop stealing."""
        self._over.set()
        self._thread.join()

    def _steal(self) -> None:
        pid = self._server()
        if pid is None:
            return
        next_s = time.monotonic()
        while not self._over.is_set() and psutil.pid_exists(pid):
            next_s += 1.0
            self.seconds += 1
            if self._random.random() < SHARE:
                self.stolen += 1
                with _stopped(pid):
                    self._over.wait(next_s - time.monotonic())
            else:
                self._over.wait(next_s - time.monotonic())

    def _server(self) -> int | None:
        """Return the pid of the server as soon as it is ready."""
        while not self._over.wait(LOOK_S):
            events = list(read_lines(self._events))
            if any(event.get("kind") == "target-ready" for event in events):
                return next(int(event["data"]["pid"]) for event in events if event.get("kind") == "target-start")
        return None


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    tree: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    try:
        _send(tree, signal.SIGSTOP)
        yield
    finally:
        _send(tree, signal.SIGCONT)


def _send(tree: list[psutil.Process], number: signal.Signals) -> None:
    for process in tree:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
