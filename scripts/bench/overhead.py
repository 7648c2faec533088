"""What pinchpoint costs: one saturated worker, bare and with probe, collector and exporter, turn about."""

import os
from collections.abc import Callable

from figures import Figure, median_figure
from servers import BARE, App, observed, page_folder, press, serving, split

CONNECTIONS = 16
PAIRS, SECONDS = 12, 4.0
QUICK_PAIRS, QUICK_SECONDS = 4, 2.0
THROUGHPUT_TARGET = 0.97
P99_TARGET = 1.05


def overhead(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Return the ratios of throughput and p99, with everything over bare."""
    pairs, seconds = (QUICK_PAIRS, QUICK_SECONDS) if quick else (PAIRS, SECONDS)
    server_cpus, load_cpus = split()
    if load_cpus is not None:
        os.sched_setaffinity(0, load_cpus)
    figures = []
    for app in (BARE,):
        throughput, tails, absolute = [], [], []
        for pair in range(pairs):
            # Whoever goes first meets the same machine as often as the other.
            order = (False, True) if pair % 2 == 0 else (True, False)
            found = {watched: _window(app, seconds, server_cpus, load_cpus, watched=watched) for watched in order}
            rates = {watched: one["requests"] / one["seconds"] for watched, one in found.items()}
            throughput.append(rates[True] / rates[False])
            tails.append(found[True]["p99_ms"] / found[False]["p99_ms"])
            absolute.append(rates[False])
            say(f"{app.name}, pair {pair + 1} of {pairs}: {rates[False]:.0f}/s bare, {rates[True]:.0f}/s watched")
        figures += [
            median_figure(f"{app.name}: throughput, watched over bare", throughput, "", THROUGHPUT_TARGET, "higher"),
            median_figure(f"{app.name}: p99, watched over bare", tails, "", P99_TARGET, "lower"),
            median_figure(f"{app.name}: throughput, bare", absolute, "1/s", None, "higher"),
        ]
    return figures


def _window(
    app: App, seconds: float, server_cpus: frozenset[int] | None, load_cpus: frozenset[int] | None, *, watched: bool
) -> dict[str, float]:
    if not watched:
        with serving(app, cpus=server_cpus) as (_, port):
            return press(port, app.path, CONNECTIONS, seconds, load_cpus)
    with (
        page_folder() as pages,
        serving(app, pages=pages, cpus=server_cpus) as (child, port),
        observed(child.pid, port, pages),
    ):
        return press(port, app.path, CONNECTIONS, seconds, load_cpus)
