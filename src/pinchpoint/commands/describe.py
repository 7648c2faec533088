"""What the app's own interpreter says of itself and of MODULE:APP, asked in a short child: we never import the app."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinchpoint.commands import describe_app
from pinchpoint.errors import PinchpointError, TargetError, UsageError
from pinchpoint.processes import Command, start

LOG_FILE = "import.log"
STOP_GRACE_S = 0.5
_EXCEPTION_LINES = 30


@dataclass(frozen=True)
class Inquiry:
    """What to ask, and where."""

    python: str
    env: Mapping[str, str]
    cwd: Path | None
    log: Path
    """Output of the import, its traceback included."""
    target: str | None = None
    """MODULE:APP; None asks for the interpreter only."""
    factory: bool = False
    worker_class: str | None = None
    """A gunicorn worker class to try."""


@dataclass(frozen=True)
class Description:
    """An interpreter, and the app in it where one was asked for."""

    python: str
    """Version, such as `3.11.7`."""
    implementation: str
    executable: str
    servers: Mapping[str, str] = field(default_factory=dict)
    """Importable server modules -> versions; gunicorn, uvicorn, uvicorn_worker, hypercorn, granian, waitress."""
    workers: tuple[str, ...] = ()
    """Modules of gunicorn worker classes that are there."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distributions of interest -> versions."""
    interface: str | None = None
    """`asgi`, `asgi2`, `wsgi` or `unknown`; None when no app was asked for."""
    factory: bool = False
    """It is called to make the app."""
    arguments: bool = False
    """MODULE:APP is a call with arguments."""
    simple: bool = True
    """APP has no dots."""


def describe(inquiry: Inquiry, deadline_s: float) -> Description:
    """Ask the interpreter, for `deadline_s` seconds at most.

    Raises:
        UsageError: MODULE:APP is not there, or is no app; the interpreter cannot be run.
        TargetError: the import raised, ended the interpreter, or took too long; the factory raised.

    """
    facts = _ask(inquiry, deadline_s)
    if "error" in facts:
        raise _told(inquiry, facts)
    return Description(
        python=str(facts["python"]),
        implementation=str(facts["implementation"]),
        executable=str(facts["executable"]),
        servers=dict(facts["servers"]),
        workers=tuple(facts["workers"]),
        versions=dict(facts["versions"]),
        interface=facts.get("interface"),
        factory=bool(facts.get("factory", False)),
        arguments=bool(facts.get("arguments", False)),
        simple=bool(facts.get("simple", True)),
    )


def _ask(inquiry: Inquiry, deadline_s: float) -> dict[str, Any]:
    words = [inquiry.target] if inquiry.target is not None else []
    if inquiry.target is not None:
        words.append("factory" if inquiry.factory else "app")
        words += [inquiry.worker_class] if inquiry.worker_class else []
    with tempfile.TemporaryDirectory(prefix="pinchpoint-describe-") as folder:
        result = Path(folder) / "result.json"
        command = Command(
            name="the app's interpreter",
            argv=(inquiry.python, describe_app.__file__, str(result), *words),
            log=inquiry.log,
            env=inquiry.env,
            cwd=inquiry.cwd,
        )
        with start(command) as child:
            code = child.wait(deadline_s)
            child.stop(STOP_GRACE_S)
            if result.is_file():
                facts: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
                return facts
            what = inquiry.target or inquiry.python
            if code is None:
                message = f"importing {what} was not done after {deadline_s:.0f} s; see {inquiry.log}"
                raise TargetError(f"{message}; a longer --budget allows it more time")
            last = child.log_tail(1).strip()
            raise TargetError(f"importing {what} ended its interpreter with code {code}{': ' if last else ''}{last}")


def _told(inquiry: Inquiry, facts: dict[str, Any]) -> PinchpointError:
    """Put into one sentence what is wrong with MODULE:APP, and the way out."""
    error = facts["error"]
    near = [str(one) for one in error["near"]]
    message, module = str(error["message"]), str(inquiry.target).partition(":")[0]
    folder = inquiry.cwd or Path.cwd()
    match error["kind"]:
        case "no-module":
            way_out = _other_python(inquiry, folder) or "name the app's folder with --cwd"
            return UsageError(f"there is no module {message} in {folder}; {way_out}")
        case "no-attribute" | "not-callable":
            meant = f"; did you mean {' or '.join(f'{module}:{one}' for one in near)}?" if near else ""
            return UsageError(f"{inquiry.target}: {message}{meant}")
        case "worker-class":
            return UsageError(f"--worker-class {inquiry.worker_class} cannot be used with {inquiry.python}: {message}")
    where = _shorter(error["where"], folder)
    what = "calling" if error["kind"] == "factory" else "importing"
    hint = _other_python(inquiry, folder) if near else None
    text = f"{what} {inquiry.target} failed with {message}{f' ({where})' if where else ''}"
    return TargetError("; ".join([text, *([hint] if hint else []), f"the traceback is in {inquiry.log}"]))


def _shorter(where: str | None, folder: Path) -> str | None:
    if where is None:
        return None
    try:
        return str(Path(where).relative_to(folder.resolve()))
    except ValueError:
        return where


def _other_python(inquiry: Inquiry, folder: Path) -> str | None:
    """Point at a virtual environment that is there and was not used."""
    candidates = [folder / ".venv", folder / "venv"]
    if environment := os.environ.get("VIRTUAL_ENV"):
        candidates.insert(0, Path(environment))
    for candidate in candidates:
        python = candidate / "bin" / "python"
        # Not resolved: every virtual environment's python is a link to the same program.
        if python.exists() and Path(inquiry.python).parent.absolute() != python.parent.absolute():
            shown = Path(os.path.relpath(python)) if python.is_relative_to(Path.cwd()) else python
            return f"there is another environment: try --python {shown}"
    return None
