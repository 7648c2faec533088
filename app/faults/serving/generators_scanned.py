"""A Locust file: tills that read a bar code first, through a driver in C that knows nothing of gevent."""

import ctypes
import random

from locust import HttpUser, between, task

SCAN_US = 20_000
driver = ctypes.CDLL(None)


class Till(HttpUser):
    """Scans and asks for the price."""

    wait_time = between(0.1, 0.2)

    @task
    def scan(self) -> None:
        """Wait for the scanner, then get."""
        driver.usleep(SCAN_US)
        self.client.get(f"/articles/{random.randrange(500)}", name="/articles/[number]")  # noqa: S311 - any will do
