"""Customers: create, get, update, delete and list customers, and send invalid ones.

Three kinds of users, a third of the population each:

- `CustomerAPIUser`: create (3), get (4), update (2), delete (1), list (1), create an invalid one (1)
- `AdminUser`: list (5), create (3)
- `RegularUser`: get (5), update (2)

Runs under pinchpoint (`--scenario customers`) and as a plain Locust file (`locust -f customers.py --host URL`; with one
kind of users only: `locust -f customers.py --host URL AdminUser`).
"""

import random
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from locust import FastHttpUser, between, task

TIMEOUT_S = 10.0
PAGE_SIZES = (10, 20, 50, 100)
LAST_OFFSET = 500
NOT_FOUND, UNPROCESSABLE, ERRORS_FROM = 404, 422, 400

INVALID_CUSTOMERS: tuple[dict[str, Any], ...] = (
    {},
    {"email": "no-name@example.com"},
    {"name": "No Address"},
    {"name": "", "email": "empty-name@example.com"},
    {"name": 42, "email": "name-of-wrong-type@example.com"},
    {"name": "Address of Wrong Type", "email": ["a@example.com"]},
    {"name": "Not an Address", "email": "not-an-address"},
)
"""Missing fields, wrong types, and values that are none."""

Kind = TypeVar("Kind", bound=type[FastHttpUser])


def does_only(weights: dict[Callable[..., None], int]) -> Callable[[Kind], Kind]:
    """Give a class of users these tasks with these weights, and none of its parent's.

    Locust adds a class's tasks to those it inherits (`get_tasks_from_base_classes` in locust/user/task.py), be they in
    `tasks = {...}` or behind `@task`; a method of the same name does not take the place of the parent's. An AdminUser
    written that way would list in 6 of 20 tasks, create in 6, and get, update and delete besides. So what Locust has
    gathered is replaced once the class is made, and these weights are all that such a user does.
    """

    def decorate(user_class: Kind) -> Kind:
        user_class.tasks = [one for one, weight in weights.items() for _ in range(weight)]
        return user_class

    return decorate


def some_customer() -> dict[str, Any]:
    """Return valid data. Addresses are unique over all load processes and hosts, as the API wants them."""
    return {
        "name": f"Customer {random.randint(1000, 9999)}",
        "email": f"{uuid.uuid4().hex}@example.com",
        "phone": f"+1 555 {random.randint(1_000_000, 9_999_999)}",
    }


class CustomerAPIUser(FastHttpUser):
    """A program that uses the whole API, on customers of its own. The pause counts in the users model only."""

    wait_time = between(1, 3)
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S
    customer_ids: list[int]
    """Customers of this user's that exist, as far as it knows."""

    def on_start(self) -> None:
        """Begin with one customer, so that a user who never creates has something to get and update."""
        self.customer_ids = []
        self.create_customer()

    @task(3)
    def create_customer(self) -> None:
        """Create a customer and keep its id for later."""
        with self.client.post(
            "/customers", json=some_customer(), name="/customers/create", catch_response=True
        ) as response:
            if 0 < response.status_code < ERRORS_FROM:
                customer_id = id_in(response)
                if customer_id is None:
                    response.failure(f"a customer was created ({response.status_code}), but the answer holds no id")
                else:
                    self.customer_ids.append(customer_id)

    @task(4)
    def get_customer(self) -> None:
        """Get a customer by id."""
        self._ask_for_one("GET", "/customers/[id]")

    @task(2)
    def update_customer(self) -> None:
        """Give a customer new data."""
        self._ask_for_one("PUT", "/customers/[id]/update", some_customer())

    @task
    def delete_customer(self) -> None:
        """Delete a customer and forget its id."""
        self._ask_for_one("DELETE", "/customers/[id]/delete")

    @task
    def get_all_customers(self) -> None:
        """Read a page of all customers, of any size and from anywhere."""
        page = {"limit": random.choice(PAGE_SIZES), "offset": random.randint(0, LAST_OFFSET)}
        self.client.get("/customers", params=page, name="/customers")

    @task
    def create_invalid_customer(self) -> None:
        """Send what is no customer: 422 is right, and everything else is a failure."""
        with self.client.post(
            "/customers", json=random.choice(INVALID_CUSTOMERS), name="/customers/invalid", catch_response=True
        ) as response:
            if response.status_code == UNPROCESSABLE:
                response.success()
            elif 0 < response.status_code < ERRORS_FROM:
                # Other errors are failures as they are, and their status says more than this sentence.
                response.failure(f"an invalid customer was answered with {response.status_code} in place of 422")

    def _ask_for_one(self, method: str, name: str, body: dict[str, Any] | None = None) -> None:
        """Send a request about one of the user's customers. One that is missing is forgotten, and that is no failure.

        A user that has none left creates one instead, so that every task is a request.
        """
        if not self.customer_ids:
            self.create_customer()
            return
        customer_id = random.choice(self.customer_ids)
        with self.client.request(
            method, f"/customers/{customer_id}", name=name, json=body, catch_response=True
        ) as response:
            missing = response.status_code == NOT_FOUND
            if missing:
                response.success()
            if missing or (method == "DELETE" and 0 < response.status_code < ERRORS_FROM):
                self.customer_ids.remove(customer_id)


@does_only({CustomerAPIUser.get_all_customers: 5, CustomerAPIUser.create_customer: 3})
class AdminUser(CustomerAPIUser):
    """An administrator: looks through the customers, and creates some."""


@does_only({CustomerAPIUser.get_customer: 5, CustomerAPIUser.update_customer: 2})
class RegularUser(CustomerAPIUser):
    """A customer: looks at its own data, and changes them."""


def id_in(response: Any) -> int | None:
    """Return the id in an answer; None when there is none."""
    try:
        answer = response.json()
    except (ValueError, TypeError):
        # No JSON, or no body at all.
        return None
    found = answer.get("id") if isinstance(answer, dict) else None
    return found if isinstance(found, int) else None
