"""How the load gets in: the login and the registration of an app, found by what they take and answer. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pinchpoint.stress.openapi.document import FORM, Api, Operation
from pinchpoint.stress.openapi.schemas import NoExampleError, Schema, Schemas, types_of

TOKEN_NAMES = ("access_token", "token", "accessToken", "auth_token", "jwt", "id_token", "key")
"""Fields of a login's answer that hold the token, the likeliest first."""
USER_NAMES = ("username", "email", "login", "user_name", "userName", "user", "name", "phone")
"""Fields that say who somebody is, the likeliest first."""
_OAUTH_FIELDS = ("username", "password")
PASSWORD_NAMES = ("password", "passwd", "passphrase", "pass", "plain_password")
_LOGIN = re.compile(
    r"(?:^|[/_.-])(?:log_?-?in|sign_?-?in|tokens?|auth|authenticate|sessions?|access[_-]token)(?:$|[/_.-])"
)
_REGISTER = re.compile(r"(?:^|[/_.-])(?:register|registration|sign_?-?up|create_(?:user|account))(?:$|[/_.-])")
_PEOPLE = re.compile(r"/(?:users?|accounts?)/?$")
BEARERS = frozenset({"bearer", "password-flow", "token"})


@dataclass(frozen=True, kw_only=True)
class Login:
    """A request that gives a token or a session."""

    operation: Operation | None
    """None for a token URL that the document does not describe."""
    path: str
    form: bool
    user_name: str
    password_name: str


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A request that makes an account to log in with."""

    operation: Operation
    user_name: str
    """The field with which one logs in afterwards."""
    password_name: str


@dataclass(frozen=True, kw_only=True)
class Key:
    """A value for every request that only the user knows."""

    place: str
    name: str
    constant: str


@dataclass(frozen=True, kw_only=True)
class Access:
    """What gets the load in."""

    login: Login | None = None
    idle_login: Login | None = None
    """One that nothing asks for, and for which there is no name."""
    registration: Registration | None = None
    basic: bool = False
    token: bool = False
    """A bearer token that must be given."""
    keys: tuple[Key, ...] = ()

    @property
    def needs_user(self) -> bool:
        """True when a name and a password are used."""
        return self.basic or self.login is not None

    @property
    def authorizes(self) -> bool:
        """True when every request has the header `Authorization` from here."""
        return self.needs_user or self.token


def lock_of(api: Api, operation: Operation) -> tuple[str, ...] | None:
    """Return the names of the schemes to meet, of the first alternative that can be met; None when none can."""
    if not operation.locked:
        return ()
    for alternative in operation.locks:
        if all(name in api.locks and api.locks[name].kind != "unknown" for name in alternative):
            return alternative
    return None


def find_access(api: Api, operations: Sequence[Operation], *, credentials: bool) -> Access:
    """Find out how the load gets in.

    Args:
        api: the document.
        operations: what is to be sent; the login may be among them.
        credentials: whether the user gave a name and a password.

    """
    used = dict.fromkeys(name for one in operations for name in lock_of(api, one) or ())
    kinds = {api.locks[name].kind for name in used}
    registration = find_registration(api, operations)
    found = find_login(api, operations)
    locked = bool(kinds & BEARERS)
    login = found if locked or credentials or registration is not None else None
    keys = [
        Key(place=lock.place, name=lock.name, constant=constant(lock.name))
        for lock in (api.locks[name] for name in used)
        if lock.kind == "api-key"
    ]
    return Access(
        login=login,
        idle_login=None if login is not None else found,
        registration=_matching(api.schemas, registration, login),
        basic="basic" in kinds and not locked,
        token=locked and login is None,
        keys=tuple(dict.fromkeys(keys)),
    )


def constant(name: str) -> str:
    """Return the name of a Python constant for a header or parameter: `X_API_KEY` of `X-API-Key`."""
    words = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").upper()
    return words if words and not words[0].isdigit() else f"KEY_{words}"


def find_login(api: Api, operations: Iterable[Operation]) -> Login | None:
    """Return the login: that of a declared OAuth2 password flow, else a POST that takes a password and says a token."""
    posts = [one for one in operations if one.method == "POST" and not one.deprecated]
    for lock in api.locks.values():
        if lock.kind == "password-flow":
            url = urlsplit(lock.token_url or "token").path.removeprefix(api.prefix).lstrip("./").rstrip("/")
            found = next((one for one in posts if f"/{one.path.strip('/')}".endswith(f"/{url}")), None)
            path = found.path if found else f"/{url}"
            user_name, password_name = _OAUTH_FIELDS
            return Login(operation=found, path=path, form=True, user_name=user_name, password_name=password_name)
    for operation in posts:
        fields = credentials_of(api.schemas, operation)
        words = f"{operation.path}/{operation.name or ''}".lower()
        is_login = _LOGIN.search(words) is not None and _REGISTER.search(words) is None
        if fields is not None and is_login and _tells_token(api.schemas, operation.answer):
            form = operation.body is not None and operation.body.media_type == FORM
            return Login(
                operation=operation, path=operation.path, form=form, user_name=fields[0], password_name=fields[1]
            )
    return None


def find_registration(api: Api, operations: Iterable[Operation]) -> Registration | None:
    """Return the operation that anybody may call to make an account; one that says so in its name comes first."""
    found: list[tuple[int, Operation, tuple[str, str]]] = []
    for operation in operations:
        fields = credentials_of(api.schemas, operation) if operation.method == "POST" else None
        if fields is None or operation.locked or operation.deprecated or "{" in operation.path:
            continue
        words = f"{operation.path}/{operation.name or ''}".lower()
        rank = 0 if _REGISTER.search(words) else 1 if _PEOPLE.search(operation.path.lower()) else None
        if rank is not None and not any(one.required and one.place != "path" for one in operation.parameters):
            found.append((rank, operation, fields))
    if not found:
        return None
    _, operation, fields = min(found, key=lambda one: one[0])
    return Registration(operation=operation, user_name=fields[0], password_name=fields[1])


def _matching(schemas: Schemas, registration: Registration | None, login: Login | None) -> Registration | None:
    """Let the registration name the account by the field that the login asks for, if it has that."""
    if registration is None or login is None or registration.operation.body is None:
        return None
    fields = fields_of(schemas, registration.operation.body.schema)
    # Of an OAuth2 form the field is always called `username`, also where it is the address that counts.
    wanted = [login.user_name, *(("email",) if login.form else ())]
    name = next((one for one in wanted if one in fields), registration.user_name)
    return Registration(operation=registration.operation, user_name=name, password_name=registration.password_name)


def credentials_of(schemas: Schemas, operation: Operation) -> tuple[str, str] | None:
    """Return the fields of a body for a name and for a password; None when it has not both."""
    if operation.body is None:
        return None
    fields = fields_of(schemas, operation.body.schema)
    user = next((one for one in USER_NAMES if one in fields), None)
    password = next((one for one in PASSWORD_NAMES if one in fields), None)
    return (user, password) if user and password else None


def fields_of(schemas: Schemas, schema: Schema) -> dict[str, Any]:
    """Return the fields of an object's schema."""
    try:
        found, _ = schemas.flat(schema)
    except (NoExampleError, TypeError, ValueError, AttributeError):
        return {}
    properties = found.get("properties") if isinstance(found, dict) else None
    return properties if isinstance(properties, dict) else {}


def _tells_token(schemas: Schemas, answer: Schema | None) -> bool:
    """Tell whether an answer may hold a token: it has such a field, is not described, or there may be a cookie."""
    if answer is None or answer is True:
        return True
    fields = fields_of(schemas, answer)
    if not fields:
        try:
            found, _ = schemas.flat(answer)
        except (NoExampleError, TypeError, ValueError, AttributeError):
            return False
        return isinstance(found, dict) and set(types_of(found)) <= {"object", "string"}
    nested = [fields_of(schemas, one) for one in fields.values()]
    return any(name in one for name in TOKEN_NAMES for one in (fields, *nested))
