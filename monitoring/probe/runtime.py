"""One process's probe: its hooks, its page, and the thread that publishes one into the other."""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import time
from typing import Any, Callable

from .page import PageFile

PUBLISH_INTERVAL_S = 0.05
PAGE_FOLDER_VARIABLE = "PINCHPOINT_PROBE_DIR"

# Taken before anybody (gevent) can replace them: the page must be written by a real thread in real time.
_sleep = time.sleep
_start_thread = _thread.start_new_thread


def log(message: str) -> None:
    """Write one line to stderr; a closed stderr is not worth breaking a request."""
    with contextlib.suppress(Exception):
        sys.stderr.write("pinchpoint probe: " + message + "\n")


class Hook:
    """One thing that is measured. It switches itself off at its first error; its fields are then unavailable."""

    def __init__(self, name: str, fill: Callable[[dict[str, float], float], None], reset: Callable[[], None]) -> None:
        self.name = name
        self.alive = True
        self._fill = fill
        self._reset = reset

    def fail(self, error: BaseException) -> None:
        """Switch off, with one line to say so."""
        if self.alive:
            self.alive = False
            log(f"{self.name} switched off: {error!r}")

    def safely(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return `function(*arguments)`, or None when the hook is off or has just switched itself off."""
        if not self.alive:
            return None
        try:
            return function(*arguments)
        except Exception as error:
            self.fail(error)
            return None

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Add this hook's fields as of `at` (time.monotonic()), all of them or none."""
        mine: dict[str, float] = {}
        self.safely(self._fill, mine, at)
        if self.alive:
            fields.update(mine)

    def reset(self) -> None:
        """Start afresh in a forked child."""
        self.safely(self._reset)


class Runtime:
    """The probe of this process. Idle until `activate`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.hooks: list[Hook] = []
        self.active = False

    def add(self, hook: Hook) -> None:
        """Publish this hook's fields from now on."""
        self.hooks.append(hook)

    def activate(self) -> None:
        """Open the page and start publishing: this process serves requests. Calling it again costs nothing.

        Without a folder (imported, but not injected) nothing is published.
        """
        if self.active:
            return
        self.active = True
        if not self.folder:
            return
        try:
            page = PageFile(self.folder, os.getpid())
            self.publish(page)
            _start_thread(self._run, (page,))
        except Exception as error:
            log(f"no page: {error!r}")

    def publish(self, page: PageFile) -> None:
        """Write every available field once."""
        at = time.monotonic()
        fields: dict[str, float] = {}
        for hook in self.hooks:
            hook.fill(fields, at)
        page.write(fields, at)

    def after_fork(self) -> None:
        """Forget the parent's page and figures: the child has its own, if it ever serves."""
        self.active = False
        for hook in self.hooks:
            hook.reset()

    def _run(self, page: PageFile) -> None:
        try:
            while True:
                _sleep(PUBLISH_INTERVAL_S)
                self.publish(page)
        except Exception as error:
            # An interpreter on its way out takes its modules away from under this thread.
            if not sys.is_finalizing():
                log(f"page no longer written: {error!r}")


RUNTIME = Runtime(os.environ.get(PAGE_FOLDER_VARIABLE, ""))
