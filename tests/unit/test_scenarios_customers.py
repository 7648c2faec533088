"""The users of the customers scenario: how often they do what, and what they make of each answer."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from pinchpoint.stress.scenarios import SCENARIOS
from pinchpoint.stress.scenarios.pack_customers import PACK
from support.scenario_users import Players, playing

KINDS = ["AdminUser", "CustomerAPIUser", "RegularUser"]
ALL_TASKS = {
    "create_customer": 3,
    "get_customer": 4,
    "update_customer": 2,
    "delete_customer": 1,
    "get_all_customers": 1,
    "create_invalid_customer": 1,
}
BORN = (201, {"id": 7})
"""The answer to what every user sends first."""


@pytest.fixture(scope="module")
def users() -> Iterator[Players]:
    """Load the file as Locust does."""
    with playing(SCENARIOS["customers"].path) as players:
        yield players


def test_locust_finds_the_three_kinds_of_users_in_equal_shares(users: Players) -> None:
    """Nothing else in the file is taken for a user."""
    found = users.classes()

    assert sorted(found) == KINDS
    assert {each["weight"] for each in found.values()} == {1}
    assert "CustomerAPIUser" in found["AdminUser"]["parents"]
    assert "CustomerAPIUser" in found["RegularUser"]["parents"]


@pytest.mark.parametrize(
    ("kind", "tasks"),
    [
        ("CustomerAPIUser", ALL_TASKS),
        ("AdminUser", {"get_all_customers": 5, "create_customer": 3}),
        ("RegularUser", {"get_customer": 5, "update_customer": 2}),
    ],
)
def test_locust_picks_each_task_as_often_as_the_document_says(users: Players, kind: str, tasks: dict[str, int]) -> None:
    """An extended kind does what is written for it and nothing that it would inherit."""
    found = users.classes()[kind]

    assert found["tasks"] == tasks
    assert found["shares"] == pytest.approx({task: weight / sum(tasks.values()) for task, weight in tasks.items()})


def test_users_pause_for_one_to_three_seconds(users: Players) -> None:
    """All kinds alike."""
    for found in users.classes().values():
        assert 1.0 <= min(found["waits"]) < 1.05
        assert 2.95 < max(found["waits"]) <= 3.0


@pytest.mark.parametrize("kind", KINDS)
def test_every_user_begins_with_a_customer_of_its_own(users: Players, kind: str) -> None:
    """One who never creates has something to get and update."""
    played = users.play(kind, "on_start", answers=[BORN])

    assert played.names == ["POST /customers/create"]
    assert played.failures == [None]
    assert played.ids == [7]


def test_a_created_customer_is_complete_and_its_id_is_kept(users: Players) -> None:
    """Two of them: both ids, and addresses that differ."""
    played = users.play("CustomerAPIUser", "on_start", "create_customer", answers=[BORN, (201, {"id": 8})])

    bodies = [one["body"] for one in played.asked]
    assert played.paths == ["POST /customers", "POST /customers"]
    assert [sorted(body) for body in bodies] == [["email", "name", "phone"]] * 2
    assert len({body["email"] for body in bodies}) == 2
    assert played.ids == [7, 8]


@pytest.mark.parametrize("answer", [(201, {}), (200, "no JSON"), (201, None), (201, [7]), (201, {"id": "7"})])
def test_a_creation_without_an_id_is_a_failure(users: Players, answer: tuple[int, Any]) -> None:
    """It looks like a success, but there is nothing to go on with."""
    played = users.play("CustomerAPIUser", "on_start", answers=[answer])

    assert played.failures == [f"a customer was created ({answer[0]}), but the answer holds no id"]
    assert played.ids == []


@pytest.mark.parametrize(
    ("task", "asked", "name"),
    [
        ("get_customer", "GET /customers/7", "GET /customers/[id]"),
        ("update_customer", "PUT /customers/7", "PUT /customers/[id]/update"),
        ("delete_customer", "DELETE /customers/7", "DELETE /customers/[id]/delete"),
    ],
)
def test_a_customer_is_asked_for_by_an_id_that_is_kept(users: Players, task: str, asked: str, name: str) -> None:
    """Under one name for all ids."""
    status = 204 if task == "delete_customer" else 200

    played = users.play("CustomerAPIUser", "on_start", task, answers=[BORN, (status, None if status == 204 else {})])

    assert played.paths[1:] == [asked]
    assert played.names[1:] == [name]
    assert played.failures == [None, None]


def test_an_update_sends_new_data(users: Players) -> None:
    """Whole, as PUT asks for."""
    played = users.play("CustomerAPIUser", "on_start", "update_customer", answers=[BORN, (200, {})])

    first, second = (one["body"] for one in played.asked)
    assert sorted(second) == ["email", "name", "phone"]
    assert second["email"] != first["email"]
    assert played.ids == [7]


def test_a_deleted_customer_is_forgotten(users: Players) -> None:
    """Only that one."""
    answers = [BORN, (201, {"id": 8}), (204, None)]

    played = users.play("CustomerAPIUser", "on_start", "create_customer", "delete_customer", answers=answers)

    gone = int(played.paths[2].rpartition("/")[2])
    assert played.ids == [one for one in (7, 8) if one != gone]


@pytest.mark.parametrize("task", ["get_customer", "update_customer", "delete_customer"])
def test_a_missing_customer_is_forgotten_and_no_failure(users: Players, task: str) -> None:
    """404 drops the id."""
    played = users.play("CustomerAPIUser", "on_start", task, answers=[BORN, (404, {"detail": "Customer not found"})])

    assert played.failures == [None, None]
    assert played.ids == []


@pytest.mark.parametrize("task", ["get_customer", "update_customer", "delete_customer"])
def test_an_error_is_a_failure_and_the_customer_stays(users: Players, task: str) -> None:
    """A server that breaks has deleted nothing, as far as anybody knows."""
    played = users.play("CustomerAPIUser", "on_start", task, answers=[BORN, (500, None)])

    assert played.failures[0] is None
    assert played.failures[1] is not None
    assert "code=500" in played.failures[1]
    assert played.ids == [7]


@pytest.mark.parametrize("task", ["get_customer", "update_customer", "delete_customer"])
def test_a_user_who_has_none_left_creates_one(users: Players, task: str) -> None:
    """Every task is a request, and the next one has a customer to ask for."""
    answers = [BORN, (404, None), (201, {"id": 9}), (200, {})]

    played = users.play("RegularUser", "on_start", "get_customer", task, "get_customer", answers=answers)

    assert played.paths[1:] == ["GET /customers/7", "POST /customers", "GET /customers/9"]
    assert played.failures == [None] * 4


def test_pages_are_of_any_size_and_from_anywhere(users: Players) -> None:
    """Within what the API allows, and under one name."""
    count = 200

    played = users.play("CustomerAPIUser", *["get_all_customers"] * count, answers=[(200, [])] * count)

    pages = [dict(pair.split("=") for pair in path.partition("?")[2].split("&")) for path in played.paths]
    limits = Counter(int(page["limit"]) for page in pages)
    offsets = [int(page["offset"]) for page in pages]
    assert sorted(limits) == [10, 20, 50, 100]
    assert 0 <= min(offsets) < 50
    assert 450 < max(offsets) <= 500
    assert set(played.names) == {"GET /customers"}
    assert set(played.failures) == {None}


def test_the_refusal_of_an_invalid_customer_is_a_success(users: Players) -> None:
    """Each kind of nonsense gets its turn, and 422 is right for all."""
    wrong, calls = users.constant("INVALID_CUSTOMERS"), ["create_invalid_customer"] * 200

    played = users.play("CustomerAPIUser", *calls, answers=[(422, {"detail": []})] * len(calls))

    assert [one for one in wrong if one not in [asked["body"] for asked in played.asked]] == []
    assert set(played.names) == {"POST /customers/invalid"}
    assert set(played.failures) == {None}


@pytest.mark.parametrize("status", [200, 201])
def test_an_invalid_customer_that_is_accepted_is_flagged(users: Players, status: int) -> None:
    """Locust would have called it a success."""
    played = users.play("CustomerAPIUser", "create_invalid_customer", answers=[(status, {"id": 1})])

    assert played.failures == [f"an invalid customer was answered with {status} in place of 422"]


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_any_other_answer_to_an_invalid_customer_is_a_failure(users: Players, status: int) -> None:
    """Under its own status, so that the report can tell them apart."""
    played = users.play("CustomerAPIUser", "create_invalid_customer", answers=[(status, None)])

    assert played.failures[0] is not None
    assert f"code={status}" in played.failures[0]


@pytest.mark.parametrize("task", sorted(ALL_TASKS))
def test_a_server_that_is_gone_is_one_failure_a_task(users: Players, task: str) -> None:
    """No task breaks, and none hides it."""
    played = users.play("CustomerAPIUser", "on_start", task, dead=True)

    assert len(played.failures) == 2
    assert None not in played.failures
    assert played.ids == []


def test_the_pack_has_a_part_for_every_name_that_is_sent(users: Players) -> None:
    """And none for a name that is not."""
    answers = [BORN, (201, {"id": 8}), (200, {}), (200, {}), (200, []), (422, None), (204, None)]
    others = ["create_customer", "get_customer", "update_customer", "get_all_customers", "create_invalid_customer"]

    played = users.play("CustomerAPIUser", "on_start", *others, "delete_customer", answers=answers)

    assert played.left == 0
    assert {one["name"] for one in played.reported} == {name for part in PACK.parts for name in part.endpoints}


def test_the_pack_weighs_its_parts_as_the_document_does() -> None:
    """In its order, under its names."""
    assert {part.name: part.weight for part in PACK.parts} == {
        "Create Customer": 3,
        "Get Customer": 4,
        "Update Customer": 2,
        "Delete Customer": 1,
        "Get All Customers": 1,
        "Create Invalid Customer": 1,
    }
    assert (PACK.model, PACK.staged, PACK.audit) == ("rate", (), None)
