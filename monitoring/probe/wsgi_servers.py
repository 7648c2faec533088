"""Where WSGI servers keep the app, and their worker slots: what admits so many requests at a time."""

from __future__ import annotations

import functools
import sys
from _thread import get_ident
from typing import Any, Callable

from .bodies import drain, joined
from .executors import ADOPTED_PREFIXES, WAITED, WORKER_SLOTS, adopt, blind
from .gates import GATES_OPEN, Gate
from .wsgi import HOOK, REQUESTS, serve, wrap


def _slots(name: str, size: int | None, *, queue_seen: bool) -> Callable[[], Gate]:
    """Return what opens the gate of that name at its first use, in the process that serves.

    `queue_seen`: whoever waits for it does so in this process; else its waiting is unavailable.
    """
    opened: dict[int, Gate] = {}

    def gate() -> Gate:
        found = opened.get(0)
        if found is None:
            found = opened[0] = GATES_OPEN.named(WORKER_SLOTS, name, lambda: size)
            if not queue_seen:
                blind(found)
        return found

    return gate


def _hook_load(worker_class: Any, then: Callable[[Any], None]) -> None:
    """Wrap the app that a gunicorn worker of this class loads; `then(worker)` in the worker's process."""
    original = worker_class.load_wsgi

    def loaded(worker: Any) -> None:
        worker.wsgi = wrap(worker.wsgi)
        then(worker)
        serve()

    @functools.wraps(original)
    def load_wsgi(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        HOOK.safely(loaded, self)
        return result

    worker_class.load_wsgi = load_wsgi


def _hook_handle(worker_class: Any, slots: Callable[[Any], Gate]) -> None:
    """Count a slot as busy while a gunicorn worker handles a connection."""
    original = worker_class.handle

    def take(worker: Any) -> tuple[Gate, Any]:
        gate = slots(worker)
        return gate, gate.took()

    @functools.wraps(original)
    def handle(self: Any, *args: Any, **kwargs: Any) -> Any:
        taken = HOOK.safely(take, self)
        try:
            return original(self, *args, **kwargs)
        finally:
            if taken is not None:
                HOOK.safely(taken[0].back, taken[1])

    worker_class.handle = handle


def hook_gunicorn_sync(module: Any) -> None:
    """One connection at a time; the others wait in the accept queue, out of sight."""
    slots = _slots("sync", 1, queue_seen=False)
    _hook_load(module.SyncWorker, lambda _: None)
    _hook_handle(module.SyncWorker, lambda _: slots())


def hook_gunicorn_gthread(module: Any) -> None:
    """A pool of threads; kept-alive connections that are idle wait in the poller and hold none.

    A kept-alive connection that its client closed queues for a thread as well: it is no request, and not counted. (To
    peek into the socket beforehand would let go of the GIL, which costs 40 % of the throughput.)
    """
    _hook_load(module.ThreadWorker, lambda worker: adopt(worker.tpool, "gthread", HOOK))


def hook_gunicorn_async(module: Any) -> None:
    """A greenlet per connection, idle ones included, up to `worker_connections`."""
    gates: dict[str, Callable[[], Gate]] = {}

    def slots(worker: Any) -> Gate:
        name = str(getattr(worker.cfg, "worker_class_str", "greenlets"))
        if name not in gates:
            gates[name] = _slots(name, worker.worker_connections, queue_seen=False)
        return gates[name]()

    _hook_load(module.AsyncWorker, lambda _: _greenlets())
    _hook_handle(module.AsyncWorker, slots)


def _greenlets() -> None:
    """Many requests share a thread, so its time cannot be told apart by request."""
    REQUESTS.timed = False


def hook_gunicorn_tornado(module: Any) -> None:
    """One request at a time, on tornado's loop."""
    _hook_load(module.TornadoWorker, lambda _: None)


def _hook_init(server_class: Any, attribute: str, wrapped: Callable[[Any, Any], Any]) -> None:
    """Replace the app that a server of this class keeps in `attribute` by `wrapped(server, app)`."""
    original = server_class.__init__

    def replace(server: Any) -> None:
        setattr(server, attribute, wrapped(server, getattr(server, attribute)))

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it takes the place of one
        original(self, *args, **kwargs)
        HOOK.safely(replace, self)

    server_class.__init__ = __init__


def hook_waitress(module: Any) -> None:
    """Wrap the app of every waitress server."""
    _hook_init(module.BaseWSGIServer, "application", lambda _, app: wrap(app))


class _Task:
    """A connection with a request in it, in waitress's queue."""

    def __init__(self, gate: Gate, task: Any) -> None:
        self._gate = gate
        self._task = task
        self._generation = gate.generation
        self._asked = gate.ask()

    def service(self) -> None:
        """Run it, on a thread of waitress's."""
        taken = HOOK.safely(self._start)
        try:
            self._task.service()
        finally:
            if taken is not None:
                HOOK.safely(self._gate.back, taken)

    def _start(self) -> Any:
        if self._generation is not self._gate.generation:
            return None
        taken = self._gate.got(self._asked)
        WAITED[get_ident()] = taken[1] - self._asked
        return taken

    def cancel(self) -> None:
        """Give up, as the server stops."""
        HOOK.safely(self._gate.gave_up, self._asked, False)
        self._task.cancel()

    def __repr__(self) -> str:
        return repr(self._task)


def hook_waitress_tasks(module: Any) -> None:
    """Watch waitress's threads and the queue in front of them."""
    dispatcher_class = module.ThreadedTaskDispatcher
    original = dispatcher_class.add_task

    def queued(dispatcher: Any, task: Any) -> _Task:
        gate = dispatcher.__dict__.get("_pinchpoint_gate")
        if gate is None:
            gate = GATES_OPEN.open(WORKER_SLOTS, "waitress", lambda: len(dispatcher.threads) - dispatcher.stop_count)
            dispatcher.__dict__["_pinchpoint_gate"] = gate
        return _Task(gate, task)

    @functools.wraps(original)
    def add_task(self: Any, task: Any) -> Any:
        return original(self, HOOK.safely(queued, self, task) or task)

    dispatcher_class.add_task = add_task


def hook_werkzeug(module: Any) -> None:
    """Wrap the app of werkzeug's development server, which closes responses up to 10 ms after their end.

    A process per request (`processes=2`) is left alone: each would have a page of its own.
    """

    def wrapped(server: Any, app: Any) -> Any:
        if server.multiprocess:
            return app
        return wrap(app, _threads("werkzeug", threaded=server.multithread), drain)

    _hook_init(module.BaseWSGIServer, "app", wrapped)


def _threads(name: str, *, threaded: bool) -> Callable[[], Gate]:
    """A thread for every connection, without limit, so that nobody waits; or one for all."""
    return _slots(name, None if threaded else 1, queue_seen=threaded)


def hook_wsgiref(module: Any) -> None:
    """Wrap the app of the standard library's server, and so of Django's `runserver`."""
    original = module.WSGIServer.set_app

    def wrapped(server: Any, app: Any) -> Any:
        if hasattr(server, "max_children") or str(getattr(app, "__module__", "")).startswith("prometheus_client"):
            return app  # a process per request; or a thread that serves metrics, beside the app
        name = "runserver" if type(server).__module__.startswith("django.") else "wsgiref"
        return wrap(app, _threads(name, threaded=hasattr(server, "daemon_threads")))

    @functools.wraps(original)
    def set_app(self: Any, application: Any) -> Any:
        return original(self, HOOK.safely(wrapped, self, application) or application)

    module.WSGIServer.set_app = set_app


def hook_pywsgi(module: Any) -> None:
    """Wrap the app of gevent's own server."""

    def wrapped(_: Any, app: Any) -> Any:
        _greenlets()
        return wrap(app)

    _hook_init(module.WSGIServer, "application", wrapped)


def hook_hypercorn(module: Any) -> None:
    """Wrap WSGI apps under hypercorn, whose slots are the threads of asyncio's default executor."""

    def wrapped(_: Any, app: Any) -> Any:
        ADOPTED_PREFIXES["asyncio"] = "hypercorn"
        return wrap(app, following=drain)

    _hook_init(module.WSGIWrapper, "app", wrapped)


def hook_granian(module: Any) -> None:
    """Wrap WSGI apps under granian; its queue is not Python's, so who waits for a thread is out of sight."""
    original = module._callback_wrapper  # noqa: SLF001 - granian has no public place for it

    def wrapped(callback: Any, caller: Any) -> Any:
        # The figure is the caller's only; granian 1.4 to 2.8 name it so.
        size = caller.f_locals.get("blocking_threads")
        return wrap(callback, _slots("granian", size, queue_seen=False), joined)

    @functools.wraps(original)
    def _callback_wrapper(callback: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)  # noqa: SLF001
        return original(HOOK.safely(wrapped, callback, caller) or callback, *args, **kwargs)

    module._callback_wrapper = _callback_wrapper  # noqa: SLF001
