"""Follow what a task awaits, frame by frame, down to the future that holds it: read only, from inside its loop.

Through coroutines, generators, asynchronous generators, objects with `__await__`, the greenlets of SQLAlchemy's async
engines, and on into the tasks one waits for: gather, wait, wait_for, shield, task groups of asyncio and anyio, and the
child task in which Starlette's BaseHTTPMiddleware runs the app. Private names were read in CPython 3.9 to 3.13,
anyio 4.16, Starlette 1.0 and SQLAlchemy 2.1; where one is missing the chain just ends earlier.
"""

from __future__ import annotations

import gc
import inspect
import random
import types
from typing import Any, Iterable

from . import awaits_format as kinds
from .waits import PROBE, Place

DICE = random.Random()  # noqa: S311 - our own, so that the app's seeded one stays as it is
MAX_FRAMES = 100
MAX_TASKS = 8
"""Tasks followed one into the other."""
_KNOWN = 4096
_ROOT_DEPTH = 12

_REQUEST, _STEPPED, _GREENLET, _CHILDREN, _MIDDLEWARE = "request", "stepped", "greenlet", "children", "middleware"
_ROLES = {
    ("greenlet_spawn", "sqlalchemy/util/"): _GREENLET,
    ("wait_for", "asyncio/tasks.py"): _CHILDREN,
    ("_wait", "asyncio/tasks.py"): _CHILDREN,
    ("__aexit__", "asyncio/taskgroups.py"): _CHILDREN,
    ("_aexit", "asyncio/taskgroups.py"): _CHILDREN,
    ("__aexit__", "anyio/_backends/_asyncio.py"): _CHILDREN,
    ("__call__", "starlette/middleware/base.py"): _MIDDLEWARE,
    ("__call__", "starlette/responses.py"): _MIDDLEWARE,
}
_LOCALS = ("fut", "fs", "self")
_WAITS_FOR_CHILD = ("call_next", "body_stream", "listen_for_disconnect")

_places: dict[tuple[int, int], Place] = {}
_roots: dict[int, Any] = {}
"""Code of coroutines at the root of requests' tasks, by id: such a task that has not begun is a request, too."""
_strangers: dict[int, list[Any]] = {}
"""Code of coroutines at the root of other tasks, by id, and how often it was met: not looked into again and again."""
_STRANGE_AFTER = 50


class Chain:
    """The await chain of one request."""

    __slots__ = ("places", "scope", "state")

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.scope: Any = None
        """None of a request whose task has not begun: which one it is, is not known yet."""
        self.state = ""
        """`READY`, or what the last future tells about who will set it."""


def follow(task: Any) -> Chain | None:
    """Return the chain of a task that serves a request; None for any other task."""
    code = getattr(task.get_coro(), "cr_code", None)
    met = _strangers.get(id(code))
    if met is not None and met[0] >= _STRANGE_AFTER:
        return None
    chain = Chain()
    waited = _descend(task, chain, root=True)
    if chain.scope is None:
        return chain if _not_begun(task, chain, code) else None
    if code is not None and len(_roots) < _KNOWN:
        _roots[id(code)] = code
        _strangers.pop(id(code), None)
    for _ in range(MAX_TASKS):
        if waited is None:
            break
        waited = _descend(waited, chain, root=False)
    chain.places = [place for place in chain.places if place.owner != PROBE]
    return chain


def _descend(task: Any, chain: Chain, *, root: bool) -> Any:
    """Add one task's frames to the chain; return the task it waits for in turn, if any."""
    children: Any = None
    middleware: Any = None
    current = task.get_coro()
    places = chain.places
    while current is not None and len(places) < MAX_FRAMES:
        frame, following = _parts(current)
        if frame is not None:
            place = _place(frame, current)
            places.append(place)
            if place.role:
                if place.role == _REQUEST:
                    chain.scope = _scope(frame.f_locals)
                elif place.role == _STEPPED:
                    following = frame.f_locals.get("coroutine") if following is None else following
                elif place.role == _GREENLET:
                    places.extend(_greenlet(frame.f_locals.get("context"), MAX_FRAMES - len(places)))
                elif place.role == _CHILDREN:
                    children = frame.f_locals
                else:
                    middleware = frame.f_locals
        if root and chain.scope is None and len(places) > _ROOT_DEPTH:
            return None
        current = following
    return None if root and chain.scope is None else _waited(task, chain, children, middleware)


def _not_begun(task: Any, chain: Chain, code: Any) -> bool:
    if id(code) in _roots:
        chain.state = kinds.READY
        return inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED
    if code is not None and len(_strangers) < _KNOWN:
        _strangers.setdefault(id(code), [0, code])[0] += 1
    return False


def _parts(current: Any) -> tuple[Any, Any]:
    """Return the frame of something awaited, and what it awaits itself."""
    kind = type(current)
    if kind is types.CoroutineType:
        return current.cr_frame, current.cr_await
    if kind is types.GeneratorType:
        return current.gi_frame, current.gi_yieldfrom
    if kind is types.AsyncGeneratorType:
        return current.ag_frame, current.ag_await
    if hasattr(current, "cr_await"):  # a compiled coroutine
        return getattr(current, "cr_frame", None), current.cr_await
    if hasattr(current, "_asyncio_future_blocking"):
        return None, None
    # Iterators that hide whom they stand for: async_generator_asend, coroutine_wrapper, anext_awaitable.
    return None, next((one for one in gc.get_referents(current)[:4] if _awaitable(one)), None)


def _awaitable(one: Any) -> bool:
    return isinstance(one, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)) or (
        type(one).__name__ in {"async_generator_asend", "async_generator_athrow", "coroutine_wrapper"}
    )


def _place(frame: Any, current: Any) -> Place:
    code = frame.f_code
    key = (id(code), frame.f_lasti)  # the line would be looked up in a table each time
    place = _places.get(key)
    if place is None:
        if len(_places) >= _KNOWN:
            _places.clear()
        name = getattr(code, "co_qualname", None) or getattr(current, "__qualname__", code.co_name)
        place = _places[key] = Place(code, name, frame.f_lineno or 0)
        place.role = _role(place, code)
    return place


def _role(place: Place, code: Any) -> str:
    if place.owner == PROBE:
        names = code.co_varnames + code.co_cellvars
        return _REQUEST if "scope" in names and "receive" in names else _STEPPED if "coroutine" in names else ""
    for (function, file), role in _ROLES.items():
        if code.co_name == function and file in place.file:
            return role
    return ""


def _scope(local: dict[str, Any]) -> Any:
    """Return the request's scope; a middleware may have passed a copy on, which the call then knows."""
    scope = local.get("scope")
    if not isinstance(scope, dict) or scope.get("type") != "http":
        return None
    return getattr(local.get("call"), "scope", None) or scope


def _greenlet(context: Any, room: int) -> list[Place]:
    """Return the frames of a suspended greenlet, outermost first."""
    frame = getattr(context, "gr_frame", None)
    places: list[Place] = []
    while frame is not None and len(places) < room:
        places.append(_place(frame, None))
        frame = frame.f_back
    places.reverse()
    return places


def _waited(task: Any, chain: Chain, children: Any, middleware: Any) -> Any:
    """Find the task that this one waits for; else note what its future tells."""
    future = getattr(task, "_fut_waiter", None)
    if future is None or future.done():
        chain.state = kinds.READY
        return None
    if hasattr(future, "get_coro"):
        return future
    chain.state = kinds.THREAD if _set_by_thread(future) else ""
    candidates: Iterable[Any] = getattr(future, "_children", None) or _shielded(future)
    if not candidates and children is not None:
        candidates = _child_tasks(children)
    if not candidates and middleware is not None and _waits_for_child(chain.places):
        candidates = getattr(middleware.get("task_group"), "_tasks", ())
    going = [one for one in list(candidates) if hasattr(one, "get_coro") and not one.done()]
    return DICE.choice(going) if going else None


def _child_tasks(local: dict[str, Any]) -> list[Any]:
    for name in _LOCALS:
        value = local.get(name)
        if value is not None:
            found = getattr(value, "_tasks", value)
            return list(found) if isinstance(found, (set, frozenset, list, tuple)) else [found]
    return []


def _waits_for_child(places: list[Place]) -> bool:
    """Say whether the innermost frame of Starlette's own waits for what its child task does."""
    for place in reversed(places):
        if place.file.startswith("starlette/"):
            return any(name in place.function for name in _WAITS_FOR_CHILD)
    return False


def _callbacks(future: Any) -> list[Any]:
    return [entry[0] for entry in getattr(future, "_callbacks", None) or () if isinstance(entry, tuple)]


def _set_by_thread(future: Any) -> bool:
    """Say whether an executor's thread will set this future: `run_in_executor` leaves no frame."""
    return any("_chain_future" in getattr(one, "__qualname__", "") for one in _callbacks(future))


def _shielded(future: Any) -> list[Any]:
    for one in _callbacks(future):
        if getattr(one, "__qualname__", "").startswith("shield.<locals>"):
            return [cell.cell_contents for cell in one.__closure__ or () if hasattr(cell.cell_contents, "get_coro")]
    return []
