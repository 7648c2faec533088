"""Decide when each Locust user starts its next iteration: by a shared schedule of arrivals, or by its own think time.

Every user runs in a greenlet of its own and calls `pause` between two iterations. In the rate model a dispatcher hands
each due arrival to the user that has been free longest; when nobody is free the arrival waits, and the next user to
finish takes the oldest. The wait is part of the request's latency: that is what an open load means.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent
from gevent.event import Event
from gevent.hub import Waiter, get_hub

from pinchpoint.stress.alarm import Alarm
from pinchpoint.stress.arrivals import Arrivals, Rate, even_marks, poisson_marks
from pinchpoint.stress.control import Segment
from pinchpoint.stress.digest import Digest


@dataclass(slots=True, eq=False)
class Visit:
    """One user, as the pacer sees it."""

    setup: bool = True
    """Still in `on_start`: its requests are no load."""
    busy: bool = False
    free_s: float = 0.0
    """When it last became free."""
    start_s: float = 0.0
    """When it last started an iteration."""
    due_s: float | None = None
    """Arrival whose first request is still to come; None in the users model and after that request."""
    sent_s: float = 0.0
    """When it last sent a request."""
    iterations: int = 0
    requests: int = 0
    """Requests in this iteration."""
    since_dial: int = 0
    """Requests since it last dialled anew."""
    epoch: int = -1
    """Segment that admitted it, in the users model."""


@dataclass(slots=True, eq=False)
class _Free:
    """A user that waits for an arrival."""

    visit: Visit
    waiter: "Waiter[float | None]" = field(default_factory=Waiter)


class Pacer:
    """One load process's schedule. All methods run in gevent's hub thread."""

    def __init__(self, digest: Digest, clock: Callable[[], float], seed: int) -> None:
        """Start idle."""
        self._digest = digest
        self._clock = clock
        self._seed = seed
        self._free: deque[_Free] = deque()
        self._changed = Event()
        self._arrivals: Arrivals | None = None
        self._dispatcher: gevent.Greenlet | None = None
        self._target: int | None = None
        self.population: int | None = None
        """Users that the last segment asked for, also after its end; None in the rate model."""
        self._admitted = 0
        self._epoch = 0
        self.segment = 0
        self.busy = 0
        self.on_end: Callable[[], None] = lambda: None
        """Called when a segment has run its whole duration."""

    @property
    def starving(self) -> int:
        """Arrivals that are due while no user is free; 0 in the users model."""
        return self._arrivals.waiting if self._arrivals is not None and not self._free else 0

    @property
    def target_users(self) -> int | None:
        """Population to keep up now; None in the rate model and when nothing is offered."""
        return self._target

    def begin(self, segment: Segment, start_s: float) -> None:
        """Put a load level in force that starts at `start_s`, now or just past.

        What the last one left unclaimed is dropped as unsent.
        """
        self.idle(segment.id)
        self.population = None
        if segment.model == "users":
            self._target = self.population = segment.users
            self._dispatcher = gevent.spawn(self._expire, start_s + segment.duration_s)
            self._wake_free()
        else:
            end_rps = segment.rate_rps if segment.end_rate_rps is None else segment.end_rate_rps
            rate = Rate(segment.rate_rps, end_rps, segment.duration_s)
            self._arrivals = Arrivals(rate, start_s, self._marks(segment, rate.total()))
            self._dispatcher = gevent.spawn(self._dispatch, self._arrivals)

    def idle(self, segment: int) -> None:
        """Offer nothing more; iterations under way finish."""
        if self._dispatcher is not None:
            self._dispatcher.kill(block=False)
            self._dispatcher = None
        self.segment = segment
        self._close()

    def pause(self, visit: Visit, think: Callable[[], float]) -> None:
        """End this user's iteration and return when its next one shall start.

        Args:
            visit: the calling greenlet's own.
            think: seconds between two iterations in the users model; called at most once.

        """
        visit.free_s = self._clock()
        visit.setup = False
        self._release(visit)
        wake_s: float | None = None
        while True:
            if self._admit(visit):
                if wake_s is None:
                    # Locust's users start their first task at once; a rested one thinks from when it is called.
                    wake_s = self._clock() + (think() if visit.iterations else 0.0)
                self._sleep_until(wake_s)
                if visit.epoch == self._epoch:
                    self._start(visit, wake_s, None)
                    return
            else:
                due_s = self._await_arrival(visit)
                if due_s is not None:
                    self._start(visit, due_s, due_s)
                    return

    def gone(self, visit: Visit) -> None:
        """Forget a user whose greenlet has ended."""
        visit.setup = False
        self._release(visit)
        if self._target is not None and visit.epoch == self._epoch:
            self._admitted -= 1

    def _marks(self, segment: Segment, total: float) -> Iterator[float]:
        if segment.spacing == "even":
            return even_marks(segment.part, segment.parts)
        return poisson_marks(f"{self._seed} {segment.id} {segment.part}", total, segment.part, segment.parts)

    def _release(self, visit: Visit) -> None:
        if visit.busy:
            visit.busy = False
            self.busy -= 1

    def _admit(self, visit: Visit) -> bool:
        """Tell whether this user is part of the population; users beyond it rest, nobody is killed mid-request."""
        if self._target is None:
            return False
        if visit.epoch != self._epoch:
            if self._admitted >= self._target:
                return False
            self._admitted += 1
            visit.epoch = self._epoch
        return True

    def _sleep_until(self, wake_s: float) -> None:
        """Sleep until `wake_s`, or until another load level comes into force."""
        left_s = wake_s - self._clock()
        if left_s > 0:
            self._changed.wait(left_s)
        else:
            gevent.sleep(0)

    def _await_arrival(self, visit: Visit) -> float | None:
        """Return when the arrival handed to this user was due; None when another load level came into force."""
        due_s = self._claim()
        if due_s is not None:
            return due_s
        free = _Free(visit)
        self._free.append(free)
        try:
            handed_s: float | None = free.waiter.get()
        except BaseException:
            # Killed while waiting: nobody may hand it an arrival any more.
            if free in self._free:
                self._free.remove(free)
            raise
        return handed_s

    def _claim(self) -> float | None:
        """Take the oldest due arrival, unless a user that has been free longer waits for it."""
        arrivals = self._arrivals
        if arrivals is None or self._free:
            return None
        now_s = self._clock()
        if now_s >= arrivals.end_s:
            return None
        self._digest.tally.scheduled += arrivals.advance(now_s)
        return arrivals.claim()

    def _start(self, visit: Visit, ready_s: float, due_s: float | None) -> None:
        visit.start_s = self._clock()
        visit.due_s = due_s
        visit.requests = 0
        visit.iterations += 1
        visit.busy = True
        self.busy += 1
        self._digest.start(max(0.0, visit.start_s - max(ready_s, visit.free_s)))

    def _dispatch(self, arrivals: Arrivals) -> None:
        """Hand out arrivals as they become due, until the segment ends."""
        alarm = Alarm(self._clock)
        try:
            while (now_s := self._clock()) < arrivals.end_s:
                self._digest.tally.scheduled += arrivals.advance(now_s)
                self._hand_out(arrivals)
                next_s = arrivals.next_due_s
                alarm.sleep_until(arrivals.end_s if next_s is None else next_s)
        finally:
            alarm.close()
        self._digest.tally.scheduled += arrivals.advance(arrivals.end_s)
        self._hand_out(arrivals)
        gevent.sleep(0)  # those that were handed one start before the row ends
        self._finish()

    def _hand_out(self, arrivals: Arrivals) -> None:
        loop = get_hub().loop
        while self._free and (due_s := arrivals.claim()) is not None:
            loop.run_callback(self._free.popleft().waiter.switch, due_s)

    def _expire(self, end_s: float) -> None:
        """Let a population rest when its time is up."""
        while (left_s := end_s - self._clock()) > 0 and not math.isinf(end_s):
            gevent.sleep(left_s)
        self._finish()

    def _finish(self) -> None:
        self._dispatcher = None
        self._close()
        self.on_end()

    def _close(self) -> None:
        """Drop what is unclaimed; users asleep between two iterations wake up to see that nothing is offered."""
        if self._arrivals is not None:
            self._digest.tally.unsent += self._arrivals.close()
        self._arrivals = None
        self._target = None
        self._admitted = 0
        self._epoch += 1
        self._changed.set()
        self._changed = Event()

    def _wake_free(self) -> None:
        """Let users that wait for arrivals join a population."""
        loop = get_hub().loop
        while self._free:
            loop.run_callback(self._free.popleft().waiter.switch, None)
