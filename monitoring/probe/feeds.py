"""What becomes unavailable when a hook switches itself off, besides its own fields.

Gates, peers and routes are filled by hooks of other modules. Once one of those has failed, the rows it fed stand still
or stay too high for ever, and the totals over all rows of their kind are incomplete: neither may pass for a figure.
"""

from __future__ import annotations

from typing import Iterable

ROUTE = "route "
_HTTP = "http "
_SHARED = (ROUTE, _HTTP)
"""Fed by several hooks. One that could not be hooked at all may not be in use, and leaves them to the others."""

_IF_SEEN = ("worker-slots gthread", "worker-slots hypercorn")
"""Servers whose slots are a thread pool; with another server in the process there are none to miss."""

FEEDS: "dict[str, tuple[str, ...]]" = {
    "requests": (ROUTE,),
    "wsgi requests": (ROUTE, "worker-slots "),
    "uvicorn limit_concurrency": ("worker-slots uvicorn",),
    "executors": ("executor ", "worker-slots gthread", "worker-slots hypercorn"),
    "gates": ("db-pool ", "http-pool ", "executor ", "worker-slots ", "lock "),
    "calls": ("db ", _HTTP, "smtp "),
    "httpx": ("http-pool httpx", _HTTP),
    "urllib3": ("http-pool urllib3", _HTTP),
    "aiohttp": ("http-pool aiohttp", _HTTP),
    "http.client": (_HTTP,),
    "smtplib": ("smtp ",),
    "asyncio locks": ("lock asyncio.",),
    "file locks": ("lock file ",),
    "threading semaphores": ("lock threading.",),
}
"""Name of a hook -> how the rows begin that it feeds (`KIND NAME`)."""

_void: "tuple[str, ...]" = ()


def refresh(failed: Iterable[str], unhooked: Iterable[str] = ()) -> None:
    """Take over which hooks have failed, and which could not be hooked at all."""
    global _void  # noqa: PLW0603 - one tuple, replaced whole: rows are read while hooks fail
    rows = [row for hook in failed for row in FEEDS.get(hook, ())]
    _void = (*rows, *[row for hook in unhooked for row in FEEDS.get(hook, ()) if row not in _SHARED])


def void(row: str) -> bool:
    """Say whether the figures of a row (`KIND NAME`, or `ROUTE`) are unavailable."""
    return row.startswith(_void) if _void else False


def incomplete(kind: str) -> bool:
    """Say whether rows of a kind may be missing, so that there is no sum over all; void ones make it NaN anyway."""
    return any(row.startswith(kind + " ") and row not in _IF_SEEN for row in _void)
