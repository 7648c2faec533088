"""Requests, seen at the ASGI server: every framework, every middleware inside.

Counts what is in flight, how long it takes, how it ends, on which route, and what the loop thread spends in it. A
request lasts from the server's call of the app until the server took the last of its body: that is when the client has
it. What the app does afterwards (background tasks) is neither in flight nor service time, though its CPU is the
handler's.
"""

from __future__ import annotations

import asyncio
import time
import types
from typing import Any, Callable, Generator

from . import loop
from .hooks import hook_loaded
from .routes import CLIENT_ERROR, ROUTES_SEEN, SERVER_ERROR, Tally, begin_tally, end_tally
from .runtime import RUNTIME, Hook, dressed
from .templates import CALL_KEY, COPIES, ROWS, SCOPE_KEY, row_of

_TIMED_PER_S = 50
"""Steps of about so many requests a second are timed, each standing for those since the last; below twice this rate,
those of all. At 300 a second the timed ones (a generator, a subclass of the server's) cost a saturated worker several
percent of its throughput: they spoil what the interpreter has specialised for the others."""

_RATED_EVERY_S = 0.25
"""How soon a burst after a quiet time is met with fewer timed requests."""

_now = time.monotonic
_cpu = time.thread_time


class Requests:
    """Figures of this process's HTTP requests; how many are done, and how, is in the rows of their routes.

    Changed by the loop thread only, so without a lock (1 us a request), and never with a call between two changes that
    belong together: there, the interpreter does not let another thread look.
    """

    __slots__ = (
        "_begun", "_mean_gap", "_random", "_rated_at", "_rated_done", "cpu_s", "gap", "left", "on_draw", "queue_n",
        "queue_s", "seen", "since", "starts", "wall_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.on_draw: list[Callable[[], None]] = []
        self.reset()
        self.reset_queue()

    def reset(self) -> None:
        """Start at zero."""
        self.seen = False
        self.since = _now()
        self.starts = 0.0  # sum of the start times of the requests in flight
        self.cpu_s = self.wall_s = 0.0
        # Each request counts `left` down and is timed when it is 0: so it also tells how many have begun.
        self.left = self._begun = 0
        self.gap = self._mean_gap = self._random = 1
        self._rated_at = 0.0
        self._rated_done = 0

    def all_timed(self) -> bool:
        """Say whether the rate is low enough to time each request."""
        return self._mean_gap == 1

    def begun(self) -> int:
        """Return how many requests have begun."""
        return self._begun - self.left

    def draw(self) -> int:
        """Return for how many requests the one to be timed now stands, and draw how far away the next one is."""
        weight = self.gap
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        gap = self.gap = 1 + (self._random >> 8) % (2 * self._mean_gap - 1)
        self._begun += gap - self.left
        self.left = gap
        for prepare in self.on_draw:
            prepare()
        return weight

    def queued(self, parsed_at: float) -> None:
        """Count the wait of a request that the server had parsed at `parsed_at` and that comes to its turn now."""
        waited = _now() - parsed_at
        self.queue_s += waited
        self.queue_n += 1

    def _totals(self) -> tuple[float, int, dict[str, float]]:
        """Return the sum of the starts of the requests in flight, how many have begun, and the sums of the rows.

        All of one moment: without a request that begins or ends while the rows are summed up.
        """
        for _ in range(5):
            starts, begun = self.starts, self._begun - self.left
            sums = ROUTES_SEEN.totals()
            if (starts, begun) == (self.starts, self._begun - self.left):
                break
        return starts, begun, sums

    def fill(self, fields: dict[str, float], at: float) -> None:
        """Publish, once this process is known to serve ASGI."""
        if not self.seen:
            return
        starts, begun, sums = self._totals()
        done = int(sums["requests_done"])
        if at - self._rated_at >= _RATED_EVERY_S:
            self._mean_gap = max(1, int((done - self._rated_done) / (at - self._rated_at) / _TIMED_PER_S))
            self._rated_at, self._rated_done = at, done
        fields.update(sums, handler_cpu_s=self.cpu_s, handler_wall_s=self.wall_s)
        active = begun - done
        ages = active * at - starts
        # Python 3.9 may stop the loop thread between two changes. The ages are then off by a whole time.monotonic(),
        # which is more than anything can have lasted: left out for once.
        if -active - 1.0 < ages < (active + 0.5) * (at - self.since + 1.0):
            inflight_s = sums["service_s"] + max(0.0, ages)
            fields.update(requests_started=begun, inflight=active, inflight_s=inflight_s)

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

    __slots__ = ("began", "going", "row", "scope", "send", "status", "streams")
    began: float
    going: bool
    row: Any
    """Of its route; not there before it is done."""
    scope: Any
    send: Any
    status: int
    streams: bool

    def watched(self, message: Any) -> Any:
        """Stand in for the server's `send`.

        A body in one piece is the server's as soon as it is handed over. The last piece of a stream may have to wait
        until the client has taken the others.
        """
        try:
            if "status" in message:
                self.status = message["status"]
            elif message["type"] == "http.response.body":
                if "more_body" in message and message["more_body"]:  # noqa: RUF019 - get() costs twice as much
                    self.streams = True
                elif self.streams:
                    return self.last(message)
                elif self.going:
                    self.finish()
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
            scope, began, status = self.scope, self.began, self.status
            self.scope = None  # which may hold us, too: no rings for the garbage collector
            took = _now() - began
            try:
                route = scope["route"]
                if "fastapi" in scope or SCOPE_KEY in scope:
                    row = row_of(scope, status)
                else:
                    row = ROWS[id(route), scope["method"], scope["root_path"]]
            except KeyError:
                row = row_of(scope, status)
            self.row = row
            REQUESTS.starts -= began
            row.service_s += took
            row.done += 1
            if took > row.longest:  # noqa: PLR1730 - max() costs as much as all the rest
                row.longest = took
            if status >= CLIENT_ERROR:
                if status >= SERVER_ERROR:
                    row.server_errors += 1
                else:
                    row.client_errors += 1
        except Exception as error:
            HOOK.fail(error)

    def unfinished(self, *, raised: bool) -> None:
        """Count a request whose app ended without the last of its body.

        Without any answer the server sends 500 in the app's place, except to a client that is gone.
        """
        try:
            if not self.status and (raised or not _gone(self.send)):
                self.status = SERVER_ERROR
        except Exception as error:  # the server's objects may be of any kind
            HOOK.fail(error)
        self.finish()

    def broke(self, error: BaseException) -> None:
        """Count a request whose app raised; one that was cancelled did not fail: the client hung up."""
        if not self.going:
            return
        if isinstance(error, Exception):
            self.unfinished(raised=True)
        else:
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
            try:
                requests.cpu_s += weight * (_cpu() - cpu)
                requests.wall_s += weight * (_now() - wall)
            except Exception as error:
                HOOK.fail(error)
        try:
            value = yield wanted
            advance = coroutine.send
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            advance, value = coroutine.throw, error


def _counted(call: Call, tally: Tally | None) -> None:
    """Give the statements of a timed request to its route; one whose app raised before it answered has none."""
    end_tally(tally)
    row = getattr(call, "row", None)
    if tally is not None and row is not None:
        row.take(tally)


def wrap(app: Any) -> Any:
    """Return the ASGI app with its HTTP requests counted; lifespan and websocket pass through.

    The frame of the coroutine it makes holds `scope`, which is where the await profile finds the route.
    """
    return dressed(_probed(app), app)


def _probed(app: Any) -> Any:
    requests, copies, hook, now = REQUESTS, COPIES, HOOK, _now

    async def probed(scope: Any, receive: Any, send: Any) -> None:  # in one piece: a call costs 0.1 us a request
        if not requests.seen:
            hook.safely(serve, True)
        if scope["type"] != "http" or not hook.alive:
            await app(scope, receive, send)
            return
        try:
            call = Call()
            call.scope = scope
            call.send = send
            call.going = True
            call.streams = False
            call.status = 0
            if copies.followed:
                scope[CALL_KEY] = call
            weight = 0 if requests.left else requests.draw()
            began = call.began = now()
            requests.left -= 1
            requests.starts += began
        except Exception as error:
            hook.fail(error)
            await app(scope, receive, send)
            return
        try:
            running = app(scope, receive, call.watched)
            if weight and hasattr(running, "throw"):
                tally = hook.safely(begin_tally)
                try:
                    await _stepped(running, weight)
                finally:
                    hook.safely(_counted, call, tally)
            else:
                await running
        except BaseException as error:
            call.broke(error)
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
