"""The schemas of an OpenAPI document, as JSON Schema 2020-12 whatever version the document is of. Pure.

OpenAPI 3.1 uses that dialect as it is. OpenAPI 3.0 has `nullable`, boolean `exclusiveMinimum`, and `example` instead
of `examples` (OpenAPI 3.0.3, "Schema Object").
"""

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

Schema = dict[str, Any] | bool

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    *("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
_HIGHEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
"""Of two of these, the higher one holds."""
_LOWEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_MOST_OPTIONS = 16
"""Of the alternatives that two merged schemas have together."""
_LONGEST_REASON = 160
PART = "~"
"""Before a reference: it is one of several parts of a schema."""


class NoExampleError(Exception):
    """No value of a schema can be made; the text says why, as a clause."""


def modern(schema: Any) -> Schema:  # noqa: C901 - a case each
    """Return a schema in JSON Schema 2020-12, as a request has to meet it: nothing that is read-only is required."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping):
        raise NoExampleError("its schema is no object")
    found: dict[str, Any] = dict(schema)
    for key in _BY_NAME:
        if isinstance(found.get(key), Mapping):
            found[key] = {str(name): modern(one) for name, one in found[key].items()}
    if isinstance(found.get("items"), list):  # what a list of schemas was called before 2020-12
        found["prefixItems"] = found.pop("items")
    for key in _LISTS:
        if isinstance(found.get(key), list):
            found[key] = [modern(one) for one in found[key]]
    for key in _SINGLE:
        if key in found:
            found[key] = modern(found[key])
    _modernise_bounds(found)
    _modernise_examples(found)
    if found.get("readOnly") is not True:
        _drop_read_only(found)
    return _with_null(found)


def _modernise_bounds(schema: dict[str, Any]) -> None:
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)


def _modernise_examples(schema: dict[str, Any]) -> None:
    examples = schema.pop("examples", [])
    if isinstance(examples, Mapping):  # written as a media type has them
        examples = [one["value"] for one in examples.values() if isinstance(one, Mapping) and "value" in one]
    examples = list(examples) if isinstance(examples, list) else []
    if "example" in schema:
        examples.insert(0, schema.pop("example"))
    if examples:
        schema["examples"] = examples


def _drop_read_only(schema: dict[str, Any]) -> None:
    properties = schema.get("properties")
    if isinstance(properties, dict) and isinstance(schema.get("required"), list):
        schema["required"] = [name for name in schema["required"] if not is_read_only(properties.get(name, True))]


def is_read_only(schema: Schema) -> bool:
    """Tell whether a property is only ever sent by the server."""
    return isinstance(schema, dict) and schema.get("readOnly") is True


def _with_null(schema: dict[str, Any]) -> Schema:
    if schema.pop("nullable", False) is not True:
        return schema
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


class Schemas:
    """Resolves, merges and checks the schemas of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the whole document; its parts are read when they are asked for."""
        self._document = document
        self._known: dict[str, Schema] = {}
        self._components: dict[str, Any] | None = None

    def at(self, reference: str) -> Schema:
        """Return what a `$ref` points at.

        Raises:
            NoExampleError: it points outside the document, or at nothing.

        """
        if reference not in self._known:
            self._known[reference] = modern(pointed_at(self._document, reference))
        return self._known[reference]

    def resolved(self, schema: Schema) -> tuple[Schema, tuple[str, ...]]:
        """Follow `$ref` to its end; return the schema, with what stood beside the references, and the references."""
        followed: list[str] = []
        beside: list[dict[str, Any]] = []
        while isinstance(schema, dict) and "$ref" in schema:
            reference = str(schema["$ref"])
            if reference in followed:
                raise NoExampleError(f"{reference} refers to itself")
            followed.append(reference)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            if rest:
                beside.append(rest)
            schema = self.at(reference)
        for rest in reversed(beside):
            schema = merged(schema, rest)
        return schema, tuple(followed)

    def flat(self, schema: Schema) -> tuple[Schema, tuple[str, ...]]:
        """Like `resolved`, with the parts of `allOf` merged into one schema.

        The references of several parts come with `PART` before them: of a base class that many schemas have, one that
        comes again below is no sign of a schema that holds itself.
        """
        schema, chain = self.resolved(schema)
        followed, known = [*chain], {*chain}
        while isinstance(schema, dict) and "allOf" in schema:
            mark = PART if len(schema["allOf"]) > 1 else ""
            whole: Schema = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                found, more = self.resolved(part)
                if not known & {*more}:  # else it is merged already: twice asks for nothing more
                    known |= {*more}
                    followed += [f"{mark}{one}" for one in more]
                    whole = merged(found, whole)
            schema = whole
        return schema, tuple(followed)

    def problem(self, schema: Schema, value: Any) -> str | None:
        """Say what is wrong with a value, as a clause; None when it meets the schema."""
        root = schema if isinstance(schema, bool) else {**schema, "components": {"schemas": self._all()}}
        # An empty registry: a reference to somewhere else must fail, not be fetched.
        registry: Any = Registry()
        checker = Draft202012Validator.FORMAT_CHECKER
        try:
            error: Any = best_match(
                Draft202012Validator(root, registry=registry, format_checker=checker).iter_errors(value)
            )
        except (Unresolvable, re.error, TypeError, ValueError, RecursionError, AttributeError) as failure:
            return _shortened(f"its schema cannot be checked ({type(failure).__name__}: {failure})")
        if error is None:
            return None
        place = "/".join(str(step) for step in error.absolute_path)
        return _shortened(f"{place}: {error.message}" if place else str(error.message))

    def _all(self) -> dict[str, Any]:
        if self._components is None:
            self._components = {}
            schemas = (self._document.get("components") or {}).get("schemas") or {}
            for name, schema in schemas.items():
                try:
                    self._components[name] = modern(schema)
                except NoExampleError:
                    continue
        return self._components


def pointed_at(document: Any, reference: str) -> Any:
    """Return what a JSON pointer in a `$ref` names (RFC 6901).

    Raises:
        NoExampleError: it points outside the document, or at nothing.

    """
    if not reference.startswith("#/"):
        raise NoExampleError(f"{reference} points outside the document")
    found = document
    for step in reference[2:].split("/"):
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise NoExampleError(f"{reference} points at nothing")
    return found


def merged(first: Schema, second: Schema) -> Schema:
    """Return one schema that asks for what both ask for; of two names, descriptions or defaults the second holds.

    Raises:
        NoExampleError: nothing can meet both.

    """
    if isinstance(first, bool):
        return second if first else False
    if isinstance(second, bool):
        return first if second else False
    found = {**first, **second}
    for key in first.keys() & second.keys():
        if key in _MERGERS:
            found[key] = _MERGERS[key](first[key], second[key])
        elif key in _HIGHEST:
            found[key] = max(first[key], second[key])
        elif key in _LOWEST:
            found[key] = min(first[key], second[key])
    return found


def _merged_properties(first: dict[str, Schema], second: dict[str, Schema]) -> dict[str, Schema]:
    found = {**first, **second}
    for name in first.keys() & second.keys():
        found[name] = first[name] if first[name] == second[name] else {"allOf": [first[name], second[name]]}
    return found


def _both(first: Any, second: Any) -> list[Any]:
    return [*first, *(one for one in second if one not in first)]


def _shared_values(first: list[Any], second: list[Any]) -> list[Any]:
    found = [one for one in first if one in second]
    if not found:
        raise NoExampleError("its parts allow no value in common")
    return found


def types_of(schema: dict[str, Any]) -> list[str]:
    """Return the types a schema allows; empty when it names none."""
    named = schema.get("type")
    return [str(one) for one in named] if isinstance(named, list) else [] if named is None else [str(named)]


def _shared_types(first: Any, second: Any) -> list[str]:
    ours, theirs = types_of({"type": first}), types_of({"type": second})
    found = [one for one in ours if one in theirs]
    if "integer" in ours + theirs and "integer" not in found and {"integer", "number"} <= {*ours, *theirs}:
        found.append("integer")
    if not found:
        raise NoExampleError("its parts are of different types")
    return found


def _options(first: list[Schema], second: list[Schema]) -> list[Schema]:
    both: list[Schema] = [{"allOf": [one, other]} for one in first for other in second]
    return both[:_MOST_OPTIONS]


def _least_common(first: float, second: float) -> float:
    ours, theirs = Fraction(str(first)), Fraction(str(second))
    multiple = Fraction(math.lcm(ours.numerator, theirs.numerator), math.gcd(ours.denominator, theirs.denominator))
    return multiple.numerator if multiple.denominator == 1 else float(multiple)


_MERGERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "properties": _merged_properties,
    "required": _both,
    "examples": _both,
    "allOf": lambda first, second: [*first, *second],
    "anyOf": _options,
    "oneOf": _options,
    "enum": _shared_values,
    "type": _shared_types,
    "multipleOf": _least_common,
    "items": lambda first, second: {"allOf": [first, second]},
    "additionalProperties": lambda first, second: (
        False if first is False or second is False else {"allOf": [first, second]}
    ),
    "uniqueItems": lambda first, second: bool(first or second),
}


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"
