"""Inventory, the special cases: last items, bulk operations, empty and refilled stock, close watching, errors.

- `LastItemRaceUser`: everybody orders the same product, of which there are five pieces
- `BulkOperationsUser`: five products at once, orders of all five, and five orders one right after the other
- `StockDepletionUser`: orders a product until it is sold out, and restocks it from time to time
- `HighFrequencyMonitoringUser`: health, dashboard and recent activity, every half to whole second
- `ErrorConditionUser`: what is not there (404), what makes no sense (422), what is too late (409), and what just fits

Expected refusals are successes; any other answer is a failure, and so are a sixth piece sold of five and a stock below
zero. A Locust file like any other: `locust -f inventory_scenarios.py --host URL`, or with the name of one class at the
end, or `pinchpoint run -f inventory_scenarios.py`.
"""

import random
from collections.abc import Callable
from typing import Any, ClassVar

from locust import FastHttpUser, between, task

TIMEOUT_S = 10.0
OK, CREATED, NO_CONTENT, NOT_FOUND, CONFLICT, UNPROCESSABLE = 200, 201, 204, 404, 409, 422
LAST_PIECES = 5
AT_ONCE = 5
DEPLETABLE = 50
NOBODY = 2**31 - 1
"""The highest id there can be; no product and no order has come that far."""


def some_product(stock: int) -> dict[str, Any]:
    """Return a product to create."""
    return {"name": f"Scenario {random.randint(1000, 9999)}", "price": round(random.uniform(1, 500), 2), "stock": stock}


def order_of(*product_ids: int, quantity: int = 1) -> dict[str, Any]:
    """Return an order of so many pieces of each."""
    return {"lines": [{"product_id": product_id, "quantity": quantity} for product_id in product_ids]}


class ScenarioUser(FastHttpUser):
    """What all scenarios have in common."""

    abstract = True
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S

    def send(
        self,
        method: str,
        path: str,
        *expected: int,
        name: str = "",
        body: Any = None,
        complaint: Callable[[Any], str] | None = None,
    ) -> Any:
        """Send a request and return the response: a success if its status is expected, else a failure.

        `complaint` looks at an expected response and says what is wrong with it, or nothing. A connection that breaks
        is a failure by itself.
        """
        with self.client.request(method, path, json=body, name=name or path, catch_response=True) as response:
            wrong = f"answered {response.status_code}, expected {' or '.join(map(str, expected))}"
            if response.status_code in expected:
                wrong = complaint(response) if complaint is not None else ""
            if not wrong:
                response.success()
            elif response.status_code:
                response.failure(wrong)
            return response

    def create(self, stock: int, name: str = "/products/create") -> int | None:
        """Create a product and return its id, None when it was not created."""
        response = self.send("POST", "/products", CREATED, name=name, body=some_product(stock))
        return int(response.json()["id"]) if response.status_code == CREATED else None


class Race:
    """The product that all users of this load process want now."""

    def __init__(self) -> None:
        self.product_id: int | None = None
        self.sold_out = False
        self.making = False
        self.orders: set[int] = set()


class LastItemRaceUser(ScenarioUser):
    """Orders one of the last five pieces at the same time as everybody else."""

    wait_time = between(0.01, 0.1)
    race: ClassVar[Race] = Race()

    @task(10)
    def grab(self) -> None:
        """Order a piece; put out the next product when all are gone."""
        race = self.race
        if race.product_id is None or (race.sold_out and not race.making):
            self._put_out()
            return
        wanted = race.product_id
        response = self.send(
            "POST",
            "/orders",
            CREATED,
            CONFLICT,
            name="/orders/last-piece",
            body=order_of(wanted),
            complaint=self._count(wanted),
        )
        if response.status_code != CREATED and race.product_id == wanted:
            race.sold_out = True

    @task
    def look(self) -> None:
        """See what is left: none to five pieces."""
        if self.race.product_id is None:
            self.grab()
            return
        path = f"/products/{self.race.product_id}"
        self.send("GET", path, OK, name="/products/[id]", complaint=_in_range(0, LAST_PIECES))

    def _put_out(self) -> None:
        race = self.race
        race.making = True
        try:
            product_id = self.create(LAST_PIECES, "/products/create/last-pieces")
            if product_id is not None:
                race.product_id, race.sold_out, race.orders = product_id, False, set()
        finally:
            race.making = False

    def _count(self, wanted: int) -> Callable[[Any], str]:
        """Return what counts the orders of a product's pieces and complains about one too many."""

        def complaint(response: Any) -> str:
            if response.status_code != CREATED or self.race.product_id != wanted:
                return ""
            self.race.orders.add(response.json()["id"])
            sold = len(self.race.orders)
            return f"sold {sold} of {LAST_PIECES} pieces" if sold > LAST_PIECES else ""

        return complaint


class BulkOperationsUser(ScenarioUser):
    """Works in batches."""

    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        """Begin with no batch."""
        self.batch: list[int] = []

    @task(2)
    def create_five(self) -> None:
        """Create five products in one request."""
        body = {"products": [some_product(1000) for _ in range(AT_ONCE)]}
        response = self.send("POST", "/products/bulk", CREATED, body=body, complaint=_has(AT_ONCE))
        if response.status_code == CREATED:
            self.batch = [int(product["id"]) for product in response.json()]

    @task
    def create_five_one_by_one(self) -> None:
        """Create five products, one request right after the other."""
        created = [self.create(1000) for _ in range(AT_ONCE)]
        self.batch = [product_id for product_id in created if product_id is not None]

    @task(3)
    def order_all(self) -> None:
        """Order all products of the batch in one order."""
        if not self.batch:
            self.create_five()
            return
        body = order_of(*self.batch, quantity=2)
        self.send("POST", "/orders", CREATED, CONFLICT, name="/orders/create/several", body=body)

    @task(2)
    def order_one_by_one(self) -> None:
        """Order the products of the batch one right after the other."""
        if not self.batch:
            self.create_five()
            return
        for product_id in self.batch:
            self.send("POST", "/orders", CREATED, CONFLICT, name="/orders/create", body=order_of(product_id))

    @task
    def list_many(self) -> None:
        """Read a hundred products."""
        self.send("GET", "/products?limit=100", OK, name="/products")


class StockDepletionUser(ScenarioUser):
    """Sells a product of its own until none is left, and fills it up again."""

    wait_time = between(0.05, 0.2)

    def on_start(self) -> None:
        """Begin with no product."""
        self.product_id: int | None = None
        self.empty = False

    @task(8)
    def deplete(self) -> None:
        """Order one to ten pieces; sold out is an answer too."""
        if self.product_id is None:
            self.product_id = self.create(DEPLETABLE)
            return
        body = order_of(self.product_id, quantity=random.randint(1, 10))
        response = self.send("POST", "/orders", CREATED, CONFLICT, name="/orders/create", body=body)
        self.empty = response.status_code == CONFLICT

    @task
    def restock(self) -> None:
        """Fill it up; after that it can be sold again, at once."""
        if self.product_id is None:
            self.deplete()
            return
        path = f"/products/{self.product_id}/restock"
        body = {"quantity": DEPLETABLE}
        at_least = _in_range(DEPLETABLE, 10**9)
        self.send("POST", path, OK, name="/products/[id]/restock", body=body, complaint=at_least)
        if self.empty:
            self.empty = False
            self.send("POST", "/orders", CREATED, name="/orders/create/restocked", body=order_of(self.product_id))

    @task(3)
    def look(self) -> None:
        """Read the stock, which is never below zero."""
        if self.product_id is None:
            self.deplete()
            return
        path = f"/products/{self.product_id}"
        self.send("GET", path, OK, name="/products/[id]", complaint=_in_range(0, 10**9))


class HighFrequencyMonitoringUser(ScenarioUser):
    """Looks at everything twice a second."""

    wait_time = between(0.5, 1)

    @task(5)
    def health(self) -> None:
        """Ask whether the database answers."""
        self.send("GET", "/inventory/health", OK)

    @task(3)
    def dashboard(self) -> None:
        """Refresh the dashboard: figures and catalogue."""
        self.send("GET", "/inventory/summary", OK)
        self.send("GET", "/products?limit=10", OK, name="/products")

    @task(2)
    def activity(self) -> None:
        """Read what happened last."""
        self.send("GET", "/inventory/activity?limit=50", OK, name="/inventory/activity")


class ErrorConditionUser(ScenarioUser):
    """Asks for what cannot be."""

    wait_time = between(0.1, 0.5)

    UNKNOWN: ClassVar[tuple[tuple[str, str, str, Any], ...]] = (
        ("GET", f"/products/{NOBODY}", "/products/[id] unknown", None),
        ("PUT", f"/products/{NOBODY}", "/products/[id]/change unknown", {"name": "Nothing", "price": 1}),
        ("DELETE", f"/products/{NOBODY}", "/products/[id]/delete unknown", None),
        ("POST", f"/products/{NOBODY}/restock", "/products/[id]/restock unknown", {"quantity": 1}),
        ("GET", f"/orders/{NOBODY}", "/orders/[id] unknown", None),
        ("POST", f"/orders/{NOBODY}/pay", "/orders/[id]/pay unknown", None),
        ("POST", "/orders", "/orders/create unknown product", order_of(NOBODY)),
    )
    INVALID: ClassVar[tuple[tuple[str, str, str, Any], ...]] = (
        ("POST", "/products", "/products/create invalid", {}),
        ("POST", "/products", "/products/create invalid", {"name": "", "price": 1}),
        ("POST", "/products", "/products/create invalid", {"name": "Cheap", "price": -0.01}),
        ("POST", "/products", "/products/create invalid", {"name": "Odd", "price": "a lot"}),
        ("POST", "/products", "/products/create invalid", {"name": "Less than none", "price": 1, "stock": -1}),
        ("POST", "/products", "/products/create invalid", {"name": "x" * 201, "price": 1}),
        ("POST", "/products/bulk", "/products/bulk invalid", {"products": []}),
        ("POST", "/orders", "/orders/create invalid", {"lines": []}),
        ("POST", "/orders", "/orders/create invalid", order_of(1, quantity=0)),
        ("POST", "/orders", "/orders/create invalid", order_of(1, quantity=10_001)),
        ("POST", "/orders", "/orders/create invalid", order_of(0)),
        ("GET", "/products/not-a-number", "/products/[id] invalid", None),
        ("GET", "/products?limit=101", "/products invalid", None),
    )
    AT_THE_EDGE: ClassVar[tuple[tuple[str, str, str, Any, int], ...]] = (
        ("GET", "/products?limit=100", "/products at the edge", None, OK),
        ("GET", f"/products?offset={NOBODY}", "/products at the edge", None, OK),
        ("POST", "/products", "/products/create at the edge", {"name": "x" * 200, "price": 0, "stock": 0}, CREATED),
        ("POST", "/products", "/products/create at the edge", {"name": "x", "price": 1e6, "stock": 10**6}, CREATED),
    )

    STEPS = (("ship", CONFLICT), ("pay", OK), ("pay", CONFLICT), ("ship", OK), ("cancel", CONFLICT))

    @task(3)
    def unknown(self) -> None:
        """Ask for what is not there."""
        method, path, name, body = random.choice(self.UNKNOWN)
        self.send(method, path, NOT_FOUND, name=name, body=body)

    @task(3)
    def invalid(self) -> None:
        """Send what makes no sense."""
        method, path, name, body = random.choice(self.INVALID)
        self.send(method, path, UNPROCESSABLE, name=name, body=body)

    @task(2)
    def at_the_edge(self) -> None:
        """Send what just fits."""
        method, path, name, body, expected = random.choice(self.AT_THE_EDGE)
        self.send(method, path, expected, name=name, body=body)

    @task
    def too_late(self) -> None:
        """Order the only piece twice, ship before paying, pay twice, cancel what is shipped, read what is deleted."""
        product_id = self.create(1)
        if product_id is None:
            return
        response = self.send("POST", "/orders", CREATED, name="/orders/create", body=order_of(product_id))
        self.send("POST", "/orders", CONFLICT, name="/orders/create sold out", body=order_of(product_id))
        if response.status_code == CREATED:
            path = f"/orders/{response.json()['id']}"
            for step, expected in self.STEPS:
                late = " too late" if expected == CONFLICT else ""
                self.send("POST", f"{path}/{step}", expected, name=f"/orders/[id]/{step}{late}")
        self.send("DELETE", f"/products/{product_id}", NO_CONTENT, name="/products/[id]/delete")
        self.send("GET", f"/products/{product_id}", NOT_FOUND, name="/products/[id] deleted")


def _in_range(least: int, most: int) -> Callable[[Any], str]:
    def complaint(response: Any) -> str:
        stock = response.json()["stock"]
        return "" if least <= stock <= most else f"a stock of {stock}"

    return complaint


def _has(count: int) -> Callable[[Any], str]:
    def complaint(response: Any) -> str:
        got = len(response.json())
        return "" if got == count else f"{got} products instead of {count}"

    return complaint
