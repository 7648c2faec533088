"""A Locust file: visitors who sign every request with a key that they derive anew each time, as in a browser."""

import hashlib
import random

from locust import FastHttpUser, constant, task

ROUNDS = 40_000
"""Of PBKDF2: about 15 ms of one core."""


class SigningVisitor(FastHttpUser):
    """Looks at articles."""

    wait_time = constant(0)

    @task
    def look(self) -> None:
        """Sign, then get."""
        number = random.randrange(500)  # noqa: S311 - any article will do
        key = hashlib.pbkdf2_hmac("sha256", b"visitor", number.to_bytes(4, "big"), ROUNDS)
        self.client.get(f"/articles/{number}", headers={"X-Signature": key.hex()}, name="/articles/[number]")
