"""What happens around each request of a Locust user: when it left, how it ended, when its connection is renewed."""

import time
from collections.abc import Callable
from typing import Any

import locust
from gevent import getcurrent
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.stress.client_costs import make_cheaper
from pinchpoint.stress.digest import Digest
from pinchpoint.stress.failures import kind_of
from pinchpoint.stress.pacer import Visit
from pinchpoint.stress.population import REDIAL_INTERVAL_S, VISIT
from pinchpoint.stress.request_log import RequestLog

MS_PER_S = 1000


class Clients:
    """Watches Locust's two HTTP clients."""

    def __init__(self, digest: Digest, timeout_s: float, requests: RequestLog | None = None) -> None:
        """Count in `digest`; `timeout_s` is for requests whose Locust file sets none."""
        self._digest = digest
        self._clock = time.monotonic
        self._timeout_s = timeout_s
        self._requests = requests
        self.redials = 0
        self.last_error = ""

    def install(self) -> None:
        """Take hold of the clients; before any user is created."""
        make_cheaper()
        fast: Any = FastHttpSession
        fast.request = self._timed(fast.request)
        plain: Any = HttpSession
        bounded = plain.request
        plain.request = self._timed(lambda session, *args, **kw: bounded(session, *args, **{**self._defaults, **kw}))

    @property
    def _defaults(self) -> dict[str, Any]:
        return {"timeout": self._timeout_s}

    def bound_timeouts(self, user_class: Any) -> None:
        """Give FastHttpUser classes that set no timeout ours, in place of Locust's 60 s."""
        for name in ("connection_timeout", "network_timeout"):
            if hasattr(locust.FastHttpUser, name) and getattr(user_class, name, None) == getattr(
                locust.FastHttpUser, name
            ):
                setattr(user_class, name, self._timeout_s)

    def on_request(
        self,
        name: str,
        response_time: float | None,
        response_length: int | None,
        exception: BaseException | None = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        """Count one request. `response_time` is the client's, in milliseconds, from the send to the whole response."""
        service_s = None if response_time is None else response_time / MS_PER_S
        latency_s = service_s
        visit: Visit | None = getattr(getcurrent(), VISIT, None)
        due_s = sent_s = None
        if visit is not None:
            visit.requests += 1
            visit.since_dial += 1
            if visit.sent_s >= visit.start_s:
                sent_s = visit.sent_s
        if sent_s is None:
            sent_s = self._clock() - (service_s or 0.0)
        if visit is not None:
            if visit.setup:
                visit.logged_in = True
                name = SETUP_PREFIX + name
            elif visit.due_s is not None and service_s is not None:
                due_s, visit.due_s = visit.due_s, None
                latency_s = service_s + max(0.0, sent_s - due_s)
        error = None
        if exception is not None:
            status = getattr(response, "status_code", None)
            error = kind_of(exception, status if isinstance(status, int) else 0)
        self._digest.complete(name, service_s, latency_s, error, response_length or 0)
        if self._requests is not None:
            outcome = error or str(getattr(response, "status_code", None) or "ok")
            self._requests.add(due_s, sent_s, sent_s + (service_s or 0.0), name, outcome, response_length or 0)

    def on_user_error(self, exception: BaseException, **_: Any) -> None:
        """Count a task that broke before it sent anything; remember why, should nobody get through `on_start`."""
        kind = type(exception).__name__
        self.last_error = f"{kind}: {exception}".splitlines()[0]
        visit: Visit | None = getattr(getcurrent(), VISIT, None)
        if visit is not None and not visit.setup and visit.requests == 0:
            visit.requests = 1
            self._digest.complete("(task)", None, None, kind, 0)

    def redial(self, visit: Visit, user: Any) -> None:
        """Close a user's idle connections, at most now and then, and unless the Locust file shares them between users.

        Called once it has sent `REDIAL_AFTER` requests.
        """
        if visit.free_s < visit.dialled_s + REDIAL_INTERVAL_S:
            return
        visit.since_dial = 0
        visit.dialled_s = visit.free_s
        if not str(user.host).startswith("http://"):
            return
        client = getattr(user, "client", None)
        if isinstance(client, FastHttpSession) and user.client_pool is None:
            client.client.clientpool.close()
        elif isinstance(client, HttpSession) and user.pool_manager is None:
            client.close()
        else:
            return
        self.redials += 1

    def _timed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a client method that notes when a request leaves and counts it as in flight."""
        enter, leave, clock = self._digest.enter, self._digest.leave, self._clock

        def request(session: Any, *args: Any, **kwargs: Any) -> Any:
            now_s = clock()
            visit = getattr(getcurrent(), VISIT, None)
            if visit is not None:
                visit.sent_s = now_s
            enter(now_s)
            try:
                return original(session, *args, **kwargs)
            finally:
                leave(clock())

        return request
