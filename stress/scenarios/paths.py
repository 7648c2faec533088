"""GET a list of paths in turn, each as often as the others: the Locust file behind `--get PATH`."""

import json
import os
import random

from locust import FastHttpUser, task

PATHS: list[str] = json.loads(os.environ["PINCHPOINT_GET_PATHS"])


class PathsUser(FastHttpUser):
    """A visitor without an account."""

    connection_timeout = 10.0
    network_timeout = 10.0

    @task
    def get(self) -> None:
        """Read one of the paths."""
        self.client.get(random.choice(PATHS))
