"""Read an OpenAPI 3 document: its operations, their parameters, bodies, answers and locks. Pure: no file, no network.

Where a part of the document is broken, that operation is left out with a reason; the others are read all the same.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from pinchpoint.errors import UsageError
from pinchpoint.stress.openapi.schemas import NoExampleError, Schema, Schemas, modern, pointed_at

METHODS = ("get", "post", "put", "patch", "delete")
"""Of those that a path may have, the ones that load is made of."""
IGNORED_METHODS = ("head", "options", "trace", "query")
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
TEXT, BYTES = "text/plain", "application/octet-stream"
STREAMS = frozenset({"text/event-stream", "application/x-ndjson", "application/jsonl"})
"""Answers that may not end."""
MAX_REFERENCES = 16
SUCCESS = range(200, 300)

Place = Literal["path", "query", "header", "cookie"]
LockKind = Literal["bearer", "password-flow", "basic", "api-key", "token", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of an operation."""

    name: str
    place: Place
    required: bool
    schema: Schema
    plain: bool = True
    """Written as one text, or as a query's repeated name; False: in a way that is not supported here."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """What an operation takes, in the media type that is best to write."""

    media_type: str
    schema: Schema
    part_types: Mapping[str, str]
    """Media types of single fields of a multipart form."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    """In capitals."""
    path: str
    name: str | None
    summary: str
    deprecated: bool
    parameters: tuple[Parameter, ...]
    body: Body | None
    foreign_body: tuple[str, ...]
    """Media types of a body of which none can be written here."""
    statuses: frozenset[int]
    answer: Schema | None
    """Schema of the JSON that comes with success; True where it is not described; None: no JSON comes."""
    answer_type: str | None
    """Media type of the answer, if the document names one."""
    locks: tuple[tuple[str, ...], ...]
    """Alternatives; each names the security schemes that must be met together. () or an empty one: open to all."""

    @property
    def label(self) -> str:
        """`GET /items/{item_id}`."""
        return f"{self.method} {self.path}"

    @property
    def streams(self) -> bool:
        """True when the answer may never end."""
        return self.answer_type in STREAMS

    @property
    def locked(self) -> bool:
        """True when nobody gets in without credentials."""
        return bool(self.locks) and all(self.locks)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One security scheme."""

    kind: LockKind
    place: str = "header"
    """Of an API key."""
    name: str = "Authorization"
    token_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Api:
    """A whole document."""

    title: str
    version: str
    prefix: str
    """Path of the first server; before every operation's path."""
    operations: tuple[Operation, ...]
    locks: Mapping[str, Lock]
    schemas: Schemas
    unread: tuple[tuple[str, str], ...]
    """(operation, reason) for what could not be read."""


def read_api(document: Any) -> Api:
    """Read a parsed document.

    Raises:
        UsageError: it is no OpenAPI 3 document, or describes no operation.

    """
    if not isinstance(document, Mapping) or not ("openapi" in document or "swagger" in document):
        raise UsageError("this is no OpenAPI document: it has no field `openapi`")
    version = str(document.get("openapi") or document.get("swagger"))
    if not version.startswith("3."):
        raise UsageError(f"the document is OpenAPI {version}; 3.0 and later are read, so convert it first")
    operations: list[Operation] = []
    unread: list[tuple[str, str]] = []
    default = _locks(document.get("security"))
    for path, methods in _paths(document, unread):
        for method in METHODS:
            if method not in methods:
                continue
            try:
                operations.append(_operation(document, str(path), method, methods, default))
            except (NoExampleError, TypeError, ValueError, AttributeError, KeyError) as error:
                unread.append((f"{method.upper()} {path}", _reason(error)))
        ignored = [one.upper() for one in IGNORED_METHODS if one in methods]
        unread += [(f"{one} {path}", f"{one} makes no load") for one in ignored]
    if not operations:
        why = f" ({unread[0][0]}: {unread[0][1]})" if unread else ""
        raise UsageError(f"the document describes no operation that could be sent{why}")
    info = document.get("info") if isinstance(document.get("info"), Mapping) else {}
    return Api(
        title=str((info or {}).get("title") or "the API"),
        version=str((info or {}).get("version") or ""),
        prefix=_prefix(document.get("servers")),
        operations=tuple(operations),
        locks=dict(_schemes(document)),
        schemas=Schemas(document),
        unread=tuple(unread),
    )


def _reason(error: Exception) -> str:
    if isinstance(error, NoExampleError):
        return str(error)
    return f"the document is broken there ({type(error).__name__}: {error})"


def _followed(document: Mapping[str, Any], found: Any) -> Mapping[str, Any]:
    """Return an object, whatever number of references leads to it."""
    for _ in range(MAX_REFERENCES):
        if not isinstance(found, Mapping):
            raise NoExampleError("the document has something else where an object belongs")
        if "$ref" not in found:
            return found
        found = pointed_at(document, str(found["$ref"]))
    raise NoExampleError("its references lead nowhere")


def _paths(document: Mapping[str, Any], unread: list[tuple[str, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    paths = document.get("paths")
    for path, methods in paths.items() if isinstance(paths, Mapping) else ():
        if not str(path).startswith("/"):  # an extension, `x-...`
            continue
        try:
            yield str(path), _followed(document, methods)
        except NoExampleError as error:
            unread.append((str(path), str(error)))


def _operation(
    document: Mapping[str, Any],
    path: str,
    method: str,
    methods: Mapping[str, Any],
    default: tuple[tuple[str, ...], ...],
) -> Operation:
    own = methods[method]
    body, foreign = _body(document, own.get("requestBody"))
    statuses, answer, answer_type = _answers(document, own.get("responses") or {})
    return Operation(
        method=method.upper(),
        path=path,
        name=str(own["operationId"]) if own.get("operationId") else None,
        summary=" ".join(str(own.get("summary") or own.get("description") or "").split()),
        deprecated=own.get("deprecated") is True,
        parameters=tuple(_parameters(document, path, methods.get("parameters") or [], own.get("parameters") or [])),
        body=body,
        foreign_body=foreign,
        statuses=statuses,
        answer=answer,
        answer_type=answer_type,
        locks=default if own.get("security") is None else _locks(own["security"]),
    )


def _locks(listed: Any) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(str, one)) for one in listed) if isinstance(listed, list) else ()


def _parameters(document: Mapping[str, Any], path: str, shared: Any, own: Any) -> Iterator[Parameter]:
    """Yield the parameters, those of the path in their order there; one of the operation replaces one of the path."""
    found: dict[tuple[str, str], Parameter] = {}
    for one in [*shared, *own]:
        read = _parameter(document, _followed(document, one))
        found[read.place, read.name] = read
    for name in path_names(path):
        told = found.get(("path", name))
        yield told if told is not None else Parameter(name=name, place="path", required=True, schema=True)
    yield from (one for one in found.values() if one.place != "path")


def path_names(path: str) -> list[str]:
    """Return the names in braces, in order."""
    return re.findall(r"{([^{}]*)}", path)


def _parameter(document: Mapping[str, Any], written: Mapping[str, Any]) -> Parameter:
    place = written["in"]
    if place not in {"path", "query", "header", "cookie"}:
        raise NoExampleError(f"a parameter stands in '{place}'")
    exploded = written.get("explode", place in {"query", "cookie"})
    schema = _with_examples(document, modern(written.get("schema", True)), written)
    usual = written.get("style") in {None, "form", "simple"} and "content" not in written
    kinds = schema.get("type") if isinstance(schema, dict) else None
    return Parameter(
        name=str(written["name"]),
        place=place,
        required=place == "path" or written.get("required") is True,
        schema=schema,
        plain=usual and kinds != "object" and (kinds != "array" or (place == "query" and exploded is True)),
    )


def _with_examples(document: Mapping[str, Any], schema: Schema, written: Mapping[str, Any]) -> Schema:
    """Give a schema the examples that stand beside it; they come first."""
    examples = [written["example"]] if "example" in written else []
    named = written.get("examples")
    for one in named.values() if isinstance(named, Mapping) else ():
        example = _followed(document, one)
        if "value" in example:
            examples.append(example["value"])
    if not examples or schema is False:
        return schema
    return {"allOf": [] if schema is True else [schema], "examples": examples}


def _body(document: Mapping[str, Any], written: Any) -> tuple[Body | None, tuple[str, ...]]:
    """Return the body, or the media types of which none can be written."""
    if written is None:
        return None, ()
    content = _followed(document, written).get("content") or {}
    known = {bare_type(str(name)): media for name, media in content.items()}
    for offered in (JSON, *(name for name in known if name.endswith("+json")), FORM, MULTIPART, TEXT, BYTES):
        if offered in known:
            media = known[offered] if isinstance(known[offered], Mapping) else {}
            schema = _with_examples(document, modern(media.get("schema", True)), media)
            return Body(media_type=offered, schema=schema, part_types=_part_types(media)), ()
    if "*/*" in known:
        return Body(media_type=JSON, schema=modern(known["*/*"].get("schema", True)), part_types={}), ()
    return None, tuple(known)


def bare_type(media_type: str) -> str:
    """Return `application/json` of `application/json; charset=utf-8`."""
    return media_type.partition(";")[0].strip().lower()


def _part_types(media: Mapping[str, Any]) -> dict[str, str]:
    encoding = media.get("encoding")
    items = encoding.items() if isinstance(encoding, Mapping) else ()
    return {
        str(name): str(one["contentType"]).partition(",")[0].strip()
        for name, one in items
        if isinstance(one, Mapping) and "contentType" in one
    }


def _answers(
    document: Mapping[str, Any], written: Mapping[str, Any]
) -> tuple[frozenset[int], Schema | None, str | None]:
    """Return the statuses that are documented, and the schema and the media type of the first success."""
    statuses = {int(str(one)) for one in written if str(one).isdigit()}
    for status in sorted(written, key=str):
        if not (str(status).isdigit() and int(str(status)) in SUCCESS) and str(status).upper() != "2XX":
            continue
        content = _followed(document, written[status]).get("content")
        if not isinstance(content, Mapping) or not content:
            return frozenset(statuses), None, None
        for name, media in content.items():
            kind = bare_type(str(name))
            if kind == JSON or kind.endswith("+json") or kind == "*/*":
                schema = media.get("schema") if isinstance(media, Mapping) else None
                return frozenset(statuses), _answer(schema), kind
        return frozenset(statuses), None, bare_type(str(next(iter(content))))
    return frozenset(statuses), True, None


def _answer(schema: Any) -> Schema:
    """Read an answer's schema as it is sent: what is read-only is in it."""
    return modern(schema) if schema else True


def _schemes(document: Mapping[str, Any]) -> Iterator[tuple[str, Lock]]:
    schemes = (document.get("components") or {}).get("securitySchemes") or {}
    for name, written in schemes.items():
        try:
            yield str(name), _lock(_followed(document, written))
        except (NoExampleError, AttributeError, KeyError):
            yield str(name), Lock(kind="unknown")


def _lock(written: Mapping[str, Any]) -> Lock:  # noqa: PLR0911 - a case each
    match written.get("type"), str(written.get("scheme", "")).lower():
        case "http", "bearer":
            return Lock(kind="bearer")
        case "http", "basic":
            return Lock(kind="basic")
        case "apiKey", _:
            return Lock(kind="api-key", place=str(written["in"]), name=str(written["name"]))
        case "oauth2", _:
            flows = written.get("flows") or {}
            if "password" in flows:
                return Lock(kind="password-flow", token_url=str(flows["password"].get("tokenUrl") or ""))
            return Lock(kind="token")
        case "openIdConnect", _:
            return Lock(kind="token")
    return Lock(kind="unknown")


def _prefix(servers: Any) -> str:
    """Return the path of the first server, with the defaults of its variables."""
    first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], Mapping) else {}
    url = str(first.get("url", ""))
    variables = first.get("variables")
    for name, one in variables.items() if isinstance(variables, Mapping) else ():
        url = url.replace(f"{{{name}}}", str(one.get("default", "")) if isinstance(one, Mapping) else "")
    path = urlsplit(url).path.rstrip("/")
    return path if not path or path.startswith("/") else f"/{path}"
