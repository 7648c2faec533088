"""The users of the fastapi scenario, as the document writes them, and the populations of its pack."""

from collections.abc import Iterator
from itertools import accumulate

import pytest

from pinchpoint.stress.scenarios import SCENARIOS
from pinchpoint.stress.scenarios.pack_fastapi import PACK
from support.scenario_users import Players, playing

TOKEN = (200, {"access_token": "secret", "token_type": "bearer"})


@pytest.fixture(scope="module")
def users() -> Iterator[Players]:
    """Load the file as Locust does: it must not be taken for the library of that name."""
    with playing(SCENARIOS["fastapi"].path) as players:
        yield players


def test_locust_finds_the_class_with_the_tasks_of_the_document(users: Players) -> None:
    """`get_items_by_id` three times as often as the others."""
    classes = users.classes()
    found = classes["FastAPIUser"]

    assert list(classes) == ["FastAPIUser"]
    assert found["tasks"] == {"get_root": 1, "get_items_by_id": 3, "create_item": 1}
    assert found["shares"] == pytest.approx({"get_root": 0.2, "get_items_by_id": 0.6, "create_item": 0.2})


def test_users_pause_for_one_to_five_seconds(users: Players) -> None:
    """Between two tasks."""
    waits = users.classes()["FastAPIUser"]["waits"]

    assert 1.0 <= min(waits) < 1.05
    assert 4.95 < max(waits) <= 5.0


def test_a_user_logs_in_and_sends_its_token_from_then_on(users: Players) -> None:
    """With the public test account."""
    calls = ("on_start", "get_root", "get_items_by_id", "create_item", "on_stop")

    played = users.play("FastAPIUser", *calls, answers=[TOKEN, (200, {}), (200, {}), (201, {})])

    assert played.names == ["POST /login", "GET /", "GET /items/[id]", "POST /items/create"]
    assert played.asked[0]["body"] == {"username": "test_user", "password": "password"}
    assert [one["authorization"] for one in played.asked] == [None, *["Bearer secret"] * 3]
    assert played.failures == [None] * 4


@pytest.mark.parametrize("answer", [(401, {"detail": "Wrong username or password"}), (404, None), (500, None)])
def test_a_refused_login_is_a_failure_and_the_user_goes_on(users: Players, answer: tuple[int, object]) -> None:
    """Without a token."""
    played = users.play("FastAPIUser", "on_start", "get_root", answers=[answer, (200, {})])

    assert [failure is None for failure in played.failures] == [False, True]
    assert [one["authorization"] for one in played.asked] == [None, None]


def test_a_server_that_is_gone_is_one_failure_a_request(users: Players) -> None:
    """A login without an answer has the status 0, which Locust calls `ok`."""
    played = users.play("FastAPIUser", "on_start", "get_root", "get_items_by_id", "create_item", dead=True)

    assert len(played.failures) == 4
    assert None not in played.failures


def test_items_are_asked_for_by_an_id_from_one_to_a_hundred(users: Players) -> None:
    """Under one name."""
    count = 200

    played = users.play("FastAPIUser", *["get_items_by_id"] * count, answers=[(200, {})] * count)

    ids = {int(path.removeprefix("GET /items/")) for path in played.paths}
    assert ids <= set(range(1, 101))
    assert len(ids) > 70
    assert set(played.names) == {"GET /items/[id]"}


def test_a_new_item_has_the_name_and_the_price_of_the_document(users: Players) -> None:
    """`LocustItem_1000` to `LocustItem_9999`, 10 to 500."""
    count = 50

    played = users.play("FastAPIUser", *["create_item"] * count, answers=[(201, {})] * count)

    bodies = [one["body"] for one in played.asked]
    assert set(played.paths) == {"POST /items/"}
    assert {sorted(body) == ["name", "price"] for body in bodies} == {True}
    assert all(1000 <= int(body["name"].removeprefix("LocustItem_")) <= 9999 for body in bodies)
    assert all(10.0 <= body["price"] <= 500.0 for body in bodies)


def test_the_pack_has_a_part_for_every_name_that_is_sent(users: Players) -> None:
    """And none for a name that is not; the login is no load."""
    calls = ("get_root", "get_items_by_id", "create_item")

    played = users.play("FastAPIUser", *calls, answers=[(200, {}), (200, {}), (201, {})])

    assert [one["name"] for one in played.reported] == [name for part in PACK.parts for name in part.endpoints]
    assert [part.weight for part in PACK.parts] == [1, 3, 1]


def test_the_pack_holds_each_population_and_then_half_as_many_again() -> None:
    """10, 50, 100, 200, 300: a short way up, then a hold, all for the same time."""
    ends = [users for _, users in PACK.staged]
    borders = list(accumulate(share for share, _ in PACK.staged))

    assert PACK.model == "users"
    assert ends[::2] == ends[1::2] == [10, 50, 100, 200, 300]
    assert borders[1::2] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(up < hold for (up, _), (hold, _) in zip(PACK.staged[::2], PACK.staged[1::2], strict=True))


def test_the_pack_is_held_against_one_percent_of_errors() -> None:
    """The document's figure."""
    assert [(each.metric, each.op, each.target) for each in PACK.targets] == [("error_rate", "<=", 0.01)]
