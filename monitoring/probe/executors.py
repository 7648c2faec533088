"""Thread pools of `concurrent.futures`: how many threads are busy, how many calls wait for one, and how long.

Pools of one name are one gate: an app that makes a pool per request has one row, not a thousand. Read: CPython 3.9 to
3.14 (`_max_workers`, `_shutdown`, and `prepare_context` of 3.14, by which a pool of interpreters is told apart).
"""

from __future__ import annotations

import functools
import math
import sys
import time
import weakref
from _thread import get_ident
from typing import Any

from .gates import GATES_OPEN, Gate
from .layout import GATES, OTHER
from .real import RLock
from .runtime import RUNTIME, Hook

_now = time.monotonic
EXECUTOR, WORKER_SLOTS = "executor", "worker-slots"
_POOL = "_pinchpoint_pool"
_TURNSTILE = "_pinchpoint_turnstile"
_MOST_NAMES = GATES.rows
_AUTOMATIC = "ThreadPoolExecutor-"

WAITED: dict[int, float] = {}
"""Thread -> how long the call it runs waited for a thread of a server's pool, until the request takes it."""
ADOPTED_PREFIXES: dict[str, str] = {}
"""Thread name prefix -> the server whose worker slots such pools are."""


class Unseen:
    """A level nobody can see from inside the process. It stands in for a `Level`."""

    value = math.nan

    def shift(self, _delta: int, _at: float) -> None:
        """Nothing is known, whatever happens."""

    def area(self, _at: float) -> float:
        """Return no figure."""
        return math.nan


def blind(gate: Gate) -> None:
    """Whoever waits for this gate waits out of our sight: its waiting is unavailable, and not 0."""
    gate.waiting = Unseen()  # type: ignore[assignment]
    gate.wait_s = math.nan


def void(gate: Gate) -> None:
    """Nothing about this gate is known any longer."""
    blind(gate)
    gate.busy = Unseen()  # type: ignore[assignment]
    gate.hold_s = gate.taken = gate.timeouts = math.nan  # type: ignore[assignment]
    gate.size = None


class Crowd:
    """Who is here now: how many, and the sum of when they came. It stands in for a `Level`.

    With n here, who came at a_1 ... a_n, the integral up to t is that of those who left and n t - (a_1 + ... + a_n):
    one addition for each change instead of a product, under a lock that the caller holds already.
    """

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.value = 0
        self.came = 0.0
        self.left_s = 0.0

    def shift(self, delta: int, at: float) -> None:
        """Go up or down by `delta`, for callers that know no better."""
        with self.lock:
            self.value += delta
            self.came += delta * at

    def area(self, at: float) -> float:
        """Return the integral up to `at`."""
        with self.lock:
            return self.left_s + max(0.0, self.value * at - self.came)


class Turnstile:
    """The figures of a gate whose every use is a `Task`, at a third of what the gate's own methods cost."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.install()

    def install(self) -> None:
        """Take the place of the gate's levels, which it renews in a forked child."""
        self.lock = RLock()
        self.waiting, self.busy = Crowd(self.lock), Crowd(self.lock)
        gate = self.gate
        gate.waiting, gate.busy = self.waiting, self.busy  # type: ignore[assignment]
        self.generation = gate.generation


class Pool:
    """All live executors of one name, and their gate."""

    def __init__(self, kind: str, name: str) -> None:
        self.slots = kind == WORKER_SLOTS
        self.claims: Hook | None = None
        self._executors: dict[int, Any] = {}
        gate = GATES_OPEN.named(kind, name, self.size)
        # The gate for all that the page has no row for is many pools' gate.
        self.turnstile = gate.__dict__.setdefault(_TURNSTILE, None) or Turnstile(gate)
        gate.__dict__[_TURNSTILE] = self.turnstile

    def add(self, executor: Any) -> None:
        """Count this executor's threads among the size."""
        key, executors = id(executor), self._executors
        executors[key] = weakref.ref(executor, lambda _: executors.pop(key, None))

    def size(self) -> float | None:
        """Return how many threads there may be; None when no executor is left."""
        live = [executor for executor in (ref() for ref in list(self._executors.values())) if executor is not None]
        sizes = [executor._max_workers for executor in live if not executor._shutdown]  # noqa: SLF001
        return sum(sizes) if sizes else None


class Pools:
    """The pools of this process, by kind and name."""

    def __init__(self) -> None:
        self.named: dict[tuple[str, str], Pool] = {}

    def get(self, kind: str, name: str) -> Pool:
        """Return the one pool of this kind and name."""
        found = self.named.get((kind, name))
        if found is None and len(self.named) >= _MOST_NAMES:
            name = OTHER  # an app may number its pools without end
            found = self.named.get((kind, name))
        return found if found is not None else self.named.setdefault((kind, name), Pool(kind, name))

    def fill(self, _fields: dict[str, float], _at: float) -> None:
        """Pools are gates, and have no fields of their own."""

    def reset(self) -> None:
        """Forget the waits of the threads a forked child does not have."""
        WAITED.clear()

    def fail(self, error: BaseException) -> None:
        """Switch off, and leave no figure that stands still."""
        HOOK.fail(error)
        for pool in list(self.named.values()):
            void(pool.turnstile.gate)


POOLS = Pools()
HOOK = Hook("executors", POOLS.fill, POOLS.reset)
RUNTIME.add(HOOK)


class Task:
    """One call handed to a pool: it waits from now on, and is busy while it runs."""

    __slots__ = ("_asked", "_function", "_pool", "_turnstile", "_waiting")

    def __init__(self, pool: Pool, function: Any) -> None:
        self._waiting: Crowd | None = None
        self._function = function
        self._pool = pool
        self._turnstile = turnstile = pool.turnstile
        if turnstile.generation is not turnstile.gate.generation:
            turnstile.install()
        waiting = turnstile.waiting
        self._asked = at = _now()
        with turnstile.lock:
            waiting.value += 1
            waiting.came += at
        self._waiting = waiting

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run it, on a thread of the pool."""
        busy, began = None, 0.0
        try:
            waiting, self._waiting = self._waiting, None
            turnstile = self._turnstile
            gate = turnstile.gate
            if waiting is turnstile.waiting and turnstile.generation is gate.generation and HOOK.alive:
                asked = self._asked
                began = _now()
                with turnstile.lock:
                    waiting.value -= 1
                    waiting.came -= asked
                    waiting.left_s += began - asked
                    gate.wait_s += began - asked
                    gate.taken += 1
                    busy = turnstile.busy
                    busy.value += 1
                    busy.came += began
                if self._pool.slots:
                    WAITED[get_ident()] = began - asked
        except Exception as error:
            POOLS.fail(error)
        try:
            return self._function(*args, **kwargs)
        finally:
            if busy is not None:
                try:
                    at = _now()
                    with busy.lock:
                        busy.value -= 1
                        busy.came -= began
                        busy.left_s += at - began
                        gate.hold_s += at - began
                    if self._pool.slots:
                        self._settle(waiting)
                except Exception as error:
                    POOLS.fail(error)

    def _settle(self, waiting: Any) -> None:
        """Take the wait back when no request claimed it: the client had only closed its connection."""
        waited, claims = WAITED.pop(get_ident(), None), self._pool.claims
        if waited is not None and claims is not None and claims.alive:
            gate = self._turnstile.gate
            with waiting.lock:
                waiting.left_s -= waited
                gate.wait_s -= waited
                gate.taken -= 1

    def __del__(self) -> None:
        """Whoever was cancelled waits no longer."""
        waiting = getattr(self, "_waiting", None)  # it may not have been made to the end
        if waiting is not None:
            HOOK.safely(self._gave_up, waiting)

    def _gave_up(self, waiting: Crowd) -> None:
        at = _now()
        with waiting.lock:
            waiting.value -= 1
            waiting.came -= self._asked
            waiting.left_s += at - self._asked


def hook_executor(module: Any) -> None:
    """Watch every `ThreadPoolExecutor`."""
    executor_class = module.ThreadPoolExecutor
    _hook_init(executor_class)
    _hook_submit(executor_class)


def _hook_init(executor_class: Any) -> None:
    original = executor_class.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it takes the place of one
        original(self, *args, **kwargs)
        HOOK.safely(_name, self)

    executor_class.__init__ = __init__


def _name(executor: Any) -> None:
    """Note who made it: only now is that known."""
    prefix = executor._thread_name_prefix  # noqa: SLF001
    name = _place(executor) if not prefix or prefix.startswith(_AUTOMATIC) else prefix
    executor.__dict__[_POOL] = (EXECUTOR, name)


def _place(executor: Any) -> str:
    """Return the file and line that made the executor: `shop/jobs.py:12`."""
    frame: Any = sys._getframe(1)  # noqa: SLF001
    while frame.f_back is not None and _making(frame, executor):
        frame = frame.f_back
    parts = frame.f_code.co_filename.replace("\\", "/").split("/")
    return "%s:%d" % ("/".join(parts[-2:]), frame.f_lineno)


def _making(frame: Any, executor: Any) -> bool:
    """Tell the probe's own frames and the constructors of the executor's subclasses."""
    code = frame.f_code
    if code.co_filename.startswith(_HERE):
        return True
    return code.co_name == "__init__" and frame.f_locals.get(next(iter(code.co_varnames), "")) is executor


_HERE = __file__.rpartition("/")[0] + "/"


def _hook_submit(executor_class: Any) -> None:
    original = executor_class.submit

    @functools.wraps(original)
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if HOOK.alive:
            try:
                pool = self.__dict__.get(_POOL)
                if type(pool) is not Pool:
                    pool = _open(self, pool, executor_class)
                if pool is not None:
                    fn = Task(pool, fn)
            except Exception as error:
                POOLS.fail(error)
        return original(self, fn, *args, **kwargs)

    executor_class.submit = submit


def _open(executor: Any, named: tuple[str, str] | None, executor_class: Any) -> Pool | None:
    """Return the pool of an executor used for the first time; None when its threads are none."""
    prepare = getattr(executor, "prepare_context", None)
    if prepare is not None and prepare.__func__ is not executor_class.prepare_context.__func__:
        return None  # InterpreterPoolExecutor sends what it is given through pickle
    kind, name = named or (EXECUTOR, getattr(executor, "_thread_name_prefix", "") or type(executor).__name__)
    if kind == EXECUTOR and name in ADOPTED_PREFIXES:
        kind, name = WORKER_SLOTS, ADOPTED_PREFIXES[name]
    return _join(executor, kind, name)


def _join(executor: Any, kind: str, name: str) -> Pool:
    pool = POOLS.get(kind, name)
    pool.add(executor)
    executor.__dict__[_POOL] = pool
    return pool


def adopt(executor: Any, name: str, claims: Hook | None = None) -> None:
    """Count this executor as the worker slots of server `name`, and not as one of the app's own.

    With `claims`, a call counts only if a request that this hook saw ran in it.
    """
    _join(executor, WORKER_SLOTS, name).claims = claims
