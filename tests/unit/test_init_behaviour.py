"""What a written Locust file does: run without Locust, against a server that is the test."""

from typing import Any

import pytest

from support.fake_locust import Answer, Sent, user_of
from support.made_load import PAIR, document, everything, operation, parameter, shop, text_of, with_login


def test_a_record_is_made_read_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read makes one; its id is read from the answer; once deleted it is not asked for again."""

    def server(sent: Sent) -> Answer:
        return Answer(201, {"id": 7, "name": sent.more["json"]["name"]}) if sent.method == "POST" else Answer()

    user = user_of(text_of(shop()), monkeypatch, server)
    for task in (user.get_items_item_id, user.get_items_item_id, user.delete_items_item_id, user.put_items_item_id):
        task()

    assert user.client.labels == ["POST /items", "GET /items/7", "DELETE /items/7", "POST /items"]
    assert user.client.sent[1].name == "GET /items/[item_id]"


def test_a_record_that_is_gone_is_forgotten_and_one_that_was_refused_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """404 and 409: each costs one failure, not one for ever."""
    answers = iter([Answer(409, {"id": 1}), Answer(201, {"id": 2}), Answer(404), Answer(201, {"id": 3})])
    user = user_of(text_of(shop()), monkeypatch, lambda _: next(answers))
    for _ in range(4):
        user.get_items_item_id()

    assert user.client.labels == ["POST /items", "POST /items", "GET /items/2", "POST /items"]
    assert user.records["/items"] == [(3,)]


def test_records_below_others_are_asked_for_with_both_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """And go with the record above them. An answer that is not described is searched for an id, one level down too."""

    def server(sent: Sent) -> Answer:
        told = {"data": {"id": "p/1"}} if "/parts" in sent.path else {"id": 5}
        return Answer(201, told) if sent.method == "POST" else Answer()

    for name in ("API_KEY", "SID", "X_TOKEN"):
        monkeypatch.setenv(f"LOAD_{name}", name)
    user = user_of(text_of(everything()), monkeypatch, server)
    user.client.sent.clear()
    for _ in range(3):
        user.get_things_thing_id_parts_part_id()
    user.delete_things_thing_id()

    assert user.client.labels == [
        "POST /things?api_key=API_KEY",
        "POST /things/5/parts?api_key=API_KEY",
        "GET /things/5/parts/p%2F1?api_key=API_KEY",
        "DELETE /things/5?api_key=API_KEY",
    ]
    assert {kind: kept for kind, kept in user.records.items() if kept} == {}


def test_ids_of_others_are_read_from_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing makes records: of a list, of a page, or of an object that is keyed by them."""
    one = {"get": operation(), "put": operation(), "delete": operation()}
    content = document({"/items": {"get": operation({})}, "/items/{item_id}": one})
    for told in ([{"item_id": "a"}], {"page": 1, "items": [{"id": "a"}]}, {"a": {"name": "A"}}, ["a"]):
        answer = Answer(200, told)
        user = user_of(text_of(content), monkeypatch, lambda _, answer=answer: answer)  # type: ignore[misc]
        user.get_items_item_id()
        user.get_items_item_id()
        user.put_items_item_id()

        assert user.client.labels == ["GET /items", "GET /items/a", "PUT /items/1"]
    assert "def delete_items" not in text_of(content)


def test_a_guess_may_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """404 is the right answer to an id that nobody told, and no failure; 500 is one."""
    content = document({"/items/{item_id}": {"put": operation(parameters=[parameter("item_id", {"type": "integer"})])}})
    user = user_of(text_of(content), monkeypatch, lambda _: Answer(404))

    user.put_items_item_id()
    user.client.server = lambda _: Answer(500)
    user.put_items_item_id()

    assert [answer.succeeded for answer in user.client.answers] == [True, False]


def test_a_login_gives_the_token_of_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again where a token that has been good for a while is refused."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setenv("LOAD_USERNAME", "jo")
    monkeypatch.setenv("LOAD_PASSWORD", "secret")
    tokens = [Answer(200, {"access_token": name}) for name in ("T1", "T2")]
    answers = iter([tokens[0], Answer(401), Answer(401), tokens[1], Answer()])
    user = user_of(text_of(with_login()), monkeypatch, lambda _: next(answers))
    user.get_me()
    clock[0] += 60.0
    user.get_me()
    user.get_me()

    assert user.client.labels == ["POST /login", "GET /me", "GET /me", "POST /login", "GET /me"]
    assert user.client.sent[0].more == {"json": {"username": "jo", "password": "secret"}}
    assert [one.headers.get("Authorization") for one in user.client.sent] == [
        None,
        "Bearer T1",
        "Bearer T1",
        None,
        "Bearer T2",
    ]


def test_without_a_name_every_user_makes_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is an operation for that; with a name it is used."""
    text = text_of(with_login(**{"/register": {"post": operation(None, PAIR, "201")}}))
    user = user_of(text, monkeypatch, lambda _: Answer(200, {"access_token": "T"}))

    first, second = (one.more["json"] for one in user.client.sent)
    monkeypatch.setenv("LOAD_USERNAME", "jo")
    other = user_of(text, monkeypatch, lambda _: Answer(200, {"access_token": "T"}))

    assert user.client.labels == ["POST /register", "POST /login"]
    assert first == second
    assert len(first["password"]) >= 8
    assert other.client.labels == ["POST /login"]


def test_a_login_needs_a_name_where_no_account_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says so as soon as it is loaded, not once per request."""
    monkeypatch.delenv("LOAD_USERNAME", raising=False)

    with pytest.raises(RuntimeError, match="set LOAD_USERNAME and LOAD_PASSWORD: the API asks for them"):
        user_of(text_of(with_login()), monkeypatch, lambda _: Answer())


def test_a_password_is_written_only_when_it_was_given() -> None:
    """And the environment still wins."""
    text = text_of(with_login(), "jo", "secret")

    assert 'PASSWORD = os.environ.get("LOAD_PASSWORD", "secret")' in text
    assert "secret" not in text_of(with_login(), "jo")


def test_the_password_flow_sends_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OAuth2 has it, also where the document does not describe the operation behind the token's address."""
    flow = {"type": "oauth2", "flows": {"password": {"tokenUrl": "token", "scopes": {}}}}
    content = document(
        {"/me": {"get": operation(security=[{"Flow": []}])}}, components={"securitySchemes": {"Flow": flow}}
    )
    user = user_of(text_of(content, "jo", "a b"), monkeypatch, lambda _: Answer(200, {"access_token": "T"}))

    (login,) = user.client.sent
    assert (login.method, login.path) == ("POST", "/token")
    assert login.more == {"data": b"grant_type=password&username=jo&password=a+b"}
    assert login.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert user.auth == {"Authorization": "Bearer T"}


@pytest.mark.parametrize(
    ("scheme", "header"),
    [
        ({"type": "http", "scheme": "basic"}, {"Authorization": "Basic am86c2VjcmV0"}),
        ({"type": "apiKey", "in": "header", "name": "X-API-Key"}, {"X-API-Key": "X_API_KEY"}),
        ({"type": "apiKey", "in": "cookie", "name": "session"}, {"Cookie": "session=SESSION"}),
        ({"type": "http", "scheme": "bearer"}, {"Authorization": "Bearer TOKEN"}),
        ({"type": "openIdConnect"}, {"Authorization": "Bearer TOKEN"}),
    ],
)
def test_every_request_has_what_the_lock_asks_for(
    monkeypatch: pytest.MonkeyPatch, scheme: dict[str, Any], header: dict[str, str]
) -> None:
    """From the environment, in the place that the scheme names."""
    for name in ("X_API_KEY", "SESSION", "TOKEN"):
        monkeypatch.setenv(f"LOAD_{name}", name)
    monkeypatch.setenv("LOAD_USERNAME", "jo")
    monkeypatch.setenv("LOAD_PASSWORD", "secret")
    locked = {"/a": {"get": operation(security=[{"It": []}])}}
    content = document(locked, components={"securitySchemes": {"It": scheme}})
    user = user_of(text_of(content), monkeypatch, lambda _: Answer())

    user.get_a()

    assert user.client.sent[0].headers == header


def test_forms_and_files_are_encoded_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is letters; everything beside it is text."""
    for name in ("API_KEY", "SID", "X_TOKEN"):
        monkeypatch.setenv(f"LOAD_{name}", name)
    user = user_of(text_of(everything()), monkeypatch, lambda _: Answer())
    user.client.sent.clear()
    for task in (user.post_form, user.post_upload, user.put_note, user.put_blob):
        task()

    form, upload, note, blob = (one.more for one in user.client.sent)
    assert form["data"].split(b"&")[0] in {b"ok=true", b"ok=false"}
    parts = dict(upload["files"])
    assert (parts["file"][0], len(parts["file"][1]), parts["file"][2]) == ("load.bin", 1000, "application/octet-stream")
    assert parts["note"][0] is None
    assert parts["meta"][1].startswith("{")
    assert note["data"].isalpha()
    assert len(blob["data"]) == 1000
    assert user.client.sent[2].headers["Content-Type"] == "text/plain"


def test_the_prefix_of_the_server_stands_before_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of the name that requests are counted under."""
    content = document({"/a": {"get": operation()}}, servers=[{"url": "/api/v1"}])
    user = user_of(text_of(content), monkeypatch, lambda _: Answer())

    user.get_a()

    assert (user.client.sent[0].path, user.client.sent[0].name) == ("/api/v1/a", "GET /a")
