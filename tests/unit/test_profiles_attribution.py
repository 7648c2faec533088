"""Whose code it is, what a thread was doing, and who is to blame."""

import pytest

from pinchpoint.profiles.attribution import (
    blame,
    busy,
    category,
    hot_frames,
    on_loop,
    owner_of_file,
    owner_shares,
    short_path,
    tag_shares,
)
from pinchpoint.profiles.folded import Frame, Stack, Stacks
from pinchpoint.profiles.tags import Tag, leaf_tag

SITE = "/srv/.venv/lib/python3.11/site-packages"
LIB = "/usr/lib/python3.11"


@pytest.mark.parametrize(
    ("file", "owner"),
    [
        ("/srv/shop/main.py", "app"),
        ("shop.py", "app"),
        (f"{SITE}/starlette/routing.py", "starlette"),
        (f"{SITE}/six.py", "six"),
        (f"{SITE}/pydantic_core/_core.cpython-311.so", "pydantic_core"),
        ("/usr/lib/python3/dist-packages/yaml/__init__.py", "yaml"),
        (f"{SITE}/pinchpoint/app/routes.py", "app"),
        (f"{SITE}/pinchpoint/monitoring/probe/page.py", "pinchpoint-probe"),
        ("/work/checkout/monitoring/probe/page.py", "pinchpoint-probe"),
        (f"{LIB}/asyncio/events.py", "stdlib"),
        ("/root/.pyenv/versions/3.13.1/lib/python3.13t/json/decoder.py", "stdlib"),
        ("<frozen importlib._bootstrap>", "stdlib"),
        ("<string>", "stdlib"),
        ("/srv/.venv/bin/gunicorn", "gunicorn"),
        ("libc.so.6", "native"),
        ("", "native"),
        (r"C:\app\.venv\Lib\site-packages\flask\app.py", "flask"),
    ],
)
def test_the_path_names_the_owner(file: str, owner: str) -> None:
    """Paths alone decide, and a shortened path decides the same."""
    assert owner_of_file(file) == owner
    assert owner_of_file(short_path(file, "/srv")) == owner


@pytest.mark.parametrize(
    ("file", "short"),
    [
        ("/srv/shop/main.py", "shop/main.py"),
        ("/elsewhere/main.py", "/elsewhere/main.py"),
        (f"{SITE}/starlette/routing.py", "site-packages/starlette/routing.py"),
        (f"{LIB}/asyncio/events.py", "python3.11/asyncio/events.py"),
        ("/srv/.venv/bin/gunicorn", ".venv/bin/gunicorn"),
        ("/opt/venv/bin/gunicorn", "bin/gunicorn"),
        ("<string>", "<string>"),
    ],
)
def test_paths_lose_what_only_this_machine_knows(file: str, short: str) -> None:
    """A report does not tell where the environment or the interpreter is installed."""
    assert short_path(file, "/srv") == short


@pytest.mark.parametrize(
    ("owner", "group"),
    [
        ("app", "app"),
        ("uvicorn", "framework"),
        ("sqlalchemy", "library"),
        ("stdlib", "stdlib"),
        ("native", "native"),
        ("pinchpoint-probe", "pinchpoint"),
        ("", "thread"),
    ],
)
def test_owners_fall_into_few_groups(owner: str, group: str) -> None:
    """One colour a group."""
    assert category(owner) == group


def stack(*frames: tuple[str, str]) -> Stack:
    """Make a stack from functions and files; the line is the place in the stack."""
    return tuple(Frame(function, file, line) for line, (function, file) in enumerate(frames, 1))


LOOP = ("BaseEventLoop._run_once", f"{LIB}/asyncio/base_events.py")
HANDLER = ("handler", "/srv/shop.py")


@pytest.mark.parametrize(
    ("frames", "text", "tag"),
    [
        ([LOOP, ("EpollSelector.select", f"{LIB}/selectors.py")], "", "idle"),
        ([("Runner.run", f"{LIB}/asyncio/runners.py")], "return self._loop.run_until_complete(task)", "idle"),
        (
            [
                ("WorkerThread.run", f"{SITE}/anyio/_backends/_asyncio.py"),
                ("Queue.get", f"{LIB}/queue.py"),
                ("Condition.wait", f"{LIB}/threading.py"),
            ],
            "",
            "idle",
        ),
        ([("_worker", f"{LIB}/concurrent/futures/thread.py")], "work_item = work_queue.get(block=True)", "idle"),
        ([("_connection_worker_thread", f"{SITE}/aiosqlite/core.py")], "future, function = tx.get()", "idle"),
        ([("_connection_worker_thread", f"{SITE}/aiosqlite/core.py")], "result = function()", "db"),
        ([("Probe.run", "/w/monitoring/probe/page.py"), ("Event.wait", f"{LIB}/threading.py")], "", "idle"),
        ([HANDLER], "time.sleep(0.05)", "sleep"),
        ([HANDLER], "await asyncio.sleep(0)", "compute"),
        ([HANDLER], "return sum(range(n))", "compute"),
        ([HANDLER], "", "compute"),
        ([HANDLER, ("Queue.get", f"{LIB}/queue.py"), ("Condition.wait", f"{LIB}/threading.py")], "", "lock"),
        ([HANDLER], "with_lock.acquire()", "lock"),
        (
            [
                HANDLER,
                ("QueuePool._do_get", f"{SITE}/sqlalchemy/pool/impl.py"),
                ("Queue.get", f"{SITE}/sqlalchemy/util/queue.py"),
                ("Condition.wait", f"{LIB}/threading.py"),
            ],
            "",
            "pool-wait",
        ),
        ([HANDLER, ("DefaultDialect.do_execute", f"{SITE}/sqlalchemy/engine/default.py")], "", "db"),
        ([HANDLER, ("wait", f"{SITE}/psycopg/waiting.py"), ("select", f"{LIB}/selectors.py")], "", "db"),
        ([HANDLER, ("send", f"{SITE}/requests/api.py"), ("readinto", f"{LIB}/socket.py")], "", "network"),
        ([LOOP, ("write", f"{LIB}/asyncio/selector_events.py")], "n = self._sock.send(data)", "compute"),
    ],
)
def test_the_leaf_tells_what_a_thread_was_doing(frames: list[tuple[str, str]], text: str, tag: Tag) -> None:
    """Waiting for work, for a resource, and computing are told apart."""
    made = stack(*frames)
    lines = {f"{made[-1].file}:{made[-1].line}": text}
    assert leaf_tag(made, lines) == tag


def test_a_thread_without_frames_is_idle() -> None:
    """A native thread has nothing to show."""
    assert leaf_tag((Frame("thread (1): grpc", kind="thread"),)) == "idle"


JSON = ("dumps", f"{LIB}/json/__init__.py")
MIDDLEWARE = ("dispatch", "/srv/middleware.py")
ROUTE = ("app", f"{SITE}/fastapi/routing.py")


def test_blame_is_the_nearest_app_frame_above_the_leaf() -> None:
    """Not the middleware that every request passes."""
    stacks = Stacks({stack(LOOP, MIDDLEWARE, ROUTE, HANDLER, JSON): 7, stack(LOOP, MIDDLEWARE): 1, stack(LOOP): 9})
    assert blame(stacks) == {Frame("handler", "/srv/shop.py", 4): 7, Frame("dispatch", "/srv/middleware.py", 2): 1}


def test_hot_frames_start_with_the_app_function_to_blame() -> None:
    """Then the others by their own time; recursion counts once; the hottest line is shown."""
    recursive = (
        *stack(LOOP, MIDDLEWARE),
        Frame("handler", "/srv/shop.py", 8),
        Frame("handler", "/srv/shop.py", 9),
        Frame(JSON[0], JSON[1], 3),
    )
    hot = hot_frames(Stacks({recursive: 6, stack(LOOP, MIDDLEWARE): 1, stack(LOOP): 3}))
    assert [(one.function, one.owner, one.line, one.self_share, one.total_share) for one in hot] == [
        ("handler", "app", 9, 0.0, 0.6),
        ("dispatch", "app", 2, 0.1, 0.7),
        ("dumps", "stdlib", 3, 0.6, 0.6),
        ("BaseEventLoop._run_once", "stdlib", 1, 0.3, 1.0),
    ]


def test_hot_frames_are_few_and_leave_the_probe_out() -> None:
    """At most 25, whatever the profile; our own probe is nobody's bottleneck."""
    many = Stacks({stack((f"f{index}", f"{SITE}/lib{index}/a.py")): 1 for index in range(60)})
    probe = Stacks({stack(("tick", "/w/monitoring/probe/page.py")): 5})
    assert len(hot_frames(many)) == 25
    assert hot_frames(probe) == []
    assert hot_frames(Stacks({})) == []


def test_shares_are_of_the_leaf() -> None:
    """Who burns, and what for."""
    stacks = Stacks({stack(HANDLER, JSON): 3, stack(HANDLER): 1})
    assert owner_shares(stacks) == {"stdlib": 0.75, "app": 0.25}
    assert tag_shares(stacks, {"/srv/shop.py:1": "sleep(1)"}) == {"compute": 0.75, "sleep": 0.25}
    assert owner_shares(Stacks({})) == {}


def test_busy_keeps_sleepers_only_on_the_wall_clock() -> None:
    """A sleeper holds its thread, but burns no CPU."""
    idle, asleep = stack(LOOP, ("EpollSelector.select", f"{LIB}/selectors.py")), stack(HANDLER)
    stacks = Stacks({idle: 5, asleep: 2, stack(HANDLER, JSON): 1})
    lines = {"/srv/shop.py:1": "time.sleep(1)"}
    assert busy(stacks, lines, "wall").counts == {asleep: 2, stack(HANDLER, JSON): 1}
    assert busy(stacks, lines, "cpu").counts == {stack(HANDLER, JSON): 1}


def test_loop_stacks_are_those_below_an_event_loop() -> None:
    """Thread-pool threads do not block the loop."""
    assert on_loop(Stacks({stack(LOOP, HANDLER): 1, stack(HANDLER): 2})).counts == {stack(LOOP, HANDLER): 1}


def test_a_running_thread_inside_uvloop_is_busy() -> None:
    """The uvloop loop has no Python frames: what runs there is the loop's own work, what stands there waits."""
    stacks = Stacks({stack(("Runner.run", f"{LIB}/asyncio/runners.py")): 4})
    assert busy(stacks, {}, "cpu").total == 4
    assert busy(stacks, {}, "wall").total == 0
