"""Many clients want the same pet, or bring the same id: one gets it, on both databases, from two copies of the app."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from support.petstore_app import Store, petstore_on
from support.postgres import skip_reason, temporary_postgres

CLIENTS, ROUNDS = 50, 10


async def statuses_of_orders(store: Store) -> list[Counter[int]]:
    """Return, for each of some pets that everybody orders at once, how often which status came."""
    found = []
    for _ in range(ROUNDS):
        pet = (await store.post("/pets", {"name": "Rex"})).json()
        answers = await store.post_all("/orders", [{"pet_id": pet["id"]}] * CLIENTS)
        found.append(Counter(answer.status_code for answer in answers))
        (winner,) = [answer.json() for answer in answers if answer.status_code == 201]
        assert winner["pet_id"] == pet["id"]
        assert (await store.get(f"/pets/{pet['id']}")).json()["status"] == "ordered"
    return found


async def statuses_of_users(store: Store) -> Counter[tuple[int, str]]:
    """Return how often which status and detail came when everybody signs up under one id, with a name of its own."""
    bodies = [{"id": 7, "username": f"user-{number}", "password": "secret"} for number in range(CLIENTS)]
    answers = await store.post_all("/users", bodies)
    return Counter((answer.status_code, answer.json().get("detail", "")) for answer in answers)


async def check(url: str) -> None:
    """Race on a database, from two copies of the app with four connections each."""
    async with petstore_on(url, copies=2, pool=4) as store:
        assert await statuses_of_orders(store) == [Counter({409: CLIENTS - 1, 201: 1})] * ROUNDS
        assert await statuses_of_users(store) == Counter({(409, "User id 7 already taken"): CLIENTS - 1, (201, ""): 1})


def test_one_of_fifty_gets_it_on_sqlite(tmp_path: Path) -> None:
    """Ten pets out of ten, and one id; everybody else is told why."""
    asyncio.run(check(f"sqlite:///{tmp_path}/pets.db"))


@pytest.mark.postgres
def test_one_of_fifty_gets_it_on_postgresql() -> None:
    """The same with connections that really write at the same time."""
    reason = skip_reason()
    if reason is not None:
        pytest.skip(reason)
    with temporary_postgres() as url:
        asyncio.run(check(url))
