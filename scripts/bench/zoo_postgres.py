"""A PostgreSQL server for as long as this process lives: prints its URL, and removes it on SIGTERM.

    python zoo_postgres.py

Below a guard (`pinchpoint.processes`), so that it ends even when whoever wanted it is killed with -9.
"""

import signal
import sys
from pathlib import Path
from types import FrameType

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from support.postgres import temporary_postgres


def leave(_number: int, _frame: FrameType | None) -> None:
    """End the wait; the server is removed on the way out."""
    raise SystemExit(0)


def main() -> None:
    """Serve."""
    signal.signal(signal.SIGTERM, leave)
    with temporary_postgres() as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
