"""Decide when each Locust user starts its next iteration: by a shared schedule of arrivals, or by its own think time.

Every user runs in a greenlet of its own and calls `pause` between two iterations. In the rate model each due arrival
goes to the user that has been free longest; when nobody is free the arrival waits, and the next user to finish takes
the oldest. The wait is part of the request's latency: that is what an open load means.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent
from gevent.event import Event
from gevent.hub import Waiter, get_hub

from pinchpoint.stress.alarm import Alarm
from pinchpoint.stress.arrivals import Arrivals, even_marks, poisson_marks
from pinchpoint.stress.control import Segment
from pinchpoint.stress.digest import Digest

SEAM_S = 0.001
"""A level that follows another within this time continues it: users go on where they are."""


@dataclass(slots=True, eq=False)
class Visit:
    """One user, as the pacer sees it."""

    setup: bool = True
    """Still in `on_start`: its requests are no load."""
    logged_in: bool = False
    """Sent a request in `on_start`."""
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
    dialled_s: float = 0.0
    """When that was; a little off is fine."""
    epoch: int = -1
    """Population that admitted it, in the users model."""


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
        self._alarm = Alarm(self._ring, clock)
        self._target: int | None = None
        self.population: int | None = None
        """Users that the last segment asked for, also after its end; None in the rate model."""
        self._admitted = 0
        self._epoch = 0
        self.segment = 0
        self.end_s = math.inf
        """When the segment in force ends; infinite when there is none."""
        self._busy: set[Visit] = set()
        digest.due_s = self._due_s
        self.on_cut: Callable[[], None] = lambda: None
        """Called when what a segment offered is over, before another id is in force."""
        self.on_unsent: Callable[[list[float]], None] = lambda _: None
        """Called with the arrivals that nobody claimed."""
        self.on_crash: Callable[[Exception], None] = lambda _: None

    @property
    def busy(self) -> int:
        """Users within an iteration."""
        return len(self._busy)

    @property
    def starving(self) -> int:
        """Arrivals that are due while no user is free; 0 in the users model."""
        self.sync()
        return self._arrivals.waiting if self._arrivals is not None and not self._free else 0

    @property
    def target_users(self) -> int | None:
        """Population to keep up now; None in the rate model and when nothing is offered."""
        return self._target

    def begin(self, segment: Segment, start_s: float) -> None:
        """Put a load level in force that starts at `start_s`, now or just past.

        What the last one left unclaimed is dropped as unsent.
        """
        if segment.model == "users" and self._target is not None:
            self.on_cut()  # a population that grows or shrinks: nobody is woken, nobody starts anew
            self.segment = segment.id
        else:
            self.idle(segment.id)
        self.population = None
        if segment.model == "users":
            self._target = self.population = segment.users
            self.end_s = start_s + segment.duration_s
            self._wake_free()
        else:
            self._arrivals = Arrivals(segment.rate(), start_s, self._marks(segment))
            self.end_s = self._arrivals.end_s
        self._arm()

    def idle(self, segment: int) -> None:
        """Offer nothing more; iterations under way finish."""
        self._close()
        self.on_cut()
        self.segment = segment

    def join(self, start_s: float) -> None:
        """Expect a level that starts at `start_s`: one that ends just then goes on until it is there."""
        if abs(start_s - self.end_s) <= SEAM_S:
            self.end_s = math.inf
            self._arm()

    def sync(self) -> None:
        """Count the arrivals that have become due."""
        if self._arrivals is not None:
            self._digest.tally.scheduled += self._arrivals.advance(min(self._clock(), self._arrivals.end_s))

    def pause(self, visit: Visit, think: Callable[[], float]) -> bool:
        """End this user's iteration and return when its next one shall start; True when its own pause decided that.

        Args:
            visit: the calling greenlet's own.
            think: seconds between two iterations in the users model; called at most once.

        """
        visit.free_s = self._clock()
        visit.setup = False
        self._release(visit)
        wake_s: float | None = None
        thinks = visit.iterations > 0
        while True:
            if self._admit(visit):
                if wake_s is None:
                    # Locust's users start their first task at once; a rested one thinks from when it is called.
                    wake_s = self._clock() + (think() if thinks else 0.0)
                self._sleep_until(wake_s)
                if visit.epoch == self._epoch and self._admit(visit):
                    self._start(visit, wake_s, None)
                    return thinks
            else:
                due_s = self._await_arrival(visit)
                if due_s is not None:
                    self._start(visit, due_s, due_s)
                    return False

    def gone(self, visit: Visit) -> None:
        """Forget a user whose greenlet has ended."""
        visit.setup = False
        self._release(visit)
        if self._target is not None and visit.epoch == self._epoch:
            self._admitted -= 1

    def _marks(self, segment: Segment) -> Iterator[float]:
        if segment.spacing == "even":
            return even_marks(segment.part, segment.parts)
        seed = (abs(self._seed), segment.id, segment.part)
        return poisson_marks(seed, segment.rate().total, segment.part, segment.parts)

    def _due_s(self) -> list[float]:
        """Return when those arrivals were due that are being served and have no answer yet."""
        return [visit.due_s for visit in self._busy if visit.due_s is not None]

    def _release(self, visit: Visit) -> None:
        if visit.busy:
            visit.busy = False
            self._busy.discard(visit)

    def _admit(self, visit: Visit) -> bool:
        """Tell whether this user is part of the population; users beyond it rest, nobody is killed mid-request."""
        if self._target is None:
            return False
        if visit.epoch != self._epoch:
            if self._admitted >= self._target:
                return False
            self._admitted += 1
            visit.epoch = self._epoch
        elif self._admitted > self._target:
            self._admitted -= 1
            visit.epoch = -1
            return False
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
        arrivals = self._arrivals
        if arrivals is not None and not self._free and arrivals.any_due(visit.free_s):
            # Answers that are there already are read before another request leaves: their times are right that way, and
            # a process that is busy does more in each turn of its loop (measured: 8 % more requests).
            gevent.sleep(0)
            due_s = self._claim()
            if due_s is not None:
                return due_s
        free = _Free(visit)
        self._free.append(free)
        if len(self._free) == 1:
            self._arm()
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
        if now_s >= self.end_s:
            return None
        self._digest.tally.scheduled += arrivals.advance(now_s)
        return arrivals.claim()

    def _start(self, visit: Visit, ready_s: float, due_s: float | None) -> None:
        visit.start_s = self._clock()
        visit.due_s = due_s
        visit.requests = 0
        visit.iterations += 1
        visit.busy = True
        self._busy.add(visit)
        self._digest.start(max(0.0, visit.start_s - max(ready_s, visit.free_s)))

    def _arm(self) -> None:
        """Set the alarm for what comes next; arrivals that nobody is free for need none: whoever finishes looks."""
        due_s = self.end_s
        if self._free and self._arrivals is not None and self._arrivals.next_due_s is not None:
            due_s = min(due_s, self._arrivals.next_due_s)
        if due_s == math.inf:
            self._alarm.cancel()
        else:
            self._alarm.set(due_s)

    def _ring(self) -> None:
        """Hand out the arrivals that have become due, or end the segment. In the hub: an error here has no greenlet."""
        try:
            ended = self._clock() >= self.end_s
            handed = self._hand_out()
            if not ended:
                self._arm()  # before the users run: what they do must not delay the next arrival's alarm
            for free, due_s in handed:
                free.waiter.switch(due_s)
            if ended:
                self._close()
                self.on_cut()
        except Exception as error:  # noqa: BLE001 - whatever it is, there would be no load any more
            self.on_crash(error)

    def _hand_out(self) -> list[tuple[_Free, float]]:
        """Return who gets which arrival."""
        self.sync()
        handed: list[tuple[_Free, float]] = []
        while self._arrivals is not None and self._free and (due_s := self._arrivals.claim()) is not None:
            handed.append((self._free.popleft(), due_s))
        return handed

    def _close(self) -> None:
        """Drop what is unclaimed; users asleep between two iterations wake up to see that nothing is offered."""
        if self._arrivals is not None:
            self.sync()
            unsent = self._arrivals.close()
            self._digest.tally.unsent += len(unsent)
            self.on_unsent(unsent)
        self._arrivals = None
        self._target = None
        self._admitted = 0
        self._epoch += 1
        self.end_s = math.inf
        self._alarm.cancel()
        self._changed.set()
        self._changed = Event()

    def _wake_free(self) -> None:
        """Let users that wait for arrivals join a population."""
        loop = get_hub().loop
        while self._free:
            loop.run_callback(self._free.popleft().waiter.switch, None)
