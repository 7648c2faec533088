"""What a sampled thread was doing, from the leaf of its stack upward: compute, or what it waited for.

C functions leave no frame: `time.sleep(1)` looks like the Python line that calls it. So the text of the leaf's line is
read at capture (`lines`, by `file:line`); without it, a sleep or a native wait counts as `compute`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinchpoint.profiles.folded import Frame, Stack

Tag = Literal["idle", "sleep", "db", "pool-wait", "lock", "network", "compute"]

# Looked for in paths, by the folder or file they name. Sources: the installed packages named.
_IDLE_WORKERS = (
    ("concurrent/futures/thread.py", "_worker"),
    ("anyio/_backends/_asyncio.py", "WorkerThread.run"),
    ("anyio/_backends/_asyncio.py", "run"),
    ("gunicorn/arbiter.py", "Arbiter.sleep"),
    ("gunicorn/workers/gthread.py", "ThreadWorker.run"),
    ("gunicorn/workers/sync.py", "SyncWorker.wait"),
)
_AIOSQLITE_LOOPS = ("_connection_worker_thread", "Connection.run", "run")
_LOOP_RUNNERS = ("asyncio/runners.py", "asyncio/base_events.py", "uvicorn/server.py", "uvicorn/_compat.py")
_DATABASES = re.compile(
    r"(?:^|/)(?:sqlite3|aiosqlite|asyncpg|psycopg|psycopg2|psycopg_binary|pymysql|aiomysql|MySQLdb|mysql|pymongo|motor|redis"
    r"|oracledb|pyodbc|duckdb)/"
)
_SQL_EXECUTE = re.compile(
    r"(?:do_execute|do_executemany|do_execute_no_params|_fetch\w*_impl|fetchall|fetchone|fetchmany)$"
)
_POOLS = re.compile(
    r"(?:^|/)(?:sqlalchemy/pool/|sqlalchemy/util/queue\.py|sqlalchemy/util/concurrency\.py|psycopg_pool/"
    r"|urllib3/connectionpool\.py|httpcore/_sync/connection_pool\.py|asyncpg/pool\.py)"
)
_NETWORK_FILES = re.compile(r"(?:^|/)(?:socket|ssl|http/client|urllib3/util/wait|httpcore/_backends/sync)\.py$")
_WAIT_FILES = re.compile(
    r"(?:^|/)(?:threading|queue|_weakrefset)\.py$|(?:^|/)sqlalchemy/util/(?:queue|langhelpers)\.py$"
)
_WAITS = re.compile(r"(?:^|\.)(?:wait|wait_for|acquire|get|put|join|_wait_for_tstate_lock|__enter__)$")
_SELECT = re.compile(r"(?:^|/)selectors\.py$")
_TAKES_WORK = re.compile(r"\.get\(|\.wait\(")
_SLEEPS = re.compile(r"^(?!.*\bawait\b).*\bsleep\(")
_LOCKS = re.compile(r"\b(?:acquire|flock|lockf)\(")
_NETWORK_CALLS = re.compile(r"\.(?:recv|recv_into|recvfrom|sendall|connect|accept|getaddrinfo|poll|select)\(")


def line_key(frame: Frame) -> str:
    """Return the key under which a frame's source text is kept."""
    return f"{frame.file}:{frame.line}"


def leaf_tag(stack: Stack, lines: Mapping[str, str] | None = None) -> Tag:
    """Tell what the thread of this stack was doing."""
    code = [frame for frame in stack if frame.kind == "code"]
    if not code:
        return "idle"
    leaf = code[-1]
    text = (lines or {}).get(line_key(leaf), "")
    if _waits_for_work(code, text):
        return "idle"
    if _WAIT_FILES.search(leaf.file) and _WAITS.search(leaf.function):
        return "pool-wait" if _asked_by(code, _POOLS) else "lock"
    if _in_database(code):
        return "db"
    return _by_call(leaf, text)


def _by_call(leaf: Frame, text: str) -> Tag:
    """Read the line itself: a C function that waits leaves no frame."""
    if _SLEEPS.search(text):
        return "sleep"
    if _NETWORK_FILES.search(leaf.file) or _SELECT.search(leaf.file) or _NETWORK_CALLS.search(text):
        return "network"
    return "lock" if _LOCKS.search(text) else "compute"


def _waits_for_work(code: list[Frame], text: str) -> bool:
    """Tell an idle worker or event loop from one that waits on behalf of a request."""
    leaf = code[-1]
    below = next((frame for frame in reversed(code) if not _is_wait(frame)), leaf)
    if "monitoring/probe/" in below.file:
        return True
    if _SELECT.search(leaf.file):
        return below.file.endswith(("asyncio/base_events.py", "gunicorn/workers/gthread.py", "socketserver.py"))
    if "aiosqlite/" in below.file and below.function in _AIOSQLITE_LOOPS:
        return leaf is not below or bool(_TAKES_WORK.search(text))
    if any(below.file.endswith(file) and below.function == function for file, function in _IDLE_WORKERS):
        return leaf is not below or not text or bool(_TAKES_WORK.search(text) or _SLEEPS.search(text))
    return in_native_loop(leaf)


def in_native_loop(leaf: Frame) -> bool:
    """Tell whether a stack ends where uvloop begins: it has no Python frames, so it waits there, or runs there."""
    return leaf.file.endswith(_LOOP_RUNNERS) and leaf.function in {"Runner.run", "run", "Server.run", "asyncio_run"}


def _is_wait(frame: Frame) -> bool:
    return bool(_WAIT_FILES.search(frame.file) or _SELECT.search(frame.file))


def _asked_by(code: list[Frame], pattern: re.Pattern[str]) -> bool:
    """Tell whether the leaf's file, or the nearest one outside the waiting primitives, matches."""
    below = next((frame for frame in reversed(code) if not _WAIT_FILES.search(frame.file)), code[-1])
    return bool(pattern.search(below.file) or pattern.search(code[-1].file))


def _in_database(code: list[Frame]) -> bool:
    """Tell whether the leaf is a statement being executed, or library code that a database driver called."""
    leaf = code[-1]
    if leaf.file.endswith(("sqlalchemy/engine/default.py", "sqlalchemy/engine/cursor.py")):
        return bool(_SQL_EXECUTE.search(leaf.function))
    if _DATABASES.search(leaf.file):
        return True
    if not (_NETWORK_FILES.search(leaf.file) or _SELECT.search(leaf.file)):
        return False
    outside = next((frame for frame in reversed(code[:-1]) if not _NETWORK_FILES.search(frame.file)), leaf)
    return bool(_DATABASES.search(outside.file))
