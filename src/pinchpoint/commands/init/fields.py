"""What the fields of a body mean beyond their schema: ids of other records, the record itself, credentials. Pure."""

import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pinchpoint.commands.init.code import expression, quoted
from pinchpoint.commands.init.records import Ids, Records, Source, snake
from pinchpoint.stress.openapi.document import Operation, path_names
from pinchpoint.stress.openapi.examples import Choose, Examples, omit
from pinchpoint.stress.openapi.recipes import Code, Const, Recipe, Whole, draw
from pinchpoint.stress.openapi.schemas import NoExampleError, Schema, Schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = re.compile(
    r"(?:^|[_-])(?:token|otp|totp|captcha|secret|api_?key|signature|csrf|authorization)"
    r"(?:[_-](?:key|value|code|response|hash))?$",
    re.IGNORECASE,
)
"""Names of fields and parameters whose value nobody can make up."""
_REFERENCE = re.compile(r"_(?:id|ids|uuid|uuids)$")
_OWN_IDS = frozenset({"id", "_id", "uuid", "pk"})
_CONFIRMED = re.compile(r"confirm|repeat|again|retype|2$")
ID_MAX = 2**31 - 1
"""What databases give an integer without further words."""
_SEED = 3


@dataclass
class Wanted:
    """What the fields of one operation refer to; the lists are filled while its body is made."""

    records: Records = field(default_factory=Records)
    ids: Ids = field(default_factory=Ids)
    """Of its path."""
    makes: Source | None = None
    sources: list[Source] = field(default_factory=list)
    """Who makes the records that its fields refer to."""
    notes: list[str] = field(default_factory=list)


def sample_of(examples: Examples, schema: Schema, name: str = "") -> object:
    """Return one value of a schema; always the same one."""
    return draw(examples.recipe(schema, name), random.Random(_SEED))  # noqa: S311 - an example, no secret


def chooser(wanted: Wanted, operation: Operation, plain: Examples) -> Choose:
    """Return what decides on the fields of an operation's body; `plain` makes recipes without it."""
    last = path_names(operation.path)[-1:]

    def choose(name: str, schema: Schema, required: bool) -> Recipe | None:
        _refuse_secret(plain, name, schema, required)
        if wanted.makes is not None and name in {*_OWN_IDS, *wanted.makes.names}:
            return _own_id(name, schema, required)
        if wanted.ids.main is not None and (name in last or (name in _OWN_IDS and wanted.makes is None)):
            return Code("record[-1]", sample_of(plain, schema, name))
        if (source := wanted.records.for_field(name, operation)) is not None:
            if not required:
                omit()
            wanted.sources.append(source)
            return Code(f"self.pick({quoted(source.kind)})[-1]", sample_of(plain, schema, name))
        if _REFERENCE.search(snake(name)) and not plain.names_values(schema):
            if not required:
                omit()
            wanted.notes.append(f"nothing here makes what `{name}` refers to, so it is made up; put a real one in")
            return Const(1) if plain.problem(schema, Const(1)) is None else None
        return None

    return choose


def _refuse_secret(plain: Examples, name: str, schema: Schema, required: bool) -> None:
    if not SECRET.search(snake(name)) or plain.names_values(schema):
        return
    if not required:
        omit()
    raise NoExampleError("only its user knows it")


def _own_id(name: str, schema: Schema, required: bool) -> Recipe | None:
    """Leave the id of a new record to the server where that is possible; else make it one that is hardly taken."""
    if not required and (name in _OWN_IDS or _REFERENCE.search(snake(name))):
        omit()
    bounds = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    if isinstance(schema, dict) and schema.get("type") == "integer" and not bounds & schema.keys():
        return Whole(1, ID_MAX)
    return None


class CredentialsChooser:
    """Puts the user's name and password where a login or a registration asks for them."""

    def __init__(self, schemas: Schemas, user_name: str, password_name: str) -> None:
        self._schemas = schemas
        self._plain = Examples(schemas)
        self._user_name = user_name
        self._password_name = password_name

    def __call__(self, name: str, schema: Schema, required: bool) -> Recipe | None:
        """See `Choose`."""
        if name == self._user_name:
            return Code("self.username", sample_of(self._plain, schema, name))
        if name == self._password_name or ("password" in name.lower() and _CONFIRMED.search(snake(name))):
            return Code("self.password", sample_of(self._plain, schema, name))
        _refuse_secret(self._plain, name, schema, required)
        return None

    def expressions(self, operation: Operation) -> tuple[str, str]:
        """Return expressions for a new name and its password, as the body of a registration asks for them.

        Raises:
            NoExampleError: the fields are not there, or nothing fits them.

        """
        body, _ = self._schemas.flat(operation.body.schema if operation.body is not None else True)
        fields: Mapping[str, Schema] = body.get("properties") or {} if isinstance(body, dict) else {}
        if self._user_name not in fields or self._password_name not in fields:
            raise NoExampleError("it has no fields for a name and a password")
        user, password = (
            expression(self._plain.recipe(fields[name], name)) for name in (self._user_name, self._password_name)
        )
        return user, password
