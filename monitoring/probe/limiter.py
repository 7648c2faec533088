"""anyio's default thread limiter: the tokens that `def` endpoints, `def` dependencies and file responses share.

Limiters of the app's own are not watched: they keep no room for figures (`__slots__`), and to look each one up would
cost every use of the default one. Read: anyio 3.7 and 4.0 to 4.16, on asyncio.
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any

from .level import Level
from .runtime import RUNTIME, Hook

_now = time.monotonic


class Tokens:
    """Figures of the default limiter of this process's loop; other limiters are the app's own business."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the limiter, as a forked child must."""
        self.limiter: Any = None
        self.busy = Level()
        self.waiting = Level()
        self.wait_s = 0.0
        self.taken = 0

    def took(self) -> None:
        """Count a token that was taken."""
        self.taken += 1
        self.count()

    def count(self) -> None:
        """Note how many tokens are out."""
        self.busy.assign(self.limiter.borrowed_tokens, _now())

    def full(self, limiter: Any) -> bool:
        """Return whether a newcomer would have to wait."""
        return bool(limiter.borrowed_tokens >= limiter.total_tokens)

    def queue(self) -> float:
        """Count a waiter in; return when its wait began."""
        at = _now()
        self.waiting.shift(1, at)
        return at

    def unqueue(self, began: float, got: bool) -> None:
        """Count a waiter out."""
        at = _now()
        self.waiting.shift(-1, at)
        self.wait_s += at - began
        if got:
            self.took()

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish; no figures before the limiter is first used, no total when it is unlimited."""
        if self.limiter is None:
            return
        fields.update(
            tokens_total=self.limiter.total_tokens,
            tokens_busy=self.busy.value,
            tokens_busy_s=self.busy.area(at),
            tokens_waiting=self.waiting.value,
            tokens_waiting_s=self.waiting.area(at),
            tokens_wait_s=self.wait_s,
            tokens_taken=self.taken,
        )
        if math.isinf(fields["tokens_total"]):
            del fields["tokens_total"]


TOKENS = Tokens()
HOOK = Hook("threadpool", TOKENS.fill, TOKENS.reset)
RUNTIME.add(HOOK)


def hook_anyio(module: Any) -> None:
    """Learn which limiter is the default one, and watch its tokens come and go."""
    backend = getattr(module, "AsyncIOBackend", None)
    if backend is not None:
        _hook_default(backend)
    else:
        _hook_default_3(module)
    _hook_acquire(module.CapacityLimiter)
    _hook_nowait_and_release(module.CapacityLimiter)


def _hook_default(backend: Any) -> None:
    original = backend.__dict__["current_default_thread_limiter"].__func__

    @functools.wraps(original)
    def current_default_thread_limiter(cls: Any) -> Any:
        limiter = original(cls)
        TOKENS.limiter = limiter
        return limiter

    backend.current_default_thread_limiter = classmethod(current_default_thread_limiter)


def _hook_default_3(module: Any) -> None:
    """The backend of anyio 3 is a module."""
    original = module.current_default_thread_limiter

    @functools.wraps(original)
    def current_default_thread_limiter() -> Any:
        TOKENS.limiter = limiter = original()
        return limiter

    module.current_default_thread_limiter = current_default_thread_limiter


def _hook_acquire(limiter_class: Any) -> None:
    original = limiter_class.acquire_on_behalf_of

    @functools.wraps(original)
    async def acquire_on_behalf_of(self: Any, borrower: Any) -> Any:
        if self is not TOKENS.limiter or not HOOK.safely(TOKENS.full, self):
            return await original(self, borrower)
        began = HOOK.safely(TOKENS.queue)
        got = False
        try:
            result = await original(self, borrower)
            got = True
            return result
        finally:
            if began is not None:
                HOOK.safely(TOKENS.unqueue, began, got)

    limiter_class.acquire_on_behalf_of = acquire_on_behalf_of


def _hook_nowait_and_release(limiter_class: Any) -> None:
    take, release = limiter_class.acquire_on_behalf_of_nowait, limiter_class.release_on_behalf_of

    @functools.wraps(take)
    def acquire_on_behalf_of_nowait(self: Any, borrower: Any) -> Any:
        result = take(self, borrower)
        if self is TOKENS.limiter:
            HOOK.safely(TOKENS.took)
        return result

    @functools.wraps(release)
    def release_on_behalf_of(self: Any, borrower: Any) -> Any:
        result = release(self, borrower)
        if self is TOKENS.limiter:
            HOOK.safely(TOKENS.count)
        return result

    limiter_class.acquire_on_behalf_of_nowait = acquire_on_behalf_of_nowait
    limiter_class.release_on_behalf_of = release_on_behalf_of
