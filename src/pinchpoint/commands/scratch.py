"""Temporary folders of a run, and what runs killed with -9 have left of theirs."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

PROBE_PREFIX = "pinchpoint-probe-"
APP_PREFIX = "pinchpoint-app-"
AGENT_PREFIX = "pinchpoint-agent-"
ANSWERS_PREFIX = "pinchpoint-answers-"
ZOO_PREFIX = "pinchpoint-zoo-"


def probe_folder() -> Path:
    """Make a folder for the probe pages, in memory where the system has a place for that."""
    return _make(PROBE_PREFIX, _in_memory())


def answers_folder() -> Path:
    """Make a folder for a target's answers: they may hold tokens, so no disk should ever see them."""
    return _make(ANSWERS_PREFIX, _in_memory())


def _in_memory() -> Path:
    shared = Path("/dev/shm")  # noqa: S108 - the name is made by mkdtemp
    usable = shared.is_dir() and os.access(shared, os.W_OK | os.X_OK)
    return shared if usable else Path(tempfile.gettempdir())


def agent_folder() -> Path:
    """Make the folder of an agent, for its server's output."""
    return _make(AGENT_PREFIX, Path(tempfile.gettempdir()))


def app_folder() -> Path:
    """Make the folder that the reference app writes to: on a disk, because its database is part of what is measured."""
    return _make(APP_PREFIX, Path(tempfile.gettempdir()))


def zoo_folder() -> Path:
    """Make the folder of a case of the fault zoo; on a disk, as above."""
    return _make(ZOO_PREFIX, Path(tempfile.gettempdir()))


def _make(prefix: str, parent: Path) -> Path:
    _remove_stale(prefix, parent)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))


def _remove_stale(prefix: str, parent: Path) -> None:
    """Remove the folders of `prefix` that are named after a pid that is gone."""
    for folder in parent.glob(f"{prefix}*-*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
