"""Run by path in the app's own interpreter: import MODULE:APP and say as JSON what it is. Standard library only, 3.8+.

`python describe_app.py RESULT [MODULE:APP [factory|app [WORKER_CLASS]]]`. What the app prints goes to stdout or stderr,
never into RESULT, which is written whole or not at all. Without MODULE:APP only the interpreter is described.

RESULT: {"python", "implementation", "executable", "servers": {name: version}, "versions": {distribution: version},
"interface": asgi|asgi2|wsgi|unknown, "factory": bool, "arguments": bool, "simple": bool} or, beside the first part,
{"error": {"kind": no-module|import|no-attribute|not-callable|factory|worker-class, "message", "where", "near"}}.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - before anything else is imported
# This script's folder holds modules called `run` and `config`: the app must find its own.
sys.path[:] = [os.getcwd(), *(entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE)]  # noqa: PTH100, PTH109

import ast  # noqa: E402
import difflib  # noqa: E402
import importlib  # noqa: E402
import importlib.metadata  # noqa: E402
import importlib.util  # noqa: E402
import inspect  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
import re  # noqa: E402
import traceback  # noqa: E402
from typing import Any  # noqa: E402

SERVERS = {
    "gunicorn": "gunicorn",
    "uvicorn": "uvicorn",
    "uvicorn_worker": "uvicorn-worker",
    "hypercorn": "hypercorn",
    "granian": "granian",
    "waitress": "waitress",
}
"""Module -> distribution."""
WORKERS = ("uvicorn.workers", "gunicorn.workers.gasgi")
"""Modules of gunicorn worker classes that not every version has."""
PACKAGES = (
    *("aiohttp", "aiosqlite", "anyio", "asyncpg", "django", "djangorestframework", "fastapi", "flask", "gevent"),
    *("granian", "gunicorn", "httptools", "httpx", "hypercorn", "litestar", "psycopg", "psycopg-pool", "psycopg2"),
    *("psycopg2-binary", "pydantic", "quart", "requests", "sanic", "sqlalchemy", "starlette", "tornado", "urllib3"),
    *("uvicorn", "uvicorn-worker", "uvloop", "waitress", "werkzeug"),
)
_INNER = ("app", "application", "wsgi_app", "asgi_app", "wrapped", "__wrapped__")
"""Where a wrapper that takes anything keeps the app it wraps."""
_DEEPEST = 8
_ASGI_ARGUMENTS, _WSGI_ARGUMENTS, _ASGI2_ARGUMENTS = 3, 2, 1


class _ProblemError(Exception):
    def __init__(self, kind: str, message: str, where: "str | None" = None, near: "list[str] | None" = None) -> None:
        super().__init__(message)
        self.facts = {"kind": kind, "message": message, "where": where, "near": near or []}


def describe_interpreter() -> "dict[str, Any]":
    """Say which Python this is and what of interest is installed in it."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "servers": {name: _version(dist) or "" for name, dist in SERVERS.items() if _there(name)},
        "workers": [name for name in WORKERS if _there(name)],
        "versions": {name: version for name in PACKAGES if (version := _version(name)) is not None},
    }


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, AttributeError, ValueError):
        return False


def _version(distribution: str) -> "str | None":
    try:
        return importlib.metadata.version(distribution)
    except Exception:  # noqa: BLE001 - damaged metadata of somebody's package
        return None


def describe_target(target: str, *, factory: bool) -> "dict[str, Any]":
    """Import the app and say what it is.

    Raises:
        _ProblemError: it cannot be imported, is not there, or is no app.

    """
    module_name, _, expression = target.partition(":")
    name, arguments = _parsed(expression)
    module = _imported(module_name)
    found = _attribute(module, name)
    made = factory or arguments is not None
    if not callable(found):
        kind = type(found).__name__
        raise _ProblemError("not-callable", f"{expression} is of type {kind}, not an app", near=_apps(module))
    if not made and _is_factory(found):
        made = True
    app = _made(found, expression, arguments or ((), {})) if made else found
    return {
        "interface": interface(app),
        "factory": made,
        "arguments": arguments not in (None, ([], {})),
        "simple": "." not in name,
    }


def _parsed(expression: str) -> "tuple[str, tuple[Any, Any] | None]":
    """Split `create_app(debug=True)` into its name and its literal arguments, as gunicorn does."""
    try:
        tree = ast.parse(expression, mode="eval").body
        if not isinstance(tree, ast.Call):
            return expression, None
        arguments = [ast.literal_eval(one) for one in tree.args]
        keywords = {one.arg: ast.literal_eval(one.value) for one in tree.keywords}
        return expression.partition("(")[0].strip(), (arguments, keywords)
    except (SyntaxError, ValueError):
        raise _ProblemError("no-attribute", f"{expression!r} is neither a name nor a call of one") from None


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name + ".").startswith(error.name + "."):
            raise _ProblemError("no-module", error.name) from None
        raise _failure("import", error) from error
    except BaseException as error:  # a module may call sys.exit
        raise _failure("import", error) from error


def _failure(kind: str, error: BaseException) -> _ProblemError:
    """Print the traceback from the app's first own line on, and say where it broke."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if one.filename != __file__ and not one.filename.startswith("<frozen")]
    error.__traceback__ = None if not own else _from_own(error)
    traceback.print_exception(type(error), error, error.__traceback__)
    here = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118
    mine = [one for one in own if one.filename.startswith(here) and "site-packages" not in one.filename] or own
    where = f"{mine[-1].filename}:{mine[-1].lineno}" if mine else None
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}:{error.lineno}"
    text = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
    missing = [error.name] if isinstance(error, ModuleNotFoundError) and error.name else []
    return _ProblemError(kind, text, where, missing)


def _from_own(error: BaseException) -> Any:
    step = error.__traceback__
    while step is not None and (
        step.tb_frame.f_code.co_filename == __file__ or step.tb_frame.f_code.co_filename.startswith("<frozen")
    ):
        step = step.tb_next
    return step


def _attribute(module: Any, dotted: str) -> Any:
    found, path = module, []
    for name in dotted.split("."):
        path.append(name)
        if not hasattr(found, name):
            known = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            near = difflib.get_close_matches(name, known, 3) or _apps(module)
            message = "{} has no {}".format(module.__name__, ".".join(path))
            raise _ProblemError("no-attribute", message, near=near)
        found = getattr(found, name)
    return found


def _apps(module: Any) -> "list[str]":
    """Return the names in a module that could be meant: apps, most likely ones first."""
    found = []
    for name, value in vars(module).items():
        if name.startswith("_") or inspect.isclass(value) or inspect.ismodule(value) or not callable(value):
            continue
        if getattr(value, "__module__", module.__name__) != module.__name__ and inspect.isfunction(value):
            continue
        if interface(value) != "unknown":
            found.append(name)
    return sorted(found, key=lambda name: name not in ("app", "application"))[:3]


def _required(target: Any) -> "list[str] | None":
    """Return the names of the positional arguments that a call needs; None when it takes anything or does not say."""
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in positional and one.default is one.empty]


def _is_factory(found: Any) -> bool:
    """Tell whether calling it without arguments is the only way to use it: an app takes at least one."""
    return (inspect.isfunction(found) or inspect.isclass(found)) and _required(found) == []


def _made(factory: Any, expression: str, arguments: "tuple[Any, Any]") -> Any:
    try:
        app = factory(*arguments[0], **arguments[1])
    except BaseException as error:
        raise _failure("factory", error) from error
    if not callable(app):
        kind = "nothing" if app is None else f"something of type {type(app).__name__}"
        raise _ProblemError("not-callable", f"{expression} returned {kind}, not an app")
    return app


def interface(app: Any, depth: int = 0) -> str:
    """Tell which protocol an app speaks: asgi, asgi2, wsgi, or unknown. The first rule is uvicorn's own."""
    call = app if inspect.isfunction(app) or inspect.isclass(app) else getattr(app, "__call__", app)  # noqa: B004
    if inspect.isclass(app) and hasattr(app, "__await__"):
        return "asgi"
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "func", None)):
        return "asgi"
    names = _required(app)
    if names is not None:
        if len(names) == _ASGI_ARGUMENTS and names[0] == "scope":
            return "asgi"
        if len(names) == _WSGI_ARGUMENTS:
            return "wsgi"
        if len(names) == _ASGI2_ARGUMENTS and (names[0] == "scope" or inspect.isclass(app)):
            return "asgi2"
    inner = next((one for one in (getattr(app, name, None) for name in _INNER) if callable(one)), None)
    return interface(inner, depth + 1) if inner is not None and depth < _DEEPEST else "unknown"


def load_worker_class(uri: str) -> None:
    """Load a gunicorn worker class as gunicorn does.

    Raises:
        _ProblemError: gunicorn refuses it.

    """
    try:
        util = importlib.import_module("gunicorn.util")
    except ImportError as error:
        raise _ProblemError("worker-class", f"gunicorn cannot be imported: {error}") from error
    try:
        util.load_class(uri)
    except BaseException as error:
        # The first line is gunicorn's; below it, as text, the traceback of what it met.
        first = (str(error).strip() or repr(error)).splitlines()[0].rstrip(": ")
        causes = [name for name in re.findall(r"(\w+Error: [^\\\n]+)", str(error)) if name not in first]
        raise _ProblemError("worker-class", ": ".join([first, *causes[-1:]])) from error


def main(words: "list[str]") -> None:
    """Describe, and write the result."""
    result = describe_interpreter()
    try:
        if len(words) > 1:
            result.update(describe_target(words[1], factory=words[2:3] == ["factory"]))
        if len(words) > 3:  # noqa: PLR2004 - the fourth word
            load_worker_class(words[3])
    except _ProblemError as problem:
        result["error"] = problem.facts
    temporary = words[0] + ".tmp"
    with open(temporary, "w") as file:  # noqa: PTH123 - the app may have replaced pathlib's idea of a path
        json.dump(result, file)
    os.replace(temporary, words[0])  # noqa: PTH105


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that the app's import has started would keep this process; its exit handlers belong to a real run.
    os._exit(0)
