"""What the petstore's users send, without Locust: importing it would replace sockets and threads of the tests."""

import importlib.util
import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import pinchpoint.stress.scenarios
from pinchpoint.stress.scenarios.pack_petstore import PACK

FILE = Path(pinchpoint.stress.scenarios.__file__).with_name("petstore.py")


class Response:
    """An answer."""

    def __init__(self, status_code: int, fields: dict[str, Any]) -> None:
        self.status_code, self._fields = status_code, fields

    def json(self) -> dict[str, Any]:
        """Return the fields."""
        return self._fields


class Shop:
    """Answers as the app does, and remembers what it was asked, under which name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], int]] = []
        self.pets = 0
        self.ordered: set[int] = set()
        self.users: set[int] = set()
        self.open = True

    def post(self, path: str, json: dict[str, Any], name: str | None = None) -> Response:
        """Answer a request."""
        status, fields = self._answer(path, json) if self.open else (503, {})
        self.asked.append((name or path, json, status))
        return Response(status, fields)

    def statuses(self, name: str) -> Counter[int]:
        """Return how often which status came under a name."""
        return Counter(status for asked, _, status in self.asked if asked == name)

    def _answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/petstore/pets":
            self.pets += 1
            return 201, {"id": self.pets}
        if path == "/petstore/login":
            return 200, {}
        wanted, taken = (body["pet_id"], self.ordered) if path == "/petstore/orders" else (body["id"], self.users)
        if wanted in taken:
            return 409, {}
        taken.add(wanted)
        return 201, {}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ModuleType]]:
    """Return what loads the Locust file anew, with a Locust that does nothing."""
    locust: Any = ModuleType("locust")
    locust.FastHttpUser = type("FastHttpUser", (), {})
    locust.between = lambda low, high: (low, high)
    locust.task = lambda function: function
    monkeypatch.setitem(sys.modules, "locust", locust)
    monkeypatch.delenv("PINCHPOINT_PETSTORE_IDS", raising=False)

    def loaded() -> ModuleType:
        spec = importlib.util.spec_from_file_location("petstore_under_test", FILE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    state = random.getstate()
    random.seed(20130)
    yield loaded
    random.setstate(state)


def user_of(kind: Any, shop: Shop) -> Any:
    """Return a user that has started."""
    user = kind()
    user.client = shop
    user.on_start()
    return user


def test_the_weights_make_the_peaks_of_the_seed(load: Callable[[], ModuleType]) -> None:
    """110 users are 20, 30, 30 and 30; the pack says the same."""
    module = load()
    kinds = (module.CreatePet, module.OrderPet, module.CreateUser, module.LoginUser)
    whole = sum(kind.weight for kind in kinds)

    assert [110 * kind.weight // whole for kind in kinds] == [20, 30, 30, 30]
    assert [part.peak_users for part in PACK.parts] == [20, 30, 30, 30]
    assert [part.weight for part in PACK.parts] == [kind.weight for kind in kinds]
    assert max(users for _, users in PACK.staged) == 110
    assert sum(share for share, _ in PACK.staged) == pytest.approx(1.0)


def test_ids_are_unique_whoever_creates(load: Callable[[], ModuleType]) -> None:
    """Two processes with three users each: no id twice, none beyond 64 bits, and nothing fails."""
    shop = Shop()
    for module in (load(), load()):
        for user in [user_of(module.CreateUser, shop) for _ in range(3)]:
            for _ in range(100):
                user.create()

    ids = [body["id"] for _, body, _ in shop.asked]
    assert shop.statuses("/petstore/users") == Counter({201: 600})
    assert len(set(ids)) == 600
    assert len({body["username"] for _, body, _ in shop.asked}) == 600
    assert all(0 < number < 2**63 for number in ids)


def test_told_to_clash_a_quarter_of_the_new_users_bring_an_id_that_is_taken(
    load: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """24.84 % in the seed, give or take three standard deviations. Names never clash, so the id is the conflict."""
    monkeypatch.setenv("PINCHPOINT_PETSTORE_IDS", "clash")
    shop, module = Shop(), load()
    users = [user_of(module.CreateUser, shop) for _ in range(4)]
    for turn in range(4000):
        users[turn % 4].create()

    statuses = shop.statuses("/petstore/users")
    assert 0.228 < statuses[409] / 4000 < 0.269
    assert statuses[201] + statuses[409] == 4000
    assert len({body["username"] for _, body, _ in shop.asked}) == 4000


def test_no_pet_is_ordered_twice(load: Callable[[], ModuleType]) -> None:
    """Pets that others created go first; who finds none brings one, under a name of its own."""
    shop, module = Shop(), load()
    seller, buyers = user_of(module.CreatePet, shop), [user_of(module.OrderPet, shop) for _ in range(2)]
    for turn in range(30):
        if turn % 3 == 0:
            seller.create()
        buyers[turn % 2].order()

    assert shop.statuses("/petstore/orders") == Counter({201: 30})
    assert shop.statuses("/petstore/pets") == Counter({201: 10})
    assert shop.statuses("/petstore/pets (to order)") == Counter({201: 20})


def orders_of_two(module: Any, clock: Callable[[], float]) -> Shop:
    """Have two shoppers order in turn, a thousand times each, and return where they did."""
    module.time = SimpleNamespace(monotonic=clock)
    shop = Shop()
    buyers = [user_of(module.OrderPet, shop) for _ in range(2)]
    for turn in range(2000):
        buyers[turn % 2].order()
    return shop


def test_told_to_clash_shoppers_race_but_nobody_races_alone(
    load: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the orders of two who order at the same moment are refused; of one alone, and later, none."""
    monkeypatch.setenv("PINCHPOINT_PETSTORE_IDS", "clash")
    alone, module = Shop(), load()
    buyer = user_of(module.OrderPet, alone)
    for _ in range(2000):
        buyer.order()
    together = orders_of_two(load(), lambda: 1.0)
    later = orders_of_two(load(), itertools.count().__next__)

    assert alone.statuses("/petstore/orders") == Counter({201: 2000})
    assert 0.03 < together.statuses("/petstore/orders")[409] / 2000 < 0.08
    assert later.statuses("/petstore/orders") == Counter({201: 2000})


def test_a_login_has_an_account_of_its_own(load: Callable[[], ModuleType]) -> None:
    """Created before the load begins, under a name that no part of the pack counts."""
    shop, module = Shop(), load()
    users = [user_of(module.LoginUser, shop) for _ in range(2)]
    for user in users:
        user.login()

    created, logins = shop.asked[:2], shop.asked[2:]
    assert {name for name, _, _ in created} == {"/petstore/users (to log in)"}
    assert [body for name, body, _ in logins if name == "/petstore/login"] == [
        {key: body[key] for key in ("username", "password")} for _, body, _ in created
    ]
    assert created[0][1]["username"] != created[1][1]["username"]


def test_a_store_that_is_closed_breaks_no_task(load: Callable[[], ModuleType]) -> None:
    """Failures are the server's, counted under their names; an order without a pet is not sent."""
    shop, module = Shop(), load()
    shop.open = False
    for kind, act in (("CreatePet", "create"), ("OrderPet", "order"), ("CreateUser", "create"), ("LoginUser", "login")):
        getattr(user_of(getattr(module, kind), shop), act)()

    names = [name for name, _, _ in shop.asked]
    assert {status for _, _, status in shop.asked} == {503}
    assert "/petstore/orders" not in names
    assert {"/petstore/pets", "/petstore/pets (to order)", "/petstore/users", "/petstore/login"} <= set(names)


def test_every_part_counts_a_name_that_is_sent(load: Callable[[], ModuleType]) -> None:
    """A pack that counts other names than its Locust file sends would judge nothing."""
    shop, module = Shop(), load()
    for kind, act in (("CreatePet", "create"), ("OrderPet", "order"), ("CreateUser", "create"), ("LoginUser", "login")):
        getattr(user_of(getattr(module, kind), shop), act)()

    sent = {name for name, _, _ in shop.asked}
    assert {endpoint for part in PACK.parts for endpoint in part.endpoints} <= sent
