"""From MODULE:APP to a command line: which server of the app's own environment serves it, and how. Starts nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pinchpoint.commands.config import HOST, RunConfig
from pinchpoint.commands.describe import Description
from pinchpoint.errors import TargetError

UVICORN_WORKER = "uvicorn_worker.UvicornWorker"
OLD_UVICORN_WORKER = "uvicorn.workers.UvicornWorker"
_WSGI_CLASSES = frozenset({"sync", "gthread", "gevent", "gevent_wsgi", "gevent_pywsgi", "tornado", "eventlet"})
_NO_CONTROL_SOCKET_SINCE = 25
"""gunicorn of this version and later keeps a control socket in the home folder, where two masters would share it."""


@dataclass(frozen=True)
class Launch:
    """The command, and what run.json says about it."""

    argv: tuple[str, ...]
    server: str
    """Such as `gunicorn`."""
    version: str
    worker_class: str | None
    notes: tuple[str, ...] = ()


def launch(config: RunConfig, app: Description, python: str, port: int) -> Launch:
    """Choose the server: gunicorn where it is installed, else what is.

    Raises:
        TargetError: no server in that interpreter can serve the app.

    """
    notes = list(_told(config, app))
    wsgi = app.interface not in {"asgi", "asgi2"}
    refused = _why_not_gunicorn(config, app, wsgi=wsgi)
    if refused is None:
        worker_class = config.worker_class or _worker_class(config, app, wsgi=wsgi)
        argv = _gunicorn(config, app, python, port, worker_class)
        return Launch(
            argv, "gunicorn", app.servers["gunicorn"], worker_class or "set by gunicorn.conf.py", tuple(notes)
        )
    if config.worker_class is not None:
        raise TargetError(f"--worker-class is gunicorn's, and {refused}; install gunicorn there or leave it out")
    usable = [name for name in _FALLBACKS["wsgi" if wsgi else "asgi"] if name in app.servers]
    builder = next((name for name in usable if name == "hypercorn" or not app.arguments), None)
    if builder is None:
        kind = "WSGI" if wsgi else "ASGI"
        raise TargetError(
            f"{python} has no server for this {kind} app ({refused}); install gunicorn there, "
            "or start your own server: --url http://127.0.0.1:{port} -- COMMAND"
        )
    notes.append(f"{refused}, so {builder} {app.servers[builder]} serves the app")
    if builder == "waitress" and config.workers > 1:
        notes.append(f"waitress has one process: --workers {config.workers} has no effect")
    argv = (python, "-m", builder, *_BUILDERS[builder](config, app, port, wsgi))
    return Launch(argv, builder, app.servers[builder], None, tuple(notes))


def _told(config: RunConfig, app: Description) -> list[str]:
    """Say what was assumed, and what will not work."""
    notes = []
    if app.factory and not (config.factory or _is_call(config)):
        notes.append(f"{config.target} takes no arguments, so it is called to make the app; --factory says so")
    if app.interface == "unknown":
        notes.append(f"{config.target} does not show whether it speaks ASGI or WSGI; it is served as WSGI")
    given = config.worker_class
    if given is not None and app.interface in {"asgi", "asgi2"} and given in _WSGI_CLASSES:
        notes.append(f"--worker-class {given} serves WSGI apps and {config.target} is ASGI; expect nothing but errors")
    if given is not None and app.interface == "wsgi" and (given == "asgi" or given.endswith("UvicornWorker")):
        notes.append(f"--worker-class {given} serves ASGI apps and {config.target} is WSGI; expect nothing but errors")
    return notes


def _why_not_gunicorn(config: RunConfig, app: Description, *, wsgi: bool) -> str | None:
    """Return the reason why gunicorn of that interpreter cannot serve it, as a clause; None when it can."""
    if "gunicorn" not in app.servers:
        return f"Python {app.python} of the app has no gunicorn"
    if not app.simple:
        return f"gunicorn takes no dotted name such as {config.target}"
    if not wsgi and config.worker_class is None and _asgi_worker(app) is None:
        return f"gunicorn {app.servers['gunicorn']} has no ASGI worker there"
    return None


def _worker_class(config: RunConfig, app: Description, *, wsgi: bool) -> str | None:
    """Choose as gunicorn's users would; None leaves it to the app's own gunicorn.conf.py."""
    if _conf_chooses(config.cwd or Path.cwd()):
        return None
    if not wsgi:
        return _asgi_worker(app)
    # gunicorn's own rule (config.Config.worker_class): `sync` with more than one thread is `gthread`.
    return "gthread" if (config.threads or 1) > 1 else "sync"


def _asgi_worker(app: Description) -> str | None:
    if "uvicorn_worker" in app.servers and "uvicorn" in app.servers:
        return UVICORN_WORKER
    if "uvicorn.workers" in app.workers:
        return OLD_UVICORN_WORKER
    return "asgi" if "gunicorn.workers.gasgi" in app.workers and app.interface == "asgi" else None


def _conf_chooses(folder: Path) -> bool:
    """Tell whether the gunicorn.conf.py that gunicorn loads by itself names a worker class."""
    try:
        text = (folder / "gunicorn.conf.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^\s*worker_class\s*[:=]", text, re.MULTILINE) is not None


def _gunicorn(config: RunConfig, app: Description, python: str, port: int, worker_class: str | None) -> tuple[str, ...]:
    argv = [python, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "--workers", str(config.workers)]
    argv += ["--worker-class", worker_class] if worker_class is not None else []
    argv += ["--threads", str(config.threads)] if config.threads is not None else []
    major = app.servers["gunicorn"].partition(".")[0]
    argv += ["--no-control-socket"] if major.isdigit() and int(major) >= _NO_CONTROL_SOCKET_SINCE else []
    return (*argv, _called(config, app))


def _is_call(config: RunConfig) -> bool:
    return str(config.target).endswith(")")


def _called(config: RunConfig, app: Description) -> str:
    return f"{config.target}()" if app.factory and not _is_call(config) else str(config.target)


def _uncalled(config: RunConfig) -> str:
    return str(config.target).partition("(")[0]


def _uvicorn(config: RunConfig, app: Description, port: int, wsgi: bool) -> list[str]:
    # gunicorn writes no access log unless asked to; uvicorn does, at a price per request.
    words = ["--host", HOST, "--port", str(port), "--workers", str(config.workers), "--no-access-log"]
    words += ["--interface", "wsgi"] if wsgi else []
    return [*words, *(["--factory"] if app.factory else []), _uncalled(config)]


def _hypercorn(config: RunConfig, app: Description, port: int, wsgi: bool) -> list[str]:
    # It evaluates what stands behind the colon, so a call is fine.
    protocol = "wsgi" if wsgi else "asgi"
    return ["--bind", f"{HOST}:{port}", "--workers", str(config.workers), f"{protocol}:{_called(config, app)}"]


def _granian(config: RunConfig, app: Description, port: int, wsgi: bool) -> list[str]:
    words = ["--interface", "wsgi" if wsgi else "asgi", "--host", HOST, "--port", str(port)]
    words += ["--workers", str(config.workers)]
    words += ["--blocking-threads", str(config.threads)] if wsgi and config.threads is not None else []
    return [*words, *(["--factory"] if app.factory else []), _uncalled(config)]


def _waitress(config: RunConfig, app: Description, port: int, _wsgi: bool) -> list[str]:
    words = [f"--listen={HOST}:{port}", *([f"--threads={config.threads}"] if config.threads is not None else [])]
    return [*words, *(["--call"] if app.factory else []), _uncalled(config)]


_Builder = Callable[[RunConfig, Description, int, bool], list[str]]
_BUILDERS: Mapping[str, _Builder] = {
    "uvicorn": _uvicorn,
    "hypercorn": _hypercorn,
    "granian": _granian,
    "waitress": _waitress,
}
_FALLBACKS = {"asgi": ("uvicorn", "hypercorn", "granian"), "wsgi": ("waitress", "granian", "hypercorn", "uvicorn")}
