"""The petstore's endpoints, in process, on a SQLite file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from pinchpoint.app import petstore
from support.petstore_app import Store, petstore_on

ADA = {"id": 17, "username": "ada", "password": "correct horse"}


class Client:
    """A store that is asked one request after the other."""

    def __init__(self, runner: asyncio.Runner, store: Store) -> None:
        self._runner, self._store = runner, store

    def post(self, path: str, body: Any) -> httpx.Response:
        """Send a POST."""
        return self._runner.run(self._store.post(path, body))

    def get(self, path: str) -> httpx.Response:
        """Send a GET."""
        return self._runner.run(self._store.get(path))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve an empty petstore."""
    url = f"sqlite:///{tmp_path_factory.mktemp('petstore')}/pets.db"
    with asyncio.Runner() as runner:
        serving = petstore_on(url)
        store = runner.run(serving.__aenter__())
        yield Client(runner, store)
        runner.run(serving.__aexit__(None, None, None))


def new_pet(client: Client, **fields: Any) -> dict[str, Any]:
    """Create a pet."""
    response = client.post("/pets", {"name": "Rex", **fields})
    assert response.status_code == 201
    created: dict[str, Any] = response.json()
    return created


def test_a_created_pet_reads_back_the_same(client: Client) -> None:
    """What was stored is what is served, times in UTC."""
    created = new_pet(client, category="dogs")

    assert client.get(f"/pets/{created['id']}").json() == created
    assert (created["status"], created["category"]) == ("available", "dogs")
    assert created["created_at"].endswith("Z")


def test_a_pet_is_ordered_once(client: Client) -> None:
    """The first order stands, the second names the conflict, and the pet says so."""
    pet = new_pet(client)
    order = {"pet_id": pet["id"], "quantity": 2}

    first, second = client.post("/orders", order), client.post("/orders", order)

    assert first.status_code == 201
    assert {key: first.json()[key] for key in order} == order
    assert (second.status_code, second.json()) == (409, {"detail": f"Pet {pet['id']} is already ordered"})
    assert client.get(f"/pets/{pet['id']}").json() == {**pet, "status": "ordered"}


def test_an_order_for_no_pet_is_not_found(client: Client) -> None:
    """404, which is neither a conflict nor bad input."""
    assert client.post("/orders", {"pet_id": 2**31 - 1}).status_code == 404
    assert client.get("/pets/2147483647").status_code == 404


def test_a_user_keeps_the_id_that_the_client_chose(client: Client) -> None:
    """Up to the largest one of 64 bits."""
    largest = {**ADA, "id": 2**63 - 1, "username": "largest"}

    created = client.post("/users", largest)

    assert created.status_code == 201
    assert {key: created.json()[key] for key in ("id", "username")} == {"id": 2**63 - 1, "username": "largest"}


@pytest.mark.parametrize(
    ("again", "detail"),
    [
        ({**ADA, "username": "another"}, "User id 17 already taken"),
        ({**ADA, "id": 18}, "User username 'ada' already taken"),
        (ADA, "User id 17 and username 'ada' already taken"),
    ],
)
def test_a_clash_names_what_is_taken(client: Client, again: dict[str, Any], detail: str) -> None:
    """The id, the username, or both."""
    assert client.post("/users", ADA).status_code in {201, 409}

    refused = client.post("/users", again)

    assert (refused.status_code, refused.json()) == (409, {"detail": detail})


def test_a_user_logs_in_with_the_right_password_only(client: Client) -> None:
    """And a wrong name is answered like a wrong password; each login is a session of its own."""
    client.post("/users", {**ADA, "id": 40, "username": "grace"})

    right = [client.post("/login", {"username": "grace", "password": "correct horse"}) for _ in range(2)]
    wrong = client.post("/login", {"username": "grace", "password": "correct hors"})
    nobody = client.post("/login", {"username": "nobody at all", "password": "correct horse"})

    assert [response.status_code for response in right] == [200, 200]
    assert {response.json()["user_id"] for response in right} == {40}
    assert len({response.json()["session"] for response in right}) == 2
    assert (wrong.status_code, wrong.json()) == (401, {"detail": "Wrong username or password"})
    assert (nobody.status_code, nobody.json()) == (401, {"detail": "Wrong username or password"})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pets", {"name": ""}),
        ("/pets", {"name": "a\0b"}),
        ("/pets", {"name": "x" * 201}),
        ("/pets", {"name": "Rex", "category": 7}),
        ("/orders", {"pet_id": 0}),
        ("/orders", {"pet_id": 2**31}),
        ("/orders", {"pet_id": "1"}),
        ("/orders", {"pet_id": 1, "quantity": 101}),
        ("/users", {**ADA, "id": 0}),
        ("/users", {**ADA, "id": 2**63}),
        ("/users", {**ADA, "id": True}),
        ("/users", {**ADA, "username": "\0"}),
        ("/users", {"id": 5, "username": "no password"}),
        ("/login", {"username": "ada"}),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, path: str, body: dict[str, Any]) -> None:
    """Bad input is the client's error: numbers that no column holds, NUL, and texts that are numbers."""
    assert client.post(path, body).status_code == 422


def test_no_password_is_kept_as_it_came(tmp_path: Path) -> None:
    """Nor do two users with the same one have the same hash."""

    async def hashes() -> list[str]:
        async with petstore_on(f"sqlite:///{tmp_path}/pets.db") as store:
            for number in (1, 2):
                await store.post("/users", {"id": number, "username": f"u{number}", "password": "same"})
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/pets.db")
        async with engine.connect() as connection:
            found = [str(row[0]) for row in await connection.execute(select(petstore.users.c.password_hash))]
        await engine.dispose()
        return found

    first, second = asyncio.run(hashes())

    assert first != second
    assert "same" not in {first, second}


def test_every_status_is_documented() -> None:
    """What the endpoints answer stands in the OpenAPI document, so a fuzzer can hold them to it."""
    app = FastAPI()
    app.include_router(petstore.router)
    paths = app.openapi()["paths"]

    found = {
        f"{method} {path}": sorted(operation["responses"])
        for path, methods in paths.items()
        for method, operation in methods.items()
    }

    assert found == {
        "post /petstore/pets": ["201", "422"],
        "get /petstore/pets/{pet_id}": ["200", "404", "422"],
        "post /petstore/orders": ["201", "404", "409", "422"],
        "post /petstore/users": ["201", "409", "422"],
        "post /petstore/login": ["200", "401", "422"],
    }
