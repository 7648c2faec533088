"""Run Locust under pinchpoint's control: `python -m pinchpoint.stress.plugin -f FILE --host URL`.

Only `plugin` and `plugin_clients` import Locust, which monkey-patches sockets, sleep and threads of its process. Any
Locust file runs unchanged; what this replaces is who decides when a user starts its next task (see `pacer`) and who
measures (see `digest`): Locust's own statistics round latencies and count from the send, so they are switched off.
"""

import gc
import logging
import math
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
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet, TaskSet
from locust.user.users import PytestUser

from pinchpoint.errors import MeasurementError
from pinchpoint.recording import LineWriter
from pinchpoint.stress.alarm import Alarm
from pinchpoint.stress.capture import capture_of
from pinchpoint.stress.control import FD_VARIABLE, SETTINGS_VARIABLE, Lines, Segment, Settings, pack
from pinchpoint.stress.digest import Digest, run_queue_s
from pinchpoint.stress.early import await_start
from pinchpoint.stress.fence import set_fence
from pinchpoint.stress.loop_clock import LoopClock
from pinchpoint.stress.pacer import Pacer, Visit
from pinchpoint.stress.plugin_clients import Clients
from pinchpoint.stress.population import REDIAL_AFTER, VISIT, Population, UserError
from pinchpoint.stress.request_log import RequestLog
from pinchpoint.stress.row_writer import RowWriter

ROW_S = 1.0
LEAST_ROW_S = 0.01
"""A level that ends within this time ends its row; no other is begun for the rest."""

DRAIN_POLL_S = 0.005
QUIT_PATIENCE_S = 3.0
"""After `stop`, `on_stop` methods that talk to a dead server get this long."""

LOG_RECORDS = 200
"""An app that fails every request would otherwise fill the disk with tracebacks and the CPU with formatting them."""


class Plugin:
    """One load process: Locust's hooks, the control socket and the digest writer."""

    def __init__(self, settings: Settings, channel: socket.socket) -> None:
        """Prepare; nothing runs before Locust fires its events."""
        self._settings = settings
        self._channel = channel
        self._clock = time.monotonic
        folder, process = Path(settings.folder), settings.process
        log = RequestLog(folder / f"requests-{process}.csv") if settings.requests else None
        busy_s = LoopClock(self._clock).busy_s
        self._digest = Digest(process, os.getpid(), self._clock, time.process_time, run_queue_s, busy_s)
        self._rows = RowWriter(self._digest, LineWriter(folder / f"client-{process}.jsonl"), log)
        self._clients = Clients(self._digest, settings.timeout_s, log)
        self._pacer = Pacer(self._digest, self._clock, settings.seed)
        self._pacer.on_cut = self._cut
        self._pacer.on_crash = self._crash
        if log is not None:
            self._pacer.on_unsent = log.unsent
        self._population = Population(self._pacer, settings.start_users, settings.max_users)
        self._population.why_none = lambda: self._clients.last_error
        self._alarm = Alarm(self._begin, self._clock)
        self._pending: tuple[Segment, float] | None = None
        self._environment: Any = None
        self._capture = capture_of(process, os.environ)
        self._anchor_s = self._clock()
        self._told_users = 0

    # --- Locust's hooks ---------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Register everything; call before `locust.main.main()`."""
        events: Any = locust.events
        events.init.add_listener(self._on_init)
        events.request.add_listener(self._clients.on_request)
        if self._capture is not None:
            events.request.add_listener(self._capture.on_request)
        events.user_error.add_listener(self._clients.on_user_error)
        events.spawning_complete.add_listener(self._on_test_started)
        # `DefaultTaskSet` runs once per user, right after `User.on_start`: there the first task waits.
        root: Any = DefaultTaskSet
        root.on_start = lambda taskset: self._pause(taskset, getattr(getcurrent(), VISIT))
        tasks: Any = TaskSet
        tasks.wait = self._paced(tasks.wait)
        self._clients.install()

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
            self._clients.bound_timeouts(cls)
        for handler in logging.getLogger().handlers:
            handler.addFilter(_Limit(LOG_RECORDS))

    def _on_test_started(self, **_: Any) -> None:
        """Start our own loops once Locust's runner stands."""
        if not self._population and not self._population.ready:
            for loop in (self._keep_users, self._cut_rows, self._rows.run, self._obey):
                gevent.spawn(loop).link_exception(lambda greenlet: self._crash(greenlet.exception))

    def _paced(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a `TaskSet.wait` that leaves the waiting to the pacer."""

        def wait(taskset: Any) -> None:
            visit = getattr(getcurrent(), VISIT, None)
            if visit is None or visit.setup:
                original(taskset)
            else:
                self._pause(taskset, visit)

        return wait

    def _pause(self, taskset: Any, visit: Visit) -> None:
        """Wait between two tasks, or for the first, with the states that Locust's own wait sets."""
        user = taskset.user
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001 - as Locust's own wait does
            raise StopUser
        user._state = LOCUST_STATE_WAITING  # noqa: SLF001
        if visit.since_dial >= REDIAL_AFTER:
            self._clients.redial(visit, user)
        if not self._pacer.pause(visit, taskset.wait_time):
            # `constant_pacing` counts from its last call, or from a user's creation: that was before it was at rest.
            taskset._cp_last_run = user._cp_last_run = time.perf_counter()  # noqa: SLF001
            taskset._cp_last_wait_time = user._cp_last_wait_time = 0.0  # noqa: SLF001
        user._state = LOCUST_STATE_RUNNING  # noqa: SLF001

    # --- users and rows ---------------------------------------------------------------------------------------------

    def _keep_users(self) -> None:
        environment = self._environment
        self._population.keep(environment.runner, environment.user_classes, self._on_ready)

    def _on_ready(self) -> None:
        gc.collect()
        gc.freeze()
        self._tell({"event": "ready", "pid": os.getpid()})

    def _cut_rows(self) -> None:
        """Cut a row at each whole second since the level took force, so that rows of several processes line up."""
        while True:
            anchor_s = self._anchor_s
            next_s = anchor_s + (math.floor((self._clock() - anchor_s) / ROW_S) + 1) * ROW_S
            while anchor_s == self._anchor_s and (left_s := next_s - self._clock()) > 0:
                gevent.sleep(left_s)
            if anchor_s == self._anchor_s and next_s < self._pacer.end_s - LEAST_ROW_S:
                self._pacer.sync()
                self._rows.cut(self._pacer.segment, self._population.counted)
            self._tell_users()

    def _cut(self) -> None:
        """End the row in force because what was offered is over; the next ones count from here."""
        self._rows.cut(self._pacer.segment, self._population.counted)
        self._anchor_s = self._clock()

    def _tell_users(self) -> None:
        if len(self._population) != self._told_users:
            self._told_users = len(self._population)
            self._tell({"event": "users", "count": self._told_users})

    # --- control ----------------------------------------------------------------------------------------------------

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
                self._pacer.idle(message["id"])
                self._end_capture()
                gevent.spawn(self._drain, message["id"]).link_exception(lambda green: self._crash(green.exception))
            case "stop":
                self._forget_pending()
                gevent.spawn_later(QUIT_PATIENCE_S, self._end, 0)
                self._pacer.idle(self._pacer.segment)
                self._rows.drain()
                self._environment.runner.quit()

    def _end_capture(self) -> None:
        """Keep no more answers: what a measured step sends must cost as little as it can."""
        if self._capture is not None:
            self._environment.events.request.remove_listener(self._capture.on_request)
            self._capture.close()
            self._capture = None

    def _announce(self, segment: Segment) -> None:
        """Put a load level in force when its time comes, and say at once when that will be."""
        now_s = self._clock()
        start_s = now_s if segment.at_s is None else max(now_s, segment.at_s)
        self._pending = (segment, start_s)
        self._pacer.join(start_s)
        self._alarm.set(start_s)
        self._tell({"event": "segment", "id": segment.id, "t_s": start_s})

    def _begin(self) -> None:
        """Put the announced level in force. In the hub: nothing here may block."""
        if self._pending is None:
            return
        (segment, start_s), self._pending = self._pending, None
        try:
            if segment.max_users is not None:
                self._population.max_users = segment.max_users
            self._pacer.begin(segment, start_s)
            self._anchor_s = start_s
        except Exception as error:  # noqa: BLE001 - whatever it is, there would be no load
            self._crash(error)

    def _forget_pending(self) -> None:
        self._pending = None
        self._alarm.cancel()

    def _drain(self, idle: int) -> None:
        """Say when nothing is in flight, unless load was asked for again in the meantime."""
        gevent.sleep(DRAIN_POLL_S)
        while self._pacer.segment == idle and (self._pacer.busy or self._digest.inflight):
            gevent.sleep(DRAIN_POLL_S)
        if self._pacer.segment == idle:
            self._cut()
            self._rows.drain()
            self._tell({"event": "drained", "id": idle, "redials": self._clients.redials})

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._channel.sendall(pack(message))
        except OSError:
            self._end(0)

    def fail(self, message: str) -> None:
        """Tell the engine why there will be no load, and end."""
        self._tell({"event": "error", "message": message})
        self._end(1)

    def _crash(self, error: Exception) -> None:
        known = isinstance(error, UserError)
        self.fail(str(error) if known else f"the load generator failed: {type(error).__name__}: {error}")

    def _end(self, code: int) -> None:
        """Exit at once: the engine is gone or knows why, and users may hang in requests."""
        try:
            self._pacer.sync()
            self._cut()
            self._rows.drain()
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
    set_fence()
    settings = Settings.from_json(os.environ[SETTINGS_VARIABLE])
    channel = socket.socket(fileno=int(os.environ[FD_VARIABLE]))
    plugin = Plugin(settings, channel)
    plugin.install()
    await_start(os.environ)
    sys.argv += ["--headless", "--only-summary", "--loglevel", "WARNING"]
    run: Any = locust.main.main
    try:
        run()
    except Exception as error:  # noqa: BLE001 - the Locust file runs arbitrary code when it is loaded
        plugin.fail(f"the Locust file cannot be loaded: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
