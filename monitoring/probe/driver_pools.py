"""psycopg_pool's and asyncpg's pools as gates.

Read: psycopg_pool 3.3.3, asyncpg 0.32.0. A psycopg pool connects in threads or tasks of its own: what a caller waits
for such a connection is a wait, since one that comes back would do as well. NullConnectionPool and asyncpg connect in
the caller's time, and that is no wait.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

from . import gates
from .database import server_name
from .drivers import asyncpg_name
from .peers import _now
from .pool import HELD, OWNERS, back

if TYPE_CHECKING:
    from .gates import Gate

_GATE = "_pinchpoint_gate"
_ENGINE = "postgresql"

Before = Callable[..., Any]
"""The method's arguments -> what `After` wants; None: leave this call alone."""
After = Callable[[Any, Any, "type[BaseException] | None"], None]
"""What `Before` returned, the method's result, the class of its error."""


class Ask:
    """One caller that waits for a connection."""

    __slots__ = ("began", "excluded_s", "gate")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.excluded_s = 0.0
        self.began = gate.ask()
        _ASKING.set(self)

    def end(self, error: type[BaseException] | None, timeouts: tuple[Any, ...]) -> Any:
        """Count its end; return what to keep with the connection, None without one."""
        _ASKING.set(None)
        if error is None:
            return self.gate, self.gate.got(self.began, self.excluded_s)
        self.gate.gave_up(self.began, issubclass(error, timeouts))
        return None


_ASKING: ContextVar[Ask | None] = ContextVar("pinchpoint_asking", default=None)


def _around(owner: Any, name: str, before: Before, after: After) -> None:
    """Call `before` and `after` around the method `name` of `owner`, if it defines one, sync or async."""
    original = owner.__dict__.get(name)
    if original is None:
        return

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = gates.HOOK.safely(before, self, *args)
        if token is None:
            return original(self, *args, **kwargs)
        result = error = None
        try:
            result = original(self, *args, **kwargs)
        except BaseException as raised:
            error = type(raised)
            raise
        else:
            return result
        finally:
            gates.HOOK.safely(after, token, result, error)

    @functools.wraps(original)
    async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = gates.HOOK.safely(before, self, *args)
        if token is None:
            return await original(self, *args, **kwargs)
        result = error = None
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as raised:
            error = type(raised)
            raise
        else:
            return result
        finally:
            gates.HOOK.safely(after, token, result, error)

    setattr(owner, name, call_async if inspect.iscoroutinefunction(original) else call)


def _need(owner: Any, names: tuple[str, ...]) -> None:
    """Refuse a version without these, own or inherited: a pool whose returns are not seen would look full for ever."""
    for name in names:
        getattr(owner, name)


def _connecting(gate: Gate | None) -> tuple[Gate, Ask | None, float] | None:
    """Begin to connect, for the caller that waits or for nobody in particular."""
    if gate is None:
        return None
    ask = _ASKING.get()
    mine = ask if ask is not None and ask.gate is gate else None
    return gate, mine, _now() if mine is None else gate.pause()


def _connected(token: tuple[Gate, Ask | None, float], _result: Any, _error: Any) -> None:
    gate, ask, began = token
    if ask is None:
        gate.opened_in(_now() - began)
    else:
        ask.excluded_s += gate.resume(began)


def hook_psycopg_pool(module: Any) -> None:
    """Watch the pool classes of this module, sync or async."""
    timeouts = (sys.modules["psycopg_pool.errors"].PoolTimeout,)

    def ended(ask: Ask, connection: Any, error: type[BaseException] | None) -> None:
        held = ask.end(error, timeouts)
        if held is not None:
            connection.__dict__[HELD] = held

    for name in ("ConnectionPool", "NullConnectionPool", "AsyncConnectionPool", "AsyncNullConnectionPool"):
        owner = module.__dict__.get(name)
        if owner is None or owner.__module__ != module.__name__:
            continue
        _need(owner, ("getconn", "_add_to_pool", "_return_connection"))
        _around(owner, "getconn", lambda pool, *_: Ask(_psycopg_gate(pool)), ended)
        _around(owner, "_connect", lambda pool, *_: _connecting(pool.__dict__.get(_GATE)), _connected)
        # Before the next caller gets it; some are thrown away instead.
        _around(owner, "_add_to_pool", lambda _, connection: back(connection.__dict__), _nothing)
        _around(owner, "_return_connection", _held_by, _not_held)
        _around(owner, "_maybe_close_connection", _held_by, _closed)


def _nothing(*_: Any) -> None:
    return


def _held_by(_pool: Any, connection: Any, *_: Any) -> tuple[dict[str, Any], Any] | None:
    figures = connection.__dict__
    return (figures, figures[HELD]) if HELD in figures else None


def _not_held(token: tuple[dict[str, Any], Any], _result: Any, _error: Any) -> None:
    """Whatever became of it: this holder no longer has it, while another may."""
    figures, held = token
    if figures.get(HELD) is held:
        back(figures)


def _closed(token: tuple[dict[str, Any], Any], result: Any, _error: Any) -> None:
    if result:
        _not_held(token, None, None)


def _psycopg_gate(pool: Any) -> Gate:
    gate: Gate | None = pool.__dict__.get(_GATE)
    if gate is not None:
        return gate
    known = weakref.ref(pool)

    def size() -> float | None:
        it = known()
        if it is None or it.closed:
            return 0
        return it.max_size or None  # a NullConnectionPool without a limit says 0

    with OWNERS.lock:
        if _GATE not in pool.__dict__:
            pool.__dict__[_GATE] = OWNERS.gate(pool, _psycopg_name(pool), size)
        return pool.__dict__[_GATE]  # type: ignore[no-any-return]


def _psycopg_name(pool: Any) -> str:
    try:
        given = sys.modules["psycopg.conninfo"].conninfo_to_dict(pool.conninfo or "", **(pool.kwargs or {}))
    except Exception:  # both may be functions, and `kwargs` may hold more than libpq knows
        return _ENGINE
    return server_name(_ENGINE, given.get("host") or given.get("hostaddr"), given.get("port"), given.get("dbname"))


def hook_asyncpg_pool(module: Any) -> None:
    """Watch the pool's `_acquire`, which all ways to acquire come by, and its holders, one for each connection."""
    timeouts = (TimeoutError, sys.modules["asyncio"].TimeoutError)

    def ended(ask: Ask, proxy: Any, error: type[BaseException] | None) -> None:
        held = ask.end(error, timeouts)
        if held is not None:
            holder = proxy._holder  # noqa: SLF001 - the proxy is new each time, and neither has room for a mark
            _room(holder._pool)[holder] = held  # noqa: SLF001

    holder = module.PoolConnectionHolder
    _need(module.Pool, ("_acquire",))
    _need(holder, ("connect", "_release"))
    _around(module.Pool, "_acquire", _asyncpg_ask, ended)
    _around(holder, "connect", lambda holder: _connecting(_room(holder._pool).get(_GATE)), _connected)  # noqa: SLF001
    _around(holder, "_release", _asyncpg_back, _nothing)


def _room(pool: Any) -> dict[Any, Any]:
    """Return the attributes of the pool's queue: the pool itself has slots only."""
    return pool._queue.__dict__  # type: ignore[no-any-return]  # noqa: SLF001


def _asyncpg_ask(pool: Any, *_: Any) -> Ask | None:
    if pool._queue is None:  # noqa: SLF001 - not open yet: that raises
        return None
    room = _room(pool)
    if _GATE not in room:
        queue, maximum = weakref.ref(pool._queue), pool.get_max_size()  # noqa: SLF001
        room[_GATE] = OWNERS.gate(pool._queue, _asyncpg_name(pool), lambda: 0 if queue() is None else maximum)  # noqa: SLF001
    return Ask(room[_GATE])


def _asyncpg_name(pool: Any) -> str:
    for holder in pool._holders:  # noqa: SLF001
        if holder._con is not None:  # noqa: SLF001
            return asyncpg_name(holder._con)  # noqa: SLF001
    given, dsn = pool._connect_kwargs, next(iter(pool._connect_args), None)  # noqa: SLF001
    try:
        address = urlsplit(dsn or "")
        host, port = given.get("host") or address.hostname, given.get("port") or address.port
        return server_name(_ENGINE, host, port, given.get("database") or address.path.lstrip("/"))
    except Exception:  # several hosts
        return _ENGINE


def _asyncpg_back(holder: Any) -> None:
    room = _room(holder._pool)  # noqa: SLF001
    if holder in room and holder._in_use is not None:  # noqa: SLF001
        gate, taken = room.pop(holder)
        gate.back(taken)
