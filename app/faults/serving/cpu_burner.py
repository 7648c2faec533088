"""A batch job on the same machine: it recomputes statistics for ever, one process per unit of severity.

Each process opens a session of its own, as jobs of a batch system do: where the scheduler groups by session, the shares
are then the same as where it does not.
"""

import os
import signal
import sys

from .settings import severity

_ROUND = 200_000


def crunch() -> None:
    """Compute for ever."""
    os.setsid()
    while True:
        total = 0
        for number in range(_ROUND):
            total = (total * 31 + number) % 1_000_003


def main() -> int:
    """Start the processes, and end them with this one."""
    jobs = []
    for _ in range(round(severity())):
        job = os.fork()
        if job == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            crunch()
        jobs.append(job)

    def stop(_number: int, _frame: object) -> None:
        for job in jobs:
            os.kill(job, signal.SIGTERM)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for job in jobs:
        os.waitpid(job, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
