"""From a schema to a recipe whose every value is valid, as far as JSON Schema says what valid is. Pure and seeded.

What is taken, in this order: `const`, `enum`, examples that are valid themselves, `default`, one of `anyOf` and
`oneOf`, then the type with its bounds. Null is taken only where nothing else can be: a load of nulls tells little.
"""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from pinchpoint.stress.openapi.numbers import real_recipe, whole_recipe
from pinchpoint.stress.openapi.recipes import (
    Choice,
    Code,
    Const,
    Many,
    OneOf,
    Real,
    Recipe,
    Record,
    Row,
    Text,
    Whole,
    draw,
)
from pinchpoint.stress.openapi.schemas import PART, NoExampleError, Schema, Schemas, is_read_only, types_of
from pinchpoint.stress.openapi.strings import string_recipe

LISTED = 3
"""Elements of a list whose length is free, at most."""
OPTIONS = 4
"""Alternatives of `anyOf` and `oneOf` that are kept."""
CHECKS = 5
"""Draws held against the schema before an alternative, or a whole body, is believed."""
_MOST_EXAMPLES = 10
_SEED = 11
_NESTED = 3
"""Schemas with the same base class, one within the other, before that is taken for a circle."""
_MANY_VALUES = 1000
"""Stands for "any number" of different values."""
_NAMED = ("enum", "const", "examples", "default")
UNIQUE_NAMES = re.compile(
    r"^(?:user_?name|login|e?mail|\w*_?email|nick_?name|handle|slug|sku|isbn|serial(?:_?number)?|vin|ssn)$",
    re.IGNORECASE,
)
"""Fields of which two records seldom have the same: an example would be refused the second time."""


class _OmittedError(Exception):
    """A field is better not sent."""


def omit() -> NoReturn:
    """Leave the field out: for a `Choose`."""
    raise _OmittedError


Choose = Callable[[str, Schema, bool], Recipe | None]
"""(field, its schema, whether it is required) -> its recipe, None for the usual one; `omit()` leaves it out."""


class Examples:
    """Makes recipes of the schemas of one document."""

    def __init__(self, schemas: Schemas, choose: Choose | None = None) -> None:
        """`choose` is asked for every field of every object."""
        self._schemas = schemas
        self._choose = choose

    def recipe(self, schema: Schema, name: str = "") -> Recipe:
        """Return a recipe for the values of a schema; `name` is the field's or parameter's.

        Raises:
            NoExampleError: there is none, or none was found; the text is a clause that says why.

        """
        return self._recipe(schema, name, ())

    def problem(self, schema: Schema, recipe: Recipe) -> str | None:
        """Draw a few values; say what is wrong with the first that does not meet the schema, None when all do."""
        rng = random.Random(_SEED)  # noqa: S311 - examples, not secrets
        problems = (self._schemas.problem(schema, draw(recipe, rng)) for _ in range(CHECKS))
        return next((one for one in problems if one is not None), None)

    def names_values(self, schema: Schema, words: tuple[str, ...] = _NAMED) -> bool:
        """Tell whether the document itself names values for a schema, in one of these keywords."""
        try:
            found, _ = self._schemas.flat(schema)
        except NoExampleError:
            return False
        return isinstance(found, dict) and any(
            one in found and (one != "default" or found[one] is not None) for one in words
        )

    def _recipe(self, schema: Schema, name: str, above: tuple[str, ...]) -> Recipe:
        """`above` holds the references that led here: one that comes again would never end."""
        schema, followed = self._schemas.flat(schema)
        if again := [one for one in followed if _comes_again(one, above)]:
            raise NoExampleError(f"{again[0].removeprefix(PART)} holds itself without end")
        if isinstance(schema, bool) or not schema:
            if schema is False:
                raise NoExampleError("its schema allows no value")
            return string_recipe({}, name)
        above += followed
        if (given := self._given(schema, name)) is not None:
            return given
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self._one_of(schema, key, name, above)
        return self._by_type(schema, name, above)

    def _given(self, schema: dict[str, Any], name: str) -> Recipe | None:
        """Return what the document itself names as a value."""
        if "const" in schema:
            return Const(schema["const"])
        if isinstance(schema.get("enum"), list):
            values = [one for one in schema["enum"] if one is not None] or schema["enum"]
            if not values:
                raise NoExampleError("its enum is empty")
            return Const(values[0]) if len(values) == 1 else Choice(tuple(values))
        if UNIQUE_NAMES.search(name):
            return None
        default = [schema["default"]] if schema.get("default") is not None else []
        shown = schema.get("examples") or []
        valid = self._valid(schema, shown[:_MOST_EXAMPLES]) or self._valid(schema, default)
        if not valid:
            return None
        options = tuple(self._written(schema, one) for one in valid)
        if all(isinstance(one, Const) for one in options):
            return options[0] if len(options) == 1 else Choice(tuple(valid))
        return options[0] if len(options) == 1 else OneOf(options)

    def _valid(self, schema: dict[str, Any], values: list[Any]) -> list[Any]:
        return [one for one in values if self._schemas.problem(schema, one) is None]

    def _written(self, schema: dict[str, Any], example: Any) -> Recipe:
        """Return an example as it is, but for fields that `choose` decides on, or that must differ."""
        if not isinstance(example, dict):
            return Const(example)
        properties = schema.get("properties") or {}
        required = _names(schema)
        fields: list[tuple[str, Recipe]] = []
        for name, value in example.items():
            own: Recipe | None = Const(value)
            if name in properties:
                own = self._field(name, properties[name], name in required, Const(value))
            if own is not None:
                fields.append((name, own))
        return Record(tuple(fields))

    def _field(self, name: str, schema: Schema, required: bool, usual: Recipe) -> Recipe | None:
        """Return the recipe of one field of an example; None when it is left out."""
        if is_read_only(schema):
            return None
        try:
            chosen = self._choose(name, schema, required) if self._choose is not None else None
            if chosen is None and UNIQUE_NAMES.search(name):
                chosen = self._recipe(schema, name, ())
        except _OmittedError:
            return None
        except NoExampleError:
            return usual
        return usual if chosen is None else chosen

    def _one_of(self, schema: dict[str, Any], key: str, name: str, above: tuple[str, ...]) -> Recipe:
        """Return the alternatives that always meet the whole schema: of `oneOf`, a second one may match as well."""
        base = {one: value for one, value in schema.items() if one not in {key, "discriminator"}}
        found: list[Recipe] = []
        why: str | None = None
        for option in self._tagged(schema, key):
            try:
                recipe = self._recipe({"allOf": [base, option]} if base else option, name, above)
            except NoExampleError as error:
                why = str(error)
                continue
            why = self.problem(schema, recipe)
            if why is None:
                found.append(recipe)
            if len(found) == OPTIONS:
                break
        if not found:
            raise NoExampleError(why or f"its {key} is empty")
        kept = [one for one in found if one != Const(None)] or found
        # Kinds of objects are worth mixing; a number that may also be written as a text is not.
        records = tuple(one for one in kept if isinstance(one, Record | OneOf))
        return OneOf(records) if isinstance(kept[0], Record | OneOf) and len(records) > 1 else kept[0]

    def _tagged(self, schema: dict[str, Any], key: str) -> Iterator[Schema]:
        """Yield the alternatives, each with the value of the discriminator that stands for it."""
        discriminator = schema.get("discriminator")
        named = discriminator if isinstance(discriminator, dict) else {}
        mapping = {str(reference): tag for tag, reference in (named.get("mapping") or {}).items()}
        for option in schema[key]:
            reference = option.get("$ref") if isinstance(option, dict) else None
            if not named.get("propertyName") or reference is None:
                yield option
                continue
            bare = str(reference).rpartition("/")[2]
            tag = mapping.get(str(reference), mapping.get(bare, bare))
            yield {"allOf": [option, {"properties": {named["propertyName"]: {"const": tag}}}]}

    def _by_type(self, schema: dict[str, Any], name: str, above: tuple[str, ...]) -> Recipe:
        kinds = types_of(schema) or [_guessed_type(schema)]
        why = ""
        for kind in sorted(kinds, key=lambda one: one == "null"):
            try:
                return self._typed(kind, schema, name, above)
            except NoExampleError as error:
                why = str(error)
        raise NoExampleError(why)

    def _typed(self, kind: str, schema: dict[str, Any], name: str, above: tuple[str, ...]) -> Recipe:  # noqa: PLR0911 - a case each
        match kind:
            case "null":
                return Const(None)
            case "boolean":
                return Choice((True, False))
            case "integer":
                return whole_recipe(schema)
            case "number":
                return real_recipe(schema)
            case "string":
                return string_recipe(schema, name)
            case "array":
                return self._list(schema, name, above)
            case "object":
                return self._record(schema, above)
        raise NoExampleError(f"{kind} is no type of JSON")

    def _list(self, schema: dict[str, Any], name: str, above: tuple[str, ...]) -> Recipe:
        least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", _MANY_VALUES))
        if least > most:
            raise NoExampleError(f"minItems {least} is above maxItems {most}")
        first = [self._recipe(one, name, above) for one in schema.get("prefixItems", [])][:most]
        items = schema.get("items", True)
        if first and len(first) >= least:
            return Row(tuple(first))
        try:
            item = self._recipe(items, name, above)
        except NoExampleError:
            if least > len(first):
                raise
            return Row(tuple(first))
        if first:
            return Row((*first, *[item] * (least - len(first))))
        high = min(most, max(least, LISTED))
        return _many(item, min(max(least, 1), high), high, least, unique=schema.get("uniqueItems") is True)

    def _record(self, schema: dict[str, Any], above: tuple[str, ...]) -> Record:
        properties: dict[str, Schema] = schema.get("properties") or {}
        required = _names(schema)
        fields: dict[str, Recipe] = {}
        for name, property_ in properties.items():
            recipe = self._property(name, property_, name in required, above)
            if recipe is not None:
                fields[name] = recipe
        rest = schema.get("additionalProperties", True)
        for name in required:
            if name not in properties:
                fields[name] = self._recipe(rest, name, above)
        self._fill(schema, fields, rest, above)
        return Record(tuple(_at_most(fields, required, schema.get("maxProperties")).items()))

    def _property(self, name: str, schema: Schema, required: bool, above: tuple[str, ...]) -> Recipe | None:
        """Return the recipe of a field; None when it is left out."""
        if is_read_only(schema) or (isinstance(schema, dict) and schema.get("deprecated") is True and not required):
            return None
        try:
            chosen = self._choose(name, schema, required) if self._choose is not None else None
            return self._recipe(schema, name, above) if chosen is None else chosen
        except _OmittedError:
            return None
        except NoExampleError as error:
            if required:
                raise NoExampleError(f"{name}: {error}") from None
            return None

    def _fill(self, schema: dict[str, Any], fields: dict[str, Recipe], rest: Schema, above: tuple[str, ...]) -> None:
        """Add fields of any name where the schema is a dictionary, or asks for more than it names."""
        wanted = int(schema.get("minProperties", 0))
        if not schema.get("properties") and isinstance(rest, dict):
            wanted = max(wanted, 1)
        if len(fields) >= wanted:
            return
        names = schema.get("propertyNames")
        kind = string_recipe(names) if isinstance(names, dict) else None
        rng = random.Random(_SEED)  # noqa: S311 - examples, not secrets
        for number in range(_MANY_VALUES):
            name = f"key{number + 1}" if kind is None else str(draw(kind, rng))
            fields.setdefault(name, self._recipe(rest, name, above))
            if len(fields) >= wanted:
                return


def _comes_again(reference: str, above: tuple[str, ...]) -> bool:
    return reference.removeprefix(PART) in above or (reference.startswith(PART) and above.count(reference) >= _NESTED)


def _names(schema: dict[str, Any]) -> list[str]:
    required = schema.get("required")
    return [str(one) for one in required] if isinstance(required, list) else []


def _at_most(fields: dict[str, Recipe], required: list[str], most: int | None) -> dict[str, Recipe]:
    if most is None or len(fields) <= most:
        return fields
    kept = [name for name in fields if name in required]
    kept += [name for name in fields if name not in required][: max(0, most - len(kept))]
    return {name: fields[name] for name in fields if name in kept}


def _guessed_type(schema: Mapping[str, Any]) -> str:
    """Name the type that the keywords are about, where none is named."""
    about = {
        "object": {"properties", "additionalProperties", "required", "minProperties", "patternProperties"},
        "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"},
        "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    }
    return next((kind for kind, words in about.items() if words & schema.keys()), "string")


def _values(recipe: Recipe) -> int:  # noqa: PLR0911 - a case each
    """Return how many different values a recipe has, as far as that limits a list without repetition."""
    match recipe:
        case Const() | Code():
            return 1
        case Choice(values):
            return len(values)
        case Whole(first, last, step):
            return (last - first) // step + 1
        case Real(first, last):
            return last - first + 1
        case Text(_, longest, letters):
            return int(min(len(letters) ** min(longest, _MANY_VALUES), _MANY_VALUES))
        case Record(fields):
            return min(math.prod(_values(one) for _, one in fields), _MANY_VALUES)
    return _MANY_VALUES


def _many(item: Recipe, low: int, high: int, least: int, *, unique: bool) -> Recipe:
    if unique:
        high = min(high, _values(item))
        low = min(low, high)
        if high < least:
            raise NoExampleError(f"{least} different elements are asked for, and there are {high}")
    if high == 0:
        return Row(())
    return Many(item, low, high, unique and high > 1)
