"""From schemas to values: what is taken, what is left out, and that all of it is valid, drawn or evaluated."""

import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinchpoint.commands.init.code import FORMAT_CODE, expression
from pinchpoint.stress.openapi import recipes
from pinchpoint.stress.openapi.examples import Examples, omit
from pinchpoint.stress.openapi.recipes import (
    Choice,
    Code,
    Const,
    Formatted,
    Many,
    OneOf,
    Real,
    Recipe,
    Record,
    Repeated,
    Row,
    Text,
    Whole,
    draw,
)
from pinchpoint.stress.openapi.schemas import NoExampleError, Schema, Schemas
from pinchpoint.stress.openapi.strings import string_recipe
from support.made_load import FORMATS, PATTERNS, evaluated, schemas

DRAWS = 8
NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "parent": {"anyOf": [{"$ref": "#/components/schemas/Node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        "next": {"$ref": "#/components/schemas/Node"},
    },
    "required": ["name", "parent", "children"],
}
PARTS: dict[str, Any] = {
    "Node": NODE,
    "Endless": {
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/Endless"}},
        "required": ["next"],
    },
    "Cat": {"type": "object", "properties": {"kind": {"type": "string"}, "lives": {"type": "integer"}}},
    "Dog": {"type": "object", "properties": {"kind": {"type": "string"}, "tricks": {"type": "integer"}}},
    "Kind": {"enum": ["a"]},
}


def recipe(schema: Schema, name: str = "") -> Recipe:
    """Return the recipe of a schema that may refer to `PARTS`."""
    return Examples(Schemas({"components": {"schemas": PARTS}})).recipe(schema, name)


@given(schema=schemas(), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_value_is_valid(schema: dict[str, Any], seed: int) -> None:
    """Drawn here, and made by the expression that is written into the file; whatever the schema."""
    known = Schemas({})
    made = Examples(known).recipe(schema)
    rng = random.Random(seed)  # noqa: S311 - examples, no secrets
    code = expression(made)

    problems = [known.problem(schema, draw(made, rng)) for _ in range(DRAWS)]
    problems += [known.problem(schema, evaluated(code, seed + number)) for number in range(DRAWS)]

    assert problems == [None] * (2 * DRAWS)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 3, "type": "integer"}, Const(3)),
        ({"const": None}, Const(None)),
        ({"enum": ["a"]}, Const("a")),
        ({"enum": [None, "a", "b"]}, Choice(("a", "b"))),
        ({"enum": [None]}, Const(None)),
        ({"$ref": "#/components/schemas/Kind"}, Const("a")),
        ({"type": "integer", "examples": [4, 5]}, Choice((4, 5))),
        ({"type": "integer", "examples": ["no"], "default": 7}, Const(7)),
        ({"type": "boolean", "default": False}, Const(False)),
        ({"type": "string", "default": None}, Text(8, 16)),
        ({"type": "boolean"}, Choice((True, False))),
        ({"type": "null"}, Const(None)),
        ({"type": ["null", "integer"]}, Whole(1, 1000)),
        ({"type": "integer"}, Whole(1, 1000)),
        ({"type": "integer", "minimum": 18}, Whole(18, 1018)),
        ({"type": "integer", "exclusiveMinimum": 0}, Whole(1, 1000)),
        ({"type": "integer", "maximum": 200}, Whole(1, 200)),
        ({"type": "integer", "maximum": -5}, Whole(-1005, -5)),
        ({"type": "integer", "exclusiveMaximum": 1}, Whole(-999, 0)),
        ({"type": "integer", "minimum": 3, "maximum": 3}, Const(3)),
        ({"type": "integer", "minimum": 1, "maximum": 100, "multipleOf": 7}, Whole(7, 98, 7)),
        ({"type": "integer", "multipleOf": 2.5, "minimum": 0, "maximum": 20}, Whole(0, 20, 5)),
        ({"type": "number"}, Real(100, 100_000)),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, Real(1, 100)),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001}, Real(1, 9, 1, 10_000)),
        ({"type": "number", "minimum": 0.5, "maximum": 0.5}, Const(0.5)),
        ({"type": "number", "minimum": 0, "multipleOf": 0.05}, Whole(0, 1000, 1)),
        ({"type": "number", "minimum": 0.1, "maximum": 0.9, "multipleOf": 0.25}, Real(1, 3, 1, 4)),
        ({"minimum": 5, "maximum": 6}, Real(500, 600)),
        ({"type": "string"}, Text(8, 16)),
        ({"type": "string", "minLength": 3, "maxLength": 5}, Text(5, 5)),
        ({"type": "string", "minLength": 20}, Text(20, 20)),
        ({"type": "string", "maxLength": 0}, Text(0, 0)),
        ({"type": "string", "pattern": "^[a-z]{4,}$", "maxLength": 12}, Text(8, 12)),
        ({"type": "string", "format": "email"}, Formatted("email")),
        ({"type": "string", "format": "nobody-knows"}, Text(8, 16)),
        ({"type": "string", "format": "email", "maxLength": 5}, Text(5, 5)),
        ({"type": "string", "contentEncoding": "base64"}, Formatted("byte")),
        ({}, Text(8, 16)),
        ({"type": "array", "items": {"type": "integer"}}, Many(Whole(1, 1000), 1, 3)),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 5}, Many(Whole(1, 1000), 5, 5)),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, Row(())),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True}, Many(Choice(("a", "b")), 1, 2, True)),
        ({"prefixItems": [{"const": 1}, {"const": 2}], "minItems": 2, "maxItems": 2}, Row((Const(1), Const(2)))),
        ({"type": "object"}, Record(())),
        ({"type": "object", "additionalProperties": {"const": 1}}, Record((("key1", Const(1)),))),
        ({"type": "object", "minProperties": 2}, Record((("key1", Text(8, 16)), ("key2", Text(8, 16))))),
        ({"required": ["a"]}, Record((("a", Text(8, 16)),))),
        (
            {"properties": {"a": {"const": 1}, "b": {"const": 2}}, "maxProperties": 1, "required": ["b"]},
            Record((("b", Const(2)),)),
        ),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, Const(1)),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, Real(100, 100_000)),
        (
            {"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}]},
            Choice((True, False)),
        ),
    ],
)
def test_a_schema_has_this_recipe(schema: dict[str, Any], expected: Recipe) -> None:
    """The document's own values first, then the type; null only where nothing else can be."""
    assert recipe(schema) == expected


def test_alternatives_of_objects_are_mixed() -> None:
    """Both kinds of a union are sent, each with the value of the discriminator that stands for it."""
    pets = {
        "anyOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
        "discriminator": {"propertyName": "kind", "mapping": {"meow": "#/components/schemas/Cat"}},
    }

    found = recipe(pets)

    assert isinstance(found, OneOf)
    values = [draw(one, random.Random(1)) for one in found.options]  # noqa: S311 - examples, no secrets
    assert [(value["kind"], sorted(value)) for value in values] == [
        ("meow", ["kind", "lives"]),
        ("Dog", ["kind", "tricks"]),
    ]


def test_a_schema_that_holds_itself_ends() -> None:
    """Lists of itself are empty, what may be null is null, what may be missing is missing."""
    found = draw(recipe({"$ref": "#/components/schemas/Node"}), random.Random(1))  # noqa: S311 - examples, no secrets

    assert {**found, "name": ""} == {"name": "", "parent": None, "children": []}


def test_a_base_of_both_is_no_circle() -> None:
    """A hero and its team may have the same base class."""
    parts = {
        "Base": {"type": "object", "properties": {"note": {"const": "x"}}},
        "Team": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"name": {"const": "a"}}}]},
        "Hero": {
            "allOf": [
                {"$ref": "#/components/schemas/Base"},
                {"properties": {"team": {"$ref": "#/components/schemas/Team"}}, "required": ["team"]},
            ]
        },
    }
    made = Examples(Schemas({"components": {"schemas": parts}})).recipe({"$ref": "#/components/schemas/Hero"})

    assert draw(made, random.Random(1)) == {"note": "x", "team": {"note": "x", "name": "a"}}  # noqa: S311 - examples, no secrets


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Endless"}, "holds itself without end"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no integer is between its bounds"),
        ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1}, "no number is between its bounds"),
        ({"type": "integer", "multipleOf": 0}, "multipleOf 0 is not above 0"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "minLength 5 is above maxLength 4"),
        ({"type": "string", "pattern": "["}, "is not one that Python knows"),
        ({"type": "string", "pattern": r"^(a)\1$"}, "groupref is beyond what is made up here"),
        ({"type": "string", "pattern": "^a$", "minLength": 3}, "no text was found for the pattern ^a$"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "minItems 2 is above maxItems 1"),
        ({"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}, "2 different elements"),
        ({"type": "file"}, "file is no type of JSON"),
        ({"enum": []}, "its enum is empty"),
        ({"required": ["a"], "additionalProperties": False}, "its schema allows no value"),
        (False, "its schema allows no value"),
    ],
)
def test_where_there_is_no_value_the_reason_is_told(schema: Schema, words: str) -> None:
    """As a clause that a line about an operation can end with."""
    with pytest.raises(NoExampleError, match=re.escape(words)):
        recipe(schema)


def test_a_field_that_cannot_be_is_named_or_left_out() -> None:
    """Left out where it may be missing; the reason of a required one begins with its name."""
    impossible = {"type": "integer", "minimum": 5, "maximum": 4}

    assert recipe({"properties": {"a": impossible}}) == Record(())
    with pytest.raises(NoExampleError, match="a: no integer"):
        recipe({"properties": {"a": impossible}, "required": ["a"]})


def test_what_the_server_fills_in_is_not_sent() -> None:
    """Nor what is deprecated and not asked for."""
    schema = {"properties": {"id": {"readOnly": True}, "old": {"deprecated": True}, "name": {"const": "x"}}}

    assert recipe(schema) == Record((("name", Const("x")),))


def test_names_decide_where_a_schema_is_silent() -> None:
    """A field called email holds an address, though its schema says no more than text."""
    schema = {"properties": {"user_email": {"type": "string"}, "homepage": {"type": "string"}, "password": {}}}

    found = recipe(schema)

    assert found == Record(
        (("user_email", Formatted("email")), ("homepage", Formatted("uri")), ("password", Formatted("password")))
    )


def test_an_example_is_sent_but_for_what_must_differ() -> None:
    """The second user of a name would be refused: names are made anew."""
    schema = {
        "properties": {"username": {"type": "string"}, "city": {"type": "string"}, "id": {"type": "integer"}},
        "examples": [{"username": "jo", "city": "Rome", "id": 4}, {"city": 5}],
    }
    given_away = Examples(Schemas({}), lambda name, _, __: omit() if name == "id" else None)

    assert given_away.recipe(schema) == Record((("username", Text(8, 16)), ("city", Const("Rome"))))


def test_a_field_can_be_decided_from_outside() -> None:
    """At any depth; a decision stands before all that the schema says."""
    schema = {"properties": {"team": {"properties": {"team_id": {"const": 1}}, "required": ["team_id"]}}}
    own = Code("self.team", 9)

    found = Examples(Schemas({}), lambda name, _, required: own if name == "team_id" and required else None)

    assert found.recipe(schema) == Record((("team", Record((("team_id", own),))),))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_text_of_a_pattern_fits_it(pattern: str) -> None:
    """Drawn and evaluated; and they differ from each other."""
    made = string_recipe({"pattern": pattern})
    rng = random.Random(3)  # noqa: S311 - examples, no secrets

    texts = [draw(made, rng) for _ in range(30)]
    written = [evaluated(expression(made), seed) for seed in range(30)]

    assert [text for text in texts + written if not re.search(pattern, text)] == []
    assert len({*texts}) > 4


def test_a_part_that_repeats_is_made_anew_each_time() -> None:
    """More than one character in brackets is a text of its own."""
    made = string_recipe({"pattern": r"^(\d[A-F]){3}$"})

    assert isinstance(made, Repeated)
    assert re.fullmatch(r"(\d[A-F]){3}", draw(made, random.Random(1)))  # noqa: S311 - examples, no secrets


def test_the_kinds_of_texts_can_all_be_written() -> None:
    """What is drawn here has an expression, and both are of the format they are named after."""
    checked = [kind for kind in FORMATS if kind in recipes.FORMATS]

    assert FORMAT_CODE.keys() == recipes.FORMATS.keys()
    assert len(checked) == len(FORMATS) - 1
    for kind in checked:
        schema: dict[str, Any] = {"type": "string", "format": kind}
        assert Schemas({}).problem(schema, draw(Formatted(kind), random.Random(1))) is None  # noqa: S311 - examples, no secrets
        assert Schemas({}).problem(schema, evaluated(FORMAT_CODE[kind])) is None


def test_draws_are_the_same_for_the_same_seed() -> None:
    """A document gives the same file each time."""
    made = recipe({"properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "number"}}}})

    assert draw(made, random.Random(5)) == draw(made, random.Random(5))  # noqa: S311 - examples, no secrets


def test_a_list_without_repetition_has_none() -> None:
    """Neither drawn nor evaluated."""
    made = recipe({"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True})

    assert sorted(draw(made, random.Random(1))) == [1, 2, 3]  # noqa: S311 - examples, no secrets
    assert sorted(evaluated(expression(made))) == [1, 2, 3]
