"""Which module is hooked by what: module to be hooked -> (our module, its function), ...

Ours are imported only when there is something to hook.
"""

SERVERS = {
    "uvicorn.config": (("asgi_servers", "hook_uvicorn"),),
    "uvicorn.protocols.http.h11_impl": (("asgi_servers", "hook_uvicorn_protocol"),),
    "uvicorn.protocols.http.httptools_impl": (("asgi_servers", "hook_uvicorn_protocol"),),
    "uvicorn.protocols.http.zttp_impl": (("asgi_servers", "hook_uvicorn_protocol"),),
    "gunicorn.workers.gasgi": (("asgi_servers", "hook_gunicorn"),),
    "gunicorn.asgi.protocol": (("asgi_servers", "hook_gunicorn_protocol"),),
    "hypercorn.app_wrappers": (("asgi_servers", "hook_hypercorn"),),
    "hypercorn.asyncio.task_group": (("asgi_servers", "hook_hypercorn_tasks"),),
    "granian.server.mp": (("asgi_servers", "hook_granian"),),
    "granian.server.embed": (("asgi_servers", "hook_granian"),),
}

FRAMEWORKS: "dict[str, tuple[tuple[str, str], ...]]" = {
    "flask.ctx": (("frameworks", "hook_flask"),),
    "quart.ctx": (("frameworks", "hook_quart"),),
    "django.core.handlers.base": (("frameworks", "hook_django"),),
}

WSGI_SERVERS: "dict[str, tuple[tuple[str, str], ...]]" = {
    "gunicorn.workers.sync": (("wsgi_servers", "hook_gunicorn_sync"),),
    "gunicorn.workers.gthread": (("wsgi_servers", "hook_gunicorn_gthread"),),
    "gunicorn.workers.base_async": (("wsgi_servers", "hook_gunicorn_async"),),
    "gunicorn.workers.gtornado": (("wsgi_servers", "hook_gunicorn_tornado"),),
    "waitress.server": (("wsgi_servers", "hook_waitress"),),
    "waitress.task": (("wsgi_servers", "hook_waitress_tasks"),),
    "werkzeug.serving": (("wsgi_servers", "hook_werkzeug"),),
    "wsgiref.simple_server": (("wsgi_servers", "hook_wsgiref"),),
    "gevent.pywsgi": (("wsgi_servers", "hook_pywsgi"),),
    "hypercorn.app_wrappers": (("wsgi_servers", "hook_hypercorn"),),
    "granian.wsgi": (("wsgi_servers", "hook_granian"),),
}

THREADS = {
    "concurrent.futures.thread": (("executors", "hook_executor"),),
    "anyio._backends._asyncio": (("limiter", "hook_anyio"),),
}

DATABASES = {
    "sqlalchemy.pool.impl": (("pool", "hook_sqlalchemy"),),
    "sqlalchemy.engine.base": (("database", "hook_engine"),),
    "sqlite3.dbapi2": (("sqlite", "hook_sqlite3"),),
    "aiosqlite.core": (("drivers", "hook_aiosqlite"),),
    "psycopg2": (("psycopg2s", "hook_psycopg2"),),
    "psycopg.connection": (("drivers", "hook_psycopg"),),
    "psycopg.connection_async": (("drivers", "hook_psycopg_async"),),
    "psycopg_pool.pool": (("driver_pools", "hook_psycopg_pool"),),
    "psycopg_pool.null_pool": (("driver_pools", "hook_psycopg_pool"),),
    "psycopg_pool.pool_async": (("driver_pools", "hook_psycopg_pool"),),
    "psycopg_pool.null_pool_async": (("driver_pools", "hook_psycopg_pool"),),
    "asyncpg.connection": (("drivers", "hook_asyncpg"),),
    "asyncpg.prepared_stmt": (("drivers", "hook_asyncpg_statement"),),
    "asyncpg.cursor": (("drivers", "hook_asyncpg_cursor"),),
    "asyncpg.transaction": (("drivers", "hook_asyncpg_transaction"),),
    "asyncpg.pool": (("driver_pools", "hook_asyncpg_pool"),),
    "pymysql.cursors": (("drivers", "hook_pymysql_cursor"),),
    "pymysql.connections": (("drivers", "hook_pymysql_connection"),),
}

OUTGOING = {
    "httpcore._async.connection_pool": (("httpx_client", "hook_async"),),
    "httpcore._async.connection": (("httpx_client", "hook_async_connect"),),
    "httpcore._async.http11": (("httpx_client", "hook_async_send"),),
    "httpcore._sync.connection_pool": (("httpx_client", "hook_sync"),),
    "httpcore._sync.connection": (("httpx_client", "hook_sync_connect"),),
    "httpcore._sync.http11": (("httpx_client", "hook_sync_send"),),
    "urllib3.connectionpool": (("urllib3_client", "hook_pool"),),
    "urllib3.connection": (("urllib3_client", "hook_connect"),),
    "aiohttp.connector": (("aiohttp_client", "hook_connector"),),
    "aiohttp.client_reqrep": (("aiohttp_client", "hook_response"),),
    "http.client": (("stdlib_client", "hook_http"),),
    "smtplib": (("mail", "hook_smtp"),),
}

LOCKS = {
    "asyncio.locks": (("locks", "hook_asyncio"),),
    "fcntl": (("blocking_locks", "hook_fcntl"),),
    "threading": (("blocking_locks", "hook_threading"),),
}

HOOKS: "dict[str, tuple[tuple[str, str], ...]]" = {}
for _targets in (SERVERS, FRAMEWORKS, WSGI_SERVERS, THREADS, DATABASES, OUTGOING, LOCKS):
    for _module, _hooks in _targets.items():
        # A server may be hooked twice: for its ASGI apps and for its WSGI apps.
        HOOKS[_module] = HOOKS.get(_module, ()) + _hooks
