"""Items: log in once, then read the root, read an item by id and create an item, 1 : 3 : 1.

Runs under pinchpoint (`--scenario items`) and as a plain Locust file (`locust -f items.py --host URL`).
"""

import random

from locust import FastHttpUser, between, task

USERNAME = "test_user"
PASSWORD = "password"  # noqa: S105 - the reference app's public test account
TIMEOUT_S = 10.0
OK = 200


class ItemsUser(FastHttpUser):
    """A visitor with an account. The pause between tasks counts in the users model only."""

    wait_time = between(1, 5)
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S

    def on_start(self) -> None:
        """Log in and send the token with every request; an app that refuses the login is measured without one."""
        credentials = {"username": USERNAME, "password": PASSWORD}
        with self.client.post("/login", json=credentials, catch_response=True) as response:
            if response.status_code != OK:
                return
            token = response.json().get("access_token")
        if token:
            self.client.client.default_headers["Authorization"] = f"Bearer {token}"

    @task
    def get_root(self) -> None:
        """Read the root."""
        self.client.get("/")

    @task(3)
    def get_item(self) -> None:
        """Read one of a hundred items."""
        self.client.get(f"/items/{random.randint(1, 100)}", name="/items/[id]")

    @task
    def create_item(self) -> None:
        """Create an item."""
        item = {"name": f"LocustItem_{random.randint(1000, 9999)}", "price": round(random.uniform(10.0, 500.0), 2)}
        self.client.post("/items/", json=item, name="/items/create")
