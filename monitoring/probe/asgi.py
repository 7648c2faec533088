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
from .level import Level
from .runtime import RUNTIME, Hook

_CLIENT_ERROR = 400
_SERVER_ERROR = 500

_now = time.monotonic
_cpu = time.thread_time


class Requests:
    """Figures of this process's HTTP requests. Changed by the loop thread only, apart from `inflight`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start at zero."""
        self.inflight = Level()
        self.started = 0
        self.done = 0
        self.client_errors = 0
        self.server_errors = 0
        self.service_s = 0.0
        self.cpu_s = 0.0
        self.wall_s = 0.0

    def enter(self, send: Any) -> tuple[float, list[int], Any]:
        """Count a request in; return its start, the place for its status, and `send` with an eye on the status."""
        at = _now()
        self.inflight.shift(1, at)
        self.started += 1
        status = [0]

        def watched(message: Any) -> Any:
            try:
                if message["type"] == "http.response.start":
                    status[0] = message["status"]
            except Exception as error:
                HOOK.fail(error)
            return send(message)

        return at, status, watched

    def leave(self, ticket: tuple[float, list[int], Any], failed: bool) -> None:
        """Count it out. An app that raises before it answers gets its 500 from the server."""
        at = _now()
        self.inflight.shift(-1, at)
        self.done += 1
        self.service_s += at - ticket[0]
        status = ticket[1][0] or (_SERVER_ERROR if failed else 0)
        if status >= _SERVER_ERROR:
            self.server_errors += 1
        elif status >= _CLIENT_ERROR:
            self.client_errors += 1

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish."""
        fields.update(
            requests_started=self.started,
            requests_done=self.done,
            responses_4xx=self.client_errors,
            responses_5xx=self.server_errors,
            inflight=self.inflight.value,
            inflight_s=self.inflight.area(at),
            service_s=self.service_s,
            handler_cpu_s=self.cpu_s,
            handler_wall_s=self.wall_s,
        )


REQUESTS = Requests()
HOOK = Hook("requests", REQUESTS.fill, REQUESTS.reset)
RUNTIME.add(HOOK)


@types.coroutine
def _stepped(coroutine: Any) -> Generator[Any, Any, Any]:
    """Drive a coroutine as `await` would, adding the time of each of its steps to the figures."""
    advance, value = coroutine.send, None
    requests = REQUESTS
    while True:
        cpu, wall = _cpu(), _now()
        try:
            wanted = advance(value)
        except StopIteration as stop:
            return stop.value
        finally:
            requests.cpu_s += _cpu() - cpu
            requests.wall_s += _now() - wall
        try:
            value = yield wanted
            advance = coroutine.send
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            advance, value = coroutine.throw, error


def wrap(app: Any) -> Any:
    """Return the ASGI app with its HTTP requests counted; lifespan and websocket pass through."""

    @functools.wraps(app, updated=())
    async def probed(scope: Any, receive: Any, send: Any) -> None:
        if not RUNTIME.active or scope["type"] == "lifespan":
            HOOK.safely(serve)
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        ticket = HOOK.safely(REQUESTS.enter, send)
        if ticket is None:
            await app(scope, receive, send)
            return
        failed = False
        try:
            await _stepped(app(scope, receive, ticket[2]))
        except Exception:
            failed = True
            raise
        finally:
            HOOK.safely(REQUESTS.leave, ticket, failed)

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
