"""urllib3 (read: 2.8.0; the same seams exist in 1.26), and with it requests and botocore.

A pool without `block=True` has no limit: all such pools share one gate, without a size.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import Any

from .outgoing import VISIT, Visit, close_door, door_of, peer, watch

_now = time.monotonic
HOOK = watch("urllib3")


def _arrive(pool: Any) -> Visit:
    if not pool.block or pool.pool is None:
        return Visit(HOOK, door_of(pool, "urllib3", None))
    limit = pool.pool.maxsize
    visit = Visit(HOOK, door_of(pool, "urllib3", limit, "%s:%s max %d" % (pool.host, pool.port or "", limit)))
    visit.wait()
    return visit


def _leave(connection: Any, broken: Any) -> None:
    visit = connection.__dict__.pop(VISIT, None)
    if visit is not None:
        visit.end(isinstance(sys.exc_info()[1], broken))


def hook_pool(module: Any) -> None:
    """Watch connections being taken, used and put back."""
    pool, errors = module.HTTPConnectionPool, sys.modules["urllib3.exceptions"]
    _hook_taking(pool, errors.EmptyPoolError)
    _hook_request(pool)
    _hook_return(pool, errors.HTTPError)
    _hook_response(sys.modules["urllib3.response"].HTTPResponse)


def _hook_taking(pool: Any, empty: Any) -> None:
    original = pool._get_conn  # noqa: SLF001 - where it waits

    @functools.wraps(original)
    def _get_conn(self: Any, *args: Any, **kwargs: Any) -> Any:
        visit = HOOK.safely(_arrive, self)
        if visit is None:
            return original(self, *args, **kwargs)
        try:
            connection = original(self, *args, **kwargs)
        except BaseException as error:
            visit.fail(error, isinstance(error, empty))
            raise
        visit.admitted()
        HOOK.safely(setattr, connection, VISIT, visit)
        return connection

    pool._get_conn = _get_conn  # noqa: SLF001


def _hook_request(pool: Any) -> None:
    original = pool._make_request  # noqa: SLF001 - one attempt; `urlopen` calls itself for the next one

    @functools.wraps(original)
    def _make_request(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        visit = getattr(conn, VISIT, None)
        if visit is None:
            return original(self, conn, *args, **kwargs)
        target = HOOK.safely(peer, self.scheme, self.host, self.port)
        if target is not None:
            visit.call(target)
        try:
            response = original(self, conn, *args, **kwargs)
        except BaseException as error:
            visit.fail(error)  # its connection is closed now, and an empty place put back
            raise
        visit.answered(getattr(response, "status", None))
        return response

    pool._make_request = _make_request  # noqa: SLF001


def _hook_return(pool: Any, broken: Any) -> None:
    put, shut = pool._put_conn, pool.close  # noqa: SLF001

    @functools.wraps(put)
    def _put_conn(self: Any, conn: Any) -> Any:
        if conn is not None:
            HOOK.safely(_leave, conn, broken)
        return put(self, conn)

    @functools.wraps(shut)
    def close(self: Any) -> Any:
        try:
            return shut(self)
        finally:
            HOOK.safely(close_door, self)

    pool._put_conn, pool.close = _put_conn, close  # noqa: SLF001


def _hook_response(response: Any) -> None:
    """A response closed before its end keeps its place until it is released, but its call is over."""
    original = response.close

    @functools.wraps(original)
    def close(self: Any) -> Any:
        visit = getattr(getattr(self, "_connection", None), VISIT, None)
        if visit is not None:
            visit.close()
        return original(self)

    response.close = close


def hook_connect(module: Any) -> None:
    """Time the opening of connections, TLS included."""
    for owner in (module.HTTPConnection, module.HTTPSConnection):
        if "connect" in owner.__dict__:
            owner.connect = _timed_connect(owner.connect)


def _timed_connect(original: Any) -> Any:
    @functools.wraps(original)
    def connect(self: Any) -> Any:
        began = _now()
        try:
            return original(self)
        finally:
            visit = getattr(self, VISIT, None)
            if visit is not None:
                visit.opened(_now() - began)

    return connect
