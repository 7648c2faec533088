"""What an await chain waits for, from the innermost frame outward: known by the libraries' modules, never the app's.

Waiting primitives (asyncio, anyio) say how one waits, the library that called them says for what: an asyncio queue
below SQLAlchemy's pool is a connection pool. The names are those of the libraries' installed sources: SQLAlchemy 2.0
and 2.1, asyncpg 0.32, psycopg_pool 3.3, aiosqlite 0.22, httpx 0.28 / httpcore 1.0, aiohttp 3.14, anyio 4.16,
Starlette 1.0, uvicorn.
"""

from __future__ import annotations

import os
import re
from typing import Any, Sequence

from . import awaits_format as kinds

_STDLIB = os.path.dirname(os.__file__).replace("\\", "/") + "/"  # noqa: PTH120 - no pathlib in other people's processes
_PROBE = os.path.dirname(os.path.abspath(__file__)).replace("\\", "/") + "/"  # noqa: PTH100, PTH120
_LIBRARY = re.compile(r".*/(?:site|dist)-packages/(.*)", re.DOTALL)

APP, PRIMITIVE, LIBRARY, PROBE = "app", "primitive", "library", "probe"

# In the order looked up: (path below site-packages, function), what it waits for.
_BY_LIBRARY: "tuple[tuple[str, str, str], ...]" = (
    (r"sqlalchemy/pool/|sqlalchemy/util/queue\.py", r"", kinds.POOL),
    (r"sqlalchemy/connectors/|sqlalchemy/dialects/", r"", kinds.DATABASE),
    (r"asyncpg/pool\.py|psycopg_pool/|aiopg/pool|aiomysql/pool|asyncmy/pool|asyncpg/_pool", r"", kinds.POOL),
    (r"(?:redis|valkey)/asyncio/connection\.py", r"BlockingConnectionPool", kinds.POOL),
    (
        r"(?:asyncpg|psycopg|aiosqlite|aiopg|aiomysql|asyncmy|aioodbc|motor|pymongo|redis|valkey|oracledb|databases)/",
        r"",
        kinds.DATABASE,
    ),
    (r"httpcore/_async/connection_pool\.py", r".*wait_for_connection", kinds.HTTP_POOL),
    (r"aiohttp/connector\.py", r".*_wait_for_available_connection", kinds.HTTP_POOL),
    (r"aiohttp/(?:web|server)", r"", kinds.CLIENT),
    (
        r"(?:httpx|httpcore|aiohttp|botocore|aiobotocore|grpc|h2|websockets|aiosmtplib|aiokafka|aio_pika|nats)/",
        r"",
        kinds.HTTP,
    ),
    (r"aiofiles/", r"", kinds.THREAD),
    (r"(?:uvicorn|hypercorn|granian|gunicorn)/", r"", kinds.CLIENT),
)
_BY_PRIMITIVE: "tuple[tuple[str, str, str], ...]" = (
    (r"asyncio/locks\.py|anyio/_core/_synchronization\.py|anyio/_backends/.*", r"Event\.", kinds.EVENT),
    (r"asyncio/locks\.py", r"", kinds.LOCK),
    (r"anyio/.*", r"CapacityLimiter\.", kinds.THREAD_TOKEN),
    (r"anyio/.*", r"(?:Lock|Semaphore|Condition)\.", kinds.LOCK),
    (r"asyncio/queues\.py|anyio/streams/memory\.py", r"", kinds.QUEUE),
    (r"asyncio/threads\.py|anyio/to_thread\.py|anyio/_backends/.*", r".*(?:to_thread|run_sync)", kinds.THREAD),
    (r"asyncio/tasks\.py|anyio/.*", r"(?:.*\.)?(?:sleep|sleep_forever|__sleep0)\Z", kinds.SLEEP),
    (r"asyncio/subprocess\.py|asyncio/base_subprocess\.py|anyio/_core/_subprocesses\.py", r"", kinds.PROCESS),
    (r"asyncio/(?:streams|base_events|selector_events|sslproto)\.py|anyio/.*[Ss]tream.*", r"", kinds.NETWORK),
)
_PRIMITIVES = re.compile(r"sqlalchemy/util/(?!queue)|httpcore/_synchronization\.py|anyio/|sniffio/|async_timeout/")


class Place:
    """One line of one function: where a chain is."""

    __slots__ = ("code", "file", "function", "owner", "role", "text")

    def __init__(self, code: Any, function: str, line: int, role: str = "") -> None:
        self.code = code  # kept, so that its id stays its own
        self.function = function
        path = code.co_filename.replace("\\", "/")
        self.owner, self.file = owner(path)
        self.role = role
        self.text = "%s (%s:%d)" % (function, path, line)
        self.text = self.text.replace(";", ":").replace("\n", " ").replace("\r", " ")


def owner(path: str) -> tuple[str, str]:
    """Say whose source file it is, and its name below site-packages or the standard library."""
    if path.startswith(_PROBE):
        return PROBE, path[len(_PROBE) :]
    match = _LIBRARY.fullmatch(path)
    if match is not None:
        below = match.group(1)
        return (LIBRARY if _PRIMITIVES.match(below) is None else PRIMITIVE), below
    if path.endswith(".pyx"):
        return LIBRARY, path
    if path.startswith(_STDLIB):
        return PRIMITIVE, path[len(_STDLIB) :]
    return (PRIMITIVE if path.startswith("<frozen") else APP), path


def waits_for(places: Sequence[Place], hint: str = "") -> str:
    """Name what a chain waits for. `hint` is what its last future tells, when no library does."""
    how = ""
    for place in reversed(places):
        if place.owner == PROBE:
            continue
        if place.owner == PRIMITIVE:
            if not how or how == kinds.EVENT:  # events are what locks, limiters and queues are made of
                how = _look_up(_BY_PRIMITIVE, place) or how
            continue
        if place.owner == LIBRARY:
            what = _look_up(_BY_LIBRARY, place)
            if what:
                return what
            if not how and not hint:
                continue
        break
    return how or hint or kinds.OTHER


def _look_up(table: "tuple[tuple[str, str, str], ...]", place: Place) -> str:
    for file, function, what in table:
        if re.match(file, place.file) and re.match(function, place.function):
            return what
    return ""
