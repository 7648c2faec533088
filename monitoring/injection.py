"""Start a target with the probe inside it: nothing but two environment variables, no change to its code or its venv."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

PAGE_FOLDER_VARIABLE = "PINCHPOINT_PROBE_DIR"
"""Read by `probe/runtime.py`, which cannot import this module."""
_INJECT = Path(__file__).resolve().parent / "probe" / "inject"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder itself is made private by mkdtemp


def probe_environment(page_folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with the probe injected into every Python interpreter started with it.

    Makes `page_folder`, where each serving process will keep its page. An existing PYTHONPATH stays, behind ours.

    Raises:
        OSError: the folder cannot be made.

    """
    page_folder.mkdir(parents=True, exist_ok=True)
    ours = str(_INJECT)
    before = environ.get("PYTHONPATH", "")
    # An empty PYTHONPATH must not become an empty entry: that would mean the working directory.
    others = [entry for entry in before.split(os.pathsep) if entry != ours] if before else []
    return {
        **environ,
        "PYTHONPATH": os.pathsep.join([ours, *others]),
        PAGE_FOLDER_VARIABLE: str(page_folder.resolve()),
    }


def new_page_folder() -> Path:
    """Make a private folder for the pages of one run, in memory if the machine has /dev/shm; the caller removes it.

    A page on a disk can make its writer wait for the disk, with the app's interpreter lock in hand.

    Raises:
        OSError: no temporary folder can be made.

    """
    usable = _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK | os.X_OK)
    return Path(tempfile.mkdtemp(prefix="pinchpoint-", dir=_SHARED_MEMORY if usable else None))
