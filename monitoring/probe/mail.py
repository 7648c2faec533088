"""smtplib: the time spent with a mail server.

A call is a mail sent. Connecting, TLS, login and good-bye take time but are no calls, unless they fail.
"""

from __future__ import annotations

import functools
from typing import Any

from .outgoing import watch
from .peers import PEERS, SMTP

_PEER = "_pinchpoint_peer"
_STEPS = (("starttls", 0), ("login", 0), ("sendmail", 1), ("quit", 0))
HOOK = watch("smtplib")


def _enter(client: Any) -> Any:
    target = client.__dict__.get(_PEER)
    return None if target is None else (target, target.enter())


def _name(client: Any, host: str = "localhost", port: int = 0, *_: Any, **__: Any) -> None:
    """`connect` accepts `host:port` as well."""
    name, _colon, after = host.rpartition(":")
    if not port and name and after.isdigit() and ":" not in name:
        host, port = name, int(after)
    client.__dict__[_PEER] = PEERS.get(SMTP, "%s:%d" % (host, port or client.default_port))


def hook_smtp(module: Any) -> None:
    """Time connect, starttls, login, sendmail and quit."""
    smtp = module.SMTP
    connect = _timed(smtp.connect, 0)

    @functools.wraps(smtp.connect)
    def connected(self: Any, *args: Any, **kwargs: Any) -> Any:
        HOOK.safely(_name, self, *args, **kwargs)
        return connect(self, *args, **kwargs)

    smtp.connect = connected
    for name, calls in _STEPS:
        setattr(smtp, name, _timed(getattr(smtp, name), calls))


def _timed(original: Any, calls: int) -> Any:
    @functools.wraps(original)
    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        entered = HOOK.safely(_enter, self)
        if entered is None:
            return original(self, *args, **kwargs)
        target, began = entered
        failed = False
        try:
            return original(self, *args, **kwargs)
        except Exception:
            failed = True
            raise
        finally:
            HOOK.safely(target.leave, began, failed, 1 if failed else calls)

    return timed
