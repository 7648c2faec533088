"""A log shipper: makes a named pipe and reads it, a page at a time, no faster than its uplink takes it.

    python -m pinchpoint.app.faults.serving.log_shipper --pipe audit.log --bytes-per-second 200000

The pipe is made in the scratch folder; the rate is divided by the severity.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from .settings import scratch, severity

PAGE = 4096


def ship(
    descriptor: int,
    bytes_per_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Read until the pipe ends, each read as late as the rate demands; idle time earns one page of credit at most."""
    due = clock()
    while data := os.read(descriptor, PAGE):
        due = max(due, clock() - PAGE / bytes_per_s) + len(data) / bytes_per_s
        sleep(max(0.0, due - clock()))


def make(pipe: Path) -> int:
    """Make the pipe and open it for reading. It never ends, as it is open for writing here too."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(pipe)
    return os.open(pipe, os.O_RDWR)


def main(argv: list[str] | None = None) -> None:
    """Read the command line and ship. Raises SystemExit (2) for a bad one."""
    parser = argparse.ArgumentParser(description="Reads a named pipe slowly.")
    parser.add_argument("--pipe", required=True)
    parser.add_argument("--bytes-per-second", type=float, required=True)
    given = parser.parse_args(argv)
    with contextlib.suppress(KeyboardInterrupt):
        ship(make(scratch() / given.pipe), given.bytes_per_second / severity())


if __name__ == "__main__":
    main()
