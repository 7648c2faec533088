"""What becomes of each operation: where its ids come from, what is left out, who logs in."""

from typing import Any

import pytest

from pinchpoint.commands.init.access import constant
from pinchpoint.commands.init.code import expression, literal, quoted
from pinchpoint.commands.init.plan import LoadPlan, Task, make_plan, task_names
from pinchpoint.stress.openapi.document import read_api
from pinchpoint.stress.openapi.recipes import Choice, Code, Const, Record, Text, Whole
from support.made_load import ITEM, document, operation, parameter, shop

FIELD = {"type": "integer"}
TOKEN = {"type": "object", "properties": {"token": {"type": "string"}}}
PAIR = {"type": "object", "properties": {"email": {"type": "string"}, "password": {"type": "string"}}}
PLAIN_FORM = Record(
    (
        ("grant_type", Const("password")),
        ("username", Code("self.username", "user")),
        ("password", Code("self.password", "secret")),
    )
)


def plan_of(paths: dict[str, Any], **more: Any) -> LoadPlan:
    """Return the plan of a document."""
    return make_plan(read_api(document(paths, **more)))


def tasks_of(plan: LoadPlan) -> dict[str, Task]:
    """Return the tasks by their operations."""
    return {one.operation.label: one for one in plan.tasks}


def body_of(task: Task) -> dict[str, Any]:
    """Return the recipes of a body's fields."""
    assert isinstance(task.request.body, Record)
    return dict(task.request.body.fields)


def test_every_operation_becomes_a_task() -> None:
    """Weighted by its method; items are asked for by the ids that their maker was told."""
    plan = make_plan(read_api(shop()))

    assert [(one.name, one.weight, one.needs, one.request.arguments) for one in plan.tasks] == [
        ("get_items", "READ", (), ()),
        ("create_item", "WRITE", (), ()),
        ("get_items_item_id", "READ", (("/items", "create_item"),), ("*record",)),
        ("put_items_item_id", "CHANGE", (("/items", "create_item"),), ("*record",)),
        ("delete_items_item_id", "REMOVE", (("/items", "create_item"),), ("*record",)),
    ]
    assert (plan.left_out, plan.notes, plan.variables, plan.sign_in) == ((), (), (), None)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (ITEM, ("id",)),
        ({"properties": {"item_id": FIELD, "id": FIELD}}, ("item_id",)),
        ({"properties": {"itemId": FIELD}}, ("itemId",)),
        ({"properties": {"uuid": {"type": "string"}}}, ("uuid",)),
        ({"properties": {"data": ITEM}}, ("id",)),
        ({"anyOf": [ITEM, {"type": "null"}]}, ("id",)),
        ({"type": "integer"}, ()),
        ({"type": "object"}, ("item_id", "itemId", "id", "_id", "uuid", "pk", "key")),
        ({}, ("item_id", "itemId", "id", "_id", "uuid", "pk", "key")),
    ],
)
def test_the_id_is_where_the_answer_has_it(answer: dict[str, Any], names: tuple[str, ...]) -> None:
    """Under the path's own name for it first; any usual name where the answer is not described."""
    paths = {"/items/": {"post": operation(answer)}, "/items/{item_id}": {"get": operation()}}

    (keeps,) = [one.keeps for one in plan_of(paths).tasks if one.keeps is not None]

    assert (keeps.kind, keeps.names, keeps.made) == ("/items", names, True)


@pytest.mark.parametrize("answer", [{"properties": {"message": {"type": "string"}}}, {"type": "array"}, None])
def test_an_answer_without_an_id_makes_no_records(answer: Any) -> None:
    """Reading is then a guess, and said to be one."""
    paths = {
        "/items": {"post": operation(answer, status="201")},
        "/items/{item_id}": {"get": operation(), "put": operation(), "delete": operation()},
    }
    plan = plan_of(paths)

    assert tasks_of(plan)["GET /items/{item_id}"].request.arguments == ("1",)
    assert tasks_of(plan)["GET /items/{item_id}"].request.fine == (404,)
    assert [label for label, _ in plan.notes] == ["GET /items/{item_id}", "PUT /items/{item_id}"]
    assert plan.left_out == (
        ("DELETE /items/{item_id}", "nothing here makes what it could delete, and what else is there may be needed"),
    )


def test_an_id_that_the_client_chooses_is_kept_from_the_body() -> None:
    """Where the answer does not say it; a number of its own is drawn from a wide range."""
    body = {"properties": {"id": FIELD, "name": {"type": "string"}}, "required": ["id"]}
    plan = plan_of({"/items": {"post": operation(None, body)}, "/items/{id}": {"get": operation()}})

    task = tasks_of(plan)["POST /items"]
    assert task.keeps is not None
    assert task.keeps.from_body == "id"
    assert body_of(task)["id"] == Whole(1, 2**31 - 1)


def test_an_id_that_the_server_gives_is_not_sent() -> None:
    """A table's own model as a body has an optional id: sent, it would be taken sooner or later."""
    body = {"properties": {"id": {"anyOf": [FIELD, {"type": "null"}]}, "name": {"type": "string"}}}
    plan = plan_of({"/items": {"post": operation(ITEM, body)}, "/items/{id}": {"put": operation(None, body)}})

    assert body_of(tasks_of(plan)["POST /items"]).keys() == {"name"}
    assert expression(body_of(tasks_of(plan)["PUT /items/{id}"])["id"]) == "record[-1]"


def test_a_field_that_refers_to_a_record_has_the_id_of_one() -> None:
    """Which must be there first; a reference that may be missing is not sent."""
    team = {"properties": {"name": {"type": "string"}}}
    hero = {"properties": {"team_id": FIELD, "rival_id": FIELD, "name": {"type": "string"}}, "required": ["team_id"]}
    paths = {
        "/teams": {"post": operation(ITEM, team)},
        "/teams/{team_id}": {"get": operation()},
        "/heroes": {"post": operation(ITEM, hero)},
    }
    task = tasks_of(plan_of(paths))["POST /heroes"]

    assert body_of(task).keys() == {"team_id", "name"}
    assert expression(body_of(task)["team_id"]) == 'self.pick("/teams")[-1]'
    assert task.needs == (("/teams", "post_teams"),)


def test_a_reference_to_what_nobody_makes_is_made_up_and_told() -> None:
    """1 is the first id of most databases."""
    body = {"properties": {"owner_id": FIELD}, "required": ["owner_id"]}
    plan = plan_of({"/items": {"post": operation(None, body)}})

    assert body_of(plan.tasks[0])["owner_id"] == Const(1)
    assert plan.notes == (
        ("POST /items", "nothing here makes what `owner_id` refers to, so it is made up; put a real one in"),
    )


def test_what_is_made_is_kept_where_somebody_asks_for_it() -> None:
    """By a field alone, without a path of its own; otherwise it is not kept."""
    hero = {"properties": {"team_id": FIELD}, "required": ["team_id"]}
    paths = {"/teams": {"post": operation(ITEM)}, "/heroes": {"post": operation(ITEM, hero)}}

    keeps = {one.name: one.keeps for one in plan_of(paths).tasks}

    assert keeps["post_teams"] is not None
    assert keeps["post_heroes"] is None


def test_records_that_need_each_other_do_not_wait_for_each_other() -> None:
    """One of the two references is made up, else a task would call itself for ever."""
    paths = {
        "/teams": {"post": operation(ITEM, {"properties": {"hero_id": FIELD}, "required": ["hero_id"]})},
        "/teams/{team_id}": {"get": operation()},
        "/heroes": {"post": operation(ITEM, {"properties": {"team_id": FIELD}, "required": ["team_id"]})},
        "/heroes/{hero_id}": {"get": operation()},
    }
    plan = plan_of(paths)
    needs = {one.name: [maker for _, maker in one.needs] for one in plan.tasks}

    assert needs["post_teams"] == []
    assert needs["post_heroes"] == ["post_teams"]
    assert [label for label, _ in plan.notes] == ["POST /teams"]


def test_an_operation_that_cannot_be_sent_makes_no_records() -> None:
    """So what would need them is not written as if there were some."""
    impossible = {"properties": {"n": {"type": "integer", "minimum": 2, "maximum": 1}}, "required": ["n"]}
    plan = plan_of({"/items": {"post": operation(ITEM, impossible)}, "/items/{id}": {"get": operation()}})

    assert plan.left_out == (("POST /items", "n: no integer is between its bounds"),)
    assert tasks_of(plan)["GET /items/{id}"].needs == ()


def test_records_are_found_in_a_path_that_ends_alike() -> None:
    """Made below their owner, read by their own id alone."""
    paths = {
        "/users": {"post": operation(ITEM)},
        "/users/{user_id}/items": {"post": operation(ITEM)},
        "/items/{item_id}": {"get": operation(), "delete": operation()},
    }
    task = tasks_of(plan_of(paths))["DELETE /items/{item_id}"]

    assert task.request.arguments == ("record[-1]",)
    assert task.needs == (("/users/{user_id}/items", "post_users_user_id_items"),)


def test_values_that_the_document_lists_are_no_ids() -> None:
    """An enumeration in a path is chosen from, also where it stands behind a reference."""
    paths = {
        "/models": {"get": operation({"type": "array", "items": ITEM})},
        "/models/{name}": {"get": operation(parameters=[parameter("name", {"$ref": "#/components/schemas/Name"})])},
    }
    plan = plan_of(paths, components={"schemas": {"Name": {"enum": ["a", "b"]}}})

    assert tasks_of(plan)["GET /models/{name}"].request.arguments == ('random.choice(["a", "b"])',)
    assert plan.notes == ()


@pytest.mark.parametrize(
    ("path", "method", "more", "why"),
    [
        ("/a", "get", {"deprecated": True}, "it is deprecated"),
        ("/logout", "post", {}, "it would end the session that the other tasks need"),
        ("/admin/reset", "post", {}, "its name sounds like harm; add it by hand if it is meant to be pressed"),
        ("/a", "delete", {}, "it may delete more than this load has made"),
        (
            "/a",
            "get",
            {"parameters": [parameter("f", {"type": "object"}, "query")]},
            "the parameter f is written in a way that is not supported here",
        ),
        ("/a", "get", {"security": [{"Tls": []}]}, "its security scheme (Tls) is not supported here"),
    ],
)
def test_what_is_left_out_has_a_reason(path: str, method: str, more: dict[str, Any], why: str) -> None:
    """And nothing else is."""
    plan = plan_of(
        {path: {method: operation(**more)}, "/fine": {"get": operation()}},
        components={"securitySchemes": {"Tls": {"type": "mutualTLS"}}},
    )

    assert plan.left_out == ((f"{method.upper()} {path}", why),)
    assert [one.operation.label for one in plan.tasks] == ["GET /fine"]


def test_what_only_its_user_knows_is_not_made_up() -> None:
    """A token in a body: required, it leaves the operation out; else it is not sent."""
    body = {"properties": {"refresh_token": {"type": "string"}, "device": {"type": "string"}}}
    needed = {**body, "required": ["refresh_token"]}
    plan = plan_of({"/a": {"post": operation(None, needed)}, "/b": {"post": operation(None, body)}})

    assert plan.left_out == (("POST /a", "refresh_token: only its user knows it"),)
    assert body_of(plan.tasks[0]).keys() == {"device"}


def test_a_stream_and_a_foreign_body_are_left_out() -> None:
    """A request for an endless answer would never be counted."""
    events: dict[str, Any] = {"200": {"content": {"text/event-stream": {}}}}
    paths = {
        "/events": {"get": {"responses": events}},
        "/xml": {"post": {"requestBody": {"content": {"application/xml": {}, "text/xml": {}}}}},
    }

    assert plan_of({**paths, "/": {"get": operation()}}).left_out == (
        ("GET /events", "its answer (text/event-stream) may never end"),
        ("POST /xml", "its body is application/xml or text/xml, which is not written here"),
    )


def test_a_login_is_found_by_what_it_takes_and_says() -> None:
    """By its own names for both; the registration makes the account that it asks for."""
    sign_up = {"properties": {"email": {"type": "string", "format": "email"}, "password": {"minLength": 8}}}
    paths = {"/auth/login": {"post": operation(TOKEN, PAIR)}, "/auth/register": {"post": operation(None, sign_up)}}
    plan = plan_of(paths)

    assert plan.sign_in is not None
    assert plan.sign_in.request.label == "POST /auth/login"
    assert isinstance(plan.sign_in.request.body, Record)
    assert [expression(one) for _, one in plan.sign_in.request.body.fields] == ["self.username", "self.password"]
    assert plan.sign_in.new_user == 'f"{text(10, 10)}@example.com"'
    assert plan.sign_in.new_password == 'text(10, 10) + "A1!"'
    assert [(one.name, one.must) for one in plan.variables] == [("USERNAME", False), ("PASSWORD", False)]
    assert [one.operation.label for one in plan.tasks] == ["POST /auth/register"]


def test_a_login_that_nobody_needs_is_a_task_like_others() -> None:
    """Nothing is locked, nobody gave a name, no account can be made: a refused login a second helps nobody."""
    plan = plan_of({"/login": {"post": operation(TOKEN, PAIR)}, "/": {"get": operation()}})

    assert plan.sign_in is None
    assert plan.left_out == (("POST /login", "it is a login, and nothing here needs one; --auth-user has it sent"),)


@pytest.mark.parametrize(
    ("path", "url"), [("/token", "token"), ("/api/v1/token", "./api/v1/token"), ("/token", "/v2/token"), ("/token", "")]
)
def test_the_password_flow_has_its_own_form(path: str, url: str) -> None:
    """Wherever its address is relative to."""
    flow = {"securitySchemes": {"F": {"type": "oauth2", "flows": {"password": {"tokenUrl": url}}}}}
    paths = {path: {"post": operation(TOKEN, PAIR)}, "/me": {"get": operation(security=[{"F": []}])}}

    plan = plan_of(paths, components=flow, servers=[{"url": "/v2"}])

    assert plan.sign_in is not None
    assert (plan.sign_in.request.label, plan.sign_in.request.body) == (f"POST {path}", PLAIN_FORM)
    assert [(one.name, one.must) for one in plan.variables] == [("USERNAME", True), ("PASSWORD", True)]


def test_names_of_tasks_are_those_of_the_functions() -> None:
    """FastAPI appends path and method; names that Locust or Python have for something else are changed."""
    written = [
        ("/items/{item_id}", "get", "read_item_items__item_id__get"),
        ("/a", "get", "run"),
        ("/b", "get", "import"),
        ("/c", "get", "listUserItems"),
        ("/d", "get", "listUserItems"),
        ("/e", "get", "1st-try"),
        ("/", "get", None),
    ]
    paths = {path: {method: operation(operationId=name)} for path, method, name in written}

    assert list(task_names(read_api(document(paths)).operations).values()) == [
        "read_item",
        "run_get",
        "import_get",
        "list_user_items",
        "list_user_items_2",
        "do_1st_try",
        "get",
    ]


@pytest.mark.parametrize(
    ("name", "expected"), [("X-API-Key", "X_API_KEY"), ("apiKey", "API_KEY"), ("token", "TOKEN"), ("2fa", "KEY_2FA")]
)
def test_a_header_has_a_constant(name: str, expected: str) -> None:
    """In capitals."""
    assert constant(name) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a", '"a"'),
        ("it's", '"it\'s"'),
        ('say "a"', "'say \"a\"'"),
        ("a\nb\\", '"a\\nb\\\\"'),
        ("é\u200b", '"é\\u200b"'),
    ],
)
def test_a_text_is_quoted_as_a_formatter_would(text: str, code: str) -> None:
    """In double quotes, unless that takes escapes."""
    assert quoted(text) == code


def test_values_are_laid_out_with_a_line_for_each_field() -> None:
    """Lists stay on one line as long as they fit."""
    value = {"a": [1, 2.5, None, True], "b": {}, "c": {"d": "x"}, "e": ["long text"] * 9}

    assert literal(value) == (
        '{\n    "a": [1, 2.5, None, True],\n    "b": {},\n    "c": {\n        "d": "x",\n    },\n    "e": [\n'
        + '        "long text",\n' * 9
        + "    ],\n}"
    )


def test_a_wide_enumeration_gets_a_line_for_each_value() -> None:
    """Inside the call, as deep as it stands."""
    recipe = Record((("kind", Choice(("a long value",) * 6)),))
    lines = '            "a long value",\n' * 6

    assert expression(recipe) == f'{{\n    "kind": random.choice(\n        [\n{lines}        ]\n    ),\n}}'


def test_characters_are_called_by_their_names() -> None:
    """Those of the standard library, and the rest as they are."""
    assert expression(Text(1, 3, "0123456789abc")) == 'text(1, 3, string.digits + "abc")'
