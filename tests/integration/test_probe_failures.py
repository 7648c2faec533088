"""Every hook, made to fail inside a real server: requests do not notice, one line says so, its figures are gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pinchpoint.monitoring.injection import probe_environment
from support.zygotes import Zygote, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOM = """
from importlib import import_module
def boom(*args, **kwargs): raise LookupError('broken by a test')
def ours(name): return import_module('_pinchpoint_probe.' + name)
"""
REQUESTS = ("requests_", "responses_", "inflight", "service_s", "handler_")
POOLED = ("slots_", "executor_", "http_pool_", "lock_", "pool_")
CALLS = ("db_", "http_calls", "http_s", "http_active", "http_errors")
HTTP = CALLS[1:]


def fails(module: str, name: str) -> str:
    """Return the code that makes a function of the probe raise."""
    return f"{BOOM}ours('{module}').{name} = boom"


def spoilt(module: str, name: str) -> str:
    """Return the code that puts something of the wrong type into the probe's figures."""
    return f"{BOOM}ours('{module}').{name} = None"


ASGI_CASES = [
    # hook, what breaks, which fields go
    ("requests", spoilt("asgi", "REQUESTS.starts"), REQUESTS),
    ("requests", spoilt("asgi", "REQUESTS.cpu_s"), REQUESTS),
    ("requests", fails("asgi", "row_of") + "\nours('asgi').ROWS = {}", REQUESTS),
    ("requests", fails("asgi", "HOOK._fill"), REQUESTS),
    ("request queue", spoilt("asgi", "REQUESTS.queue_s"), ("queue_",)),
    ("request queue", fails("asgi", "Requests.all_timed"), ("queue_",)),
    ("request queue", fails("asgi", "QUEUE_HOOK._fill"), ("queue_",)),
    ("uvicorn limit_concurrency", fails("asgi_servers", "LIMIT.enter"), ("slots_",)),
    ("uvicorn limit_concurrency", fails("asgi_servers", "LIMIT.leave"), ("slots_",)),
    ("uvicorn limit_concurrency", fails("asgi_servers", "LIMIT_HOOK._fill"), ("slots_",)),
    ("event loop", spoilt("loop", "WATCH.lag_s"), ("loop_",)),
    ("event loop", spoilt("loop", "WATCH.busy._state"), ("loop_",)),
    ("event loop", fails("loop", "HOOK._fill"), ("loop_",)),
    ("await profile", fails("awaits", "follow"), ()),
    ("await profile", spoilt("awaits", "PROFILE._mean_cost_s"), ()),
    ("await profile", fails("awaits", "HOOK._fill"), ()),
    ("routes", fails("routes", "HOOK._fill"), ()),
    ("threadpool", spoilt("limiter", "TOKENS.busy"), ("tokens_",)),
    ("threadpool", spoilt("limiter", "TOKENS.taken"), ("tokens_",)),
    ("threadpool", fails("limiter", "HOOK._fill"), ("tokens_",)),
    ("executors", fails("executors", "Task.__init__"), ("executor_",)),
    ("executors", fails("executors", "HOOK._fill"), ("executor_",)),
    ("gates", fails("pool", "_got"), POOLED),
    ("gates", fails("gates", "HOOK._fill"), POOLED),
    ("calls", fails("database", "_add") + "\nours('peers').HOOK._fill = boom", CALLS),
    ("httpx", fails("httpx_client", "_arrive"), (*HTTP, "http_pool_")),
    ("httpx", fails("httpx_client", "_admitted"), (*HTTP, "http_pool_")),
    ("httpx", fails("httpx_client", "_answered"), (*HTTP, "http_pool_")),
    ("httpx", fails("httpx_client", "HOOK._fill"), (*HTTP, "http_pool_")),
    ("urllib3", fails("urllib3_client", "_arrive"), (*HTTP, "http_pool_")),
    ("urllib3", fails("urllib3_client", "peer"), (*HTTP, "http_pool_")),
    ("urllib3", fails("urllib3_client", "_leave"), (*HTTP, "http_pool_")),
    ("aiohttp", fails("aiohttp_client", "_arrive"), (*HTTP, "http_pool_")),
    ("aiohttp", fails("aiohttp_client", "_admitted"), (*HTTP, "http_pool_")),
    ("http.client", fails("stdlib_client", "_begin"), HTTP),
    ("http.client", fails("stdlib_client", "_answered"), HTTP),
    ("smtplib", fails("mail", "_enter"), ()),
    ("smtplib", fails("mail", "_name"), ()),
    ("asyncio locks", fails("locks", "_contended"), ("lock_",)),
    ("asyncio locks", fails("locks", "Watched.ask"), ("lock_",)),
    ("file locks", fails("blocking_locks", "_ask"), ("lock_",)),
    ("threading semaphores", fails("blocking_locks", "_ask_thread"), ("lock_",)),
]
WSGI_CASES = [
    ("wsgi requests", fails("wsgi", "REQUESTS.enter"), (*REQUESTS, "queue_", "slots_")),
    ("wsgi requests", fails("wsgi", "REQUESTS.leave"), (*REQUESTS, "queue_", "slots_")),
    ("wsgi requests", fails("wsgi", "REQUESTS.add_step"), (*REQUESTS, "queue_", "slots_")),
    ("wsgi requests", fails("wsgi", "HOOK._fill"), (*REQUESTS, "queue_", "slots_")),
    ("wsgi requests", fails("wsgi_servers", "_Task._start"), (*REQUESTS, "queue_", "slots_")),
    ("frameworks", fails("frameworks", "_note_flask.__code__") + ".__code__", ()),
    (
        "executors",
        fails("executors", "Pool.size") + "\nours('executors').Task = boom",
        ("executor_",),
    ),
]


@pytest.fixture(scope="module")
def zygotes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Zygote]]:
    """Start one for each kind of app."""
    both = {kind: Zygote(kind, tmp_path_factory.mktemp(kind)) for kind in ("asgi", "wsgi")}
    yield both
    for zygote in both.values():
        zygote.close()


@pytest.fixture(scope="module")
def healthy(zygotes: dict[str, Zygote]) -> dict[str, tuple[Any, set[str]]]:
    """Return what each app answers, and what its page shows, while nothing is broken."""
    found = {}
    for kind, zygote in zygotes.items():
        with zygote.serving("healthy") as server:
            wait_for(lambda: server.ask("/"))
            answers, (fields, tables) = server.answers(), server.shown()
            assert [status for status, _ in answers] == [200, 200, 200, 404, 500, 200, 200]
            assert {row["state"] for row in tables["hooks"].values()} == {1}
            assert "pinchpoint" not in server.said()
        found[kind] = answers, fields
    return found


CASES = [("asgi", *case) for case in ASGI_CASES] + [("wsgi", *case) for case in WSGI_CASES]


@pytest.mark.parametrize(
    ("kind", "hook", "code", "gone"),
    CASES,
    ids=[f"{number}-{case[0]}-{case[1]}" for number, case in enumerate(CASES)],
)
def test_a_hook_that_fails_breaks_no_request(
    zygotes: dict[str, Zygote],
    healthy: dict[str, tuple[Any, set[str]]],
    request: pytest.FixtureRequest,
    kind: str,
    hook: str,
    code: str,
    gone: tuple[str, ...],
) -> None:
    """Answers stay the same, one line is logged, its fields are gone, and all others are still there."""
    with zygotes[kind].serving(request.node.callspec.id.split("-")[0]) as server:
        wait_for(lambda: server.ask("/"))
        assert server.ask("/break", code) == (200, b"broken")
        answers = server.answers()
        left, tables = server.shown()
        log = server.said()

    expected, fields = healthy[kind]
    assert answers == expected
    (line,) = [line for line in log.splitlines() if "pinchpoint" in line]
    assert line.startswith(f"pinchpoint probe: {hook} switched off: ")
    assert log.count("Traceback") == 1  # the app's own
    # SQLite's busy times come a moment after its first connection, or do not come in time.
    missing = {field for field in fields - left if not field.startswith("sqlite_busy")}
    assert missing == {field for field in fields if field.startswith(gone)}
    assert {name for name, row in tables["hooks"].items() if not row["state"]} == {hook}


UNHOOKED = """
import importlib
from _pinchpoint_probe import targets
def boom(_module): raise LookupError("broken by a test")
for hooks in reversed(list(targets.HOOKS.values())):  # locks first: others import asyncio
    for ours, function in hooks:
        if not {some!r} or ours in {some!r}:
            setattr(importlib.import_module("_pinchpoint_probe." + ours), function, boom)
"""
CLIENTS = {
    "httpx_client": "httpx",
    "urllib3_client": "urllib3",
    "aiohttp_client": "aiohttp",
    "stdlib_client": "http.client",
    "mail": "smtplib",
    "limiter": "threadpool",
    "executors": "executors",
    "locks": "asyncio locks",
}


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_when_nothing_can_be_hooked_the_app_serves_as_without_the_probe(tmp_path: Path, kind: str) -> None:
    """Each module whose hook raises is imported all the same, with one line; without a server there is no page."""
    (tmp_path / "sitecustomize.py").write_text(UNHOOKED.format(some=()))
    zygote = Zygote(kind, tmp_path)
    with zygote.serving("log") as server:
        wait_for(lambda: server.ask("/"))
        answers = [status for status, _ in server.answers()]
    zygote.close()

    lines = (tmp_path / "zygote.log").read_text().splitlines()
    assert answers == [200, 200, 200, 404, 500, 200, 200]
    assert len(lines) > 3
    assert len(lines) == len(set(lines))
    assert [line for line in lines if not line.startswith("pinchpoint probe: ") or " not hooked: " not in line] == []
    assert list((tmp_path / "pages").glob("*.page")) == []


def test_what_cannot_be_hooked_is_unavailable_and_the_rest_is_there(tmp_path: Path) -> None:
    """Clients and locks whose modules changed have no figures, not even zeros; rows of the page say so."""
    (tmp_path / "sitecustomize.py").write_text(UNHOOKED.format(some=tuple(CLIENTS)))
    zygote = Zygote("asgi", tmp_path)
    with zygote.serving("log") as server:
        wait_for(lambda: server.ask("/"))
        answers = [status for status, _ in server.answers()]
        fields, tables = server.shown()
    zygote.close()

    off = {name for name, row in tables["hooks"].items() if not row["state"]}
    assert answers == [200, 200, 200, 404, 500, 200, 200]
    assert off & set(CLIENTS.values()) == set(CLIENTS.values())
    assert {"httpcore._async.http11", "urllib3.connection", "anyio._backends._asyncio", "asyncio.locks"} <= off
    assert {field for field in fields if field.startswith(("http_", "tokens_", "executor_", "lock_"))} == set()
    assert {"requests_done", "loop_busy_s", "pool_wait_s", "db_s", "slots_taken", "queue_s"} <= fields


def test_a_page_folder_that_vanishes_costs_one_line(tmp_path: Path) -> None:
    """The page goes on in memory, for nobody; the await profile, which writes a file each second, gives up."""
    zygote = Zygote("asgi", tmp_path)
    with zygote.serving("log") as server:
        wait_for(lambda: server.ask("/"))
        shutil.rmtree(tmp_path / "pages")
        wait_for(lambda: "pinchpoint" in server.said())
        assert [status for status, _ in server.answers()] == [200, 200, 200, 404, 500, 200, 200]
        log = server.said()
    zygote.close()
    assert log.count("pinchpoint probe: await profile switched off: FileNotFoundError") == 1
    assert log.count("pinchpoint") == 1


FORKED_WHILE_LOCKED = """
import os, sys, threading
from importlib import import_module
ours = lambda name: import_module("_pinchpoint_probe." + name)
outgoing, gates, routes = ours("outgoing"), ours("gates"), ours("routes")
locks = [outgoing._FAMILY_LOCK, outgoing._CHANGE_LOCK, gates.GATES_OPEN._lock, routes.ROUTES_SEEN._lock]
held, done = threading.Event(), threading.Event()
def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
pid = os.fork()
if pid == 0:
    def use():
        outgoing.Door("http-pool", "httpx max 1", 1).close()
        routes.ROUTES_SEEN.row("GET", "/new", "", 200)
        os._exit(7)
    threading.Thread(target=use, daemon=True).start()
    threading.Event().wait(5)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def _run(code: str, tmp_path: Path, *path: Path, python: str = sys.executable, cwd: Path | None = None) -> str:
    """Run code under the probe; return what it says on both streams."""
    environ = probe_environment(tmp_path / "pages", {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))})
    command = [python, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False, cwd=cwd)
    return done.stdout + done.stderr


def test_a_fork_while_our_locks_are_held_leaves_no_child_waiting(tmp_path: Path) -> None:
    """The thread that held them does not exist in the child."""
    assert _run(FORKED_WHILE_LOCKED, tmp_path) == "7\n"


def _python(minor: int) -> str:
    """Return an interpreter of Python 3.`minor`."""
    found = next((Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python"), None)
    return str(found) if found is not None else pytest.skip(f"Python 3.{minor} is not installed")


CALLING = """
import importlib.machinery, importlib.util, sys
print("first")
behind = sys.path[sys.path.index({folder!r}) + 1:]
spec = importlib.machinery.PathFinder.find_spec("sitecustomize", behind)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""


def test_a_tool_in_front_that_runs_the_next_sitecustomize_is_run_once(tmp_path: Path) -> None:
    """We run what is behind us, and not what stands before us again."""
    first, last = tmp_path / "with a space", tmp_path / "last"
    for folder, code in ((first, CALLING.format(folder=str(first))), (last, "print('last')")):
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code)
    environ = probe_environment(tmp_path / "pages", {**os.environ, "PYTHONPATH": str(last)})
    environ["PYTHONPATH"] = os.pathsep.join([str(first), environ["PYTHONPATH"]])
    command = [sys.executable, "-c", "import sys; print('_pinchpoint_probe.hooks' in sys.modules)"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("first\nlast\nTrue\n", "")


def test_a_working_directory_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    """Relative entries of the path lead nowhere then; from 3.11 on, Python itself does not start."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        "import os, subprocess, sys; os.rmdir(os.getcwd());"
        "code = 'import sys; print(\"_pinchpoint_probe.hooks\" in sys.modules)';"
        "done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True);"
        "print(done.stdout, done.stderr.count('sitecustomize'))"
    )
    assert _run(code, tmp_path, Path("relative"), python=_python(9), cwd=gone) == "True\n 0\n"


ZIPPED = """
import uvicorn.config
print(uvicorn.config.Config.load.__closure__ is not None, uvicorn.config.__file__.endswith("app.zip/uvicorn/config.py"))
"""


@pytest.mark.parametrize("minor", [9, 11])
def test_servers_in_a_zip_file_are_hooked(tmp_path: Path, minor: int) -> None:
    """Loaders of zip files had no exec_module until Python 3.9."""
    python = _python(minor)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("uvicorn/__init__.py", "")
        archive.writestr("uvicorn/config.py", "class Config:\n    def load(self): self.loaded_app = None\n")
    assert _run(ZIPPED, tmp_path, tmp_path / "app.zip", python=python) == "True True\n"
