"""Start a load process early and let it go later: importing Locust takes a second that a run can use otherwise."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

HOLD_VARIABLE = "PINCHPOINT_HOLD"
"""Environment variable that names a file; the process waits until it exists."""

LOOK_S = 0.02


def await_start(environ: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
    """Return when the file that the environment names exists, or its folder is gone; at once when it names none."""
    name = environ.get(HOLD_VARIABLE)
    if not name:
        return
    path = Path(name)
    while not path.exists() and path.parent.exists():
        sleep(LOOK_S)
