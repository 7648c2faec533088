"""One operation as a request of the Locust file: what stands in its path, its query, its headers and its body. Pure."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Literal

from pinchpoint.commands.init.access import Login, constant, fields_of
from pinchpoint.commands.init.code import expression, literal
from pinchpoint.commands.init.fields import SECRET, sample_of
from pinchpoint.commands.init.records import Ids, snake
from pinchpoint.stress.openapi.document import BYTES, FORM, JSON, MULTIPART, TEXT, Api, Body, Operation, Parameter
from pinchpoint.stress.openapi.examples import Choose, Examples
from pinchpoint.stress.openapi.recipes import (
    Choice,
    Code,
    Const,
    Formatted,
    Joined,
    Many,
    Recipe,
    Record,
    Repeated,
    Row,
    Text,
)
from pinchpoint.stress.openapi.schemas import NoExampleError, Schema

NOT_FOUND = 404
_ALSO_FINE = frozenset({403, 409, 410})
"""Statuses that, where they are documented, are right answers to an id that is a guess."""
_IGNORED_HEADERS = frozenset({"accept", "content-type"})
"""OpenAPI says that header parameters of these names mean nothing."""
_FILE_BYTES = 1000
_GUESSES = (1, "1")

Encoding = Literal["none", "json", "form", "multipart", "text", "bytes"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One field of a multipart form."""

    name: str
    recipe: Recipe
    file: bool
    media_type: str | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `send` is called with."""

    label: str
    """`GET /items/[item_id]`: the name it is counted under."""
    arguments: tuple[str, ...] = ()
    """Expressions for what stands in brackets."""
    kind: str | None = None
    """Records of which one is in `record`."""
    whole: bool = True
    """All of the record is in the path; else only its own id."""
    query: Record = field(default_factory=lambda: Record(()))
    headers: tuple[tuple[str, str], ...] = ()
    """(name, expression)."""
    encoding: Encoding = "none"
    body: Recipe | None = None
    parts: tuple[Part, ...] = ()
    fine: tuple[int, ...] = ()
    """Statuses above 399 that are right answers."""
    optional: tuple[str, ...] = ()
    """Names of what the query may have besides."""
    notes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    """Parameters whose values come from the environment."""


def plain_form(login: Login) -> Request:
    """Return the request of OAuth2's password flow (RFC 6749, section 4.3.2), or of a login with two fields."""
    fields: list[tuple[str, Recipe]] = [("grant_type", Const("password"))] if login.form else []
    fields.append((login.user_name, Code("self.username", "user")))
    fields.append((login.password_name, Code("self.password", "secret")))
    return Request(
        label=f"POST {bracketed(login.path)}", encoding="form" if login.form else "json", body=Record(tuple(fields))
    )


def bracketed(path: str) -> str:
    """Return `/items/[item_id]` of `/items/{item_id}`: braces end a name in k6's notation of thresholds."""
    return path.replace("{", "[").replace("}", "]")


def request_of(
    api: Api, operation: Operation, ids: Ids, choose: Choose, given: AbstractSet[str] = frozenset()
) -> Request:
    """Write one operation.

    Args:
        api: the document.
        operation: one whose parameters are all of a supported kind.
        ids: where those in its path come from.
        choose: decides on fields, see `Examples`.
        given: headers and parameters, in small letters, that every request has anyway.

    Raises:
        NoExampleError: no value was found for something it needs.

    """
    writer = _Writer(api, operation, ids, Examples(api.schemas, choose), choose, given)
    request = writer.with_path(Request(label=f"{operation.method} {bracketed(operation.path)}"))
    request = writer.with_parameters(request)
    return request if operation.body is None else writer.with_body(request, operation.body)


class _Writer:
    def __init__(
        self, api: Api, operation: Operation, ids: Ids, examples: Examples, choose: Choose, given: AbstractSet[str]
    ) -> None:
        self._api = api
        self._operation = operation
        self._ids = ids
        self._examples = examples
        self._choose = choose
        self._given = given

    def with_path(self, request: Request) -> Request:
        """Fill the path: from a record as far as one is known, else with what the document names, else with a guess."""
        own = [one for one in self._operation.parameters if one.place == "path"]
        main, whole = self._ids.main, self._ids.whole
        rest = own if main is None else own[whole:] if whole else own[:-1]
        arguments: list[str] = []
        notes, guessed = list(request.notes), False
        for parameter in rest:
            if self._examples.names_values(parameter.schema):
                arguments.append(expression(as_text(self._examples.recipe(parameter.schema, parameter.name))))
            else:
                guess = self._guess(parameter.schema, parameter.name)
                arguments.append(guess)
                guessed = True
                notes.append(
                    f"nothing here tells which `{parameter.name}` there are: {guess} is a guess, and 404 right; "
                    "name a real one"
                )
        if main is not None:
            arguments = ["*record", *arguments] if whole else [*arguments, "record[-1]"]
        fine = (NOT_FOUND, *sorted(self._operation.statuses & _ALSO_FINE)) if guessed else ()
        return replace(
            request,
            arguments=tuple(arguments),
            kind=None if main is None else main.kind,
            whole=bool(whole),
            fine=fine,
            notes=tuple(notes),
        )

    def _guess(self, schema: Schema, name: str) -> str:
        """Return a literal: 1 where that is allowed, for it is the first id of most databases."""
        for guess in _GUESSES:
            if self._examples.problem(schema, Const(guess)) is None:
                return literal(guess)
        return literal(sample_of(Examples(self._api.schemas), schema, name))

    def with_parameters(self, request: Request) -> Request:
        """Fill the query, the headers and the cookies that are required."""
        query: list[tuple[str, Recipe]] = []
        headers: list[tuple[str, str]] = []
        cookies: list[str] = []
        secrets: list[str] = []
        for parameter in self._operation.parameters:
            ignored = parameter.place == "header" and parameter.name.lower() in _IGNORED_HEADERS
            if not parameter.required or parameter.place == "path" or ignored:
                continue
            if parameter.name.lower() in self._given:
                continue
            recipe, secret = self._value(parameter)
            secrets += [parameter.name] if secret else []
            if parameter.place == "query":
                query.append((parameter.name, as_text(recipe)))
            elif parameter.place == "header":
                headers.append((parameter.name, _as_header(recipe)))
            else:
                cookies.append(f"{literal(f'{parameter.name}=')} + {_as_header(recipe)}")
        if cookies:
            headers.append(("Cookie", ' + "; " + '.join(cookies)))
        optional = [one.name for one in self._operation.parameters if one.place == "query" and not one.required]
        return replace(
            request,
            query=Record(tuple(query)),
            headers=(*request.headers, *headers),
            optional=tuple(one for one in optional if one.lower() not in self._given),
            secrets=tuple(secrets),
        )

    def _value(self, parameter: Parameter) -> tuple[Recipe, bool]:
        """Return the recipe of a parameter, and whether it is a secret of the user's."""
        if SECRET.search(snake(parameter.name)) and not self._examples.names_values(parameter.schema):
            return Code(constant(parameter.name), "secret"), True
        chosen = self._choose(parameter.name, parameter.schema, True)
        return chosen if chosen is not None else self._examples.recipe(parameter.schema, parameter.name), False

    def with_body(self, request: Request, body: Body) -> Request:
        """Fill the body."""
        match body.media_type:
            case media if media == BYTES:
                return replace(request, encoding="bytes", headers=(*request.headers, _type(BYTES)))
            case media if media == TEXT:
                recipe = self._examples.recipe(body.schema)
                return replace(request, encoding="text", body=recipe, headers=(*request.headers, _type(TEXT)))
            case media if media == MULTIPART:
                return self._with_parts(request, body)
            case media if media == FORM:
                recipe = as_text(self._examples.recipe(body.schema))
                return self._checked(replace(request, encoding="form", body=recipe), body)
            case media:
                headers = (*request.headers, *([_type(media)] if media != JSON else []))
                recipe = self._examples.recipe(body.schema)
                return self._checked(replace(request, encoding="json", body=recipe, headers=headers), body)

    def _checked(self, request: Request, body: Body) -> Request:
        """Hold what was made against the schema: not all that a schema can ask for is understood here."""
        if request.body is None or request.encoding != "json":
            return request
        problem = self._examples.problem(body.schema, request.body)
        if problem is None:
            return request
        return replace(request, notes=(*request.notes, f"its body may be refused: {problem}"))

    def _with_parts(self, request: Request, body: Body) -> Request:
        recipe = self._examples.recipe(body.schema)
        properties = fields_of(self._api.schemas, body.schema)
        parts: list[Part] = []
        for name, one in recipe.fields if isinstance(recipe, Record) else ():
            file = self._is_file(properties.get(name, True))
            parts.append(Part(name=name, recipe=as_text(one), file=file, media_type=body.part_types.get(name)))
        files = [f"`{one.name}`" for one in parts if one.file]
        notes = [f"as a file, {_FILE_BYTES} letters are sent for {', '.join(files)}"] if files else []
        return replace(request, encoding="multipart", parts=tuple(parts), notes=(*request.notes, *notes))

    def _is_file(self, schema: Schema) -> bool:
        try:
            found, _ = self._api.schemas.flat(schema)
        except NoExampleError:
            return False
        if not isinstance(found, dict):
            return False
        if found.get("type") == "array":
            return self._is_file(found.get("items", True))
        for option in found.get("anyOf") or ():
            if self._is_file(option):
                return True
        media = found.get("contentMediaType")
        return found.get("format") == "binary" or (media is not None and media != JSON)


def _type(media_type: str) -> tuple[str, str]:
    return "Content-Type", literal(media_type)


def as_text(recipe: Recipe) -> Recipe:
    """Return the recipe with truth values as they are written in addresses and forms."""
    match recipe:
        case Const(value) if isinstance(value, bool):
            return Const(str(value).lower())
        case Choice(values):
            return Choice(tuple(str(one).lower() if isinstance(one, bool) else one for one in values))
        case Record(fields):
            return Record(tuple((name, as_text(one)) for name, one in fields))
        case Row(items):
            return Row(tuple(as_text(one) for one in items))
        case Many(item, least, most, unique):
            return Many(as_text(item), least, most, unique)
    return recipe


def _as_header(recipe: Recipe) -> str:
    """Return an expression of type `str`."""
    recipe = as_text(recipe)
    match recipe:
        case Const(value):
            return literal(str(value))
        case Choice(values):
            return expression(Choice(tuple(str(one) for one in values)))
        case Text() | Formatted() | Joined() | Repeated():
            return expression(recipe)
        case Code(text) if text.isupper():
            return text
    return f"str({expression(recipe)})"


def part_values(part: Part) -> Sequence[str]:
    """Return an expression of type `str` or `bytes` for each time a part is sent."""
    if part.file:
        return [f"text({_FILE_BYTES}, {_FILE_BYTES}).encode()"]
    match part.recipe:
        case Row(items):
            return [_as_header(one) for one in items]
        case Many(item, least):
            return [_as_header(item)] * max(least, 1)
        case Record() as record:
            return [f"json.dumps({expression(record, 3)})"]
    return [_as_header(part.recipe)]
