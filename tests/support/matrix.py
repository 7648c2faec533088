"""Every pair of framework and server that makes sense, and how to start it."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULE = "support.matrix_apps"
BEGIN, END = "<!-- matrix -->", "<!-- end -->"
CLIENTS = 4
Words = list[str]


@dataclass(frozen=True)
class Cell:
    """One framework on one server. `route` is the row that the probe should show."""

    framework: str
    server: str
    loop: str
    app: str
    path: str
    route: str
    argv: Callable[[str, int], Words]
    clients: int = CLIENTS

    @property
    def name(self) -> str:
        """What the test is called."""
        return "-".join(part for part in (self.framework, self.server, self.loop) if part)

    def command(self, port: int) -> Words:
        """Return the command line that serves on `port`."""
        return self.argv(f"{MODULE}:{self.app}", port)


@dataclass(frozen=True)
class Framework:
    """What an app is asked for, and what its route is called."""

    name: str
    app: str
    route: str
    path: str = "/work/7"


ASGI = (
    Framework("FastAPI async", "fastapi_async_app", "GET /work/{item_id}"),
    Framework("FastAPI sync", "fastapi_sync_app", "GET /work/{item_id}"),
    Framework("Starlette", "starlette_app", "GET /work/{item_id}"),
    Framework("Django ASGI", "django_asgi_app", "GET /awaited/<int:item_id>", "/awaited/7"),
)
WSGI = (
    Framework("Flask", "flask_app", "GET /work/<int:item_id>"),
    Framework("Django", "django_wsgi_app", "GET /work/<int:item_id>"),
)


def _python(*words: str) -> Words:
    return [sys.executable, "-m", *words]


def _gunicorn(*words: str) -> Callable[[str, int], Words]:
    return lambda target, port: _python("gunicorn", "--bind", f"127.0.0.1:{port}", *words, target)


def _uvicorn(loop: str, http: str) -> Callable[[str, int], Words]:
    return lambda target, port: _python(
        "uvicorn", "--port", str(port), "--loop", loop, "--http", http, "--log-level", "warning", target
    )


def _hypercorn(prefix: str, *words: str) -> Callable[[str, int], Words]:
    # It looks names up in the module by itself, past `__getattr__`: the builder is called instead.
    return lambda target, port: _python(
        "hypercorn", "--bind", f"127.0.0.1:{port}", *words, f"{prefix}{target.removesuffix('_app')}()"
    )


def _granian(*words: str) -> Callable[[str, int], Words]:
    return lambda target, port: _python("granian", "--host", "127.0.0.1", "--port", str(port), *words, target)


ASGI_SERVERS: Sequence[tuple[str, str, Callable[[str, int], Words]]] = (
    ("uvicorn h11", "asyncio", _uvicorn("asyncio", "h11")),
    ("uvicorn httptools", "uvloop", _uvicorn("uvloop", "httptools")),
    ("gunicorn uvicorn-worker", "asyncio", _gunicorn("--worker-class", "uvicorn_worker.UvicornH11Worker")),
    ("gunicorn uvicorn-worker", "uvloop", _gunicorn("--worker-class", "uvicorn_worker.UvicornWorker")),
    ("gunicorn asgi", "asyncio", _gunicorn("--worker-class", "asgi", "--asgi-loop", "asyncio")),
    ("gunicorn asgi", "uvloop", _gunicorn("--worker-class", "asgi", "--asgi-loop", "uvloop")),
    ("hypercorn", "asyncio", _hypercorn("asgi:", "--worker-class", "asyncio")),
    ("hypercorn", "uvloop", _hypercorn("asgi:", "--worker-class", "uvloop")),
    ("granian", "asyncio", _granian("--interface", "asgi", "--loop", "asyncio")),
    ("granian", "uvloop", _granian("--interface", "asgi", "--loop", "uvloop")),
)
WSGI_SERVERS: Sequence[tuple[str, int, Callable[[str, int], Words]]] = (
    ("gunicorn sync", 1, _gunicorn("--worker-class", "sync")),
    ("gunicorn gthread", CLIENTS, _gunicorn("--worker-class", "gthread", "--threads", str(CLIENTS))),
    ("gunicorn gevent", CLIENTS, _gunicorn("--worker-class", "gevent")),
    (
        "waitress", CLIENTS,
        lambda target, port: _python("waitress", "--listen", f"127.0.0.1:{port}", "--threads", str(CLIENTS), target),
    ),
    ("hypercorn", CLIENTS, _hypercorn("wsgi:")),
    ("granian", CLIENTS, _granian("--interface", "wsgi", "--blocking-threads", str(CLIENTS))),
)  # fmt: skip


def cells() -> list[Cell]:
    """Return the whole matrix."""
    found = [
        Cell(framework.name, server, loop, framework.app, framework.path, framework.route, argv)
        for framework in ASGI
        for server, loop, argv in ASGI_SERVERS
    ]
    found += [
        Cell(framework.name, server, "", framework.app, framework.path, framework.route, argv, clients)
        for framework in WSGI
        for server, clients, argv in WSGI_SERVERS
    ]
    flask = WSGI[0]
    run = lambda target, port: _python("flask", "--app", target, "run", "--port", str(port))  # noqa: E731
    return [*found, Cell(flask.name, "flask run", "", flask.app, flask.path, flask.route, run)]


def write_tables(path: Path, off: dict[str, float]) -> None:
    """Write how far the probe's service time was off the clients' (a share) between the marks of the document."""
    lines = [part for frameworks in (ASGI, WSGI) for part in _table([one.name for one in frameworks], off)]
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


def _table(frameworks: list[str], off: dict[str, float]) -> list[str]:
    mine = [cell for cell in cells() if cell.framework in frameworks]
    servers = dict.fromkeys((cell.server, cell.loop) for cell in mine)
    known = {(cell.framework, cell.server, cell.loop): off[cell.name] for cell in mine if cell.name in off}
    head = ["server", "loop", *frameworks]
    rows = [
        [server, loop or "-", *(_cell(known.get((framework, server, loop))) for framework in frameworks)]
        for server, loop in servers
    ]
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]] + [""]


def _cell(off: float | None) -> str:
    return "" if off is None else f"{off:+.1%}".replace("%", " %")


def read_tables(path: Path) -> dict[str, float]:
    """Return what the document says of each cell, by the cell's name."""
    found: dict[str, float] = {}
    head: list[str] = []
    text = path.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    for line in text.splitlines():
        words = [word.strip() for word in line.strip("|").split("|")]
        if words[0] == "server":
            head = words
        elif len(words) == len(head) and not words[0].startswith("---"):
            server, loop = words[0], words[1].strip("-")
            for framework, cell in zip(head[2:], words[2:], strict=True):
                if cell:
                    name = "-".join(part for part in (framework, server, loop) if part)
                    found[name] = float(cell.replace(" %", "")) / 100
    return found
