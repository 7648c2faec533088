"""FastAPI: read the root, read an item by id and create an item, 1 : 3 : 1, by users who pause for 1 to 5 seconds.

The class that the product was asked for with, under its own names. Runs as a plain Locust file (`locust -f fastapi.py
--host URL`, web page on port 8089) and under pinchpoint (`--scenario fastapi`), where its pack makes it a test by
population: 10, 50, 100 and 200 users, then half as many again. `items.py` sends the same requests for the other
question: how many *arrivals per second* does the app bear? There users have no names and no pauses, and nothing is said
when they start and stop. The two files share no code: a Locust file must run from wherever it is copied to, and a user
class that one file imports from another would be started as well.
"""

import logging
import random

from locust import FastHttpUser, between, task

USERNAME = "test_user"
PASSWORD = "password"  # noqa: S105 - the reference app's public test account
TIMEOUT_S = 10.0
OK = 200

log = logging.getLogger(__name__)


class FastAPIUser(FastHttpUser):
    """A visitor who logs in, looks around and now and then creates an item.

    `FastHttpUser` has the methods of `HttpUser` and takes a fraction of its CPU, which leaves more of it to the app.
    """

    # Waits between 1 and 5 seconds between two tasks.
    wait_time = between(1, 5)
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S

    @task
    def get_root(self) -> None:
        """Read the root."""
        self.client.get("/")

    @task(3)
    def get_items_by_id(self) -> None:
        """Read one of a hundred items; under one name, else each id would have a line of its own in the report."""
        item_id = random.randint(1, 100)
        self.client.get(f"/items/{item_id}", name="/items/[id]")

    @task
    def create_item(self) -> None:
        """Create an item."""
        new_item = {"name": f"LocustItem_{random.randint(1000, 9999)}", "price": random.uniform(10.0, 500.0)}
        self.client.post("/items/", json=new_item, name="/items/create")

    def on_start(self) -> None:
        """Log in and send the token with every request; an app that refuses the login is measured without one."""
        log.info("Simulated user starting...")
        response = self.client.post("/login", json={"username": USERNAME, "password": PASSWORD})
        # Not `response.ok`: that is True for a request without any answer, whose status is 0.
        if response.status_code != OK:
            log.warning("Login failed: %s", response.status_code)
            return
        token = response.json().get("access_token")
        if token:
            self.client.client.default_headers["Authorization"] = f"Bearer {token}"

    def on_stop(self) -> None:
        """Say so. There is nothing to undo: a bearer token is no session, and the connections close with the user."""
        log.info("Simulated user stopping.")
