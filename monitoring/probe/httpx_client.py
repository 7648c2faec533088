"""httpx, through the pools of httpcore (read: 1.0.9). Other transports, such as ASGITransport, are no network.

With HTTP/2 many requests share a connection: the gate then counts requests, and has no size.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import Any

from .outgoing import VISIT, Visit, close_door, door_of, peer, remember_site, watch

_now = time.monotonic
_PLAIN = ("AsyncHTTPConnection", "HTTPConnection")
HOOK = watch("httpx")


def _arrive(pool: Any, request: Any) -> Visit:
    limit = pool._max_connections  # noqa: SLF001 - it has no public name
    unlimited = limit >= sys.maxsize or pool._http2  # noqa: SLF001
    visit = Visit(HOOK, door_of(pool, "httpx", None if unlimited else limit))
    request.__dict__[VISIT] = visit
    return visit


def _assigned(pool_request: Any, connection: Any, visit: Visit) -> None:
    """A free connection is assigned to all who wait for it, and taken by one: only a new one is one's own already."""
    owner = type(connection).__name__
    free = owner in _PLAIN and connection._connection is not None and not connection._http2  # noqa: SLF001
    if not free:
        _admitted(pool_request.request, visit)


def _admitted(request: Any, visit: Visit) -> None:
    visit.admitted()
    origin = request.url.origin
    visit.call(peer(origin.scheme.decode(), origin.host.decode(), origin.port))


def _answered(request: Any, response: Any, visit: Visit) -> None:
    """From here on the visit hangs on the body: a body never closed is collected, its request stays in the pool."""
    visit.answered(response.status)
    response.stream.__dict__[VISIT] = request.__dict__.pop(VISIT)


def _visit(request: Any) -> Visit | None:
    return getattr(request, VISIT, None)


def _errors() -> tuple[Any, Any]:
    """Return what a pool raises when the wait was too long, and what ends a body before its time."""
    errors = sys.modules["httpcore._exceptions"]
    return errors.PoolTimeout, (errors.TimeoutException, errors.NetworkError, errors.ProtocolError)


def hook_async(module: Any) -> None:
    """Watch `AsyncConnectionPool`."""
    pool, asked, stream = module.AsyncConnectionPool, module.AsyncPoolRequest, module.PoolByteStream
    pool_timeout, broken = _errors()
    wrappers = (
        _handling_async(pool.handle_async_request, pool_timeout),
        _waiting_async(asked.wait_for_connection),
        _ending_async(stream.aclose, broken),
    )
    _put(pool, asked, stream, wrappers)
    _hook_making(pool)
    _hook_async_closing(pool)


def _handling_async(handle: Any, pool_timeout: Any) -> Any:
    @functools.wraps(handle)
    async def handle_async_request(self: Any, request: Any) -> Any:
        visit = HOOK.safely(_arrive, self, request)
        if visit is None:
            return await handle(self, request)
        try:
            response = await handle(self, request)
        except BaseException as error:
            visit.fail(error, isinstance(error, pool_timeout))
            raise
        HOOK.safely(_answered, request, response, visit)
        return response

    return handle_async_request


def _waiting_async(wait: Any) -> Any:
    @functools.wraps(wait)
    async def wait_for_connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        visit = _visit(self.request)
        if visit is None:
            return await wait(self, *args, **kwargs)
        if getattr(self, "connection", self) is None:
            visit.wait()
        connection = await wait(self, *args, **kwargs)
        HOOK.safely(_assigned, self, connection, visit)
        return connection

    return wait_for_connection


def _ending_async(close: Any, broken: Any) -> Any:
    @functools.wraps(close)
    async def aclose(self: Any) -> Any:
        failed = isinstance(sys.exc_info()[1], broken)
        try:
            return await close(self)
        finally:
            visit = self.__dict__.pop(VISIT, None)
            if visit is not None:
                visit.end(failed)

    return aclose


def hook_sync(module: Any) -> None:
    """Watch `ConnectionPool`."""
    pool, asked, stream = module.ConnectionPool, module.PoolRequest, module.PoolByteStream
    pool_timeout, broken = _errors()
    wrappers = (
        _handling_sync(pool.handle_request, pool_timeout),
        _waiting_sync(asked.wait_for_connection),
        _ending_sync(stream.close, broken),
    )
    _put(pool, asked, stream, wrappers)
    _hook_making(pool)
    _hook_sync_closing(pool)


def _handling_sync(handle: Any, pool_timeout: Any) -> Any:
    @functools.wraps(handle)
    def handle_request(self: Any, request: Any) -> Any:
        visit = HOOK.safely(_arrive, self, request)
        if visit is None:
            return handle(self, request)
        try:
            response = handle(self, request)
        except BaseException as error:
            visit.fail(error, isinstance(error, pool_timeout))
            raise
        HOOK.safely(_answered, request, response, visit)
        return response

    return handle_request


def _waiting_sync(wait: Any) -> Any:
    @functools.wraps(wait)
    def wait_for_connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        visit = _visit(self.request)
        if visit is None:
            return wait(self, *args, **kwargs)
        if getattr(self, "connection", self) is None:
            visit.wait()
        connection = wait(self, *args, **kwargs)
        HOOK.safely(_assigned, self, connection, visit)
        return connection

    return wait_for_connection


def _ending_sync(shut: Any, broken: Any) -> Any:
    @functools.wraps(shut)
    def close(self: Any) -> Any:
        failed = isinstance(sys.exc_info()[1], broken)
        try:
            return shut(self)
        finally:
            visit = self.__dict__.pop(VISIT, None)
            if visit is not None:
                visit.end(failed)

    return close


def _put(pool: Any, asked: Any, stream: Any, wrappers: tuple[Any, Any, Any]) -> None:
    for owner, wrapper in zip((pool, asked, stream), wrappers):
        setattr(owner, wrapper.__name__, wrapper)


def _hook_making(pool: Any) -> None:
    original = pool.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it takes its place
        original(self, *args, **kwargs)
        HOOK.safely(remember_site, self, "httpx", "httpcore")

    pool.__init__ = __init__


def _hook_async_closing(pool: Any) -> None:
    original = pool.aclose

    @functools.wraps(original)
    async def aclose(self: Any) -> Any:
        try:
            return await original(self)
        finally:
            HOOK.safely(close_door, self)

    pool.aclose = aclose


def _hook_sync_closing(pool: Any) -> None:
    original = pool.close

    @functools.wraps(original)
    def close(self: Any) -> Any:
        try:
            return original(self)
        finally:
            HOOK.safely(close_door, self)

    pool.close = close


def hook_async_connect(module: Any) -> None:
    """Time the opening of connections, TLS included."""
    original = module.AsyncHTTPConnection._connect  # noqa: SLF001 - the pool only knows that it may have to happen

    @functools.wraps(original)
    async def _connect(self: Any, request: Any) -> Any:
        began = _now()
        try:
            return await original(self, request)
        finally:
            visit = _visit(request)
            if visit is not None:
                visit.opened(_now() - began)

    module.AsyncHTTPConnection._connect = _connect  # noqa: SLF001


def hook_sync_connect(module: Any) -> None:
    """Time the opening of connections, TLS included."""
    original = module.HTTPConnection._connect  # noqa: SLF001

    @functools.wraps(original)
    def _connect(self: Any, request: Any) -> Any:
        began = _now()
        try:
            return original(self, request)
        finally:
            visit = _visit(request)
            if visit is not None:
                visit.opened(_now() - began)

    module.HTTPConnection._connect = _connect  # noqa: SLF001


def hook_async_send(module: Any) -> None:
    """Learn who took a free connection."""
    original = module.AsyncHTTP11Connection._send_request_headers  # noqa: SLF001 - the first step after it is taken

    @functools.wraps(original)
    async def _send_request_headers(self: Any, request: Any) -> Any:
        visit = _visit(request)
        if visit is not None:
            HOOK.safely(_admitted, request, visit)
        return await original(self, request)

    module.AsyncHTTP11Connection._send_request_headers = _send_request_headers  # noqa: SLF001


def hook_sync_send(module: Any) -> None:
    """Learn who took a free connection."""
    original = module.HTTP11Connection._send_request_headers  # noqa: SLF001

    @functools.wraps(original)
    def _send_request_headers(self: Any, request: Any) -> Any:
        visit = _visit(request)
        if visit is not None:
            HOOK.safely(_admitted, request, visit)
        return original(self, request)

    module.HTTP11Connection._send_request_headers = _send_request_headers  # noqa: SLF001
