"""The reference app's customers, in process, on SQLite and on PostgreSQL."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pinchpoint.app.settings import load_settings
from support.postgres import skip_reason, temporary_postgres

UNREADABLE = "400"
"""What the app documents for every operation: a body that is no text."""
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
UNKNOWN = {"detail": "Customer not found"}
TAKEN = {"detail": "E-mail address already taken"}
AT_ONCE = 20


class Api:
    """The app without a server, and addresses that nobody has yet."""

    def __init__(self, runner: asyncio.Runner, http: httpx.AsyncClient) -> None:
        self._runner, self._http = runner, http
        self._made = 0

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Send one request."""
        if body is not None:
            options["json"] = body
        return self._runner.run(self._http.request(method, path, **options))

    def ask_at_once(self, method: str, path: str, bodies: list[Any]) -> list[httpx.Response]:
        """Send several requests together."""

        async def together() -> list[httpx.Response]:
            return await asyncio.gather(*(self._http.request(method, path, json=body) for body in bodies))

        return self._runner.run(together())

    def data(self, **fields: Any) -> dict[str, Any]:
        """Return valid data of a customer."""
        self._made += 1
        return {"name": "Ada Lovelace", "email": f"ada{self._made}@example.com", "phone": "+1 555 0100", **fields}

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create a customer and return it."""
        response = self.ask("POST", "/customers", self.data(**fields))
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created


@pytest.fixture(scope="module", params=DATABASES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serve the app on a fresh database."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PINCHPOINT_APP_RUN_DIR", str(tmp_path_factory.mktemp("app")))
        patch.setenv("PINCHPOINT_APP_JWT_SECRET", "s" * 32)
        patch.setenv("PINCHPOINT_APP_METRICS", "false")
        patch.delenv("PINCHPOINT_APP_FAULT", raising=False)
        patch.delenv("DATABASE_URL", raising=False)
        if request.param == "postgresql":
            if reason := skip_reason():
                pytest.skip(reason)
            patch.setenv("DATABASE_URL", stack.enter_context(temporary_postgres()))
        runner = stack.enter_context(asyncio.Runner())
        from pinchpoint.app.main import create_app  # noqa: PLC0415 - importing it reads the environment

        app = create_app(load_settings())
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
        served = Api(runner, http)
        # A connection to SQLite is a thread: all that the pool may hold are there before a test can seem to leave one.
        served.ask_at_once("GET", "/customers", [None] * AT_ONCE)
        yield served
        runner.run(http.aclose())
        runner.run(lifespan.__aexit__(None, None, None))


def test_a_created_customer_reads_back_the_same(api: Api) -> None:
    """What was stored is what is served, times in UTC, the address in lower case."""
    created = api.create(name="Grace Höpper", email="Grace.Hopper+x@Navy.Example.COM")

    read = api.ask("GET", f"/customers/{created['id']}")

    assert (read.status_code, read.json()) == (200, created)
    assert created == {
        "id": created["id"],
        "name": "Grace Höpper",
        "email": "grace.hopper+x@navy.example.com",
        "phone": "+1 555 0100",
        "created_at": created["created_at"],
    }
    assert created["created_at"].endswith("Z")


def test_a_customer_needs_no_phone(api: Api) -> None:
    """It is empty then."""
    response = api.ask("POST", "/customers", {"name": "Bob", "email": "bob@example.com"})

    assert (response.status_code, response.json()["phone"]) == (201, "")


@pytest.mark.parametrize("path", ["/customers", "/customers/"])
def test_customers_answer_with_and_without_a_slash(api: Api, path: str) -> None:
    """A redirect would double the load of a client that chose the other spelling."""
    assert api.ask("POST", path, api.data()).status_code == 201
    assert api.ask("GET", path).status_code == 200


def test_pages_follow_the_order_of_ids(api: Api) -> None:
    """No customer twice, none left out, and nothing behind the last."""
    made = [api.create()["id"] for _ in range(5)]
    everybody: list[int] = []
    while page := api.ask("GET", "/customers", params={"limit": 2, "offset": len(everybody)}).json():
        assert len(page) <= 2
        everybody += [one["id"] for one in page]

    assert everybody == sorted(set(everybody))
    assert everybody[-5:] == made
    assert len(api.ask("GET", "/customers", params={"limit": 100}).json()) == min(len(everybody), 100)
    assert api.ask("GET", "/customers", params={"offset": 2**31 - 1}).json() == []


def test_put_replaces_everything_but_id_and_date(api: Api) -> None:
    """What is left out is not kept."""
    created = api.create()
    path = f"/customers/{created['id']}"

    replaced = api.ask("PUT", path, {"name": "Countess", "email": "countess@example.com"})

    assert replaced.status_code == 200
    assert replaced.json() == {**created, "name": "Countess", "email": "countess@example.com", "phone": ""}
    assert api.ask("GET", path).json() == replaced.json()


@pytest.mark.parametrize("change", [{"name": "Countess"}, {"email": "patched@example.com"}, {"phone": ""}, {}])
def test_patch_changes_what_is_sent_and_nothing_else(api: Api, change: dict[str, str]) -> None:
    """Nothing at all, when nothing is sent."""
    created = api.create()
    path = f"/customers/{created['id']}"

    changed = api.ask("PATCH", path, change)

    assert (changed.status_code, changed.json()) == (200, {**created, **change})
    assert api.ask("GET", path).json() == changed.json()


def test_what_is_not_there_is_not_found(api: Api) -> None:
    """After a deletion every request about the customer says so."""
    path = f"/customers/{api.create()['id']}"

    assert api.ask("DELETE", path).status_code == 204
    answers = [
        api.ask("GET", path),
        api.ask("PUT", path, api.data()),
        api.ask("PATCH", path, {"name": "x"}),
        api.ask("PATCH", path, {}),
        api.ask("DELETE", path),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(404, UNKNOWN)] * 5


def test_an_id_is_never_used_again(api: Api) -> None:
    """Who still holds the id of a deleted customer must not reach another one."""
    gone = api.create()["id"]
    api.ask("DELETE", f"/customers/{gone}")

    assert api.create()["id"] > gone


def test_an_address_belongs_to_one_customer(api: Api) -> None:
    """Letter case makes no difference; one's own may be sent again, and one that was given up is free."""
    holder, other = api.create(), api.create()
    shouted = holder["email"].upper()

    refused = [
        api.ask("POST", "/customers", api.data(email=shouted)),
        api.ask("PUT", f"/customers/{other['id']}", api.data(email=shouted)),
        api.ask("PATCH", f"/customers/{other['id']}", {"email": shouted}),
    ]

    assert [(answer.status_code, answer.json()) for answer in refused] == [(409, TAKEN)] * 3
    assert api.ask("GET", f"/customers/{other['id']}").json() == other
    assert api.ask("PATCH", f"/customers/{holder['id']}", {"email": shouted}).json() == holder
    api.ask("DELETE", f"/customers/{holder['id']}")
    assert api.ask("PATCH", f"/customers/{other['id']}", {"email": shouted}).status_code == 200


def test_of_many_who_want_an_address_at_once_one_gets_it(api: Api) -> None:
    """The database decides; nobody looks first."""
    data = api.data()

    answers = api.ask_at_once("POST", "/customers", [data] * AT_ONCE)

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: AT_ONCE - 1}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"name": None},
        {"name": 42},
        {"email": "not-an-address"},
        {"email": "a@b"},
        {"email": "a b@example.com"},
        {"email": "ada@example.com\n"},
        {"email": "İ@example.com"},
        {"email": "a" * 243 + "@example.com"},
        {"email": ["a@example.com"]},
        {"phone": "call me"},
        {"phone": "0" * 41},
        {"phone": None},
    ],
)
def test_what_is_no_customer_is_refused(api: Api, fields: dict[str, Any]) -> None:
    """In a new customer, in place of one and in a change of one: 422, never a 500."""
    created = api.create()
    path = f"/customers/{created['id']}"

    answers = [
        api.ask("POST", "/customers", api.data(**fields)),
        api.ask("PUT", path, api.data(**fields)),
        api.ask("PATCH", path, fields),
    ]

    assert [answer.status_code for answer in answers] == [422] * 3
    assert api.ask("GET", path).json() == created


def test_the_longest_data_that_are_allowed_fit(api: Api) -> None:
    """Into the columns of either database."""
    fields = {"name": "ü" * 200, "email": "a" * 242 + "@example.com", "phone": "0" * 40}

    created = api.create(**fields)

    assert {name: created[name] for name in fields} == fields
    assert api.ask("GET", f"/customers/{created['id']}").json() == created


@pytest.mark.parametrize("left_out", ["name", "email"])
def test_a_customer_has_a_name_and_an_address(api: Api, left_out: str) -> None:
    """When it is made and when it is replaced."""
    data = api.data()
    del data[left_out]

    assert api.ask("POST", "/customers", data).status_code == 422
    assert api.ask("PUT", f"/customers/{api.create()['id']}", data).status_code == 422


@pytest.mark.parametrize(
    "asked",
    ["/0", "/-1", "/x", f"/{2**31}", "?limit=0", "?limit=101", "?offset=-1", f"?offset={2**31}"],
)
def test_an_id_or_a_page_that_cannot_be_is_refused(api: Api, asked: str) -> None:
    """PostgreSQL would fail on an id that its column cannot hold."""
    assert api.ask("GET", f"/customers{asked}").status_code == 422


def test_every_status_is_in_the_api_document(api: Api) -> None:
    """So that clients, and fuzzers, know what to expect."""
    paths = api.ask("GET", "/openapi.json").json()["paths"]
    found = {
        f"{method.upper()} {path}": sorted({*operation["responses"]} - {UNREADABLE})
        for path, operations in paths.items()
        if path.startswith("/customers")
        for method, operation in operations.items()
    }

    assert found == {
        "GET /customers": ["200", "422"],
        "POST /customers": ["201", "409", "422"],
        "GET /customers/{customer_id}": ["200", "404", "422"],
        "PUT /customers/{customer_id}": ["200", "404", "409", "422"],
        "PATCH /customers/{customer_id}": ["200", "404", "409", "422"],
        "DELETE /customers/{customer_id}": ["204", "404", "422"],
    }


def test_a_change_asks_for_no_field_and_shows_no_default(api: Api) -> None:
    """What is left out of a change stays; a default in the document would say otherwise."""
    schema = api.ask("GET", "/openapi.json").json()["components"]["schemas"]["CustomerChange"]

    assert "required" not in schema
    assert [name for name, field in schema["properties"].items() if "default" in field] == []
