"""Requests, seen at the WSGI server: every framework, every middleware inside.

A request lasts from the call of the app to the end of its response: the server has sent everything and closes it. What
the app returns stays what it is wherever a server looks at it (`wsgi.file_wrapper`, `len`, `fileno`): `bodies.py`.
"""

from __future__ import annotations

import functools
import time
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Callable

from .bodies import follow
from .executors import WAITED
from .hooks import hook_loaded
from .real import RLock
from .routes import ROUTES_SEEN, begin_tally, end_tally
from .runtime import RUNTIME, Hook, dressed

if TYPE_CHECKING:
    from .gates import Gate

_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_TIMED_PER_S = 300
"""About so many requests a second have their CPU time taken, each standing for those since the last."""
_MARK = "_pinchpoint_wsgi"
ROUTE = "pinchpoint.route"

_now = time.monotonic
_cpu = time.thread_time


class Requests:
    """Figures of this process's WSGI requests. Any thread may report."""

    def __init__(self) -> None:
        self.timed = True
        self.reset()

    def reset(self) -> None:
        """Start at zero; requests of the parent's are not counted when they end."""
        self.lock = RLock()
        self.active: dict[int, float] = {}  # the start of each request in flight
        self.served = False
        self.done = self.client_errors = self.server_errors = self.waits = 0
        self.service_s = self.cpu_s = self.wall_s = self.queue_s = 0.0
        self.gap = self.left = 1
        self._mean_gap = 1
        self._random = 1
        self._rated_at = 0.0
        self._rated_done = 0

    def enter(self, key: int, at: float, waited: float | None) -> int:
        """Count a request in; return how many it stands for in the handler's times, 0 when it is not timed."""
        with self.lock:
            self.active[key] = at
            if waited is not None:
                self.queue_s += waited
                self.waits += 1
            self.left -= 1
            return 0 if self.left or not self.timed else self.draw()

    def draw(self) -> int:
        """Return for how many requests the one to be timed stands, and draw how far away the next one is."""
        weight = self.gap
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        self.gap = self.left = 1 + (self._random >> 8) % (2 * self._mean_gap - 1)
        return weight

    def leave(self, key: int, at: float, status: int) -> float | None:
        """Count a request out; return its seconds, or None when it was never counted in."""
        with self.lock:
            began = self.active.pop(key, None)
            if began is None:
                return None
            self.done += 1
            self.service_s += at - began
            if status >= _SERVER_ERROR:
                self.server_errors += 1
            elif status >= _CLIENT_ERROR:
                self.client_errors += 1
            return at - began

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish, once a WSGI server was seen here."""
        with self.lock:
            starts = list(self.active.values())
            done = self.done
            if not (self.served or starts or done):
                return
            if at - self._rated_at >= 1:
                self._mean_gap = max(1, int((done - self._rated_done) / (at - self._rated_at) / _TIMED_PER_S))
                self._rated_at, self._rated_done = at, done
            fields.update(
                requests_started=done + len(starts),
                requests_done=done,
                responses_4xx=self.client_errors,
                responses_5xx=self.server_errors,
                inflight=len(starts),
                inflight_s=self.service_s + sum(max(0.0, at - began) for began in starts),
                service_s=self.service_s,
            )
            if self.timed:
                fields.update(handler_cpu_s=self.cpu_s, handler_wall_s=self.wall_s)
            if self.waits:
                fields.update(queue_s=self.queue_s, queue_n=self.waits)

    def add_step(self, weight: int, cpu: float, wall: float) -> None:
        """Add what a timed request's thread spent in the app, from thread_time `cpu` and monotonic time `wall` on."""
        cpu, wall = _cpu() - cpu, _now() - wall
        with self.lock:
            self.cpu_s += weight * cpu
            self.wall_s += weight * wall


REQUESTS = Requests()
HOOK = Hook("wsgi requests", REQUESTS.fill, REQUESTS.reset)
RUNTIME.add(HOOK)


@functools.lru_cache(maxsize=64)
def _code(status: str) -> int:
    """Return the code of `404 Not Found`; 0 for what has none."""
    text = status[:3]
    return int(text) if text.isdigit() else 0


class Request:
    """One request in flight."""

    __slots__ = ("_environ", "_over", "_slots", "_taken", "_tally", "status", "weight")

    def __init__(self, environ: Any, slots: Gate | None) -> None:
        self._over = True
        self._environ = environ
        self.status = ""
        self._slots = slots
        self._taken = slots.took() if slots is not None else None
        self.weight = REQUESTS.enter(id(self), _now(), WAITED.pop(get_ident(), None))
        self._tally = begin_tally() if self.weight else None
        self._over = False

    def broke(self, error: BaseException) -> None:
        """Count it out: the app raised. Only exceptions are answered, with a 500, and not the end of a thread."""
        if isinstance(error, Exception):
            self.status = "500"
        self.finish()

    def finish(self) -> None:
        """Count it out, at the first call."""
        if self._over:
            return
        self._over = True
        try:
            self._leave()
        except Exception as error:
            HOOK.fail(error)

    def _leave(self) -> None:
        environ, self._environ = self._environ, None
        tally, self._tally = self._tally, None
        if tally is not None:
            end_tally(tally)
        status = _code(self.status)
        seconds = REQUESTS.leave(id(self), _now(), status)
        if self._slots is not None and self._taken is not None:
            self._slots.back(self._taken)
        if seconds is not None:
            template, path = environ.get(ROUTE), ""
            if template is None:
                # Whoever dispatches by prefix moves it from one to the other: together they stay the path.
                path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
            method = environ.get("REQUEST_METHOD", "")
            ROUTES_SEEN.count_threadsafe(method, template, path, status, seconds, tally)

    def __del__(self) -> None:
        """Nobody closed the response: the request is over all the same."""
        if not self._over:
            self.finish()


def wrap(app: Any, slots: Callable[[], Gate] | None = None, following: Any = follow) -> Any:
    """Return the WSGI app with its requests counted, once.

    `slots` opens the gate of a server that has a thread per request; `following(body, request)` returns what the server
    gets for the app's response, and sees to it that the request ends.
    """
    if getattr(app, _MARK, None) is True:
        return app
    hook, runtime = HOOK, RUNTIME

    def probed(environ: Any, start_response: Any) -> Any:
        if not runtime.active:
            hook.safely(serve)
        if not hook.alive:
            return app(environ, start_response)
        try:
            request = Request(environ, slots() if slots is not None else None)
        except Exception as error:
            hook.fail(error)
            return app(environ, start_response)

        def watched(status: Any, *rest: Any, **named: Any) -> Any:
            request.status = status
            return start_response(status, *rest, **named)

        try:
            body = _timed(app, environ, watched, request.weight) if request.weight else app(environ, watched)
        except BaseException as error:
            request.broke(error)
            raise
        return following(body, request)

    setattr(probed, _MARK, True)
    return dressed(probed, app)


def _timed(app: Any, environ: Any, start_response: Any, weight: int) -> Any:
    cpu, wall = _cpu(), _now()
    try:
        return app(environ, start_response)
    finally:
        HOOK.safely(REQUESTS.add_step, weight, cpu, wall)


def serve() -> None:
    """This process serves requests through WSGI: publish."""
    REQUESTS.served = True
    hook_loaded()
    RUNTIME.activate()
