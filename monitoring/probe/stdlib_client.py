"""http.client, and with it urllib.request and xmlrpc.client. Connections that urllib3 manages are counted there.

There is no pool, so no gate. A response ends where the standard library lets go of its socket.
"""

from __future__ import annotations

import functools
from typing import Any

from .outgoing import VISIT, Visit, peer, watch

_OWN = "_pinchpoint_call"
_HTTPS = 443
HOOK = watch("http.client")


def _begin(connection: Any) -> Visit | None:
    if VISIT in connection.__dict__:
        return None
    visit = Visit(HOOK, None)
    host = getattr(connection, "_tunnel_host", None)
    port = connection._tunnel_port if host else connection.port  # noqa: SLF001 - it has no public name
    visit.call(peer("https" if connection.default_port == _HTTPS else "http", host or connection.host, port))
    connection.__dict__[_OWN] = visit
    return visit


def _answered(response: Any, visit: Visit) -> None:
    visit.answered(response.status)
    if response.isclosed():
        visit.end()
    else:
        setattr(response, _OWN, visit)


def hook_http(module: Any) -> None:
    """Watch requests being sent, answered and read."""
    _hook_send(module.HTTPConnection)
    _hook_answer(module.HTTPConnection)
    _hook_end(module.HTTPResponse)


def _hook_send(connection: Any) -> None:
    original = connection.endheaders

    @functools.wraps(original)
    def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
        visit = HOOK.safely(_begin, self)
        if visit is None:
            return original(self, *args, **kwargs)
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            visit.fail(error)
            raise

    connection.endheaders = endheaders


def _hook_answer(connection: Any) -> None:
    original = connection.getresponse

    @functools.wraps(original)
    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        visit = self.__dict__.pop(_OWN, None)
        if visit is None:
            return original(self, *args, **kwargs)
        try:
            response = original(self, *args, **kwargs)
        except BaseException as error:
            visit.fail(error)
            raise
        HOOK.safely(_answered, response, visit)
        return response

    connection.getresponse = getresponse


def _hook_end(response: Any) -> None:
    original = response._close_conn  # noqa: SLF001 - every end of a body passes here

    @functools.wraps(original)
    def _close_conn(self: Any) -> Any:
        visit = HOOK.safely(self.__dict__.pop, _OWN, None)
        if visit is not None:
            visit.end()
        return original(self)

    response._close_conn = _close_conn  # noqa: SLF001
