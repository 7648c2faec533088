"""One process's probe: its hooks, its page, and the thread that publishes one into the other."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import struct
import sys
import time
from typing import Any, Callable

from . import feeds
from .page import PageFile
from .real import RLock, get_native_id, sleep, start_thread
from .tables import ALL_ROWS, HOOK_ROWS
from .tracer import allow_tracer

PUBLISH_INTERVAL_S = 0.05
TABLES_EVERY = 5
"""Tables change more slowly and take longer to write: published every so many times."""
_LONGEST_ERROR = 300
PAGE_FOLDER_VARIABLE = "PINCHPOINT_PROBE_DIR"


def log(message: str) -> None:
    """Write one line to stderr; a closed stderr is not worth breaking a request."""
    with contextlib.suppress(Exception):
        sys.stderr.write("pinchpoint probe: " + message + "\n")


def told(error: BaseException) -> str:
    """Describe an error in one line, whatever its own description does."""
    try:
        return " ".join(repr(error).split())[:_LONGEST_ERROR]
    except Exception:
        return type(error).__name__


def dressed(wrapper: Any, app: Any) -> Any:
    """Return `wrapper` with the name and text of `app`, as far as it lets itself be asked: proxies raise anything."""
    with contextlib.suppress(Exception):
        functools.update_wrapper(wrapper, app, updated=())
    return wrapper


class Hook:
    """One thing that is measured. It switches itself off at its first error; its fields are then unavailable."""

    def __init__(self, name: str, fill: Callable[[dict[str, float], float], None], reset: Callable[[], None]) -> None:
        self.name = name
        self.alive = True
        self._fill = fill
        self._reset = reset
        self.unhooked = False
        self._unsaid = [True]

    def fail(self, error: BaseException) -> None:
        """Switch off, with one line to say so, however many threads fail at once."""
        self.alive = False
        try:
            self._unsaid.pop()
        except IndexError:
            return
        log(f"{self.name} switched off: {told(error)}")

    def give_up(self) -> None:
        """Switch off what could not be hooked; who found that out says so."""
        self.alive = False
        self.unhooked = True

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

    def fill_in(self, fields: dict[str, float], at: float) -> bool:
        """Do the same without fields of its own in between; False: it is off, and may have left some of them."""
        try:
            self._fill(fields, at)
        except Exception as error:
            self.fail(error)
        return self.alive

    def state(self, _at: float) -> tuple[float]:
        """Return the hook's row of the page."""
        return (float(self.alive),)

    def reset(self) -> None:
        """Start afresh in a forked child; also when it is off, as its locks may have been held."""
        try:
            self._reset()
        except Exception as error:
            self.fail(error)


class Runtime:
    """The probe of this process. Idle until `activate`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.hooks: list[Hook] = []
        self.active = False
        self._page: PageFile | None = None
        self._round = self._thread_id = 0
        self._publishing = RLock()
        self._dead: list[tuple[str, bool]] = []

    def add(self, hook: Hook) -> None:
        """Publish this hook's fields from now on."""
        self.hooks.append(hook)
        HOOK_ROWS.add(hook.name, hook.state)

    def activate(self) -> None:
        """Open the page and start publishing: this process serves requests. Calling it again costs nothing.

        Without a folder (imported, but not injected) nothing is published.
        """
        if self.active:
            return
        self.active = True
        if not self.folder:
            return
        allow_tracer()
        try:
            self._page = page = PageFile(self.folder, os.getpid())
            self.publish(page)
            start_thread(self._run, (page,))
            atexit.register(self._last_words, page)
        except Exception as error:
            log(f"no page: {told(error)}")

    def publish(self, page: PageFile) -> None:
        """Write every available field once, and the tables now and then."""
        with self._publishing:
            at = time.monotonic()
            hooks = list(self.hooks)
            dead = [(hook.name, hook.unhooked) for hook in hooks if not hook.alive]
            if dead != self._dead:
                self._dead = dead
                feeds.refresh(
                    [name for name, unhooked in dead if not unhooked], [name for name, unhooked in dead if unhooked]
                )
            fields = _gather(hooks, at)
            if self._thread_id:
                fields["probe_tid"] = self._thread_id
            due = self._round % TABLES_EVERY == 0
            self._round += 1
            tables = [rows.pack(at) for rows in ALL_ROWS] if due else ()
            try:
                page.write(fields, at, tables)
            except (TypeError, struct.error) as error:
                page.write(self._sound(at, error), at, tables)

    def _sound(self, at: float, error: Exception) -> dict[str, float]:
        """Return the fields of those hooks whose figures are numbers; switch the others off."""
        sound: dict[str, float] = {}
        for hook in list(self.hooks):
            fields: dict[str, float] = {}
            hook.fill(fields, at)
            if all(isinstance(value, (int, float)) for value in fields.values()):
                sound.update(fields)
            else:
                hook.fail(error)
        return sound

    def after_fork(self) -> None:
        """Forget the parent's page and figures: the child has its own, if it ever serves."""
        self.active = False
        self._page = None
        self._round = self._thread_id = 0
        self._publishing = RLock()
        for rows in ALL_ROWS:
            rows.after_fork()
        for hook in self.hooks:
            hook.reset()

    def _last_words(self, page: PageFile) -> None:
        """Publish once more on the way out: what happened since the last time counts as well."""
        if page is not self._page:  # of the process that forked this one
            return
        with contextlib.suppress(Exception):
            self._round = 0
            self.publish(page)

    def _run(self, page: PageFile) -> None:
        try:
            self._thread_id = get_native_id()
            while page is self._page:
                sleep(PUBLISH_INTERVAL_S)
                self.publish(page)
        except Exception as error:
            # An interpreter on its way out takes its modules away from under this thread.
            if not sys.is_finalizing():
                log(f"page no longer written: {told(error)}")


def _gather(hooks: list[Hook], at: float) -> dict[str, float]:
    """Return the fields of all hooks, afresh whenever one fails halfway: this happens once to a hook.

    Twenty times a second the publisher takes the interpreter from the app: every object less counts.
    """
    fields: dict[str, float] = {}
    for hook in hooks:
        if hook.alive and not hook.fill_in(fields, at):
            return _gather(hooks, at)
    return fields


RUNTIME = Runtime(os.environ.get(PAGE_FOLDER_VARIABLE, ""))
