"""Petstore: create pets, order them, create users and log in, by four kinds of users, 2 : 3 : 3 : 3.

Runs under pinchpoint (`--scenario petstore`) and as a plain Locust file, all of it or by kinds: `locust -f petstore.py
--host URL CreatePet` is one of the seed's scripts.

Every user numbers what it creates from a range of its own. With `PINCHPOINT_PETSTORE_IDS=clash` the seed's story is
told instead: one new user in four brings an id that is taken, and some orders go for a pet that somebody else orders at
that moment.
"""

import itertools
import os
import random
import secrets
import time
from collections import deque
from collections.abc import Iterator
from typing import ClassVar

from locust import FastHttpUser, between, task

TIMEOUT_S = 10.0
CREATED = 201
PASSWORD = "petstore password"  # noqa: S105 - of users that exist for the load alone

CLASH = os.environ.get("PINCHPOINT_PETSTORE_IDS") == "clash"
CLASHING = 0.2484
"""Share of the new users that the seed saw fail."""
RACING, TOGETHER_S = 0.057, 0.05
"""Share of the shoppers who go for a pet that another one ordered at most so long ago. With 30 of them that is about
4.4 % of the orders, as the seed saw; with few of them there is seldom anybody to race."""

RANGE_BITS = 22
"""Four million ids each; the 40 bits above them are drawn by the user, so no two users, processes or runs meet."""

PETS: deque[int] = deque(maxlen=1000)
"""Pets of this process that nobody has ordered, oldest first."""


class PetstoreUser(FastHttpUser):
    """What the four have in common. The pause between tasks counts in the users model only."""

    abstract = True
    wait_time = between(0.5, 1.5)
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S
    numbers: Iterator[int]

    def on_start(self) -> None:
        """Take a range of ids."""
        # From the system, not from `random`: load processes that are forked or seeded alike would draw alike.
        self.numbers = itertools.count((secrets.randbits(40) << RANGE_BITS) + 1)

    def create_pet(self, name: str | None = None) -> None:
        """Create a pet and put it up for sale; `name` is what the request is counted under."""
        pet = {"name": f"Pet {random.randint(1, 9999)}", "category": random.choice(("cats", "dogs", "fish"))}
        response = self.client.post("/petstore/pets", json=pet, name=name)
        if response.status_code == CREATED:
            PETS.append(response.json()["id"])


class CreatePet(PetstoreUser):
    """Somebody who fills the store."""

    weight = 2

    @task
    def create(self) -> None:
        """Create a pet."""
        self.create_pet()


class OrderPet(PetstoreUser):
    """Somebody who orders a pet that nobody has, or believes so."""

    weight = 3
    newest: ClassVar[tuple[int, "OrderPet", float] | None] = None
    """The pet ordered last, by whom, and when."""

    @task
    def order(self) -> None:
        """Order a pet; where the store is empty, bring one first."""
        pet = self._contested() if CLASH and random.random() < RACING else None
        if pet is None:
            if not PETS:
                self.create_pet(name="/petstore/pets (to order)")
            if not PETS:
                return
            pet = PETS.popleft()
            OrderPet.newest = (pet, self, time.monotonic())
        self.client.post("/petstore/orders", json={"pet_id": pet, "quantity": 1})

    def _contested(self) -> int | None:
        """Return the pet that another user is ordering; None when nobody is."""
        if OrderPet.newest is None:
            return None
        pet, buyer, ordered_s = OrderPet.newest
        return pet if buyer is not self and time.monotonic() - ordered_s < TOGETHER_S else None


class CreateUser(PetstoreUser):
    """Somebody who signs up, under an id of its own choice."""

    weight = 3
    taken: ClassVar[int | None] = None
    """An id that belongs to somebody."""

    @task
    def create(self) -> None:
        """Create a user."""
        number = next(self.numbers)
        clashes = CLASH and CreateUser.taken is not None and random.random() < CLASHING
        user = {
            "id": CreateUser.taken if clashes else number,
            "username": f"user-{number}",
            "password": PASSWORD,
        }
        response = self.client.post("/petstore/users", json=user)
        if response.status_code == CREATED:
            CreateUser.taken = number


class LoginUser(PetstoreUser):
    """Somebody who has an account and comes back."""

    weight = 3
    credentials: dict[str, str]

    def on_start(self) -> None:
        """Create the account."""
        super().on_start()
        number = next(self.numbers)
        self.credentials = {"username": f"user-{number}", "password": PASSWORD}
        self.client.post("/petstore/users", json={"id": number, **self.credentials}, name="/petstore/users (to log in)")

    @task
    def login(self) -> None:
        """Log in."""
        self.client.post("/petstore/login", json=self.credentials)
