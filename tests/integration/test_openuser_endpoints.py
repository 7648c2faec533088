"""`/agents` and `/tasks` in process, on a SQLite file and on a PostgreSQL server."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from pinchpoint.app import accounts, openuser
from pinchpoint.app.settings import load_settings
from support.postgres import skip_reason, temporary_postgres

if TYPE_CHECKING:
    from pathlib import Path


PASSWORD = "correct horse"
UNREADABLE = "400"
"""What the app documents for every operation: a body that is no text."""
ROUTES = [
    ("GET", "/agents"),
    ("POST", "/agents"),
    ("GET", "/agents/1"),
    ("DELETE", "/agents/1"),
    ("GET", "/tasks"),
    ("POST", "/tasks"),
]


class Client:
    """The app without a server; each user has registered and logged in over the API."""

    def __init__(self, runner: asyncio.Runner, app: Any) -> None:
        self.app = app
        self._runner = runner
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
        self._tokens: dict[str, str] = {}

    def ask(self, method: str, path: str, who: str | None = None, body: Any = None) -> httpx.Response:
        """Send one request as a user, or as nobody."""
        return self._runner.run(self._send(method, path, who, body))

    def ask_at_once(self, who: str, requests: list[tuple[str, str, Any]]) -> list[int]:
        """Send requests side by side; return their statuses."""

        async def send_all() -> list[httpx.Response]:
            return await asyncio.gather(*(self._send(method, path, who, body) for method, path, body in requests))

        return [response.status_code for response in self._runner.run(send_all())]

    async def _send(self, method: str, path: str, who: str | None, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._tokens[who]}"} if who else {}
        return await self._http.request(method, path, json=body, headers=headers)

    def join(self, name: str) -> str:
        """Register and log in, unless that is done; return the name."""
        if name not in self._tokens:
            account = {"username": name, "password": PASSWORD}
            assert self.ask("POST", "/register", body=account).status_code == 201
            self._tokens[name] = self.ask("POST", "/login", body=account).json()["access_token"]
        return name

    def take_token(self, name: str) -> str:
        """Have a token for a name that nobody has registered; return the name."""
        self._tokens[name] = accounts.make_token(self.app.state.settings, name)
        return name

    def new_agent(self, who: str, name: str = "Scout") -> dict[str, Any]:
        """Create an agent and return it."""
        response = self.ask("POST", "/agents", who, {"name": name, "description": "looks around"})
        assert response.status_code == 201
        created: dict[str, Any] = response.json()
        return created

    def rows(self, statement: Any) -> list[Any]:
        """Return what the database holds."""

        async def fetch() -> list[Any]:
            async with self.app.state.engine.connect() as connection:
                return list((await connection.execute(statement)).all())

        return self._runner.run(fetch())

    def counted(self, name: str) -> float:
        """Return a counter of the cache from `/metrics`."""
        found = re.search(rf'^{name}{{cache="agents"}} (\S+)$', self.ask("GET", "/metrics").text, re.MULTILINE)
        assert found is not None, f"/metrics has no {name}"
        return float(found[1])

    @contextlib.contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect the statements that are executed meanwhile."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        engine = self.app.state.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)

    def close(self) -> None:
        """Hang up."""
        self._runner.run(self._http.aclose())


async def _opened(engine: AsyncEngine) -> None:
    """Fill the pool, so that no test is the first to need a connection, and blamed for what it leaves open."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(engine.pool.size()):  # type: ignore[attr-defined]
            await stack.enter_async_context(engine.connect())


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve a freshly seeded app on each kind of database."""
    folder: Path = tmp_path_factory.mktemp("app")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PINCHPOINT_APP_RUN_DIR", str(folder))
        patch.setenv("PINCHPOINT_APP_JWT_SECRET", "s" * 32)
        patch.delenv("PINCHPOINT_APP_DATABASE_URL", raising=False)
        patch.delenv("DATABASE_URL", raising=False)
        if request.param == "postgresql":
            if reason := skip_reason():
                pytest.skip(reason)
            patch.setenv("DATABASE_URL", stack.enter_context(temporary_postgres()))
        from pinchpoint.app.main import create_app  # noqa: PLC0415 - importing it reads the environment

        runner = stack.enter_context(asyncio.Runner())
        app = create_app(load_settings())
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        runner.run(_opened(app.state.engine))
        client = Client(runner, app)
        yield client
        client.close()
        runner.run(lifespan.__aexit__(None, None, None))


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_is_told_to_who_shows_no_token(client: Client, method: str, path: str) -> None:
    """Before anything else is looked at, also the body."""
    response = client.ask(method, path)

    assert (response.status_code, response.json()) == (401, {"detail": "Not authenticated"})
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_created_agent_reads_back_the_same_and_is_listed(client: Client) -> None:
    """What was stored is what is served, times in UTC."""
    ada = client.join("reader")
    created = client.new_agent(ada)

    assert client.ask("GET", f"/agents/{created['id']}", ada).json() == created
    assert client.ask("GET", "/agents", ada).json() == [created]
    assert created["created_at"].endswith("Z")


def test_agents_are_listed_in_pages_in_the_order_of_ids(client: Client) -> None:
    """Each page is its own, cached or not."""
    ada = client.join("pager")
    ids = [client.new_agent(ada, name)["id"] for name in ("a", "b", "c")]

    def page(query: str) -> list[int]:
        return [agent["id"] for agent in client.ask("GET", f"/agents?{query}", ada).json()]

    for _ in ("from the database", "from the cache"):
        assert page("limit=2") == ids[:2]
        assert page("limit=2&offset=2") == ids[2:]
        assert page("offset=3") == []


def test_an_agent_is_there_for_its_owner_alone(client: Client) -> None:
    """For anybody else it might as well not exist."""
    ada, bob = client.join("owner"), client.join("stranger")
    agent_id = client.new_agent(ada)["id"]
    missing = {"detail": "Agent not found"}

    refused = [
        client.ask("GET", f"/agents/{agent_id}", bob),
        client.ask("DELETE", f"/agents/{agent_id}", bob),
        client.ask("POST", "/tasks", bob, {"agent_id": agent_id, "title": "Mine"}),
    ]
    assert [(response.status_code, response.json()) for response in refused] == [(404, missing)] * 3
    assert client.ask("GET", "/agents", bob).json() == []
    assert [agent["id"] for agent in client.ask("GET", "/agents", ada).json()] == [agent_id]


def test_a_listing_asks_the_database_once_until_something_changes(client: Client) -> None:
    """The cache and its counters agree on what happened."""
    ada = client.join("lister")
    first = client.new_agent(ada)
    before = [client.counted("app_cache_hits_total"), client.counted("app_cache_misses_total")]

    with client.statements() as statements:
        listings = [client.ask("GET", "/agents", ada).json() for _ in range(3)]
    second = client.new_agent(ada)
    after_creation = client.ask("GET", "/agents", ada).json()
    client.ask("DELETE", f"/agents/{first['id']}", ada)
    after_deletion = client.ask("GET", "/agents", ada).json()

    hits, misses = client.counted("app_cache_hits_total"), client.counted("app_cache_misses_total")
    assert len(statements) == 1
    assert listings == [[first]] * 3
    assert after_creation == [first, second]
    assert after_deletion == [second]
    assert [hits - before[0], misses - before[1]] == [2, 3]


def test_every_other_request_runs_one_statement_and_a_deletion_two(client: Client) -> None:
    """Who somebody is, is not a question of its own."""
    ada = client.join("counter")
    agent_id = client.new_agent(ada)["id"]
    wanted = [
        (1, "POST", "/agents", {"name": "x"}),
        (1, "GET", f"/agents/{agent_id}", None),
        (1, "POST", "/tasks", {"agent_id": agent_id, "title": "x"}),
        (1, "GET", "/tasks", None),
        (2, "DELETE", f"/agents/{agent_id}", None),
    ]

    ran = []
    for _, method, path, body in wanted:
        with client.statements() as statements:
            assert client.ask(method, path, ada, body).status_code < 300
        ran.append(len(statements))

    assert ran == [count for count, *_ in wanted]


def test_tasks_of_all_of_a_users_agents_are_listed_in_pages(client: Client) -> None:
    """In the order in which they came, and nobody else's."""
    ada, bob = client.join("boss"), client.join("neighbour")
    agent_ids = [client.new_agent(who)["id"] for who in (ada, ada, bob)]
    tasks = [
        client.ask("POST", "/tasks", who, {"agent_id": agent_id, "title": f"for {agent_id}"}).json()
        for who, agent_id in zip((ada, bob, ada), (agent_ids[1], agent_ids[2], agent_ids[0]), strict=True)
    ]

    assert client.ask("GET", "/tasks", ada).json() == [tasks[0], tasks[2]]
    assert client.ask("GET", "/tasks?limit=1&offset=1", ada).json() == [tasks[2]]
    assert [task["agent_id"] for task in tasks] == [agent_ids[1], agent_ids[2], agent_ids[0]]


def test_a_deleted_agent_takes_its_tasks_along_and_its_id_never_comes_back(client: Client) -> None:
    """No row is left behind, so none can turn up at somebody else's."""
    ada = client.join("deleter")
    kept, gone = client.new_agent(ada)["id"], client.new_agent(ada)["id"]
    for agent_id in (kept, gone, gone):
        client.ask("POST", "/tasks", ada, {"agent_id": agent_id, "title": "x"})
    statuses = [client.ask("DELETE", f"/agents/{gone}", ada).status_code for _ in range(2)]

    left = client.rows(select(openuser.tasks.c.agent_id).where(openuser.tasks.c.agent_id.in_([kept, gone])))
    assert statuses == [204, 404]
    assert [row[0] for row in left] == [kept]
    assert client.ask("GET", f"/agents/{gone}", ada).status_code == 404
    assert client.new_agent(ada)["id"] > gone


def test_a_task_given_while_its_agent_is_deleted_is_refused_or_goes_along(client: Client) -> None:
    """Whoever comes first: no server error, and no task without an agent."""
    ada = client.join("racer")
    for _ in range(5):
        agent_id = client.new_agent(ada)["id"]
        task = ("POST", "/tasks", {"agent_id": agent_id, "title": "x"})
        statuses = client.ask_at_once(ada, [task, task, ("DELETE", f"/agents/{agent_id}", None), task, task])
        assert statuses[2] == 204
        assert {*statuses[:2], *statuses[3:]} <= {201, 404}

    orphans = select(func.count()).where(openuser.tasks.c.agent_id.not_in(select(openuser.agents.c.id)))
    assert client.rows(orphans) == [(0,)]


def test_a_token_that_has_outlived_its_user_owns_nothing(client: Client) -> None:
    """As after a new database with the old secret."""
    ghost = client.take_token("ghost")

    assert client.ask("POST", "/agents", ghost, {"name": "x"}).status_code == 401
    assert client.ask("POST", "/tasks", ghost, {"agent_id": 1, "title": "x"}).status_code == 404
    assert [client.ask("GET", path, ghost).json() for path in ("/agents", "/tasks")] == [[], []]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/agents", {}),
        ("POST", "/agents", {"name": ""}),
        ("POST", "/agents", {"name": "x" * 101}),
        ("POST", "/agents", {"name": "x\0y"}),
        ("POST", "/agents", {"name": "x", "description": "\0"}),
        ("GET", "/agents?limit=0", None),
        ("GET", "/agents?limit=101", None),
        ("GET", "/agents?offset=-1", None),
        ("GET", "/tasks?offset=99999999999999999999", None),
        ("GET", "/agents/0", None),
        ("DELETE", "/agents/2147483648", None),
        ("POST", "/tasks", {"agent_id": 0, "title": "x"}),
        ("POST", "/tasks", {"agent_id": 1, "title": "\0"}),
        ("POST", "/register", {"username": "a\0b", "password": PASSWORD}),
        ("POST", "/login", {"username": "a\0b", "password": PASSWORD}),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, method: str, path: str, body: Any) -> None:
    """Bad input is the client's error, never a 500, also where the database would not store it."""
    assert client.ask(method, path, client.join("clumsy"), body).status_code == 422


def test_every_answer_is_in_the_apis_own_document(client: Client) -> None:
    """With the statuses that the tests above have seen."""
    paths = client.app.openapi()["paths"]

    documented = {
        f"{method} {path}": sorted({*operation["responses"]} - {UNREADABLE})
        for path in ("/register", "/login", "/me", "/agents", "/agents/{agent_id}", "/tasks")
        for method, operation in paths[path].items()
    }
    assert documented == {
        "post /register": ["201", "409", "422"],
        "post /login": ["200", "401", "422"],
        "get /me": ["200", "401"],
        "get /agents": ["200", "401", "422"],
        "post /agents": ["201", "401", "422"],
        "get /agents/{agent_id}": ["200", "401", "404", "422"],
        "delete /agents/{agent_id}": ["204", "401", "404", "422"],
        "get /tasks": ["200", "401", "422"],
        "post /tasks": ["201", "401", "404", "422"],
    }
