"""OpenUser: agents, their tasks, and the accounts of those who own them.

Three kinds of users, 6 : 3 : 1:

- `OpenUserUser`: health (6), root (3), user info (3), list agents (1), create an agent (1)
- `ReadOnlyUser`: health (3), user info (2), list agents (2), list tasks (2)
- `AuthenticationUser`: register (1), log in (1)

Runs under pinchpoint (`--scenario openuser`) and as a plain Locust file (`locust -f openuser.py --host URL`; with one
kind of users only: `locust -f openuser.py --host URL ReadOnlyUser`).
"""

import random
import time
import uuid
from typing import Any

from locust import FastHttpUser, between, task

USERNAME = "test_user"
PASSWORD = "password"  # noqa: S105 - the reference app's public test account
TIMEOUT_S = 10.0
TOKEN_S = 1_800.0
"""A token is renewed after this time: half of what it is good for in the reference app."""
OK, CREATED = 200, 201


class ApiUser(FastHttpUser):
    """A client of the API. The pause between tasks counts in the users model only."""

    abstract = True
    # The document wants more than 100 requests/s and more than 100 users: with longer pauses both cannot be had.
    wait_time = between(0.5, 1.0)
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S


class SignedInUser(ApiUser):
    """A client with an account."""

    abstract = True
    signed_in_s: float

    def on_start(self) -> None:
        """Log in before the first task."""
        self.sign_in()

    def sign_in(self) -> None:
        """Send a fresh token with every request from now on; an app that refuses the login is measured without one."""
        self.signed_in_s = time.monotonic()
        credentials = {"username": USERNAME, "password": PASSWORD}
        with self.client.post("/login", json=credentials, catch_response=True) as response:
            token = field_of(response, "access_token") if response.status_code == OK else None
        if token is not None:
            self.client.client.default_headers["Authorization"] = f"Bearer {token}"

    def stay_signed_in(self) -> None:
        """Renew the token before it expires, which only a soak lives to see."""
        if time.monotonic() - self.signed_in_s > TOKEN_S:
            self.sign_in()

    def read_health(self) -> None:
        """Ask whether the service lives."""
        self.client.get("/health")

    def read_user_info(self) -> None:
        """Read the account's own data."""
        self.stay_signed_in()
        self.client.get("/me")

    def list_agents(self) -> None:
        """Read the first page of one's agents."""
        self.stay_signed_in()
        self.client.get("/agents")


class OpenUserUser(SignedInUser):
    """A typical user: a little of everything."""

    weight = 6

    def on_start(self) -> None:
        """Log in; leave an agent with a task, so that nobody lists nothing."""
        super().on_start()
        with self.client.post("/agents", json=some_agent(), name="/agents/create", catch_response=True) as response:
            agent_id = field_of(response, "id") if response.status_code == CREATED else None
        if agent_id is not None:
            self.client.post("/tasks", json={"agent_id": agent_id, "title": "Say hello"}, name="/tasks/create")

    @task(6)
    def check_health(self) -> None:
        """High frequency."""
        self.read_health()

    @task(3)
    def read_root(self) -> None:
        """Medium frequency."""
        self.client.get("/")

    @task(3)
    def see_user_info(self) -> None:
        """Medium frequency."""
        self.read_user_info()

    @task(1)
    def see_agents(self) -> None:
        """Low frequency."""
        self.list_agents()

    @task(1)
    def create_agent(self) -> None:
        """Low frequency."""
        self.stay_signed_in()
        self.client.post("/agents", json=some_agent(), name="/agents/create")


class ReadOnlyUser(SignedInUser):
    """A user who changes nothing."""

    weight = 3

    @task(3)
    def check_health(self) -> None:
        """Most often."""
        self.read_health()

    @task(2)
    def see_user_info(self) -> None:
        """Read the account's own data."""
        self.read_user_info()

    @task(2)
    def see_agents(self) -> None:
        """Read the first page of one's agents."""
        self.list_agents()

    @task(2)
    def see_tasks(self) -> None:
        """Read the first page of the tasks of one's agents."""
        self.stay_signed_in()
        self.client.get("/tasks")


class AuthenticationUser(ApiUser):
    """A user who comes and goes. Hashing makes each of its requests worth ten of the others'."""

    weight = 1
    account: dict[str, str]

    def on_start(self) -> None:
        """Begin with the public account; the first registration replaces it."""
        self.account = {"username": USERNAME, "password": PASSWORD}

    @task
    def register(self) -> None:
        """Register a name that nobody else takes, on whichever load host."""
        account = {"username": f"load-{uuid.uuid4().hex}", "password": PASSWORD}
        with self.client.post("/register", json=account, catch_response=True) as response:
            if response.status_code == CREATED:
                self.account = account

    @task
    def log_in(self) -> None:
        """Log in with the account registered last."""
        self.client.post("/login", json=self.account)


def some_agent() -> dict[str, str]:
    """Return a valid agent."""
    return {"name": f"Agent {random.randint(1000, 9999)}", "description": "Answers when it is asked."}


def field_of(response: Any, name: str) -> Any:
    """Return a field of the JSON object in an answer; None where there is none."""
    try:
        answer = response.json()
    except (TypeError, ValueError):
        return None
    return answer.get(name) if isinstance(answer, dict) else None
