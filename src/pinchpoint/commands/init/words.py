"""Write a `LoadPlan` down as a Locust file: what is imported and defined is what the tasks turn out to use. Pure."""

import ast
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pinchpoint.commands.init.access import TOKEN_NAMES
from pinchpoint.commands.init.code import INDENT, expression, quoted
from pinchpoint.commands.init.helpers import FUNCTIONS, HELPERS, LOGIN_AGAIN, METHODS, MODULES, NAMES, SEND
from pinchpoint.commands.init.plan import LoadPlan, SignIn, Task, Variable
from pinchpoint.commands.init.requests import Request, part_values
from pinchpoint.stress.openapi.recipes import Record

WIDTH = 120
_PREFIX = "LOAD_"
"""Of environment variables; Locust takes all that begin with LOCUST_ for options of its own."""
_STEP = INDENT * 2
_LONGEST_TITLE = 50
_FILE_TYPE = "application/octet-stream"

WEIGHTS = """\
# How often an operation is sent, next to the others. Most apps are read far more often than they are written;
# make these what yours sees, or give one task a number of its own.
READ = 10  # GET
WRITE = 3  # POST
CHANGE = 2  # PUT, PATCH
REMOVE = 1  # DELETE; only what this user has made"""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How the file is run, for its first lines."""

    name: str
    """Of the file."""
    target: str
    """What follows `pinchpoint run -f NAME`."""
    host: str = "http://127.0.0.1:8000"


def written(plan: LoadPlan, usage: Usage) -> str:
    """Return the whole file."""
    user = _user_class(plan)
    user += "".join(_needed(METHODS, _used(user)))
    helpers = {**HELPERS, "TOKEN_NAMES": f"TOKEN_NAMES = ({', '.join(map(quoted, TOKEN_NAMES))})"}
    known = {**helpers, **FUNCTIONS}
    used = _closure(known, _used(user))
    constants = [helpers[name] for name in helpers if name in used]
    functions = [FUNCTIONS[name].strip("\n") for name in FUNCTIONS if name in used]
    base = f"BASE = {quoted(plan.api.prefix)}  # before every path"
    settings = "\n".join([base, "TIMEOUT_S = 10.0", *constants])
    parts = [settings, WEIGHTS, *_variables(plan.variables)]
    body = "\n\n".join(parts) + "\n\n\n" + "\n\n\n".join([*functions, user.rstrip("\n")]) + "\n"
    head = _docstring(plan, usage)
    return "\n".join([head, "", _lint(f"{head}\n{body}"), "", _imports(_used(body)), "", body])


def _lint(text: str) -> str:
    """Name the rules of ruff that a load may break: its random numbers are no secrets."""
    rules = ["ANN401", *(["E501"] if any(len(line) > WIDTH for line in text.splitlines()) else [])]
    return f"# ruff: noqa: {', '.join([*rules, *(['S311'] if 'random.' in text else [])])}"


def _used(source: str) -> set[str]:
    """Return every name in a piece of source, and every attribute of `self`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found.add(node.attr)
    return found


def _needed(texts: dict[str, str], used: set[str]) -> Iterator[str]:
    return (text for name, text in texts.items() if name in used)


def _closure(known: dict[str, str], used: set[str]) -> set[str]:
    """Add what the parts that are used use themselves."""
    while True:
        more = set[str]().union(*(_used(known[name].strip("\n")) for name in known if name in used)) - used
        if not more & known.keys():
            return used
        used = used | more


def _imports(used: set[str]) -> str:
    lines = [f"import {name}" for name in MODULES if name in used]
    for module, names in NAMES:
        wanted = [name for name in names if name in used]
        lines += [f"from {module} import {', '.join(wanted)}"] if wanted else []
    third = ["from locust import FastHttpUser, between, task"]
    third.append("from locust.contrib.fasthttp import ResponseContextManager")
    return "\n".join([*lines, "", *third])


def plain(text: str) -> str:
    """Return a text that can stand in a docstring: one line, no quotes or backslashes, nothing invisible."""
    line = " ".join(text.replace("\\", "/").replace('"', "'").split())
    return "".join(character for character in line if character.isprintable())


def _docstring(plan: LoadPlan, usage: Usage) -> str:
    title = plain(f"{plan.api.title} {plan.api.version}")[:_LONGEST_TITLE].strip()
    lines = [f'"""Load for {title}, written by `pinchpoint init`; yours to edit.', "", "Run it by one of:", ""]
    lines += [f"{INDENT}pinchpoint run -f {usage.name} {plain(usage.target)}".rstrip()]
    lines += [f"{INDENT}locust -f {usage.name} --host {usage.host}"]
    needed = [f"{_PREFIX}{one.name}" for one in plan.variables if one.must and not one.default]
    if needed:
        lines += ["", *_wrapped(f"It reads {_and(needed)} from the environment and refuses to start without.")]
    if plan.left_out:
        lines += ["", "What is not in it:", ""]
        lines += [line for label, why in plan.left_out for line in _item(f"{label}: {why}")]
    if plan.notes:
        lines += ["", "What to look at:", ""]
        lines += [line for label, note in plan.notes for line in _item(f"{label}: {note}")]
    return "\n".join([*lines, '"""'])


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _wrapped(text: str, first: str = "", later: str = "") -> list[str]:
    return textwrap.wrap(
        plain(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _item(text: str) -> list[str]:
    return _wrapped(text, "- ", "  ")


def _variables(variables: Sequence[Variable]) -> Iterator[str]:
    if not variables:
        return
    lines = ["# Who the load is comes from the environment, so that this file can be shown to anybody."]
    if any(one.default for one in variables):
        lines = ["# Who the load is: as it was given to `pinchpoint init`, unless the environment says otherwise."]
    elif not all(one.must for one in variables):
        lines.append("# Without a name, every user makes an account of its own.")
    lines += [f"{one.name} = os.environ.get({quoted(_PREFIX + one.name)}, {quoted(one.default)})" for one in variables]
    must = [one.name for one in variables if one.must]
    if must:
        names = f"{must[0]}" if len(must) == 1 else f"all(({', '.join(must)}))"
        message = f"set {_and([_PREFIX + name for name in must])}: the API asks for them"
        lines += [f"if not {names}:", f"{INDENT}message = {quoted(message)}", f"{INDENT}raise RuntimeError(message)"]
    yield "\n".join(lines)


def _user_class(plan: LoadPlan) -> str:
    lines = [
        "class ApiUser(FastHttpUser):",
        f'{INDENT}"""A client with records of its own. The pause between its tasks counts in the users model only."""',
        "",
        f"{INDENT}wait_time = between(1, 3)",
        f"{INDENT}connection_timeout = TIMEOUT_S",
        f"{INDENT}network_timeout = TIMEOUT_S",
        "",
        *_on_start(plan),
    ]
    for one in plan.tasks:
        lines += ["", *_task(one)]
    if plan.sign_in is not None:
        lines += ["", *_sign_in(plan.sign_in)]
    in_query = [f"{quoted(one.name)}: {one.constant}" for one in plan.access.keys if one.place == "query"]
    keys = f"query = {{{', '.join(in_query)}, **(query or {{}})}}\n{_STEP}" if in_query else ""
    again = LOGIN_AGAIN if plan.sign_in is not None else ""
    return "\n".join(lines) + "\n" + SEND.format(keys=keys, again=again)


def _on_start(plan: LoadPlan) -> Iterator[str]:
    yield f"{INDENT}def on_start(self) -> None:"
    yield f'{_STEP}"""Begin without records{", and log in" if plan.sign_in is not None else ""}."""'
    yield f"{_STEP}self.records: defaultdict[str, list[Ids]] = defaultdict(list)"
    yield f"{_STEP}self.auth: dict[str, str] = {{}}"
    for one in plan.access.keys:
        if one.place == "header":
            yield f"{_STEP}self.auth[{quoted(one.name)}] = {one.constant}"
        elif one.place == "cookie":
            yield f'{_STEP}self.auth["Cookie"] = {quoted(f"{one.name}=")} + {one.constant}'
    if plan.access.basic:
        yield f'{_STEP}pair = f"{{USERNAME}}:{{PASSWORD}}".encode()'
        yield f'{_STEP}self.auth["Authorization"] = f"Basic {{base64.b64encode(pair).decode()}}"'
    elif plan.access.token:
        yield f'{_STEP}self.auth["Authorization"] = f"Bearer {{TOKEN}}"'
    if plan.sign_in is None:
        return
    yield f"{_STEP}self.username, self.password = USERNAME, PASSWORD"
    yield f"{_STEP}self.logged_in_s = time.monotonic()"
    if plan.sign_in.registration is not None:
        yield f"{_STEP}if not self.username:"
        yield f"{_STEP}{INDENT}self.register()"
    yield f"{_STEP}self.log_in()"


def _sign_in(sign_in: SignIn) -> Iterator[str]:
    if sign_in.registration is not None:
        yield f"{INDENT}def register(self) -> None:"
        yield f'{_STEP}"""Make an account of its own."""'
        yield f"{_STEP}self.username = {sign_in.new_user}"
        yield f"{_STEP}self.password = {sign_in.new_password}"
        yield from _sent(sign_in.registration, "")
        yield ""
    yield f"{INDENT}def log_in(self) -> None:"
    yield f'{_STEP}"""Get a token for the requests that follow; where it is refused, they go out without one."""'
    yield f"{_STEP}self.logged_in_s = time.monotonic()"
    yield f'{_STEP}self.auth.pop("Authorization", None)'
    yield from _sent(sign_in.request, "response = ")
    yield f"{_STEP}token = value_in(told(response), *TOKEN_NAMES)"
    yield f"{_STEP}if token is not None:"
    yield f'{_STEP}{INDENT}self.auth["Authorization"] = f"Bearer {{token}}"'


def _task(task: Task) -> Iterator[str]:
    request, operation = task.request, task.operation
    yield f"{INDENT}@task({task.weight})"
    yield f"{INDENT}def {task.name}(self) -> None:"
    yield from _task_docstring(operation.label, operation.summary, request.optional)
    for kind, maker in task.needs:
        yield f"{_STEP}if not self.records[{quoted(kind)}]:"
        yield f"{_STEP}{INDENT}self.{maker}()  # none is known yet"
        yield f"{_STEP}{INDENT}return"
    # Deleting something below a record, such as a like, leaves the record.
    removes = operation.method == "DELETE" and request.label.rstrip("/").endswith("]")
    forget = f"self.forget({quoted(request.kind or '')}, record)"
    if request.kind is not None:
        yield f"{_STEP}record = self.pick({quoted(request.kind)})"
        if removes:
            yield f"{_STEP}{forget}"
    drops = request.kind is not None and not removes
    yield from _sent(request, "response = " if drops or task.keeps is not None else "")
    if drops:
        yield f"{_STEP}if response.status_code == NOT_FOUND:"
        yield f"{_STEP}{INDENT}{forget}"
    if task.keeps is not None:
        yield f"{_STEP}{_kept(task)}"


def _task_docstring(label: str, summary: str, optional: Sequence[str]) -> Iterator[str]:
    first = plain(f"{label}: {summary}" if summary else label)
    room = WIDTH - len(_STEP) - 8
    first = first if len(first) <= room else f"{first[: room - 2].rstrip()} etc"
    first = f"{first.rstrip('.!?')}."
    if not optional:
        yield f'{_STEP}"""{first}"""'
        return
    yield f'{_STEP}"""{first}'
    yield ""
    yield from _wrapped(f"Its query may have {_and(optional)} besides.", _STEP, _STEP)
    yield f'{_STEP}"""'


def _kept(task: Task) -> str:
    """Return the line that remembers what an operation made or listed."""
    assert task.keeps is not None  # noqa: S101 - the caller looked
    arguments = task.request.arguments
    listed = f"({', '.join(arguments)}{',' if len(arguments) == 1 else ''})"
    parents = "record" if arguments == ("*record",) else listed
    words = [quoted(task.keeps.kind), parents, "response", *map(quoted, task.keeps.names)]
    if not task.keeps.made:
        return f"self.keep_listed({', '.join(words)})"
    body, field = task.request.body, task.keeps.from_body
    if field is not None and isinstance(body, Record) and field in dict(body.fields):
        words.append(f"sent=body[{quoted(field)}]")
    return f"self.keep({', '.join(words)})"


def _sent(request: Request, target: str) -> Iterator[str]:
    """Yield the lines that send a request."""
    words = [quoted(request.label), *request.arguments]
    if request.query.fields:
        yield f"{_STEP}query = {expression(request.query, 2)}"
        words.append("query=query")
    headers = [f"{quoted(name)}: {value}" for name, value in request.headers]
    match request.encoding:
        case "json" | "form" | "text":
            yield f"{_STEP}body = {expression(request.body, 2) if request.body is not None else 'None'}"
            words.append({"json": "json=body", "form": "data=form(body)", "text": "data=str(body)"}[request.encoding])
        case "bytes":
            words.append("data=text(1000, 1000).encode()")
        case "multipart":
            yield f"{_STEP}parts = [{''.join(_parts(request))}\n{_STEP}]" if request.parts else f"{_STEP}parts = []"
            words.append("files=parts")
    if request.encoding == "form":
        words.append("headers=FORM" if not headers else f"headers={{**FORM, {', '.join(headers)}}}")
    elif headers:
        words.append(f"headers={{{', '.join(headers)}}}")
    if request.fine:
        words.append(f"fine=({', '.join(map(str, request.fine))}{',' if len(request.fine) == 1 else ''})")
    yield _call(f"{_STEP}{target}self.send", words)


def _call(function: str, words: Iterable[str]) -> str:
    """Return a call on one line where it fits, else with a line for each argument."""
    line = f"{function}({', '.join(words)})"
    if len(line) <= WIDTH:
        return line
    return f"{function}(\n" + "".join(f"{_STEP}{INDENT}{word},\n" for word in words) + f"{_STEP})"


def _parts(request: Request) -> Iterator[str]:
    for part in request.parts:
        media_type = part.media_type or (_FILE_TYPE if part.file else None)
        name = quoted("load.bin") if part.file else "None"
        for value in part_values(part):
            inside = [name, value, *([quoted(media_type)] if media_type is not None else [])]
            yield f"\n{_STEP}{INDENT}({quoted(part.name)}, ({', '.join(inside)})),"
