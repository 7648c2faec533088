"""What the benches of the zoo share: which cases, and a PostgreSQL server of one's own."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.catalogue import SPARE, all_cases
from pinchpoint.errors import MeasurementError
from pinchpoint.processes import Child, Command, start

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

READY_S, POLL_S = 30.0, 0.05


def wanted_cases(only: Sequence[str], families: Sequence[str], *, spare: bool = True) -> list[Case]:
    """Return the cases asked for, all when none was, without `spare` only those of a pass.

    Raises SystemExit for a name that is not there.
    """
    cases = all_cases()
    for asked, known in ((only, {one.name for one in cases}), (families, {one.family for one in cases})):
        if unknown := sorted(set(asked) - known):
            raise SystemExit(f"the zoo has no '{unknown[0]}'; it has {', '.join(sorted(known))}")
    named = [one for one in cases if (not only or one.name in only) and (not families or one.family in families)]
    return named if spare or only else [one for one in named if one.name not in SPARE]


def names() -> list[str]:
    """Return the names of all cases."""
    return [one.name for one in all_cases()]


@contextlib.contextmanager
def database(needed: bool) -> Iterator[str | None]:
    """Start a PostgreSQL server where one is needed and can be; yield its URL.

    Raises:
        MeasurementError: it did not start.

    """
    from support.postgres import skip_reason  # noqa: PLC0415 - of the checkout alone

    if not needed or skip_reason() is not None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pinchpoint-zoo-log-") as folder:
        program = (sys.executable, str(Path(__file__).with_name("zoo_postgres.py")))
        with start(Command("PostgreSQL", program, Path(folder) / "log")) as child:
            yield _url_of(child)


def _url_of(child: Child) -> str:
    """Wait for the server to say its address."""
    deadline_s = time.monotonic() + READY_S
    while not (said := child.log_tail(1)).startswith("postgresql://"):
        if not child.alive() or time.monotonic() > deadline_s:
            raise MeasurementError(f"PostgreSQL did not start: {said}")
        time.sleep(POLL_S)
    return said


def pin_database(url: str | None, cpus: frozenset[int] | None) -> None:
    """Have the server of `database` run on these CPUs, and what it starts from now on."""
    if url is None:
        return
    chosen, port = cpus or os.sched_getaffinity(0), str(urlsplit(url).port)
    for one in psutil.process_iter(["name", "cmdline"]):
        words = one.info["cmdline"] or []
        if one.info["name"] == "postgres" and ("-p", port) in pairwise(words):
            for member in [one, *one.children()]:
                with contextlib.suppress(psutil.Error, OSError):
                    os.sched_setaffinity(member.pid, chosen)
