"""Serve an app in a child forked from a process that has imported all it needs: a server in a tenth of a second.

Usage: `python zygote.py asgi|wsgi`. A line `PORT LOG` on stdin starts a child, whose pid is the answer; the end of
stdin is the end.
"""

import importlib
import os
import sys
from typing import Any


def _serve_asgi(port: int, _app: Any) -> None:
    import uvicorn  # noqa: PLC0415 - as late as the app

    options: dict[str, Any] = {"loop": "asyncio", "http": "h11", "limit_concurrency": 100, "log_level": "error"}
    uvicorn.run("breakable_asgi:app", host="127.0.0.1", port=port, **options)


def _serve_wsgi(port: int, app: Any) -> None:
    importlib.import_module("waitress").serve(app, host="127.0.0.1", port=port, threads=8)


SERVE = {"asgi": _serve_asgi, "wsgi": _serve_wsgi}


def _child(kind: str, app: Any, port: int, log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 2)
    sys.modules["_pinchpoint_probe.runtime"].PUBLISH_INTERVAL_S = 0.01  # type: ignore[attr-defined]
    SERVE[kind](port, app)


def main() -> None:
    """Fork a server for every line."""
    kind = sys.argv[1]
    module = importlib.import_module(f"breakable_{kind}")
    importlib.import_module({"asgi": "uvicorn.protocols.http.h11_impl", "wsgi": "waitress"}[kind])
    for line in sys.stdin:
        port, log = line.split(maxsplit=1)
        pid = os.fork()
        if pid == 0:
            _child(kind, module.app, int(port), log.strip())
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
