"""Schemas of every kind for hypothesis, documents to try, and a way to run parts of a written file without Locust."""

import base64
import json
import random
import string
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from pinchpoint.commands.init.helpers import FUNCTIONS
from pinchpoint.commands.init.plan import make_plan
from pinchpoint.commands.init.words import Usage, written
from pinchpoint.stress.openapi.document import read_api

PATTERNS = (
    r"^[a-z]+$",
    r"^[A-Z]{3}-\d{4}$",
    r"^\d{4}-\d{2}$",
    r"^(red|green|blue)(-light)?$",
    r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$",
    r"[0-9a-fA-F]{8}",
    r"^\+?[1-9]\d{1,14}$",
    r"^(?=.*\d)[a-z\d]{6,}$",
    r"^\w+(\.\w+)*$",
)
FORMATS = ("date", "email", "uuid", "ipv4", "ipv6", "uri", "date-time", "unknown")


def evaluated(code: str, seed: int = 1, **names: Any) -> Any:
    """Return the value of an expression as the written file would have it."""
    known: dict[str, Any] = {"base64": base64, "json": json, "string": string, "time": time, "uuid": uuid}
    known |= {"random": random.Random(seed), "Callable": Callable, "Any": Any}  # noqa: S311 - examples, no secrets
    for name in ("text", "distinct"):
        exec(FUNCTIONS[name], known)  # noqa: S102 - our own text
    return eval(code, known | names)  # noqa: S307 - likewise


def _bounded(schema: dict[str, Any], low: str, high: str, values: tuple[Any, Any]) -> dict[str, Any]:
    return {**schema, low: min(values), high: max(values)}


def whole_numbers() -> st.SearchStrategy[dict[str, Any]]:
    """Return schemas of integers; wide enough for their multiples."""
    plain = st.just({"type": "integer"})
    ends = st.integers(-1000, 1000)
    pairs = st.tuples(ends, ends).filter(lambda pair: abs(pair[0] - pair[1]) > 20)
    bounded = pairs.map(lambda pair: _bounded({"type": "integer"}, "minimum", "maximum", pair))
    strict = pairs.map(lambda pair: _bounded({"type": "integer"}, "exclusiveMinimum", "exclusiveMaximum", pair))
    multiples = st.tuples(pairs, st.sampled_from((1, 2, 3, 5, 7, 0.5))).map(
        lambda both: {**_bounded({"type": "integer"}, "minimum", "maximum", both[0]), "multipleOf": both[1]}
    )
    one_side = st.tuples(st.sampled_from(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")), st.integers())
    return st.one_of(plain, bounded, strict, multiples, one_side.map(lambda one: {"type": "integer", one[0]: one[1]}))


def real_numbers() -> st.SearchStrategy[dict[str, Any]]:
    """Return schemas of numbers."""
    places = st.integers(-100_000, 100_000).map(lambda one: one / 1000)
    pairs = st.tuples(places, places).filter(lambda pair: pair[0] != pair[1])
    bounded = pairs.map(lambda pair: _bounded({"type": "number"}, "minimum", "maximum", pair))
    strict = pairs.map(lambda pair: _bounded({"type": "number"}, "exclusiveMinimum", "exclusiveMaximum", pair))
    multiples = st.sampled_from((0.5, 0.25, 2, 10)).map(lambda one: {"type": "number", "multipleOf": one, "minimum": 0})
    return st.one_of(st.just({"type": "number"}), bounded, strict, multiples)


def texts() -> st.SearchStrategy[dict[str, Any]]:
    """Return schemas of texts."""
    lengths = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(
        lambda pair: _bounded({"type": "string"}, "minLength", "maxLength", pair)
    )
    patterns = st.sampled_from(PATTERNS).map(lambda one: {"type": "string", "pattern": one})
    long = st.integers(9, 40).map(lambda one: {"type": "string", "pattern": "^[a-z0-9_]+$", "minLength": one})
    formats = st.sampled_from(FORMATS).map(lambda one: {"type": "string", "format": one})
    return st.one_of(st.just({"type": "string"}), lengths, patterns, long, formats)


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    """Return schemas of single values."""
    single = st.one_of(st.integers(), st.text(max_size=5), st.booleans())
    values = st.lists(single, min_size=1, max_size=4, unique_by=repr)
    named = st.one_of(values.map(lambda some: {"enum": some}), st.text(max_size=5).map(lambda one: {"const": one}))
    fixed = st.integers(0, 9).map(lambda one: {"type": "integer", "default": one})
    shown = st.lists(st.integers(0, 9), min_size=1, max_size=3).map(lambda some: {"type": "integer", "examples": some})
    truth: st.SearchStrategy[dict[str, Any]] = st.just({"type": "boolean"})
    return st.one_of(whole_numbers(), real_numbers(), texts(), named, fixed, shown, truth)


def _objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(("name", "email", "age", "tags", "owner", "price_total", "Größe", 'a"b', "class"))
    fields = st.dictionaries(names, inner, max_size=4)

    def built(properties: dict[str, Any], chosen: list[bool], closed: bool) -> dict[str, Any]:
        required = [name for name, wanted in zip(properties, chosen, strict=False) if wanted]
        rest = {"additionalProperties": False} if closed else {}
        return {"type": "object", "properties": properties, "required": required, **rest}

    return st.builds(built, fields, st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())


def _lists(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    counts = st.tuples(st.integers(0, 3), st.integers(0, 3))
    return st.builds(
        lambda items, pair: _bounded({"type": "array", "items": items}, "minItems", "maxItems", pair), inner, counts
    )


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Return schemas of every supported kind that some value meets."""

    def deeper(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        nullable = inner.map(lambda one: {"anyOf": [one, {"type": "null"}]})
        either = st.tuples(_objects(inner), texts()).map(lambda pair: {"oneOf": list(pair)})
        more = {"properties": {"more": {"type": "integer"}}}
        both = _objects(inner).map(lambda one: {"allOf": [{**one, "additionalProperties": True}, more]})
        dictionary = inner.map(lambda one: {"type": "object", "additionalProperties": one})
        return st.one_of(_objects(inner), _lists(inner), nullable, either, both, dictionary)

    return st.recursive(leaves(), deeper, max_leaves=6)


def operation(answer: Any = None, body: Any = None, status: str = "200", **more: Any) -> dict[str, Any]:
    """Return one operation: the schema of its JSON answer, the schema of its JSON body, and whatever else."""
    content = {} if answer is None else {"content": {"application/json": {"schema": answer}}}
    made: dict[str, Any] = {"responses": {status: {"description": "", **content}}, **more}
    if body is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": body}}, "required": True}
    return made


def parameter(name: str, schema: Any = None, place: str = "path", required: bool = True, **more: Any) -> dict[str, Any]:
    """Return one parameter."""
    return {"name": name, "in": place, "required": required, "schema": schema or {"type": "integer"}, **more}


def document(paths: Mapping[str, Any], schemas: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return an OpenAPI document."""
    components = {"schemas": dict(schemas or {}), **more.pop("components", {})}
    info = {"title": "Shop", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": dict(paths), "components": components, **more}


ITEM = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}, "required": ["id"]}
NEW_ITEM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def shop() -> dict[str, Any]:
    """Return a document with one kind of records: listed, made, read, changed and deleted."""
    one = {"parameters": [parameter("item_id")]}
    return document(
        {
            "/items": {
                "get": operation({"type": "array", "items": ITEM}, summary="List Items"),
                "post": operation({"$ref": "#/components/schemas/Item"}, NEW_ITEM, "201", operationId="createItem"),
            },
            "/items/{item_id}": {
                **one,
                "get": operation(ITEM, summary="Read Item"),
                "put": operation(ITEM, NEW_ITEM),
                "delete": operation(status="204"),
            },
        },
        {"Item": ITEM},
    )


USAGE = Usage(name="locustfile.py", target="shop:app")
TOKEN = {"type": "object", "properties": {"access_token": {"type": "string"}}}
PAIR = {
    "type": "object",
    "properties": {"username": {"type": "string"}, "password": {"type": "string", "minLength": 8}},
    "required": ["username", "password"],
}
BEARER = {"securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer"}}}
LOCKED: list[dict[str, list[str]]] = [{"Bearer": []}]


def text_of(content: dict[str, Any], user: str | None = None, password: str | None = None) -> str:
    """Return the file of a document."""
    return written(make_plan(read_api(content), user, password), USAGE)


def with_login(**more: Any) -> dict[str, Any]:
    """Return a document with a login, and with what else is given."""
    paths = {
        "/login": {"post": operation(TOKEN, PAIR)},
        "/me": {"get": operation(security=LOCKED)},
        **more,
    }
    return document(paths, components=BEARER)


def everything() -> dict[str, Any]:
    """Return a document with something of each kind that the words have to deal with."""
    file = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer"}}}
    upload = {"type": "object", "properties": {"note": {"type": "string"}, "file": file, "meta": ITEM}}
    long = {"type": "string", "enum": [f"a value with many words and the number {number}" for number in range(9)]}
    body = {
        "type": "object",
        "properties": {
            "lines": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
            "kind": long,
            "when": {"type": "string", "format": "date-time"},
            "price": {"type": "number", "exclusiveMinimum": 0},
            "code": {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
            "quote": {"const": '"it\'s" \\ \n'},
            "deep": {"default": {"a": [1, {"b": None}], "c": {}}},
        },
    }
    key = {"type": "apiKey", "in": "query", "name": "api_key"}
    cookie = {"type": "apiKey", "in": "cookie", "name": "sid"}
    security = {"Key": key, "Cookie": cookie, **BEARER["securitySchemes"]}
    return document(
        {
            "/login": {"post": operation(TOKEN, PAIR)},
            "/register": {"post": operation(None, PAIR)},
            "/class": {"get": operation(operationId="class", security=[{"Key": [], "Cookie": []}])},
            "/run": {"get": operation(operationId="run", summary='Say "so"\\ now\u200b!', security=LOCKED)},
            "/things": {"post": operation({}, body), "get": operation({})},
            "/things/{thing_id}": {"get": operation(), "patch": operation(None, body), "delete": operation()},
            "/things/{thing_id}/parts": {"post": operation({}, NEW_ITEM)},
            "/things/{thing_id}/parts/{part_id}": {"get": operation(), "delete": operation()},
            "/form": {"post": {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": form}}}}},
            "/upload": {"post": {"requestBody": {"content": {"multipart/form-data": {"schema": upload}}}}},
            "/note": {"put": {"requestBody": {"content": {"text/plain": {"schema": {"type": "string"}}}}}},
            "/blob": {"put": {"requestBody": {"content": {"application/octet-stream": {}}}}},
            "/xml": {"post": {"requestBody": {"content": {"application/xml": {}}}}},
            "/old": {"get": operation(deprecated=True)},
            "/find": {
                "get": operation(
                    parameters=[
                        parameter("q", {"type": "string"}, "query"),
                        parameter("deep", {"type": "boolean"}, "query"),
                        parameter("tags", {"type": "array", "items": {"type": "string"}}, "query"),
                        parameter("limit", place="query", required=False),
                        parameter("X-Trace", {"type": "integer"}, "header"),
                        parameter("x-token", {"type": "string"}, "header"),
                        parameter("seen", {"type": "string"}, "cookie"),
                    ]
                )
            },
            "/by/{kind}/{size}": {
                "get": operation(parameters=[parameter("kind", {"enum": ["red", "blue"]}), parameter("size")])
            },
        },
        components={"securitySchemes": security},
    )
