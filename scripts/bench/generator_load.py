"""The Locust file of the generator's benchmark: nothing but requests, for stock Locust and for ours alike."""

from locust import FastHttpUser, task


class Visitor(FastHttpUser):
    """Sends the next request as soon as it may."""

    @task
    def get(self) -> None:
        """Read the one page."""
        self.client.get("/")
