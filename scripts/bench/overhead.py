"""What pinchpoint costs: one saturated worker, bare and with probe, collector and exporter, turn about."""

import contextlib
import os
import statistics
from collections.abc import Callable

from figures import Figure, median_figure
from servers import BARE, App, observed, page_folder, press, serving, split

CONNECTIONS = 16
ROUNDS, SECONDS = 12, 4.0
QUICK_ROUNDS, QUICK_SECONDS = 4, 2.0
THROUGHPUT_TARGET = 0.97
P99_TARGET = 1.05
BARE_SIDE, PROBED, WATCHED = "bare", "probe alone", "probe, collector and exporter"
SIDES = (BARE_SIDE, PROBED, WATCHED)


def overhead(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Return the ratios of throughput and p99, with the probe alone and with everything, over bare."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    server_cpus, load_cpus = split()
    if load_cpus is not None:
        os.sched_setaffinity(0, load_cpus)
    found: list[dict[str, dict[str, float]]] = []
    for number in range(rounds):
        # Whoever goes first meets the same machine as often as the others.
        turn = number % len(SIDES)
        order = [*SIDES[turn:], *SIDES[:turn]]
        found.append({side: _window(BARE, seconds, server_cpus, load_cpus, side) for side in order})
        rates = ", ".join(f"{_rate(found[-1][side]):.0f}/s {side}" for side in SIDES)
        say(f"round {number + 1} of {rounds}: {rates}")
    return [
        _ratio(found, WATCHED, "throughput", _rate, THROUGHPUT_TARGET),
        _ratio(found, WATCHED, "p99", lambda one: one["p99_ms"], P99_TARGET),
        _ratio(found, PROBED, "throughput", _rate, None),
        _ratio(found, PROBED, "p99", lambda one: one["p99_ms"], None),
        median_figure("throughput, bare", [_rate(one[BARE_SIDE]) for one in found], "1/s", None, "higher"),
        Figure("CPU of the load process", _client_cpu(found), "cores", None, "lower", None, rounds),
    ]


def _ratio(
    found: list[dict[str, dict[str, float]]],
    side: str,
    what: str,
    value: Callable[[dict[str, float]], float],
    target: float | None,
) -> Figure:
    ratios = [value(one[side]) / value(one[BARE_SIDE]) for one in found]
    better = "higher" if what == "throughput" else "lower"
    return median_figure(f"{what} with {side}, over bare", ratios, "", target, better)  # type: ignore[arg-type]


def _rate(one: dict[str, float]) -> float:
    return one["requests"] / one["seconds"]


def _client_cpu(found: list[dict[str, dict[str, float]]]) -> float:
    """Median share of a core that the load process used: near 1, it would be the limit and not the server."""
    return statistics.median(one["cpu_s"] / one["seconds"] for round_ in found for one in round_.values())


def _window(
    app: App, seconds: float, server_cpus: frozenset[int] | None, load_cpus: frozenset[int] | None, side: str
) -> dict[str, float]:
    with contextlib.ExitStack() as stack:
        pages = None if side == BARE_SIDE else stack.enter_context(page_folder())
        child, port = stack.enter_context(serving(app, pages=pages, cpus=server_cpus))
        if side == WATCHED and pages is not None:
            stack.enter_context(observed(child.pid, port, pages))
        return press(port, app.path, CONNECTIONS, seconds, load_cpus)
