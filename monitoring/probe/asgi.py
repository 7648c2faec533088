"""Requests, seen at the ASGI server: every framework, every middleware inside.

Counts what is in flight, how long it takes, how it ends, on which route, and what the loop thread spends in it. A
request lasts from the server's call of the app until the server took the last of its body: that is when the client has
it. What the app does afterwards (background tasks) is neither in flight nor service time, though its CPU is the
handler's.
"""

from __future__ import annotations

import asyncio
import functools
import time
import types
from typing import Any, Callable, Generator

from . import loop
from .hooks import hook_loaded
from .routes import CLIENT_ERROR, SERVER_ERROR
from .runtime import RUNTIME, Hook
from .templates import CALL_KEY, COPIES, row_of

_TIMED_PER_S = 300
"""Steps of about so many requests a second are timed, each standing for those since the last: timing all would cost
2 us a request. Below this rate every request is timed."""

_now = time.monotonic
_cpu = time.thread_time


class Requests:
    """Figures of this process's HTTP requests.

    Changed by the loop thread only, so without a lock (1 us a request), and never with a call between two changes that
    belong together: there, the interpreter does not let another thread look.
    """

    __slots__ = (
        "_drawn", "_mean_gap", "_rated_at", "_rated_done", "active", "client_errors", "cpu_s", "done", "gap",
        "left", "on_draw", "queue_n", "queue_s", "seen", "server_errors", "service_s", "since", "starts", "wall_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.on_draw: list[Callable[[], None]] = []
        self.reset()
        self.reset_queue()

    def reset(self) -> None:
        """Start at zero."""
        self.seen = False
        self.since = _now()
        self.active = self.done = self.client_errors = self.server_errors = 0
        self.starts = 0.0  # sum of the start times of the requests in flight
        self.service_s = self.cpu_s = self.wall_s = 0.0
        self.gap = self.left = 1
        self._mean_gap = 1
        self._drawn = 1
        self._rated_at = 0.0
        self._rated_done = 0

    def all_timed(self) -> bool:
        """Say whether the rate is low enough to time each request."""
        return self._mean_gap == 1

    def draw(self) -> int:
        """Return for how many requests the one to be timed now stands, and draw how far away the next one is."""
        weight = self.gap
        self._drawn = (self._drawn * 1103515245 + 12345) & 0x7FFFFFFF
        self.gap = self.left = 1 + (self._drawn >> 8) % (2 * self._mean_gap - 1)
        for prepare in self.on_draw:
            prepare()
        return weight

    def queued(self, parsed_at: float) -> None:
        """Count the wait of a request that the server had parsed at `parsed_at` and that comes to its turn now."""
        waited = _now() - parsed_at
        self.queue_s += waited
        self.queue_n += 1

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish, once this process is known to serve ASGI."""
        if not self.seen:
            return
        active, starts, service_s, done = self.active, self.starts, self.service_s, self.done
        ages = active * at - starts
        if at - self._rated_at >= 1:
            self._mean_gap = max(1, int((done - self._rated_done) / (at - self._rated_at) / _TIMED_PER_S))
            self._rated_at, self._rated_done = at, done
        fields.update(
            requests_done=done,
            responses_4xx=self.client_errors,
            responses_5xx=self.server_errors,
            service_s=service_s,
            handler_cpu_s=self.cpu_s,
            handler_wall_s=self.wall_s,
        )
        # Python 3.9 may stop the loop thread between two changes. The ages are then off by a whole time.monotonic(),
        # which is more than anything can have lasted: left out for once.
        if -active - 1.0 < ages < (active + 0.5) * (at - self.since + 1.0):
            inflight_s = service_s + max(0.0, ages)
            fields.update(requests_started=done + active, inflight=active, inflight_s=inflight_s)

    def fill_queue(self, fields: dict[str, float], _at: float) -> None:
        """Publish the waits, once one was measured."""
        if self.queue_n:
            fields.update(queue_s=self.queue_s, queue_n=self.queue_n)

    def reset_queue(self) -> None:
        """Start at zero."""
        self.queue_s, self.queue_n = 0.0, 0


REQUESTS = Requests()
HOOK = Hook("requests", REQUESTS.fill, REQUESTS.reset)
QUEUE_HOOK = Hook("request queue", REQUESTS.fill_queue, REQUESTS.reset_queue)
RUNTIME.add(HOOK)
RUNTIME.add(QUEUE_HOOK)


class Call:
    """One request in progress."""

    __slots__ = ("began", "going", "scope", "send", "status")
    began: float
    going: bool
    scope: Any
    send: Any
    status: int

    def watched(self, message: Any) -> Any:
        """Stand in for the server's `send`."""
        try:
            if "status" in message:
                self.status = message["status"]
            elif message["type"] == "http.response.body":
                if "more_body" not in message or not message["more_body"]:
                    return self.last(message)
            elif message["type"] == "http.response.pathsend":
                return self.last(message)
        except Exception as error:
            HOOK.fail(error)
        return self.send(message)

    async def last(self, message: Any) -> None:
        """Send the last of the body; the request is over when the server has it."""
        await self.send(message)
        if self.going:
            self.finish()

    def finish(self) -> None:
        """Count the request as done."""
        self.going = False
        try:
            requests, began, status = REQUESTS, self.began, self.status
            took = _now() - began
            requests.active -= 1
            requests.starts -= began
            requests.service_s += took
            requests.done += 1
            row = row_of(self.scope, status)
            row.done += 1
            row.service_s += took
            if took > row.longest:  # noqa: PLR1730 - max() costs as much as all the rest
                row.longest = took
            if status >= CLIENT_ERROR:
                if status >= SERVER_ERROR:
                    requests.server_errors += 1
                    row.server_errors += 1
                else:
                    requests.client_errors += 1
                    row.client_errors += 1
        except Exception as error:
            HOOK.fail(error)

    def unfinished(self, *, raised: bool) -> None:
        """Count a request whose app ended without the last of its body.

        Without any answer the server sends 500 in the app's place, except to a client that is gone.
        """
        if not self.status and (raised or not _gone(self.send)):
            self.status = SERVER_ERROR
        self.finish()


def _gone(send: Any) -> bool:
    """Say whether the server knows that the client has hung up: uvicorn calls it `disconnected`, hypercorn `closed`."""
    server = getattr(send, "__self__", None)
    return bool(getattr(server, "disconnected", False) or getattr(server, "closed", False))


@types.coroutine
def _stepped(coroutine: Any, weight: int) -> Generator[Any, Any, Any]:
    """Drive a coroutine as `await` would, adding the time of each of its steps, `weight` times, to the figures."""
    advance, value = coroutine.send, None
    requests = REQUESTS
    while True:
        cpu, wall = _cpu(), _now()
        try:
            wanted = advance(value)
        except StopIteration as stop:
            return stop.value
        finally:
            requests.cpu_s += weight * (_cpu() - cpu)
            requests.wall_s += weight * (_now() - wall)
        try:
            value = yield wanted
            advance = coroutine.send
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            advance, value = coroutine.throw, error


def wrap(app: Any) -> Any:  # noqa: C901 - as below
    """Return the ASGI app with its HTTP requests counted; lifespan and websocket pass through.

    The frame of the coroutine it makes holds `scope`, which is where the await profile finds the route.
    """
    requests, copies, hook, now = REQUESTS, COPIES, HOOK, _now

    @functools.wraps(app, updated=())
    async def probed(scope: Any, receive: Any, send: Any) -> None:  # noqa: C901 - each call more costs 0.1 us a request
        if not requests.seen:
            hook.safely(serve, True)
        if scope["type"] != "http" or not hook.alive:
            await app(scope, receive, send)
            return
        try:
            call = Call()
            call.scope, call.send, call.going, call.status = scope, send, True, 0
            if copies.followed:
                scope[CALL_KEY] = call
            requests.left -= 1
            weight = 0 if requests.left else requests.draw()
            began = call.began = now()
            requests.active += 1
            requests.starts += began
        except Exception as error:
            hook.fail(error)
            await app(scope, receive, send)
            return
        try:
            running = app(scope, receive, call.watched)
            if weight and hasattr(running, "throw"):
                await _stepped(running, weight)
            else:
                await running
        except Exception:
            if call.going:
                call.unfinished(raised=True)
            raise
        except BaseException:  # cancelled: the client hung up, and nothing failed
            if call.going:
                call.finish()
            raise
        if call.going:
            call.unfinished(raised=False)

    return probed


def serve(inside: bool = False) -> None:
    """This process serves requests: watch its loop and publish.

    Outside a running asyncio loop, wait for the first call, from `inside`, which may be of another kind of loop.
    """
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is None and not inside:
        return
    REQUESTS.seen = True
    hook_loaded()
    if running is not None:
        loop.watch(running)
    RUNTIME.activate()
