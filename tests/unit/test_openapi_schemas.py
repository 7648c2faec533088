"""Schemas of OpenAPI 3.0 and 3.1 in one dialect: references, parts, and what is wrong with a value."""

from typing import Any

import pytest

from pinchpoint.stress.openapi.schemas import NoExampleError, Schemas, merged, modern, pointed_at


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"enum": ["a"], "type": "string", "nullable": True}, {"enum": ["a", None], "type": ["string", "null"]}),
        ({"$ref": "#/x", "nullable": True}, {"anyOf": [{"$ref": "#/x"}, {"type": "null"}]}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"maximum": 9, "exclusiveMaximum": True}, {"exclusiveMaximum": 9}),
        ({"exclusiveMaximum": 9}, {"exclusiveMaximum": 9}),
        ({"example": 1}, {"examples": [1]}),
        ({"examples": [1, 2]}, {"examples": [1, 2]}),
        ({"examples": {"one": {"value": 1}, "far": {"externalValue": "x"}}}, {"examples": [1]}),
        ({"items": [{"example": 1}]}, {"prefixItems": [{"examples": [1]}]}),
        (
            {"properties": {"nullable": {"nullable": True, "type": "integer"}}},
            {"properties": {"nullable": {"type": ["integer", "null"]}}},
        ),
        (True, True),
    ],
)
def test_old_keywords_become_new_ones(old: Any, new: Any) -> None:
    """Also in fields, and never in what only has the name of a keyword."""
    assert modern(old) == new


def test_what_the_server_fills_in_is_not_required_of_a_request() -> None:
    """A read-only field may be in the list of required ones: that is about answers."""
    schema = {"properties": {"id": {"readOnly": True}, "name": {}}, "required": ["id", "name"]}

    found = modern(schema)

    assert isinstance(found, dict)
    assert found["required"] == ["name"]


def test_something_else_than_a_schema_is_refused() -> None:
    """A list is none."""
    with pytest.raises(NoExampleError):
        modern({"items": "text"})


def test_a_pointer_finds_its_place() -> None:
    """Escapes of JSON pointers and of addresses are both undone."""
    document = {"paths": {"/a b/{x}~": [{"y": 1}]}}

    assert pointed_at(document, "#/paths/~1a%20b~1{x}~0/0/y") == 1


@pytest.mark.parametrize("reference", ["other.yaml#/A", "#/components/schemas/Gone", "#/paths/7"])
def test_a_reference_to_nothing_is_no_example(reference: str) -> None:
    """Neither outside the document, nor inside."""
    with pytest.raises(NoExampleError):
        pointed_at({"paths": []}, reference)


def test_parts_are_merged_over_references() -> None:
    """The stricter bound of two holds; fields of the same name must meet both."""
    parts = {
        "Base": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        "Named": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"name": {"minLength": 1}}}]},
    }
    schemas = Schemas({"components": {"schemas": parts}})
    own = {"$ref": "#/components/schemas/Named", "properties": {"name": {"minLength": 3}}, "required": ["name"]}

    schema, followed = schemas.flat(own)

    assert schema == {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "name": {"allOf": [{"minLength": 1}, {"minLength": 3}]}},
        "required": ["id", "name"],
    }
    assert followed == ("#/components/schemas/Named", "~#/components/schemas/Base")


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ({"minimum": 1}, {"minimum": 3}, {"minimum": 3}),
        ({"maxLength": 1}, {"maxLength": 3}, {"maxLength": 1}),
        ({"type": ["string", "null"]}, {"type": "string"}, {"type": ["string"]}),
        ({"type": "number"}, {"type": "integer"}, {"type": ["integer"]}),
        ({"enum": [1, 2]}, {"enum": [2, 3]}, {"enum": [2]}),
        ({"multipleOf": 4}, {"multipleOf": 6}, {"multipleOf": 12}),
        ({"multipleOf": 0.5}, {"multipleOf": 0.75}, {"multipleOf": 1.5}),
        ({"additionalProperties": {}}, {"additionalProperties": False}, {"additionalProperties": False}),
        ({"examples": [1]}, {"examples": [2, 1]}, {"examples": [1, 2]}),
        ({"title": "A"}, {"title": "B"}, {"title": "B"}),
        (True, {"type": "string"}, {"type": "string"}),
        ({"type": "string"}, False, False),
    ],
)
def test_two_schemas_are_merged_into_the_stricter(first: Any, second: Any, both: Any) -> None:
    """What one of them does not mention, the other decides."""
    assert merged(first, second) == both


@pytest.mark.parametrize(("first", "second"), [({"type": "string"}, {"type": "array"}), ({"enum": [1]}, {"enum": [2]})])
def test_schemas_that_exclude_each_other_have_no_example(first: Any, second: Any) -> None:
    """Of different types, or without a value in common."""
    with pytest.raises(NoExampleError):
        merged(first, second)


def test_a_reference_to_itself_has_no_example() -> None:
    """A circle of nothing but references ends."""
    parts = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}

    with pytest.raises(NoExampleError, match="refers to itself"):
        Schemas({"components": {"schemas": parts}}).flat({"$ref": "#/components/schemas/A"})


def test_a_part_that_comes_twice_is_merged_once() -> None:
    """Two parts may have the same base, and a schema may be a part of itself."""
    parts = {
        "Base": {"type": "object"},
        "A": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"$ref": "#/components/schemas/A"}]},
        "B": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"$ref": "#/components/schemas/A"}]},
    }

    schema, _ = Schemas({"components": {"schemas": parts}}).flat({"$ref": "#/components/schemas/B"})

    assert schema == {"type": "object"}


def test_a_value_is_held_against_the_whole_document() -> None:
    """References are followed, formats looked at, and the place of the mistake is named."""
    schemas = Schemas({"components": {"schemas": {"Day": {"type": "string", "format": "date"}}}})
    schema = {"type": "object", "properties": {"day": {"$ref": "#/components/schemas/Day"}}}

    assert schemas.problem(schema, {"day": "2026-11-21"}) is None
    assert schemas.problem(schema, {"day": "tomorrow"}) == "day: 'tomorrow' is not a 'date'"


@pytest.mark.parametrize(
    ("schema", "value"), [({"$ref": "https://example.com/x.json"}, "x"), ({"pattern": "["}, "x"), ({"required": 7}, {})]
)
def test_a_schema_that_cannot_be_checked_is_said_to_be_so(schema: dict[str, Any], value: Any) -> None:
    """Nothing is fetched for it."""
    assert str(Schemas({}).problem(schema, value)).startswith("its schema cannot be checked")
