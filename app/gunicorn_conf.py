"""gunicorn's configuration.

From a checkout `gunicorn -c app/gunicorn_conf.py app.main:app`; installed, `-c python:pinchpoint.app.gunicorn_conf`.

Everything can be set by environment (`PINCHPOINT_APP_*`, `WEB_CONCURRENCY`); gunicorn's own flags win over both.
"""

import contextlib
import errno
import importlib
import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uvicorn_worker import UvicornWorker

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker


def _package() -> str:
    """Return the name of the package this file lies in; given by path it has none yet, and gets a private one."""
    if __package__:
        return __package__
    name = "_pinchpoint_app"
    if name not in sys.modules:
        folder = Path(__file__).resolve().parent
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            raise SystemExit(f"{folder} is not a Python package.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return name


_boot = importlib.import_module(f"{_package()}.boot")
# Before anything imports prometheus_client, which looks at the environment once.
_boot.prepare_master(os.environ)
_settings = importlib.import_module(f"{_package()}.settings").load_settings()


class AppWorker(UvicornWorker):  # type: ignore[misc,unused-ignore]
    """uvicorn on the chosen event loop.

    asyncio by default, although uvloop is faster: the time asyncio spends waiting can be read exactly, the time uvloop
    spends waiting cannot, and this app exists to be measured.
    """

    CONFIG_KWARGS: dict[str, Any] = {"loop": _settings.loop, "http": "auto"}  # noqa: RUF012 - the base class reads it so


bind = _settings.bind
workers = _settings.workers
worker_class: type | str = _settings.worker_class or AppWorker
threads = _settings.threads
backlog = _settings.backlog
timeout = _settings.timeout_s
accesslog = None
# gunicorn 25 and later keep a control socket in the home folder, where two masters would share it.
control_socket_disable = True


def on_starting(server: "Arbiter") -> None:
    """With several workers, give each a listening socket of its own.

    Workers that share one socket take as many connections as they find on waking up: 4 workers shared 40 as 26/14/0/0
    (DESIGN §6). With SO_REUSEPORT the kernel deals them out evenly.
    """
    addresses = server.cfg.address
    tcp = all(isinstance(address, tuple) and address[1] != 0 for address in addresses)
    if not (_settings.reuse_port and server.cfg.workers > 1 and tcp):
        return
    for address in addresses:
        _require_free(address)
    server.cfg.set("reuse_port", True)


def _require_free(address: tuple[str, int]) -> None:
    """Refuse an address in use: with SO_REUSEPORT two servers would share it, and neither would say so."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SystemExit(f"{address[0]}:{address[1]} is in use; name a free one with --bind.") from None
            raise


def child_exit(_server: "Arbiter", worker: "Worker") -> None:
    """Take a dead worker's gauges out of `/metrics`; its counters stay."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - the master needs it only when a worker dies

    with contextlib.suppress(OSError):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: "Arbiter") -> None:
    """Keep the run folder when a re-executed master goes on using it; else it goes at exit."""
    if server.reexec_pid:
        _boot.keep()
