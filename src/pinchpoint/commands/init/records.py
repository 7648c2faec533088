"""Which operations make records, and where the ids of the others come from. Pure.

A *kind* of records is named after the path that makes or lists them: `/users/{user_id}/items`. Its records are kept as
tuples: the ids in that path, then the record's own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pinchpoint.stress.openapi.document import Api, Operation, path_names
from pinchpoint.stress.openapi.schemas import NoExampleError, Schema, Schemas, types_of

_BRACES = re.compile(r"{[^{}]*}")
_COMMON_IDS = ("id", "_id", "uuid", "pk", "key")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, kw_only=True)
class Source:
    """An operation that tells the ids of a kind of records."""

    kind: str
    operation: Operation
    names: tuple[str, ...]
    """Fields that may hold the id in its answer, the likeliest first; () when the answer is the id."""
    made: bool
    """It makes them; False: it lists them, and they are somebody else's."""
    from_body: str | None = None
    """Field of its body that is the id, where the answer may not say."""


@dataclass(frozen=True, kw_only=True)
class Ids:
    """Where the ids of one path come from."""

    main: Source | None = None
    """Its record fills parameters; None: nobody tells any of them."""
    whole: int = 0
    """Parameters at the start of the path that the whole record fills; 0: only its own id is used, for the last."""


@dataclass(frozen=True)
class Records:
    """All sources of one document."""

    makers: Mapping[str, Source] = field(default_factory=dict)
    """By canonical path."""
    listers: Mapping[str, Source] = field(default_factory=dict)
    banned: frozenset[tuple[str, str]] = frozenset()
    """(operation, kind) that must not go together: the maker of that kind needs, in the end, the operation itself."""

    def ids_of(self, operation: Operation) -> Ids:
        """Say which record fills the path of an operation: one that its user made, or for a GET one it was shown."""
        keys = places(operation.path)
        tables = [self.makers, self.listers] if operation.method == "GET" else [self.makers]
        for number in range(len(keys), 0, -1):
            for table in tables:
                if self._fits(source := table.get(keys[number - 1]), operation):
                    return Ids(main=source, whole=number)
            for table in tables if number == len(keys) else ():
                if self._fits(source := _alike(table, keys[-1]), operation):
                    return Ids(main=source)
        return Ids()

    def _fits(self, source: Source | None, operation: Operation) -> bool:
        if source is None or source.operation.label == operation.label:
            return False
        return (operation.label, source.kind) not in self.banned

    def for_field(self, name: str, operation: Operation) -> Source | None:
        """Return who makes what a field of an operation's body such as `team_id` or `teamId` refers to."""
        words = snake(name).removesuffix("_id").removesuffix("_uuid")
        if not words or words == snake(name):
            return None
        plurals = {words, f"{words}s", f"{words}es", f"{words.removesuffix('y')}ies"}
        found = [one for key, one in self.makers.items() if snake(key.rpartition("/")[2].replace("-", "_")) in plurals]
        return found[0] if len(found) == 1 and self._fits(found[0], operation) else None


def places(path: str) -> list[str]:
    """Return for each parameter of a path what stands before it, parameters without their names."""
    return [_BRACES.sub("{}", path[: one.start()]).rstrip("/") for one in _BRACES.finditer(path)]


def canonical(path: str) -> str:
    """Return a path without the names of its parameters and without a slash at its end."""
    return _BRACES.sub("{}", path).rstrip("/")


def snake(name: str) -> str:
    """Return `team_id` of `teamId`."""
    return _SNAKE.sub("_", name).lower()


def _alike(table: Mapping[str, Source], key: str) -> Source | None:
    """Return the one source elsewhere whose path ends alike: `/users/{}/items` for `/items`."""
    last = _last_word(key)
    found = [one for other, one in table.items() if last and _last_word(other) == last]
    return found[0] if len(found) == 1 else None


def _last_word(key: str) -> str:
    """Return the last part of a path; nothing where that is a parameter."""
    return key.rpartition("/")[2].replace("{}", "")


def find_records(
    api: Api,
    operations: Iterable[Operation],
    useless: frozenset[str] = frozenset(),
    banned: frozenset[tuple[str, str]] = frozenset(),
) -> Records:
    """Find out who makes and who lists records; `useless` are labels of operations that cannot be sent after all."""
    usable = [one for one in operations if one.label not in useless]
    asked = _asked(usable)
    makers: dict[str, Source] = {}
    listers: dict[str, Source] = {}
    for operation in usable:
        key = canonical(operation.path)
        source = _maker(api.schemas, operation, _names_for(asked, key)) if operation.method == "POST" else None
        if source is not None:
            makers.setdefault(key, source)
    for operation in usable:
        key = canonical(operation.path)
        source = _lister(api.schemas, operation, asked.get(key, ())) if operation.method == "GET" else None
        if source is not None and key not in makers:
            listers.setdefault(key, source)
    return Records(makers, listers, banned)


def _asked(operations: Iterable[Operation]) -> dict[str, tuple[str, ...]]:
    """Return {what stands before a parameter: the parameter's names}."""
    found: dict[str, dict[str, None]] = {}
    for operation in operations:
        for key, name in zip(places(operation.path), path_names(operation.path), strict=True):
            found.setdefault(key, {})[name] = None
    return {key: tuple(names) for key, names in found.items()}


def _names_for(asked: Mapping[str, tuple[str, ...]], key: str) -> tuple[str, ...]:
    """Return the names under which the records of a path are asked for, there or at one that ends alike."""
    if key in asked:
        return asked[key]
    last = _last_word(key)
    alike = [names for other, names in asked.items() if last and _last_word(other) == last]
    return alike[0] if len(alike) == 1 else ()


def id_names(parameters: Iterable[str]) -> tuple[str, ...]:
    """Return the fields that may hold an id which paths call by these names."""
    own = [spelt for name in parameters for spelt in (name, snake(name), _camel(name))]
    return tuple(dict.fromkeys([*own, *_COMMON_IDS]))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _maker(schemas: Schemas, operation: Operation, parameters: tuple[str, ...]) -> Source | None:
    """Return the source that a POST is; one that no path asks for must say its ids plainly, for fields that do."""
    names = id_names(parameters)
    kind = operation.path.rstrip("/") or "/"
    body = _body_field(schemas, operation, names)
    found = None if operation.answer is None else _id_fields(schemas, operation.answer, names)
    untold = found == names
    if not parameters and (not found or untold):
        return None
    if found is None:
        return None if body is None else Source(kind=kind, operation=operation, names=(), made=True, from_body=body)
    return Source(kind=kind, operation=operation, names=found, made=True, from_body=body if untold else None)


def _body_field(schemas: Schemas, operation: Operation, names: tuple[str, ...]) -> str | None:
    """Return the field of a JSON body with which the client itself chooses the id."""
    if operation.body is None or not operation.body.media_type.endswith("json"):
        return None
    properties = _properties(schemas, operation.body.schema)
    return next((name for name in names if name in properties), None)


def _id_fields(schemas: Schemas, answer: Schema, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the field that holds the id: all candidates where the answer is not described, None where none does."""
    schema = _flat(schemas, answer)
    if schema is None:
        return None
    kinds = set(types_of(schema)) - {"null"}
    if kinds & {"integer", "string"} and len(kinds) == 1:
        return ()
    properties = schema.get("properties") or {}
    if not properties:
        return names if kinds <= {"object"} else None
    for fields in (properties, *(_properties(schemas, one) for one in properties.values())):
        for name in names:
            if name in fields:
                return (name,)
    return None


def _lister(schemas: Schemas, operation: Operation, parameters: tuple[str, ...]) -> Source | None:
    names = id_names(parameters)
    kind = operation.path.rstrip("/") or "/"
    if operation.answer is None or not parameters:
        return None
    for listed in _listed(schemas, operation.answer):
        found = _id_fields(schemas, listed, names)
        if found is not None:
            return Source(kind=kind, operation=operation, names=found, made=False)
    return None


def _listed(schemas: Schemas, answer: Schema) -> Iterator[Schema]:
    """Yield the schemas of what a list holds: the answer itself, or one of its fields, may be the list."""
    schema = _flat(schemas, answer)
    if schema is None:
        return
    if not set(types_of(schema)) - {"null"} and not schema.get("properties") and "items" not in schema:
        yield True
        return
    for one in (schema, *(_flat(schemas, part) or {} for part in (schema.get("properties") or {}).values())):
        if "array" in types_of(one):
            yield one.get("items", True)
    if "object" in types_of(schema) and not schema.get("properties"):
        yield True


def _properties(schemas: Schemas, schema: Schema) -> dict[str, Any]:
    found = (_flat(schemas, schema) or {}).get("properties")
    return found if isinstance(found, dict) else {}


def _flat(schemas: Schemas, schema: Schema) -> dict[str, Any] | None:
    """Return a schema as one object, `X or null` as X; None when it allows nothing or cannot be followed."""
    try:
        found, _ = schemas.flat(schema)
        if isinstance(found, dict):
            options = [one for one in found.get("anyOf") or [] if one != {"type": "null"}]
            if len(options) == 1:
                found, _ = schemas.flat(options[0])
    except (NoExampleError, TypeError, ValueError, AttributeError):
        return None
    if found is True:
        return {}
    return found if isinstance(found, dict) else None
