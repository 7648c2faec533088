"""What must exist before the first worker: a run folder, a signing secret, an empty metrics folder.

The process that starts first (gunicorn's master, or uvicorn alone) makes them and hands them on through the
environment, so that all workers agree. Standard library only: gunicorn's master imports it.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

RUN_DIR = "PINCHPOINT_APP_RUN_DIR"
JWT_SECRET = "PINCHPOINT_APP_JWT_SECRET"  # noqa: S105 - the name of the variable, not the secret
MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
_PREPARED_BY = "PINCHPOINT_APP_PREPARED_BY"

_owned: dict[int, Path] = {}  # by the pid of the process that made it


def prepare(environ: MutableMapping[str, str]) -> Path | None:
    """Fill in the run folder and the secret where the user named none.

    Returns the temporary run folder that this process removes at its exit, or None when the user named one. A fresh
    folder for each boot means the same 10,000 items each time, and nothing left in a checkout.
    """
    environ.setdefault(JWT_SECRET, secrets.token_urlsafe(48))
    if RUN_DIR in environ:
        Path(environ[RUN_DIR]).mkdir(parents=True, exist_ok=True)
        return None
    folder = Path(tempfile.mkdtemp(prefix="pinchpoint-app-"))
    environ[RUN_DIR] = str(folder)
    _owned[os.getpid()] = folder
    atexit.register(discard)
    return folder


def prepare_master(environ: MutableMapping[str, str]) -> None:
    """Prepare for several workers: `prepare`, and a metrics folder that holds no file of an earlier boot.

    Does nothing on a reload (HUP, same master) nor in a re-executed master (USR2, child of the old one): their
    workers share what stands already.
    """
    if environ.get(_PREPARED_BY) in {str(os.getpid()), str(os.getppid())}:
        return
    environ[_PREPARED_BY] = str(os.getpid())
    prepare(environ)
    metrics = Path(environ.setdefault(MULTIPROC_DIR, str(Path(environ[RUN_DIR]) / "metrics")))
    metrics.mkdir(parents=True, exist_ok=True)
    for stale in metrics.glob("*.db"):
        stale.unlink()


def keep() -> None:
    """Leave the run folder in place: a re-executed master goes on using it."""
    _owned.clear()


def discard() -> None:
    """Remove the run folder if this very process made it: a forked worker must not take it from the others."""
    folder = _owned.pop(os.getpid(), None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
