"""`scripts/bench.sh NAME…`: run benchmarks by name."""

import argparse
import datetime as dt
import sys
from importlib import import_module

from capacity import capacity
from collector import collector
from diagnosis import diagnosis
from figures import Bench, report
from generator import generator
from overhead import overhead
from rich.console import Console
from search import search
from throttled import throttled

BENCHES: dict[str, Bench] = {
    "capacity": capacity,
    "overhead": overhead,
    "collector": collector,
    "generator": generator,
    "search": search,
    "throttled": throttled,
    "diagnosis": diagnosis,
}
WITH_OPTIONS = {
    "zoo": "zoo",
    "zoo-labels": "zoo_labels",
    "zoo-page": "zoo_page",
    "zoo-pack": "zoo_pack",
    "fit-confidence": "fit_confidence",
}
"""Modules whose `main` takes options of its own; imported when asked for."""


def main() -> int:
    """Return 0 when every target is met, 1 when one is missed, 2 for an unknown name."""
    if sys.argv[1:] and sys.argv[1] in WITH_OPTIONS:
        return int(import_module(WITH_OPTIONS[sys.argv[1]]).main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description="Measure pinchpoint itself.")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=sorted(BENCHES), help=", ".join(sorted(BENCHES)))
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: an honest smaller run")
    asked = parser.parse_args()
    console, talk = Console(), Console(stderr=True)
    met = True
    for name in asked.names:
        command = f"scripts/bench.sh {'--quick ' if asked.quick else ''}{name}"
        started = dt.datetime.now(tz=dt.UTC)
        figures = BENCHES[name](asked.quick, lambda line: talk.print(line, highlight=False))
        met &= report(name, command, started, figures, console)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
