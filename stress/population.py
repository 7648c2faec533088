"""Keep as many Locust users as the load asks for, and see that the first ones get through `on_start`."""

from collections.abc import Callable
from typing import Any, Protocol

import gevent

from pinchpoint.stress.pacer import Pacer, Visit

VISIT = "pinchpoint_visit"
"""Attribute of a user's greenlet that holds its `Visit`."""

SPAWN_INTERVAL_S = 0.04
"""At most 25 new users a second: a burst of logins must not become the load."""

POPULATION_INTERVAL_S = 0.01
"""A population that was asked for is built faster: 100 a second, from where Locust itself warns."""

QUICK_INTERVAL_S = 0.01
QUICK_AT_ONCE = 5
"""Where `on_start` sends nothing a new user is no load: up to 500 a second, 60 µs of CPU each."""

FIRST_INTERVAL_S = 0.001
SETUP_AT_ONCE = 2
"""Users in `on_start` at the same time: logins that hash passwords would otherwise be a load of their own."""

REDIAL_AFTER = 50
"""Requests per connection (METHOD §5.5): keep-alive connections pin their requests to the worker that accepted them."""

REDIAL_INTERVAL_S = 0.5
"""At least this long between two redials of a user: at thousands of requests per second dialling would cost a tenth."""


class UserError(Exception):
    """Users cannot be created, or none gets through `on_start`."""


class Runner(Protocol):
    """What Locust's local runner offers of use here."""

    def spawn_users(self, user_classes_spawn_count: dict[str, int]) -> list[Any]:
        """Create users and start their greenlets."""


class Population:
    """The users of one load process."""

    def __init__(self, pacer: Pacer, start_users: int, max_users: int) -> None:
        """Begin with nobody.

        Args:
            pacer: whom users work for.
            start_users: how many make the process ready.
            max_users: most of them in the rate model.

        """
        self._pacer = pacer
        self._first = min(start_users, max_users)
        self.max_users = max_users
        self.ready = False
        self.why_none: Callable[[], str] = lambda: ""
        """Asked why users ended in `on_start`."""
        self._quick = False
        self._visits: set[Visit] = set()
        self._spawned: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many users there are."""
        return len(self._visits)

    @property
    def counted(self) -> int:
        """Users that take part: those there are, at most as many as the last segment asked for."""
        asked = self._pacer.population
        return len(self) if asked is None else min(asked, len(self))

    def keep(self, runner: Runner, classes: list[Any], on_ready: Callable[[], None]) -> None:
        """Add users when they are wanted, for ever; in a greenlet of its own.

        Raises:
            UserError: users cannot be created, or none of the first ones is left.

        """
        while True:
            in_setup = sum(1 for visit in self._visits if visit.setup)
            if not self.ready and sum(self._spawned.values()) >= self._first and not in_setup:
                if not self._visits:
                    raise UserError(f"no user got through on_start: {self.why_none() or 'it ended without an error'}")
                self.ready = True
                self._quick = not any(visit.logged_in for visit in self._visits)
                on_ready()
            most = QUICK_AT_ONCE if self._quick else min(1, SETUP_AT_ONCE - in_setup)
            for _ in range(min(self._wanted(in_setup), most)):
                self._spawn_one(runner, classes)
            gevent.sleep(self._interval_s())

    def _wanted(self, in_setup: int) -> int:
        """Return how many more users there should be."""
        target = self._pacer.target_users
        if target is None and self.ready:
            return min(self.max_users - len(self), self._pacer.starving - in_setup)
        return (self._first if target is None else target) - len(self)

    def _interval_s(self) -> float:
        if not self.ready:
            return FIRST_INTERVAL_S
        if self._quick:
            return QUICK_INTERVAL_S
        return SPAWN_INTERVAL_S if self._pacer.target_users is None else POPULATION_INTERVAL_S

    def _spawn_one(self, runner: Runner, classes: list[Any]) -> None:
        """Start one user of the class that is furthest behind its share."""
        name = min(classes, key=self._crowding).__name__
        self._spawned[name] = self._spawned.get(name, 0) + 1
        try:
            user = runner.spawn_users({name: 1})[0]
        except Exception as error:
            raise UserError(f"{name} cannot be created: {type(error).__name__}: {error}") from error
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
