"""Run Locust under pinchpoint's control: `python -m pinchpoint.stress.plugin -f FILE --host URL`.

The only module that imports Locust, which monkey-patches sockets, sleep and threads of its process. Any Locust file
runs unchanged; what this replaces is who decides when a user starts its next task (see `pacer`) and who measures (see
`digest`): Locust's own statistics round latencies and count from the send, so they are switched off.
"""

import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import locust
import locust.main
from gevent import getcurrent
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet, TaskSet
from locust.user.users import PytestUser

from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.errors import MeasurementError
from pinchpoint.recording import LineWriter
from pinchpoint.stress.alarm import Alarm
from pinchpoint.stress.control import FD_VARIABLE, SETTINGS_VARIABLE, Lines, Segment, Settings, pack
from pinchpoint.stress.digest import Digest, run_queue_s
from pinchpoint.stress.failures import kind_of
from pinchpoint.stress.loop_clock import LoopClock
from pinchpoint.stress.pacer import Pacer, Visit

VISIT = "pinchpoint_visit"
"""Attribute of a user's greenlet that holds its `Visit`."""

SPAWN_INTERVAL_S = 0.04
"""At most 25 new users a second: a burst of logins must not become the load."""

POPULATION_INTERVAL_S = 0.01
"""A population that was asked for is built faster: 100 a second, from where Locust itself warns."""

FIRST_INTERVAL_S = 0.001
SETUP_AT_ONCE = 2
"""Users in `on_start` at the same time: logins that hash passwords would otherwise be a load of their own."""

ROW_S = 1.0
DRAIN_POLL_S = 0.005
QUIT_PATIENCE_S = 3.0
"""After `stop`, `on_stop` methods that talk to a dead server get this long."""

REDIAL_AFTER = 50
"""Requests per connection (METHOD §5.5): keep-alive connections pin their requests to the worker that accepted them."""

LOG_RECORDS = 200
"""An app that fails every request would otherwise fill the disk with tracebacks and the CPU with formatting them."""


class Plugin:
    """One load process: Locust's hooks, the control socket and the digest writer."""

    def __init__(self, settings: Settings, channel: socket.socket) -> None:
        """Prepare; nothing runs before Locust fires its events."""
        self._settings = settings
        self._channel = channel
        self._clock = time.monotonic
        self._writer = LineWriter(Path(settings.folder) / f"client-{settings.process}.jsonl")
        busy_s = LoopClock(self._clock).busy_s
        self._digest = Digest(settings.process, os.getpid(), self._clock, time.process_time, run_queue_s, busy_s)
        self._pacer = Pacer(self._digest, self._clock, settings.seed)
        self._pacer.on_end = self._flush
        self._environment: Any = None
        self._visits: set[Visit] = set()
        self._spawned: dict[str, int] = {}
        self._ready = False
        self._population = 0
        self._max_users = settings.max_users
        self._pending: gevent.Greenlet | None = None
        self._redials = 0
        self._last_error = ""

    # --- Locust's hooks ---------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Register everything; call before `locust.main.main()`."""
        events: Any = locust.events
        events.init.add_listener(self._on_init)
        events.request.add_listener(self._on_request)
        events.user_error.add_listener(self._on_user_error)
        events.spawning_complete.add_listener(self._on_test_started)
        # `DefaultTaskSet` runs once per user, right after `User.on_start`: there the first task waits.
        root: Any = DefaultTaskSet
        root.on_start = lambda taskset: self._pause(taskset)  # noqa: PLW0108 - a bound method would get no taskset
        tasks: Any = TaskSet
        tasks.wait = self._paced(tasks.wait)
        fast: Any = FastHttpSession
        fast.request = self._timed(fast.request, {})
        plain: Any = HttpSession
        plain.request = self._timed(plain.request, {"timeout": self._settings.timeout_s})

    def _on_init(self, environment: Any, **_: Any) -> None:
        """Take the population and the statistics out of Locust's hands, whatever its configuration files say."""
        self._environment = environment
        options = environment.parsed_options
        options.num_users, options.spawn_rate, options.run_time = 0, 1, None
        environment.shape_class = None
        environment.process_exit_code = 0
        hooks = environment.events.request._handlers  # noqa: SLF001 - Locust cannot switch its statistics off
        hooks[:] = [hook for hook in hooks if not getattr(hook, "__qualname__", "").startswith("Runner.__init__")]
        if any(issubclass(cls, PytestUser) for cls in environment.user_classes):
            self.fail("the Locust file holds pytest functions; write User classes with tasks instead")
        for cls in environment.user_classes:
            self._bound_timeouts(cls)
        for handler in logging.getLogger().handlers:
            handler.addFilter(_Limit(LOG_RECORDS))

    def _bound_timeouts(self, user_class: Any) -> None:
        """Give FastHttpUser classes that set no timeout ours, in place of Locust's 60 s."""
        for name in ("connection_timeout", "network_timeout"):
            if hasattr(locust.FastHttpUser, name) and getattr(user_class, name, None) == getattr(
                locust.FastHttpUser, name
            ):
                setattr(user_class, name, self._settings.timeout_s)

    def _on_test_started(self, **_: Any) -> None:
        """Start our own loops once Locust's runner stands."""
        if not self._visits and not self._ready:
            for loop in (self._spawn_users, self._write_rows, self._obey):
                gevent.spawn(loop).link_exception(self._crash)

    def _paced(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a `TaskSet.wait` that leaves the waiting to the pacer."""

        def wait(taskset: Any) -> None:
            visit = getattr(getcurrent(), VISIT, None)
            if visit is None or visit.setup:
                original(taskset)
            else:
                self._pause(taskset)

        return wait

    def _pause(self, taskset: Any) -> None:
        """Wait between two tasks, or for the first, with the states that Locust's own wait sets."""
        user = taskset.user
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001 - as Locust's own wait does
            raise StopUser
        user._state = LOCUST_STATE_WAITING  # noqa: SLF001
        visit: Visit = getattr(getcurrent(), VISIT)
        self._redial(visit, user)
        self._pacer.pause(visit, taskset.wait_time)
        user._state = LOCUST_STATE_RUNNING  # noqa: SLF001

    def _timed(self, original: Callable[..., Any], defaults: dict[str, Any]) -> Callable[..., Any]:
        """Return a client method that notes when a request leaves and counts it as in flight."""
        digest, clock = self._digest, self._clock

        def request(session: Any, *args: Any, **kwargs: Any) -> Any:
            now_s = clock()
            visit = getattr(getcurrent(), VISIT, None)
            if visit is not None:
                visit.sent_s = now_s
            digest.enter(now_s)
            try:
                return original(session, *args, **{**defaults, **kwargs})
            finally:
                digest.leave(clock())

        return request

    def _on_request(
        self,
        name: str,
        response_time: float | None,
        response_length: int | None,
        exception: BaseException | None = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        """Count one request. `response_time` is the client's, in milliseconds, from the send to the whole response."""
        service_s = None if response_time is None else response_time / 1000
        latency_s = service_s
        visit = getattr(getcurrent(), VISIT, None)
        if visit is not None:
            visit.requests += 1
            visit.since_dial += 1
            if visit.setup:
                name = SETUP_PREFIX + name
            elif visit.due_s is not None and service_s is not None:
                sent_s = visit.sent_s if visit.sent_s >= visit.start_s else self._clock() - service_s
                latency_s = service_s + max(0.0, sent_s - visit.due_s)
                visit.due_s = None
        status = getattr(response, "status_code", None)
        error = None if exception is None else kind_of(exception, status if isinstance(status, int) else 0)
        self._digest.complete(name, service_s, latency_s, error, response_length or 0)

    def _on_user_error(self, exception: BaseException, **_: Any) -> None:
        """Count a task that broke before it sent anything; remember why, should nobody get through `on_start`."""
        kind = type(exception).__name__
        self._last_error = f"{kind}: {exception}".splitlines()[0]
        visit = getattr(getcurrent(), VISIT, None)
        if visit is not None and not visit.setup and visit.requests == 0:
            visit.requests = 1
            self._digest.complete("(task)", None, None, kind, 0)

    def _redial(self, visit: Visit, user: Any) -> None:
        """Close a user's idle connections now and then, unless the Locust file shares them between users."""
        if visit.since_dial < REDIAL_AFTER or not str(user.host).startswith("http://"):
            return
        visit.since_dial = 0
        client = getattr(user, "client", None)
        if isinstance(client, FastHttpSession) and user.client_pool is None:
            client.client.clientpool.close()
        elif isinstance(client, HttpSession) and user.pool_manager is None:
            client.close()
        else:
            return
        self._redials += 1

    # --- population -------------------------------------------------------------------------------------------------

    def _spawn_users(self) -> None:
        """Keep enough users: the first ones at once, more when arrivals find nobody free or the model asks for more."""
        first = min(self._settings.start_users, self._settings.max_users)
        while True:
            in_setup = sum(1 for visit in self._visits if visit.setup)
            if not self._ready:
                self._check_ready(first, in_setup)
            target = self._pacer.target_users
            if self._ready and target is None:
                wanted = self._pacer.starving > in_setup and len(self._visits) < self._max_users
            else:
                wanted = len(self._visits) < (first if target is None else target)
            if wanted and in_setup < SETUP_AT_ONCE:
                self._spawn_one()
            gevent.sleep(self._spawn_interval_s())

    def _spawn_interval_s(self) -> float:
        if not self._ready:
            return FIRST_INTERVAL_S
        return SPAWN_INTERVAL_S if self._pacer.target_users is None else POPULATION_INTERVAL_S

    def _check_ready(self, first: int, in_setup: int) -> None:
        started = sum(self._spawned.values())
        if started < first or in_setup:
            return
        if not self._visits:
            self.fail(f"no user got through on_start: {self._last_error or 'it ended without an error'}")
        self._ready = True
        gc.collect()
        gc.freeze()
        self._tell({"event": "ready", "pid": os.getpid()})

    def _spawn_one(self) -> None:
        """Start one user of the class that is furthest behind its share."""
        user_class = min(self._environment.user_classes, key=self._crowding)
        name = user_class.__name__
        self._spawned[name] = self._spawned.get(name, 0) + 1
        try:
            user = self._environment.runner.spawn_users({name: 1})[0]
        except Exception as error:  # noqa: BLE001 - anything may happen in a user's __init__
            self.fail(f"{name} cannot be created: {type(error).__name__}: {error}")
        visit = Visit()
        visit.since_dial = len(self._visits) * 7 % REDIAL_AFTER  # spread, so that users do not redial all at once
        setattr(user.greenlet, VISIT, visit)
        self._visits.add(visit)
        user.greenlet.link(lambda _: self._gone(visit))

    def _crowding(self, user_class: Any) -> float:
        spawned = self._spawned.get(user_class.__name__, 0)
        if user_class.fixed_count:
            return -1.0 if spawned < user_class.fixed_count else float("inf")
        return float((spawned + 1) / max(user_class.weight, 1e-9))

    def _gone(self, visit: Visit) -> None:
        self._visits.discard(visit)
        self._pacer.gone(visit)

    # --- rows and control -------------------------------------------------------------------------------------------

    def _write_rows(self) -> None:
        while True:
            gevent.sleep(max(0.0, self._digest.tally.t0_s + ROW_S - self._clock()))
            if self._clock() - self._digest.tally.t0_s >= ROW_S:
                self._flush()
                self._tell_users()

    def _flush(self) -> None:
        """End the row in force and write it."""
        segment = self._pacer.segment
        asked, there = self._pacer.population, len(self._visits)
        users = there if asked is None else min(asked, there)
        row = self._digest.render(self._digest.cut(), segment, users, lambda: gevent.sleep(0))
        self._writer.write(row)

    def _tell_users(self) -> None:
        if len(self._visits) != self._population:
            self._population = len(self._visits)
            self._tell({"event": "users", "count": self._population})

    def _obey(self) -> None:
        """Carry out what the engine says until it says stop or is gone."""
        lines = Lines()
        while True:
            try:
                data = self._channel.recv(65_536)
            except OSError:
                data = b""
            if not data:
                self._end(0)
            for message in lines.feed(data):
                self._carry_out(message)

    def _carry_out(self, message: dict[str, Any]) -> None:
        match message.get("cmd"):
            case "segment":
                self._announce(Segment.from_message(message))
            case "idle":
                self._forget_pending()
                self._flush()
                self._pacer.idle(message["id"])
                gevent.spawn(self._drain, message["id"]).link_exception(self._crash)
            case "stop":
                self._forget_pending()
                gevent.spawn_later(QUIT_PATIENCE_S, self._end, 0)
                self._pacer.idle(self._pacer.segment)
                self._flush()
                self._environment.runner.quit()

    def _announce(self, segment: Segment) -> None:
        """Put a load level in force when its time comes, and say at once when that will be."""
        self._forget_pending()
        now_s = self._clock()
        start_s = now_s if segment.at_s is None else max(now_s, segment.at_s)
        self._pending = gevent.spawn(self._begin, segment, start_s)
        self._pending.link_exception(self._crash)
        self._tell({"event": "segment", "id": segment.id, "t_s": start_s})

    def _begin(self, segment: Segment, start_s: float) -> None:
        alarm = Alarm(self._clock)
        try:
            alarm.sleep_until(start_s)
        finally:
            alarm.close()
        self._pending = None
        if segment.max_users is not None:
            self._max_users = segment.max_users
        self._flush()
        self._pacer.begin(segment, start_s)

    def _forget_pending(self) -> None:
        if self._pending is not None:
            self._pending.kill(block=False)
            self._pending = None

    def _drain(self, idle: int) -> None:
        """Say when nothing is in flight, unless load was asked for again in the meantime."""
        gevent.sleep(DRAIN_POLL_S)
        while self._pacer.segment == idle and (self._pacer.busy or self._digest.inflight):
            gevent.sleep(DRAIN_POLL_S)
        if self._pacer.segment == idle:
            self._flush()
            self._tell({"event": "drained", "id": idle, "redials": self._redials})

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._channel.sendall(pack(message))
        except OSError:
            self._end(0)

    def fail(self, message: str) -> None:
        """Tell the engine why there will be no load, and end."""
        self._tell({"event": "error", "message": message})
        self._end(1)

    def _crash(self, greenlet: Any) -> None:
        self.fail(f"the load generator failed: {type(greenlet.exception).__name__}: {greenlet.exception}")

    def _end(self, code: int) -> None:
        """Exit at once: the engine is gone or knows why, and users may hang in requests."""
        try:
            self._flush()
        except MeasurementError:
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Limit(logging.Filter):
    """Let the first records through and drop the rest."""

    def __init__(self, records: int) -> None:
        super().__init__()
        self._left = records

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the signature is logging's
        self._left -= 1
        return self._left >= 0


def main() -> None:
    """Run Locust with the arguments given, controlled through the inherited socket."""
    settings = Settings.from_json(os.environ[SETTINGS_VARIABLE])
    channel = socket.socket(fileno=int(os.environ[FD_VARIABLE]))
    plugin = Plugin(settings, channel)
    plugin.install()
    sys.argv += ["--headless", "--only-summary", "--loglevel", "WARNING"]
    run: Any = locust.main.main
    try:
        run()
    except Exception as error:  # noqa: BLE001 - the Locust file runs arbitrary code when it is loaded
        plugin.fail(f"the Locust file cannot be loaded: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
