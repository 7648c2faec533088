"""Requests, seen at the ASGI server: every framework, every middleware inside.

Counts what is in flight, how long it takes from entry to exit, how it ends, and what the loop thread spends in it.
"""

from __future__ import annotations

import asyncio
import functools
import time
import types
from typing import Any, Generator

from . import loop
from .hooks import hook_loaded
from .runtime import RUNTIME, Hook

_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_TIMED_PER_S = 300
"""Steps of about so many requests a second are timed, each standing for those since the last: timing all would cost
2 µs a request. Below this rate every request is timed."""

_now = time.monotonic
_cpu = time.thread_time


class Requests:
    """Figures of this process's HTTP requests. Changed by the loop thread only, so without a lock (1 µs a request)."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start at zero."""
        self.active: dict[Any, float] = {}  # the start of each request in flight
        self.done = 0
        self.client_errors = 0
        self.server_errors = 0
        self.service_s = 0.0
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.gap = self.left = 1
        self._mean_gap = 1
        self._random = 1
        self._rated_at = 0.0
        self._rated_done = 0

    def failed(self, status: int) -> None:
        """Count a response of class 4xx or 5xx."""
        if status >= _SERVER_ERROR:
            self.server_errors += 1
        else:
            self.client_errors += 1

    def draw(self) -> int:
        """Return for how many requests the one to be timed now stands, and draw how far away the next one is."""
        weight = self.gap
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        self.gap = self.left = 1 + (self._random >> 8) % (2 * self._mean_gap - 1)
        return weight

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish."""
        starts = list(self.active.values())
        done = self.done
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
            handler_cpu_s=self.cpu_s,
            handler_wall_s=self.wall_s,
        )


REQUESTS = Requests()
HOOK = Hook("requests", REQUESTS.fill, REQUESTS.reset)
RUNTIME.add(HOOK)


@types.coroutine
def _stepped(coroutine: Any, weight: int) -> Generator[Any, Any, Any]:
    """Drive a coroutine as `await` would, adding the time of each of its steps, `weight` times, to the figures."""
    advance, value = coroutine.send, None
    requests = REQUESTS
    while True:
        cpu, wall = _cpu(), _now()
        try:
            wanted = advance(value)
        except StopIteration as stop:
            return stop.value
        finally:
            requests.cpu_s += weight * (_cpu() - cpu)
            requests.wall_s += weight * (_now() - wall)
        try:
            value = yield wanted
            advance = coroutine.send
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            advance, value = coroutine.throw, error


def wrap(app: Any) -> Any:  # noqa: C901 - in one piece, because each call more costs 0.1 to 0.3 µs a request
    """Return the ASGI app with its HTTP requests counted; lifespan and websocket pass through."""
    requests, hook, runtime, now = REQUESTS, HOOK, RUNTIME, _now

    @functools.wraps(app, updated=())
    async def probed(scope: Any, receive: Any, send: Any) -> None:
        if not runtime.active:
            hook.safely(serve)
        if scope["type"] != "http" or not hook.alive:
            await app(scope, receive, send)
            return
        status = 0

        def watched(message: Any) -> Any:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            began = requests.active[watched] = now()
            requests.left -= 1
            weight = 0 if requests.left else requests.draw()
        except Exception as error:
            hook.fail(error)
            await app(scope, receive, send)
            return
        try:
            if weight:
                await _stepped(app(scope, receive, watched), weight)
            else:
                await app(scope, receive, watched)
        except Exception:
            status = status or _SERVER_ERROR  # what the server will send in the app's place
            raise
        finally:
            try:
                requests.service_s += now() - requests.active.pop(watched, began)
                requests.done += 1
                if status >= _CLIENT_ERROR:
                    requests.failed(status)
            except Exception as error:
                hook.fail(error)

    return probed


def serve() -> None:
    """This process serves requests: watch its loop and publish. Outside a running loop, wait for the first call."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    hook_loaded()
    loop.watch(running)
    RUNTIME.activate()


def hook_uvicorn(module: Any) -> None:
    """Wrap the app that `uvicorn.Config.load` leaves in `loaded_app`; uvicorn-worker goes through it as well."""
    original = module.Config.load

    @functools.wraps(original)
    def load(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        self.loaded_app = wrap(self.loaded_app)
        HOOK.safely(serve)
        return result

    module.Config.load = load


def hook_gunicorn(module: Any) -> None:
    """Wrap the app of gunicorn's own `asgi` worker."""
    original = module.ASGIWorker.load_wsgi

    @functools.wraps(original)
    def load_wsgi(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        self.asgi = wrap(self.asgi)
        return result

    module.ASGIWorker.load_wsgi = load_wsgi
