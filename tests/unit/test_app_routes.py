"""The reference app's routes, in process, on a SQLite file."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from pinchpoint.app import accounts, database
from pinchpoint.app.database import SEED_ITEMS
from pinchpoint.app.settings import load_settings

LOGIN = {"username": "test_user", "password": "password"}


class Client:
    """The app without a server: each request is run to its end on one event loop."""

    def __init__(self, runner: asyncio.Runner, http: httpx.AsyncClient) -> None:
        self._runner, self._http = runner, http

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request."""
        return self._runner.run(self._http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Send a POST with a JSON body."""
        return self.request("POST", path, json=body)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve a freshly seeded app."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("PINCHPOINT_APP_RUN_DIR", str(tmp_path_factory.mktemp("app")))
        patch.setenv("PINCHPOINT_APP_JWT_SECRET", "s" * 32)
        patch.delenv("DATABASE_URL", raising=False)
        patch.delenv("PINCHPOINT_APP_FAULT", raising=False)
        from pinchpoint.app.main import create_app  # noqa: PLC0415 - importing it reads the environment

        app = create_app(load_settings())
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
        yield Client(runner, http)
        runner.run(http.aclose())
        runner.run(lifespan.__aexit__(None, None, None))


def new_item(client: Client, **fields: Any) -> dict[str, Any]:
    """Create an item and return it."""
    response = client.post("/items/", {"name": "Lamp", "price": 9.5, **fields})
    assert response.status_code == 201
    created: dict[str, Any] = response.json()
    return created


def test_a_created_item_reads_back_the_same(client: Client) -> None:
    """What was stored is what is served, times in UTC."""
    created = new_item(client, description="bright")

    assert client.get(f"/items/{created['id']}").json() == created
    assert created["created_at"].endswith("Z")


@pytest.mark.parametrize("path", ["/items", "/items/"])
def test_items_answer_with_and_without_a_slash(client: Client, path: str) -> None:
    """A redirect would double the load of a client that chose the other spelling."""
    assert client.get(path).status_code == 200
    assert client.post(path, {"name": "x", "price": 1}).status_code == 201


def test_the_catalogue_is_seeded_and_paged_in_order(client: Client) -> None:
    """Exactly the seeded items stand at the front."""
    page = client.get("/items", params={"limit": 2, "offset": SEED_ITEMS - 1}).json()

    assert page[0]["name"] == "Item 10000"
    assert page[0]["id"] == SEED_ITEMS
    assert all(item["id"] > SEED_ITEMS for item in page[1:])


def test_a_search_ignores_case_and_takes_wildcards_literally(client: Client) -> None:
    """`%` and `_` are characters to look for."""
    created = new_item(client, name="50%_Off")

    assert [item["id"] for item in client.get("/items", params={"q": "%_oFF"}).json()] == [created["id"]]
    assert [item["id"] for item in client.get("/items", params={"q": "item 00007"}).json()] == [7]
    assert client.get("/items", params={"q": "50%%"}).json() == []


def test_an_item_can_be_changed_and_deleted(client: Client) -> None:
    """A change keeps id and date; after the deletion nothing is left."""
    created = new_item(client)
    path = f"/items/{created['id']}"

    changed = client.request("PUT", path, json={"name": "Torch", "description": "dim", "price": 2}).json()

    assert changed == {**created, "name": "Torch", "description": "dim", "price": 2.0}
    assert client.request("DELETE", path).status_code == 204
    assert [client.get(path).status_code, client.request("DELETE", path).status_code] == [404, 404]
    assert client.request("PUT", path, json={"name": "x", "price": 1}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/items/", {"name": "", "price": 1}),
        ("POST", "/items/", {"name": "x", "price": -1}),
        ("GET", "/items/0", None),
        ("GET", "/items/99999999999999999999", None),
        ("GET", "/items?limit=101", None),
        ("POST", "/register", {"username": "u", "password": "short"}),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, method: str, path: str, body: dict[str, Any] | None) -> None:
    """Bad input is the client's error, never a 500."""
    assert client.request(method, path, json=body).status_code == 422


def test_a_registered_user_can_log_in_and_is_known(client: Client) -> None:
    """Register, log in, be recognised; a second registration of the name is refused."""
    who = {"username": "ada", "password": "correct horse"}

    registered = client.post("/register", who)
    token = client.post("/login", who).json()

    assert registered.status_code == 201
    assert token["token_type"] == "bearer"
    me = client.get("/me", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert me.json() == registered.json()
    assert client.post("/register", who).status_code == 409


@pytest.mark.parametrize("credentials", [{**LOGIN, "password": "passwore"}, {**LOGIN, "username": "nobody"}])
def test_a_wrong_login_does_not_say_what_was_wrong(client: Client, credentials: dict[str, str]) -> None:
    """The same answer for an unknown name and a wrong password."""
    response = client.post("/login", credentials)

    assert (response.status_code, response.json()) == (401, {"detail": "Wrong username or password"})


def test_me_refuses_missing_forged_and_expired_tokens(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a token of ours that is still valid counts."""
    settings = load_settings()
    long_ago = database.now() - timedelta(days=1)
    monkeypatch.setattr(accounts, "now", lambda: long_ago)
    expired = accounts.make_token(settings, "test_user")
    monkeypatch.setattr(accounts, "now", lambda: long_ago + timedelta(days=1))
    valid = accounts.make_token(settings, "test_user")
    headers = [{}, *({"Authorization": f"Bearer {token}"} for token in ("x.y.z", valid[:-2] + "xx", expired, valid))]

    assert [client.get("/me", headers=header).status_code for header in headers] == [401, 401, 401, 401, 200]


def test_metrics_count_by_route_and_not_by_path(client: Client) -> None:
    """One series for all ids, whatever clients ask for."""
    client.get("/items/1")
    client.get("/items/2")
    client.get("/no/such/path")

    text = client.get("/metrics").text

    assert 'handler="/items/{item_id}",method="GET",status="2xx"' in text
    assert "/no/such/path" not in text
    assert "app_workers 1.0" in text


def test_root_and_health_answer_without_the_database(client: Client) -> None:
    """They stay up when the database does not."""
    assert client.get("/").status_code == 200
    assert client.get("/health").json() == {"status": "ok"}
