"""Which module is hooked by what: module to be hooked -> (our module, its function), ...

Ours are imported only when there is something to hook.
"""

SERVERS = {
    "uvicorn.config": (("asgi", "hook_uvicorn"),),
    "gunicorn.workers.gasgi": (("asgi", "hook_gunicorn"),),
}

FRAMEWORKS: "dict[str, tuple[tuple[str, str], ...]]" = {}

WSGI_SERVERS: "dict[str, tuple[tuple[str, str], ...]]" = {}

THREADS = {
    "anyio._backends._asyncio": (("limiter", "hook_anyio"),),
}

DATABASES = {
    "sqlalchemy.pool.impl": (("pool", "hook_sqlalchemy"),),
}

OUTGOING: "dict[str, tuple[tuple[str, str], ...]]" = {}

LOCKS: "dict[str, tuple[tuple[str, str], ...]]" = {}

HOOKS = {**SERVERS, **FRAMEWORKS, **WSGI_SERVERS, **THREADS, **DATABASES, **OUTGOING, **LOCKS}
