"""How long the reference app takes for one request at a time, over HTTP, held against its table of requirements."""

import uuid
from typing import Any

import pytest

from support.app_server import TEST_USER, Api
from support.benchmarks import Measure

pytestmark = pytest.mark.performance

CHEAP_ROUNDS, ROUNDS, HASHING_ROUNDS = 300, 100, 40
"""A second or less of each, and many enough that one slow round is no part of the mean."""
AGENT = {"name": "Scout", "description": "Looks around."}
LISTS = {"GET /agents": "/agents", "GET /tasks": "/tasks", "GET /items": "/items/?limit=100"}


def test_health_check(api: Api, measure: Measure) -> None:
    """The server and nothing behind it."""
    measure("Health Check", "GET /health", lambda: api.ask_json("GET", "/health"), rounds=CHEAP_ROUNDS)


def test_root_endpoint(api: Api, measure: Measure) -> None:
    """Likewise."""
    measure("Root Endpoint", "GET /", lambda: api.ask_json("GET", "/"), rounds=CHEAP_ROUNDS)


def test_login(api: Api, measure: Measure) -> None:
    """Argon2, and a token."""
    measure("Authentication", "POST /login", lambda: api.ask_json("POST", "/login", TEST_USER), rounds=HASHING_ROUNDS)


def test_registration(api: Api, measure: Measure) -> None:
    """Argon2, and a row; each round under another name."""

    def register() -> Any:
        account = {"username": uuid.uuid4().hex, "password": "correct horse"}
        return api.ask_json("POST", "/register", account, status=201)

    measure("Authentication", "POST /register", register, rounds=HASHING_ROUNDS)


@pytest.mark.parametrize("what", LISTS)
def test_list_operations(signed_in: Api, measure: Measure, what: str) -> None:
    """A page, after the page was asked for before: agents come from the cache."""
    agent_id = signed_in.ask_json("POST", "/agents", AGENT, status=201)["id"]
    signed_in.ask_json("POST", "/tasks", {"agent_id": agent_id, "title": "Say hello"}, status=201)

    measure("List Operations", what, lambda: signed_in.ask_json("GET", LISTS[what]), rounds=ROUNDS)


def test_listing_after_a_change(signed_in: Api, measure: Measure) -> None:
    """The cache was emptied before each round, which is not timed."""

    def change() -> None:
        signed_in.ask_json("POST", "/agents", AGENT, status=201)

    measure(
        "List Operations",
        "GET /agents, uncached",
        lambda: signed_in.ask_json("GET", "/agents"),
        rounds=ROUNDS,
        setup=change,
    )


@pytest.mark.parametrize("what", ["POST /agents", "POST /tasks", "POST /items/"])
def test_create_operations(signed_in: Api, measure: Measure, what: str) -> None:
    """One row each."""
    agent_id = signed_in.ask_json("POST", "/agents", AGENT, status=201)["id"]
    bodies: dict[str, dict[str, Any]] = {
        "POST /agents": AGENT,
        "POST /tasks": {"agent_id": agent_id, "title": "Say hello"},
        "POST /items/": {"name": "Lamp", "price": 9.5},
    }
    method, path = what.split()

    def create() -> Any:
        return signed_in.ask_json(method, path, bodies[what], status=201)

    measure("Create Operations", what, create, rounds=ROUNDS)
