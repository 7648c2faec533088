"""aiohttp's client (read: 3.14.5; waits are seen from 3.11 on, where they have a method of their own).

A connector with a limit per host has as many places as its hosts have together, but not more than its limit.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from typing import Any

from .outgoing import VISIT, Visit, close_door, door_of, peer, remember_site, watch

_now = time.monotonic
_HOSTS = "_pinchpoint_hosts"
_ARRIVING = "_pinchpoint_arriving"
_MOST_HOSTS = 1000
_TIMEOUTS = (asyncio.TimeoutError, TimeoutError)
HOOK = watch("aiohttp")


def _limit(connector: Any, key: Any) -> float | None:
    hosts = connector.__dict__.setdefault(_HOSTS, set())
    if len(hosts) < _MOST_HOSTS:
        hosts.add((key.host, key.port))
    per_host = connector.limit_per_host * len(hosts)
    return min(per_host or connector.limit, connector.limit or per_host) or None


def _bound(connector: Any) -> str:
    parts = ["max %d" % connector.limit] if connector.limit else []
    parts += ["%d a host" % connector.limit_per_host] if connector.limit_per_host else []
    return ", ".join(parts)


def _arrive(connector: Any, request: Any, traces: Any, gated: bool) -> Visit:
    """Its list of traces tells a request from all others that wait with it."""
    key = request.connection_key
    door = door_of(connector, "aiohttp", _limit(connector, key), _bound(connector)) if gated else None
    if door is not None:
        door.resize(_limit(connector, key))
    visit = Visit(HOOK, door)
    if door is None or connector._available_connections(key) > 0 or connector._conns.get(key):  # noqa: SLF001
        _admitted(visit, key)
    connector.__dict__.setdefault(_ARRIVING, {})[id(traces)] = visit
    return visit


def _admitted(visit: Visit, key: Any) -> None:
    visit.admitted()
    visit.call(peer("https" if key.is_ssl else "http", key.host, key.port))


def _arrived(connector: Any, traces: Any) -> None:
    connector.__dict__[_ARRIVING].pop(id(traces), None)


def _timed_out(error: BaseException, request: Any) -> bool:
    """A request's total time over, its task is cancelled here, and the timeout raised further up."""
    timer = getattr(request, "_timer", None)
    return isinstance(error, _TIMEOUTS) or bool(getattr(timer, "_cancelled", False))


def hook_connector(module: Any) -> None:
    """Watch connections being asked for, opened and given back."""
    connector = module.BaseConnector
    gated = hasattr(connector, "_wait_for_available_connection")
    _hook_making(connector)
    _hook_connect(connector, gated)
    if gated:
        _hook_wait(connector)
    for name in ("TCPConnector", "UnixConnector"):
        _hook_opening(getattr(module, name))
    broken = (sys.modules["aiohttp.client_exceptions"].ClientError, OSError, *_TIMEOUTS)
    for name in ("release", "close"):
        _hook_return(module.Connection, name, broken)
    _hook_closing(connector)


def _hook_making(connector: Any) -> None:
    original = connector.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it takes its place
        original(self, *args, **kwargs)
        HOOK.safely(remember_site, self, "aiohttp")

    connector.__init__ = __init__


def _hook_connect(connector: Any, gated: bool) -> None:
    original = connector.connect

    @functools.wraps(original)
    async def connect(self: Any, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - its own
        visit = HOOK.safely(_arrive, self, req, traces, gated)
        if visit is None:
            return await original(self, req, traces, timeout)
        try:
            connection = await original(self, req, traces, timeout)
        except BaseException as error:
            visit.fail(error, _timed_out(error, req))
            raise
        finally:
            HOOK.safely(_arrived, self, traces)
        HOOK.safely(_admitted, visit, req.connection_key)
        HOOK.safely(setattr, connection, VISIT, visit)
        return connection

    connector.connect = connect


def _hook_wait(connector: Any) -> None:
    original = connector._wait_for_available_connection  # noqa: SLF001

    @functools.wraps(original)
    async def _wait_for_available_connection(self: Any, key: Any, traces: Any) -> Any:
        visit = self.__dict__.get(_ARRIVING, {}).get(id(traces))
        if visit is None:
            return await original(self, key, traces)
        visit.wait()
        result = await original(self, key, traces)
        HOOK.safely(_admitted, visit, key)
        return result

    connector._wait_for_available_connection = _wait_for_available_connection  # noqa: SLF001


def _hook_opening(connector: Any) -> None:
    original = connector._create_connection  # noqa: SLF001

    @functools.wraps(original)
    async def _create_connection(self: Any, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - its own
        began = _now()
        try:
            return await original(self, req, traces, timeout)
        finally:
            visit = self.__dict__.get(_ARRIVING, {}).get(id(traces))
            if visit is not None:
                visit.opened(_now() - began)

    connector._create_connection = _create_connection  # noqa: SLF001


def _hook_return(connection: Any, name: str, broken: Any) -> None:
    original = getattr(connection, name)

    @functools.wraps(original)
    def give_back(self: Any) -> Any:
        visit = self.__dict__.pop(VISIT, None)
        if visit is not None:
            visit.end(isinstance(sys.exc_info()[1], broken))
        return original(self)

    setattr(connection, name, give_back)


def _hook_closing(connector: Any) -> None:
    original = connector._close  # noqa: SLF001 - `close` and `with` both call it

    @functools.wraps(original)
    def _close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        finally:
            HOOK.safely(close_door, self)

    connector._close = _close  # noqa: SLF001


def hook_response(module: Any) -> None:
    """Learn the status of each answer."""
    original = module.ClientResponse.start

    @functools.wraps(original)
    async def start(self: Any, connection: Any) -> Any:
        visit = getattr(connection, VISIT, None)
        result = await original(self, connection)
        if visit is not None:
            visit.answered(self.status)
        return result

    module.ClientResponse.start = start
