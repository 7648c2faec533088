"""The users of the openuser scenario, how often they do what, and what they are measured and judged by."""

from collections.abc import Iterator
from typing import Any

import pytest

from pinchpoint.packs import Target
from pinchpoint.stress.scenarios import SCENARIOS
from pinchpoint.stress.scenarios.pack_openuser import PACK
from support.scenario_users import Players, playing

KINDS = ["AuthenticationUser", "OpenUserUser", "ReadOnlyUser"]
TOKEN = (200, {"access_token": "t.o.k"})
START = [TOKEN, (201, {"id": 7}), (201, {"id": 1})]
"""The answers to what a typical user sends before its first task."""


@pytest.fixture(scope="module")
def users() -> Iterator[Players]:
    """Load the file as Locust does."""
    with playing(SCENARIOS["openuser"].path) as players:
        yield players


def test_locust_finds_the_three_kinds_of_users(users: Players) -> None:
    """Those they are made from do not count; most users are typical ones."""
    found = users.classes()

    assert sorted(found) == KINDS
    assert [found[kind]["weight"] for kind in KINDS] == [1, 6, 3]


@pytest.mark.parametrize(
    ("kind", "tasks"),
    [
        (
            "OpenUserUser",
            {"check_health": 6, "read_root": 3, "see_user_info": 3, "see_agents": 1, "create_agent": 1},
        ),
        ("ReadOnlyUser", {"check_health": 3, "see_user_info": 2, "see_agents": 2, "see_tasks": 2}),
        ("AuthenticationUser", {"register": 1, "log_in": 1}),
    ],
)
def test_locust_picks_each_task_as_often_as_its_frequency_says(
    users: Players, kind: str, tasks: dict[str, int]
) -> None:
    """High, medium and low; and nothing else."""
    assert users.classes()[kind]["tasks"] == tasks


def test_a_hundred_users_send_more_than_a_hundred_requests_per_second(users: Players) -> None:
    """Or the targets for requests and for users could not both be met."""
    for found in users.classes().values():
        waits = found["waits"]
        assert 0.5 <= min(waits) < max(waits) <= 1.0
        assert 100 / (sum(waits) / len(waits)) > 100


@pytest.mark.parametrize(
    ("task", "asked", "name"),
    [
        ("check_health", "GET /health", "GET /health"),
        ("read_root", "GET /", "GET /"),
        ("see_user_info", "GET /me", "GET /me"),
        ("see_agents", "GET /agents", "GET /agents"),
        ("create_agent", "POST /agents", "POST /agents/create"),
    ],
)
def test_a_typical_user_sends_its_token_with_each_request(users: Players, task: str, asked: str, name: str) -> None:
    """Reads and writes have names of their own, although they share a path."""
    played = users.play("OpenUserUser", "on_start", task, answers=[*START, (200, {})])

    assert played.paths[3:] == [asked]
    assert played.names[3:] == [name]
    assert [one["authorization"] for one in played.asked] == [None, *["Bearer t.o.k"] * 3]
    assert played.failures == [None] * 4


def test_a_typical_user_begins_with_an_agent_that_has_a_task(users: Players) -> None:
    """So that nobody who lists gets an empty list."""
    played = users.play("OpenUserUser", "on_start", answers=START)

    assert played.names == ["POST /login", "POST /agents/create", "POST /tasks/create"]
    assert played.asked[2]["body"]["agent_id"] == 7


@pytest.mark.parametrize("answer", [(401, {"detail": "no"}), (200, "no JSON"), (200, [1]), (200, {}), (500, None)])
def test_an_app_that_gives_no_token_is_asked_without_one(users: Players, answer: tuple[int, object]) -> None:
    """A refused login is counted as such, and the user goes on."""
    played = users.play("ReadOnlyUser", "on_start", "see_tasks", answers=[answer, (200, [])])

    assert played.paths == ["POST /login", "GET /tasks"]
    assert played.asked[1]["authorization"] is None
    assert (played.failures[0] is None) == (answer[0] == 200)


def test_a_renewed_token_takes_the_place_of_the_old_one(users: Players) -> None:
    """As in a soak that outlives the first."""
    answers = [TOKEN, (200, {"access_token": "new"}), (200, [])]

    played = users.play("ReadOnlyUser", "on_start", "sign_in", "see_tasks", answers=answers)

    assert played.asked[2]["authorization"] == "Bearer new"


@pytest.mark.parametrize("answer", [(404, None), (201, None), (201, {"number": 7})])
def test_no_task_is_given_to_an_agent_that_is_not_known(users: Players, answer: tuple[int, object]) -> None:
    """An app without agents is not asked for their tasks either."""
    played = users.play("OpenUserUser", "on_start", answers=[TOKEN, answer])

    assert played.paths == ["POST /login", "POST /agents"]


@pytest.mark.parametrize(
    ("task", "asked"),
    [
        ("check_health", "GET /health"),
        ("see_user_info", "GET /me"),
        ("see_agents", "GET /agents"),
        ("see_tasks", "GET /tasks"),
    ],
)
def test_a_reading_user_only_reads(users: Players, task: str, asked: str) -> None:
    """Its login is the only thing that it sends."""
    played = users.play("ReadOnlyUser", "on_start", task, answers=[TOKEN, (200, [])])

    assert played.paths == ["POST /login", asked]


def test_who_registers_logs_in_with_the_new_account(users: Players) -> None:
    """Every registration is of another name, since a taken one would be refused."""
    answers: list[tuple[int, dict[str, Any]]] = [(201, {}), (200, {}), (201, {}), (200, {})]

    played = users.play("AuthenticationUser", "on_start", *["register", "log_in"] * 2, answers=answers)

    first, second = played.asked[0]["body"], played.asked[2]["body"]
    assert played.paths == ["POST /register", "POST /login"] * 2
    assert [one["body"] for one in played.asked] == [first, first, second, second]
    assert first["username"] != second["username"]


def test_who_could_not_register_logs_in_with_the_account_it_has(users: Players) -> None:
    """At first that is the public one."""
    played = users.play("AuthenticationUser", "on_start", "register", "log_in", answers=[(503, None), (200, {})])

    assert played.asked[1]["body"] == {"username": "test_user", "password": "password"}
    assert [failure is None for failure in played.failures] == [False, True]


def test_every_request_of_the_tasks_belongs_to_one_part(users: Players) -> None:
    """A part that nothing is counted under would never be measured; a request outside all parts never judged."""
    tasks = {kind: found["tasks"] for kind, found in users.classes().items()}
    sent = set()
    for kind, names in tasks.items():
        played = users.play(kind, "on_start", *names, answers=[(200, {})] * 10)
        sent |= {name.partition(" ")[2] for name in played.names}

    parts = [endpoint for part in PACK.parts for endpoint in part.endpoints]
    assert sorted(parts) == sorted(sent)
    assert len({part.name for part in PACK.parts}) == len(PACK.parts)


def test_the_targets_are_those_of_the_document() -> None:
    """Times in milliseconds, rates as fractions."""

    def line(target: Target) -> tuple[str, str, float, float | None]:
        return target.metric, target.op, target.target, target.acceptable

    assert [line(target) for target in PACK.targets] == [
        ("rps", ">", 100, 50),
        ("p95_ms", "<", 500, 1000),
        ("p99_ms", "<", 1000, 2000),
        ("error_rate", "<", 0.001, 0.01),
        ("users", ">=", 100, 50),
    ]
    assert PACK.grades == ("target", "acceptable", "missed")


def test_the_load_rises_to_the_peak_and_half_of_it_again() -> None:
    """In steps that fill the time, each held longer than it takes to get there."""
    shares = [share for share, _ in PACK.staged]

    assert sum(shares) == pytest.approx(1.0)
    assert [users for _, users in PACK.staged] == [50, 50, 100, 100, 150, 150]
    assert all(held > climbed for climbed, held in zip(shares[::2], shares[1::2], strict=True))


def test_the_medium_preset_is_the_documents_own_command() -> None:
    """`--users 100 --spawn-rate 10 --run-time 5m`."""
    medium = next(preset for preset in PACK.presets if preset.name == "medium")

    assert (medium.users, medium.spawn_rate, medium.seconds) == (100, 10, 300)
