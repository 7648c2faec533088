"""Where each ASGI server keeps its app, and how long a request it has parsed waits for its turn on the loop.

Read in the sources of uvicorn 0.54, uvicorn-worker 0.4, gunicorn 27.0, hypercorn 0.18 and granian 2.8. The wait is
measured on samples: from the server's making of the request's task to the task's first step.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Callable

from .asgi import HOOK, QUEUE_HOOK, REQUESTS, serve, wrap
from .gates import GATES_OPEN, Gate
from .runtime import RUNTIME, Hook

_now = time.monotonic
SLOTS = "worker-slots"
_PARSED = "_pinchpoint_parsed"
_ASGI = "_pinchpoint_asgi"


async def _late(function: Callable[..., Any], arguments: tuple[Any, ...], parsed_at: float) -> Any:
    """Await `function(*arguments)` after noting how long its turn took to come."""
    QUEUE_HOOK.safely(REQUESTS.queued, parsed_at)
    return await function(*arguments)


class Turns:
    """Wraps the coroutine function a server makes its request tasks of, and times one in so many (others: 0.15 us)."""

    def __init__(self) -> None:
        self._left = 1

    def due(self) -> bool:
        """Say whether this one is to be timed."""
        self._left -= 1
        if self._left > 0 or not QUEUE_HOOK.alive:
            return False
        self._left = REQUESTS.gap
        return True

    def timed(self, function: Callable[..., Any], concerns: Callable[..., bool] | None = None) -> Callable[..., Any]:
        """Return it so wrapped; `concerns`, given the arguments, says whether the call is an ASGI request's."""

        @functools.wraps(function)
        def handle(*arguments: Any) -> Any:
            try:
                late = (concerns is None or concerns(*arguments)) and self.due()
            except Exception as error:
                QUEUE_HOOK.fail(error)
                late = False
            return _late(function, arguments, _now()) if late else function(*arguments)

        return handle


TURNS = Turns()


class Limit:
    """uvicorn's `limit_concurrency`, if set: a gate that refuses instead of letting wait.

    It compares open connections, idle ones included, and tasks with the limit, so the larger number is what is busy.
    """

    def __init__(self) -> None:
        self.gate: Gate | None = None
        self._sets: tuple[Any, Any] = ((), ())

    def open(self, size: float) -> None:
        """Watch a limit."""
        self.gate = GATES_OPEN.named(SLOTS, "uvicorn limit_concurrency", lambda: size)

    def enter(self, send: Any) -> float:
        """Count one that was let in; return when."""
        protocol = send.__self__.on_response.__self__
        self._sets = protocol.connections, protocol.tasks
        return self._look(1, 0.0)

    def leave(self, since: float) -> None:
        """Count it out."""
        self._look(0, since)

    def fill(self, _fields: dict[str, float], _at: float) -> None:
        """Look again: connections come and go without a request. The gate publishes what was seen."""
        self._look(0, 0.0)

    def refused(self) -> None:
        """Count one that was not let in."""
        if self.gate is not None:
            self.gate.gave_up(self.gate.ask(), timed_out=True)

    def _look(self, taken: int, since: float) -> float:
        at = _now()
        if self.gate is not None:
            self.gate.busy.assign(max(len(each) for each in self._sets), at)
            with self.gate.lock:
                self.gate.taken += taken
                self.gate.hold_s += at - since if since else 0.0
        return at


LIMIT = Limit()
LIMIT_HOOK = Hook("uvicorn limit_concurrency", LIMIT.fill, lambda: None)
RUNTIME.add(LIMIT_HOOK)


def _limited(app: Any) -> Any:
    """Return the app with its requests counted at the gate."""

    @functools.wraps(app, updated=())
    async def admitted(scope: Any, receive: Any, send: Any) -> None:
        since = LIMIT_HOOK.safely(LIMIT.enter, send) if scope["type"] == "http" else None
        try:
            await app(scope, receive, send)
        finally:
            if since is not None:
                LIMIT_HOOK.safely(LIMIT.leave, since)

    return admitted


def hook_uvicorn(module: Any) -> None:
    """Wrap the app that `uvicorn.Config.load` leaves in `loaded_app`; uvicorn-worker goes through it as well."""
    original = module.Config.load

    @functools.wraps(original)
    def load(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        HOOK.safely(watch, self)
        HOOK.safely(serve)
        return result

    def watch(config: Any) -> None:
        config.loaded_app = wrap(config.loaded_app)
        if getattr(config, "limit_concurrency", None) is not None:
            LIMIT_HOOK.safely(LIMIT.open, config.limit_concurrency)
            config.loaded_app = _limited(config.loaded_app)

    module.Config.load = load


def hook_uvicorn_protocol(module: Any) -> None:
    """Time turns from the making of a `RequestResponseCycle`, pipelined ones included; count the refused.

    The class is swapped in its module for those to be timed, so that the others cost nothing.
    """
    original = module.RequestResponseCycle
    refuse = module.service_unavailable

    class Timed(original):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pinchpoint_parsed = _now()
            if not QUEUE_HOOK.alive or not QUEUE_HOOK.safely(REQUESTS.all_timed):
                module.RequestResponseCycle = original

        def run_asgi(self, app: Any) -> Any:
            run = super().run_asgi
            if app is module.service_unavailable or not QUEUE_HOOK.alive:
                return run(app)
            return _late(run, (app,), self._pinchpoint_parsed)

    Timed.__name__, Timed.__qualname__, Timed.__module__ = original.__name__, original.__qualname__, original.__module__

    def prepare() -> None:
        module.RequestResponseCycle = Timed

    @functools.wraps(refuse)
    async def refused(scope: Any, receive: Any, send: Any) -> None:
        LIMIT_HOOK.safely(LIMIT.refused)
        await refuse(scope, receive, send)

    module.service_unavailable = refused
    module.RequestResponseCycle = Timed
    REQUESTS.on_draw.append(prepare)


def hook_gunicorn(module: Any) -> None:
    """Wrap the app of gunicorn's own `asgi` worker."""
    original = module.ASGIWorker.load_wsgi

    @functools.wraps(original)
    def load_wsgi(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        self.asgi = HOOK.safely(wrap, self.asgi) or self.asgi
        return result

    module.ASGIWorker.load_wsgi = load_wsgi


def hook_gunicorn_protocol(module: Any) -> None:
    """Time turns from the parsing of a request's head: it wakes the connection's task, which makes the request's."""
    protocol = module.ASGIProtocol
    parsed, handle = protocol._on_headers_complete, protocol._handle_http_request  # noqa: SLF001

    @functools.wraps(parsed)
    def on_headers_complete(self: Any, *args: Any) -> Any:
        try:
            if TURNS.due():
                self.__dict__[_PARSED] = _now()
        except Exception as error:
            QUEUE_HOOK.fail(error)
        return parsed(self, *args)

    @functools.wraps(handle)
    def handle_http_request(self: Any, *args: Any) -> Any:
        parsed_at = self.__dict__.pop(_PARSED, None)
        return handle(self, *args) if parsed_at is None else _late(handle, (self, *args), parsed_at)

    protocol._on_headers_complete = on_headers_complete  # noqa: SLF001
    protocol._handle_http_request = handle_http_request  # noqa: SLF001


def hook_hypercorn(module: Any) -> None:
    """Wrap the app in hypercorn's `ASGIWrapper`; its WSGI apps are seen as such."""
    original = module.ASGIWrapper.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it is one
        original(self, *args, **kwargs)
        self.app = HOOK.safely(wrap, self.app) or self.app

    module.ASGIWrapper.__init__ = __init__


def hook_hypercorn_tasks(module: Any) -> None:
    """Time turns from the making of a request's task."""

    def concerns(app: Any, _config: Any, scope: Any, *_rest: Any) -> bool:
        return type(app).__name__ == "ASGIWrapper" and scope["type"] == "http"

    module._handle = TURNS.timed(module._handle, concerns)  # noqa: SLF001


def hook_granian(module: Any) -> None:
    """Wrap the app of granian's ASGI workers, and time turns from the call of the task's coroutine function.

    Its RSGI apps, and its threaded server (free-threaded Python only), are not counted.
    """
    call_wrap = module._asgi_call_wrap  # noqa: SLF001
    watcher_wrap = module._future_watcher_wrapper  # noqa: SLF001

    @functools.wraps(call_wrap)
    def asgi_call_wrap(callback: Any, *args: Any, **kwargs: Any) -> Any:
        wrapped = HOOK.safely(wrap, callback)
        runner = call_wrap(wrapped or callback, *args, **kwargs)
        if wrapped is not None:
            HOOK.safely(setattr, runner, _ASGI, True)
        return runner

    @functools.wraps(watcher_wrap)
    def future_watcher_wrapper(inner: Any) -> Any:
        watcher = watcher_wrap(inner)
        return TURNS.timed(watcher) if getattr(inner, _ASGI, False) else watcher

    module._asgi_call_wrap = asgi_call_wrap  # noqa: SLF001
    module._future_watcher_wrapper = future_watcher_wrapper  # noqa: SLF001
