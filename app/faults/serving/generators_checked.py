"""A Locust file: visitors who compare every page they get with all they know of it, letter by letter."""

import difflib
import random

from locust import HttpUser, constant_throughput, task

KNOWN = [f'{{"number":{number},"title":"Kettle","price_cents":{990 + 37 * number}}}' for number in range(0, 500, 8)]


class CarefulVisitor(HttpUser):
    """Looks at articles and checks what comes."""

    wait_time = constant_throughput(2)

    @task
    def look(self) -> None:
        """Get, then compare."""
        number = random.randrange(500)  # noqa: S311 - any article will do
        with self.client.get(f"/articles/{number}", name="/articles/[number]", catch_response=True) as answer:
            nearest = max(difflib.SequenceMatcher(None, answer.text, known).ratio() for known in KNOWN)
            if nearest < 0.5:  # noqa: PLR2004 - half of the letters
                answer.failure("this is no article")
