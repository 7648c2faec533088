"""Inventory: manage products (30), order, pay and ship (50), watch (20), and race for the last pieces (10).

Four kinds of users, by these weights:

- `InventoryManagementUser`: browse (4), search (2), read (3), create (2), change (2), restock (1), delete (1), and
  create five products at once (1)
- `OrderProcessingUser`: order (5), order several products (1), pay (3), ship (2), look (2), list (1), cancel (1)
- `MonitoringUser`: health (4), summary (3), recent activity (3), documentation (1)
- `HighConcurrencyUser`: everybody orders the same product, of which there are five pieces; then the next one

A product that is sold out is a 409 and no error; any other unexpected answer is one, and so are a stock below zero
and a sixth piece sold of five.

Runs under pinchpoint (`--scenario inventory`) and as a plain Locust file (`locust -f inventory.py --host URL`; with one
kind of users only: `locust -f inventory.py --host URL OrderProcessingUser`).
"""

import random
from collections.abc import Callable
from typing import Any, ClassVar

from locust import FastHttpUser, between, task

TIMEOUT_S = 10.0
OK, CREATED, NO_CONTENT, CONFLICT = 200, 201, 204, 409
SHELF = 20
"""Products on sale; orders are spread over them."""
PLENTY = 1_000_000
LAST_PIECES = 5
KEPT = 50
"""Ids that a user remembers of each kind."""

WORDS = ("Lamp", "Chair", "Table", "Shelf", "Desk", "Stool", "Bench", "Sofa", "Rug", "Clock")


def some_product(stock: int) -> dict[str, Any]:
    """Return a product to create."""
    return {
        "name": f"{random.choice(WORDS)} {random.randint(1000, 9999)}",
        "description": "made by a load test",
        "price": round(random.uniform(1.0, 500.0), 2),
        "stock": stock,
    }


def order_of(*product_ids: int) -> dict[str, Any]:
    """Return an order of one to three pieces of each."""
    lines = [{"product_id": product_id, "quantity": random.randint(1, 3)} for product_id in product_ids]
    return {"customer": f"customer {random.randint(1, 1000)}", "lines": lines}


def below_zero(response: Any) -> str:
    """Complain about products whose stock is negative."""
    wrong = [product["id"] for product in response.json() if product["stock"] < 0]
    return f"negative stock of {wrong}" if wrong else ""


class LastPieces:
    """The product of five pieces that all users of this load process want."""

    def __init__(self) -> None:
        self.product_id: int | None = None
        self.sold_out = False
        self.making = False
        self.orders: set[int] = set()
        """Ids and no number: a server that only repeats its answers sells one piece often, and oversells nothing."""


class ShopUser(FastHttpUser):
    """What the four kinds have in common.

    They wait 70 ms on average, because ten of them are to make a hundred requests per second (the light load's tier).
    """

    abstract = True
    wait_time = between(0.02, 0.12)
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S

    # Shared by all users of this load process.
    on_sale: ClassVar[list[int]] = []
    last: ClassVar[LastPieces] = LastPieces()

    def send(
        self,
        method: str,
        path: str,
        *expected: int,
        name: str = "",
        body: dict[str, Any] | None = None,
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

    def create(self, name: str, stock: int) -> int | None:
        """Create a product and return its id, None when it was not created."""
        response = self.send("POST", "/products", CREATED, name=name, body=some_product(stock))
        return int(response.json()["id"]) if response.status_code == CREATED else None

    def for_sale(self) -> int | None:
        """Return a product to order; None where the shelf is still being filled, which this does then."""
        if len(self.on_sale) < SHELF:
            product_id = self.create("/products/create/for-sale", PLENTY)
            if product_id is not None:
                self.on_sale.append(product_id)
            return None
        return random.choice(self.on_sale)


class InventoryManagementUser(ShopUser):
    """Looks after the catalogue, and changes only products of its own."""

    weight = 30

    def on_start(self) -> None:
        """Begin with no product."""
        self.mine: list[int] = []

    @task(4)
    def browse(self) -> None:
        """Read a page of the catalogue; no stock may be below zero."""
        path = f"/products?limit=20&offset={random.randint(0, 5) * 20}"
        self.send("GET", path, OK, name="/products", complaint=below_zero)

    @task(2)
    def search(self) -> None:
        """Search the catalogue."""
        self.send("GET", f"/products?q={random.choice(WORDS)}", OK, name="/products/search")

    @task(3)
    def read(self) -> None:
        """Read one product."""
        if product_id := self._one_of_mine():
            self.send("GET", f"/products/{product_id}", OK, name="/products/[id]")

    @task(2)
    def add(self) -> None:
        """Create a product."""
        product_id = self.create("/products/create", random.randint(10, 100))
        if product_id is not None:
            self.mine = [*self.mine, product_id][-KEPT:]

    @task(2)
    def change(self) -> None:
        """Change a product."""
        if product_id := self._one_of_mine():
            body = some_product(0)
            del body["stock"]
            self.send("PUT", f"/products/{product_id}", OK, name="/products/[id]/change", body=body)

    @task
    def restock(self) -> None:
        """Add to a product's stock."""
        if product_id := self._one_of_mine():
            body = {"quantity": random.randint(1, 50)}
            self.send("POST", f"/products/{product_id}/restock", OK, name="/products/[id]/restock", body=body)

    @task
    def delete(self) -> None:
        """Delete a product."""
        if product_id := self._one_of_mine():
            self.mine.remove(product_id)
            self.send("DELETE", f"/products/{product_id}", NO_CONTENT, name="/products/[id]/delete")

    @task
    def add_five(self) -> None:
        """Create five products at once."""
        body = {"products": [some_product(10) for _ in range(5)]}
        self.send("POST", "/products/bulk", CREATED, body=body)

    def _one_of_mine(self) -> int | None:
        """Return a product of one's own; None when there was none, and one was created instead."""
        if not self.mine:
            self.add()
            return None
        return random.choice(self.mine)


class OrderProcessingUser(ShopUser):
    """Orders what is on sale, and sees its orders through."""

    weight = 50

    def on_start(self) -> None:
        """Begin with no order."""
        self.pending: list[int] = []
        self.paid: list[int] = []

    @task(5)
    def order(self) -> None:
        """Order one product."""
        if product_id := self.for_sale():
            self._order("/orders/create", product_id)

    @task
    def order_several(self) -> None:
        """Order three products at once."""
        if self.for_sale():
            self._order("/orders/create/several", *random.sample(self.on_sale, 3))

    @task(3)
    def pay(self) -> None:
        """Pay an order."""
        if not self.pending:
            self.order()
            return
        order_id = self.pending.pop(0)
        if self.send("POST", f"/orders/{order_id}/pay", OK, name="/orders/[id]/pay").status_code == OK:
            self.paid = [*self.paid, order_id][-KEPT:]

    @task(2)
    def ship(self) -> None:
        """Ship an order that is paid."""
        if not self.paid:
            self.pay()
            return
        self.send("POST", f"/orders/{self.paid.pop(0)}/ship", OK, name="/orders/[id]/ship")

    @task(2)
    def look(self) -> None:
        """Read an order."""
        if not self.pending:
            self.order()
            return
        self.send("GET", f"/orders/{random.choice(self.pending)}", OK, name="/orders/[id]")

    @task
    def list_orders(self) -> None:
        """Read the newest orders that wait for their money."""
        self.send("GET", "/orders?status=pending&limit=20", OK, name="/orders")

    @task
    def cancel(self) -> None:
        """Cancel an order."""
        if not self.pending:
            self.order()
            return
        self.send("POST", f"/orders/{self.pending.pop(0)}/cancel", OK, name="/orders/[id]/cancel")

    def _order(self, name: str, *product_ids: int) -> None:
        response = self.send("POST", "/orders", CREATED, CONFLICT, name=name, body=order_of(*product_ids))
        if response.status_code == CREATED:
            self.pending = [*self.pending, int(response.json()["id"])][-KEPT:]
        elif response.status_code:
            # Sold out, or gone with its database: others take the places on the shelf.
            self.on_sale[:] = [product_id for product_id in self.on_sale if product_id not in product_ids]


class MonitoringUser(ShopUser):
    """Watches the shop."""

    weight = 20

    @task(4)
    def health(self) -> None:
        """Ask whether the database answers."""
        self.send("GET", "/inventory/health", OK)

    @task(3)
    def summary(self) -> None:
        """Read the figures of all products and orders."""
        self.send("GET", "/inventory/summary", OK)

    @task(3)
    def activity(self) -> None:
        """Read what happened last."""
        self.send("GET", "/inventory/activity?limit=20", OK, name="/inventory/activity")

    @task
    def documentation(self) -> None:
        """Open the documentation."""
        self.send("GET", "/docs", OK)


class HighConcurrencyUser(ShopUser):
    """Wants the last pieces, as everybody else does, and at once."""

    weight = 10
    wait_time = between(0.01, 0.05)

    @task
    def grab(self) -> None:
        """Order one of the last five pieces; put out the next product when they are gone."""
        last = self.last
        if last.product_id is None or (last.sold_out and not last.making):
            self._put_out()
            return
        wanted = last.product_id
        body = {"lines": [{"product_id": wanted, "quantity": 1}]}
        response = self.send(
            "POST", "/orders", CREATED, CONFLICT, name="/orders/last-piece", body=body, complaint=self._count(wanted)
        )
        if response.status_code != CREATED and last.product_id == wanted:
            last.sold_out = True

    def _put_out(self) -> None:
        last = self.last
        last.making = True
        try:
            product_id = self.create("/products/create/last-pieces", LAST_PIECES)
            if product_id is not None:
                last.product_id, last.sold_out, last.orders = product_id, False, set()
        finally:
            last.making = False

    def _count(self, wanted: int) -> Callable[[Any], str]:
        """Return what counts the orders of a product's pieces and complains about one too many."""

        def complaint(response: Any) -> str:
            if response.status_code != CREATED or self.last.product_id != wanted:
                return ""
            self.last.orders.add(response.json()["id"])
            sold = len(self.last.orders)
            return f"sold {sold} of {LAST_PIECES} pieces" if sold > LAST_PIECES else ""

        return complaint
