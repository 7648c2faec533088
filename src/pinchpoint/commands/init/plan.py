"""What each operation of a document becomes: a task of the Locust file, its login, or a line that says why neither.

Pure: an `Api` in, a `LoadPlan` out; `words` writes it down.
"""

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pinchpoint.commands.init.access import Access, Login, constant, find_access, lock_of
from pinchpoint.commands.init.fields import CredentialsChooser, Wanted, chooser
from pinchpoint.commands.init.records import Ids, Records, Source, canonical, find_records, snake
from pinchpoint.commands.init.requests import Request, plain_form, request_of
from pinchpoint.stress.openapi.document import Api, Operation
from pinchpoint.stress.openapi.examples import Examples
from pinchpoint.stress.openapi.schemas import NoExampleError

WEIGHTS = {"GET": "READ", "POST": "WRITE", "PUT": "CHANGE", "PATCH": "CHANGE", "DELETE": "REMOVE"}
_ENDS_SESSION = re.compile(r"(?:^|[/_.-])(?:log_?-?out|sign_?-?out|revoke|logoff)(?:$|[/_.-])")
_DANGEROUS = re.compile(
    r"(?:^|[/_.-])(?:passwords?|shut_?-?down|restart|reboot|terminate|reset|purge|wipe|truncate|drop|flush|"
    r"migrate|unregister|deactivate)(?:$|[/_.-])"
)
"""Words of operations that a load should not send unasked."""
_LOGIN_SENT = "it is the login, sent once when a user starts"
_LOGIN_IDLE = "it is a login, and nothing here needs one; --auth-user has it sent"
_RESERVED = frozenset(
    {
        *("on_start", "on_stop", "wait", "wait_time", "run", "start", "stop", "client", "host", "weight", "tasks"),
        *("rest", "rest_", "context", "environment", "group", "greenlet", "fixed_count", "abstract", "fullname"),
        *("records", "auth", "keep", "keep_listed", "pick", "forget", "send", "log_in", "register", "logged_in_s"),
        *("username", "password", "insecure", "concurrency", "default_headers", "client_pool", "self", "sticky_tag"),
        *("min_wait", "max_wait", "wait_function", "max_redirects", "max_retries", "proxy_host", "proxy_port"),
        *("network_timeout", "connection_timeout", "ssl_context_factory", "task_set", "text"),
        *("base64", "json", "os", "random", "re", "string", "time", "uuid"),
    }
)
"""Names that Locust's user, or the written file, has for something else."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of the file."""

    operation: Operation
    name: str
    weight: str
    request: Request
    needs: tuple[tuple[str, str], ...] = ()
    """(kind, task that gets one) for records that must be there first."""
    keeps: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A constant that is read from the environment."""

    name: str
    default: str = ""
    must: bool = True
    """The file refuses to be loaded without it."""


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """The login and the registration, ready to be written."""

    login: Login
    request: Request
    registration: Request | None = None
    new_user: str = ""
    """Expressions of the name and the password of a new account."""
    new_password: str = ""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """All that the file says."""

    api: Api
    tasks: tuple[Task, ...]
    access: Access
    sign_in: SignIn | None
    variables: tuple[Variable, ...]
    left_out: tuple[tuple[str, str], ...]
    """(operation, reason)."""
    notes: tuple[tuple[str, str], ...]
    """(operation, what should be looked at)."""


@dataclass
class _Draft:
    """What is collected on the way."""

    tasks: list[Task] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    secrets: dict[str, None] = field(default_factory=dict)


def make_plan(api: Api, user: str | None = None, password: str | None = None) -> LoadPlan:
    """Decide on every operation; `user` and `password` are written into the file if they are given."""
    left_out = list(api.unread)
    kept: list[Operation] = []
    for operation in api.operations:
        why = refusal(api, operation)
        if why is None:
            kept.append(operation)
        else:
            left_out.append((operation.label, why))
    access = find_access(api, kept, credentials=user is not None)
    for login, why in ((access.login, _LOGIN_SENT), (access.idle_login, _LOGIN_IDLE)):
        if login is not None and login.operation is not None:
            kept.remove(login.operation)
            left_out.append((login.operation.label, why))
    draft = _tasks(api, kept, access)
    sign_in, notes = _sign_in(api, access, user)
    return LoadPlan(
        api=api,
        tasks=tuple(draft.tasks),
        access=access,
        sign_in=sign_in,
        variables=tuple(_variables(access, sign_in, draft.secrets, user, password)),
        left_out=(*left_out, *draft.left_out),
        notes=(*notes, *draft.notes),
    )


def refusal(api: Api, operation: Operation) -> str | None:  # noqa: PLR0911 - a case each
    """Say why an operation is not sent whatever else there is; None when it may be."""
    words = f"{operation.path}/{operation.name or ''}".lower()
    if operation.deprecated:
        return "it is deprecated"
    if operation.streams:
        return f"its answer ({operation.answer_type}) may never end"
    if operation.foreign_body:
        return f"its body is {' or '.join(operation.foreign_body)}, which is not written here"
    if odd := [one.name for one in operation.parameters if one.required and not one.plain]:
        return f"the parameter {odd[0]} is written in a way that is not supported here"
    if lock_of(api, operation) is None:
        return f"its security scheme ({', '.join(operation.locks[0])}) is not supported here"
    if _ENDS_SESSION.search(words):
        return "it would end the session that the other tasks need"
    if operation.method != "GET" and _DANGEROUS.search(words):
        return "its name sounds like harm; add it by hand if it is meant to be pressed"
    return None


def _tasks(api: Api, operations: Sequence[Operation], access: Access) -> _Draft:
    """Write the tasks, anew while one turns out to be impossible: it makes no records for the others either."""
    useless: set[str] = set()
    banned: set[tuple[str, str]] = set()
    names = task_names(operations)
    while True:
        records = find_records(api, operations, frozenset(useless), frozenset(banned))
        draft = _Draft()
        failed: set[str] = set()
        for operation in operations:
            try:
                draft.tasks.append(_task(api, operation, records, names, access, draft))
            except NoExampleError as error:
                draft.left_out.append((operation.label, str(error)))
                failed.add(operation.label)
        circle = circular_need(draft.tasks)
        if failed <= useless and circle is None:
            asked = {kind for task in draft.tasks for kind, _ in task.needs}
            draft.tasks = [
                task if task.keeps is None or task.keeps.kind in asked else replace(task, keeps=None)
                for task in draft.tasks
            ]
            return draft
        useless |= failed
        banned |= {circle} if circle is not None else set()


def circular_need(tasks: Iterable[Task]) -> tuple[str, str] | None:
    """Return one (operation, kind) by which a task waits, in the end, for itself: it would call itself for ever."""
    by_name = {task.name: task for task in tasks}

    def leads_to(name: str, wanted: str, seen: frozenset[str]) -> bool:
        needed = {maker for _, maker in by_name[name].needs if maker in by_name} - seen
        return name == wanted or any(leads_to(maker, wanted, seen | {name}) for maker in needed)

    for task in by_name.values():
        for kind, maker in task.needs:
            if maker not in by_name or leads_to(maker, task.name, frozenset()):
                return task.operation.label, kind
    return None


def _task(
    api: Api, operation: Operation, records: Records, names: dict[str, str], access: Access, draft: _Draft
) -> Task:
    examples = Examples(api.schemas)
    own = [one.schema for one in operation.parameters if one.place == "path"]
    listed = bool(own) and all(examples.names_values(one, ("enum", "const")) for one in own)
    ids = Ids() if listed else records.ids_of(operation)  # values that the document lists are no ids
    _refuse_blind_deletion(operation, ids)
    keeps = records.makers.get(canonical(operation.path)) or records.listers.get(canonical(operation.path))
    keeps = keeps if keeps is not None and keeps.operation.label == operation.label else None
    wanted = Wanted(records=records, ids=ids, makes=keeps if keeps is not None and keeps.made else None)
    choose = chooser(wanted, operation, examples)
    given = {one.name.lower() for one in access.keys} | ({"authorization"} if access.authorizes else set())
    request = request_of(api, operation, ids, choose, given)
    sources = [*([ids.main] if ids.main else []), *wanted.sources]
    for note in dict.fromkeys((*request.notes, *wanted.notes)):
        draft.notes.append((operation.label, note))
    draft.secrets.update(dict.fromkeys(request.secrets))
    return Task(
        operation=operation,
        name=names[operation.label],
        weight=WEIGHTS[operation.method],
        request=request,
        needs=tuple({one.kind: names[one.operation.label] for one in sources}.items()),
        keeps=keeps,
    )


def _refuse_blind_deletion(operation: Operation, ids: Ids) -> None:
    if operation.method != "DELETE":
        return
    count = sum(one.place == "path" for one in operation.parameters)
    if not count:
        raise NoExampleError("it may delete more than this load has made")
    if ids.main is None or (ids.whole and ids.whole < count) or (not ids.whole and count > 1):
        raise NoExampleError("nothing here makes what it could delete, and what else is there may be needed")


def task_names(operations: Iterable[Operation]) -> dict[str, str]:
    """Return {label: the function's name}; FastAPI's own names without the path and method that it appends."""
    found: dict[str, str] = {}
    for operation in operations:
        name = operation.name or f"{operation.method} {operation.path}"
        ending = f"{re.sub(r'[^A-Za-z0-9_]', '_', operation.path)}_{operation.method.lower()}"
        name = name[: -len(ending)] if name.endswith(ending) and name != ending else name
        name = re.sub(r"_{2,}", "_", re.sub(r"[^a-z0-9_]+", "_", snake(name))).strip("_") or "task"
        name = f"do_{name}" if name[0].isdigit() else name
        if name in _RESERVED or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            name = f"{name}_{operation.method.lower()}"
        taken = set(found.values())
        number = 2
        unique = name
        while unique in taken:
            unique = f"{name}_{number}"
            number += 1
        found[operation.label] = unique
    return found


def _sign_in(api: Api, access: Access, user: str | None) -> tuple[SignIn | None, list[tuple[str, str]]]:
    """Write the login and, where nobody gave a name, the registration; a note where one of them cannot be written."""
    if access.login is None:
        return None, []
    login, notes = access.login, list[tuple[str, str]]()
    sign_in = SignIn(login=login, request=plain_form(login))
    if login.operation is not None and not (login.form and login.user_name == "username"):
        choose = CredentialsChooser(api.schemas, login.user_name, login.password_name)
        try:
            sign_in = replace(sign_in, request=request_of(api, login.operation, Ids(), choose))
        except NoExampleError as error:
            notes.append((f"POST {login.path}", f"the login is written with two fields only: {error}"))
    registration = access.registration
    if registration is None or user is not None:
        return sign_in, notes
    choose = CredentialsChooser(api.schemas, registration.user_name, registration.password_name)
    label = registration.operation.label
    try:
        sent = request_of(api, registration.operation, Ids(), choose)
        new_user, new_password = choose.expressions(registration.operation)
    except NoExampleError as error:
        notes.append((label, f"no account is made with it, so set LOAD_USERNAME and LOAD_PASSWORD: {error}"))
        return sign_in, notes
    return replace(sign_in, registration=sent, new_user=new_user, new_password=new_password), notes


def _variables(
    access: Access, sign_in: SignIn | None, secrets: Iterable[str], user: str | None, password: str | None
) -> Iterable[Variable]:
    known = {"USERNAME", "PASSWORD", "TOKEN"}
    if access.needs_user:
        must = sign_in is None or sign_in.registration is None
        yield Variable(name="USERNAME", default=user or "", must=must)
        yield Variable(name="PASSWORD", default=password or "", must=must)
    if access.token:
        yield Variable(name="TOKEN")
    elsewhere = [*(one.constant for one in access.keys), *(constant(name) for name in secrets)]
    if not access.token and "TOKEN" in elsewhere:
        known.remove("TOKEN")
    yield from (Variable(name=name) for name in dict.fromkeys(elsewhere) if name not in known)
