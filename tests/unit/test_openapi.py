"""What is read of an OpenAPI document, and what of a broken one."""

from typing import Any

import pytest

from pinchpoint.errors import UsageError
from pinchpoint.stress.openapi.document import Body, Lock, Operation, Parameter, read_api
from support.made_load import document, operation, parameter, shop


def only(paths: dict[str, Any], **more: Any) -> Operation:
    """Return the one operation of a document."""
    (found,) = read_api(document(paths, **more)).operations
    return found


def test_a_document_is_read_whole() -> None:
    """Title, operations in the document's order of paths, methods from reading to deleting."""
    api = read_api(shop())

    assert (api.title, api.version, api.prefix, api.unread) == ("Shop", "1", "", ())
    assert [one.label for one in api.operations] == [
        "GET /items",
        "POST /items",
        "GET /items/{item_id}",
        "PUT /items/{item_id}",
        "DELETE /items/{item_id}",
    ]
    assert api.operations[1].name == "createItem"
    assert api.operations[1].statuses == {201}
    assert api.operations[4].answer is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text", "this is no OpenAPI document"),
        ({"paths": {}}, "this is no OpenAPI document"),
        ({"swagger": "2.0", "paths": {}}, "the document is OpenAPI 2.0"),
        ({"openapi": "3.1.0", "paths": {}}, "describes no operation"),
        ({"openapi": "3.1.0", "paths": {"/a": {"head": {}}}}, "HEAD makes no load"),
        ({"openapi": "3.1.0", "paths": {"/a": {"get": 7}}}, "the document is broken there"),
    ],
)
def test_what_is_no_document_is_refused(content: Any, words: str) -> None:
    """With what it is instead."""
    with pytest.raises(UsageError, match=words):
        read_api(content)


def test_a_broken_operation_does_not_stop_the_others() -> None:
    """It is listed with its reason; so is what makes no load. Extensions are no paths."""
    api = read_api(
        document(
            {
                "/a": {"get": operation(), "post": {"parameters": [{"$ref": "#/nowhere"}]}, "head": operation()},
                "/b": {"$ref": "elsewhere.json#/b"},
                "x-internal": {"get": operation()},
            }
        )
    )

    assert [one.label for one in api.operations] == ["GET /a"]
    assert api.unread == (
        ("POST /a", "#/nowhere points at nothing"),
        ("HEAD /a", "HEAD makes no load"),
        ("/b", "elsewhere.json#/b points outside the document"),
    )


def test_parameters_are_those_of_the_path_and_of_the_operation() -> None:
    """In the path's order; the operation's replace the path's, references are followed, a missing one is any text."""
    shared = {"Page": parameter("page", place="query", required=False)}
    found = only(
        {
            "/a/{one}/b/{two}/{three}": {
                "parameters": [parameter("two"), parameter("one", {"type": "string"})],
                "get": operation(
                    parameters=[parameter("one", {"type": "integer"}), {"$ref": "#/components/parameters/Page"}]
                ),
            }
        },
        components={"parameters": shared},
    )

    assert found.parameters == (
        Parameter(name="one", place="path", required=True, schema={"type": "integer"}),
        Parameter(name="two", place="path", required=True, schema={"type": "integer"}),
        Parameter(name="three", place="path", required=True, schema=True),
        Parameter(name="page", place="query", required=False, schema={"type": "integer"}),
    )


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (parameter("a", place="query"), True),
        (parameter("a", {"type": "array"}, place="query"), True),
        (parameter("a", {"type": "array"}, place="query", explode=False), False),
        (parameter("a", {"type": "array"}, place="header"), False),
        (parameter("a", {"type": "object"}, place="query", style="deepObject"), False),
        (parameter("a", place="query", content={"application/json": {}}), False),
    ],
)
def test_parameters_of_an_unusual_form_are_marked(written: dict[str, Any], plain: bool) -> None:
    """Lists as a repeated name in the query are usual."""
    (found,) = only({"/a": {"get": operation(parameters=[written])}}).parameters

    assert found.plain is plain


def test_examples_beside_a_schema_belong_to_it() -> None:
    """Of parameters and of bodies; one that lies elsewhere is left."""
    shown = {"one": {"value": 7}, "two": {"$ref": "#/components/examples/Two"}, "far": {"externalValue": "x"}}
    media = {"application/json": {"schema": {"type": "object"}, "example": {"a": 1}}}
    found = only(
        {
            "/a": {
                "post": {
                    "parameters": [parameter("x", place="query", examples=shown)],
                    "requestBody": {"content": media},
                }
            }
        },
        components={"examples": {"Two": {"value": 8}}},
    )

    assert found.parameters[0].schema == {"allOf": [{"type": "integer"}], "examples": [7, 8]}
    assert found.body is not None
    assert found.body.schema == {"allOf": [{"type": "object"}], "examples": [{"a": 1}]}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["multipart/form-data", "application/json; charset=utf-8"], "application/json"),
        (["application/xml", "application/vnd.shop+json"], "application/vnd.shop+json"),
        (["multipart/form-data", "application/x-www-form-urlencoded"], "application/x-www-form-urlencoded"),
        (["application/octet-stream", "text/plain"], "text/plain"),
        (["*/*"], "application/json"),
    ],
)
def test_the_body_is_of_the_type_that_is_best_to_write(offered: list[str], chosen: str) -> None:
    """JSON before forms, forms before bytes."""
    content = {name: {"schema": {"type": "string"}} for name in offered}
    found = only({"/a": {"post": {"requestBody": {"content": content}}}})

    assert found.body == Body(media_type=chosen, schema={"type": "string"}, part_types={})
    assert found.foreign_body == ()


def test_a_body_that_cannot_be_written_is_told() -> None:
    """With what was offered."""
    found = only({"/a": {"post": {"requestBody": {"content": {"application/xml": {}}}}}})

    assert (found.body, found.foreign_body) == (None, ("application/xml",))


@pytest.mark.parametrize(
    ("responses", "answer", "kind"),
    [
        (
            {"200": {"content": {"application/json": {"schema": {"type": "string"}}}}},
            {"type": "string"},
            "application/json",
        ),
        ({"200": {"content": {"application/json": {}}}}, True, "application/json"),
        ({"201": {"content": {"application/hal+json": {"schema": {}}}}}, True, "application/hal+json"),
        ({"204": {"description": ""}}, None, None),
        ({"2XX": {"content": {"text/html": {}}}}, None, "text/html"),
        ({"404": {}, 200: {"$ref": "#/components/responses/Fine"}}, {"type": "integer"}, "application/json"),
        ({"default": {}}, True, None),
    ],
)
def test_the_answer_is_that_of_the_first_success(responses: dict[Any, Any], answer: Any, kind: str | None) -> None:
    """True where nothing is known of it, None where there is none."""
    fine = {"content": {"application/json": {"schema": {"type": "integer"}}}}
    found = only({"/a": {"get": {"responses": responses}}}, components={"responses": {"Fine": fine}})

    assert (found.answer, found.answer_type) == (answer, kind)


def test_an_answer_without_end_is_known() -> None:
    """Events are sent as long as somebody listens."""
    found = only({"/a": {"get": {"responses": {"200": {"content": {"text/event-stream": {}}}}}}})

    assert found.streams


@pytest.mark.parametrize(
    ("scheme", "lock"),
    [
        ({"type": "http", "scheme": "Bearer"}, Lock(kind="bearer")),
        ({"type": "http", "scheme": "basic"}, Lock(kind="basic")),
        ({"type": "http", "scheme": "digest"}, Lock(kind="unknown")),
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, Lock(kind="api-key", place="header", name="X-Key")),
        ({"type": "apiKey"}, Lock(kind="unknown")),
        (
            {"type": "oauth2", "flows": {"password": {"tokenUrl": "token"}}},
            Lock(kind="password-flow", token_url="token"),
        ),
        ({"type": "oauth2", "flows": {"implicit": {}}}, Lock(kind="token")),
        ({"type": "openIdConnect"}, Lock(kind="token")),
        ({"type": "mutualTLS"}, Lock(kind="unknown")),
        ({"$ref": "#/components/securitySchemes/Gone"}, Lock(kind="unknown")),
    ],
)
def test_every_security_scheme_is_of_a_kind(scheme: dict[str, Any], lock: Lock) -> None:
    """One that is not known is called so."""
    api = read_api(document({"/a": {"get": operation()}}, components={"securitySchemes": {"It": scheme}}))

    assert dict(api.locks) == {"It": lock}


@pytest.mark.parametrize(
    ("own", "locked"), [(None, True), ([], False), ([{"Key": []}], True), ([{"Key": []}, {}], False), ([{}], False)]
)
def test_an_operation_is_locked_unless_it_says_otherwise(own: Any, locked: bool) -> None:
    """The document's own rule holds for whoever has none; one alternative without a lock opens it."""
    more = {} if own is None else {"security": own}
    found = only({"/a": {"get": operation(**more)}}, security=[{"Everywhere": []}])

    assert found.locked is locked


@pytest.mark.parametrize(
    ("servers", "prefix"),
    [
        (None, ""),
        ([], ""),
        ([{"url": "/"}], ""),
        ([{"url": "/api/v1/"}], "/api/v1"),
        ([{"url": "https://example.com/v2"}, {"url": "/v1"}], "/v2"),
        ([{"url": "/{base}", "variables": {"base": {"default": "v3"}}}], "/v3"),
    ],
)
def test_the_first_server_gives_the_prefix(servers: Any, prefix: str) -> None:
    """Only its path: whom to press is said elsewhere."""
    assert read_api(document({"/a": {"get": operation()}}, servers=servers)).prefix == prefix
