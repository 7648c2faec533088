"""How right and steady the search is, on simulated servers of known ceiling: the real engine and diagnosis, no load.

Many more runs than a machine has time for; `capacity` measures the same on real servers.
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from figures import Figure

from pinchpoint.diagnosis.capacity import capacity
from pinchpoint.diagnosis.steps import build_steps, ladder, rows_by_step
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.records import Capacity

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from support import simulated
from support.simulated import Server

RUNS, QUICK_RUNS = 40, 8
FASTEST_RPS = 5000.0
"""A simulated request costs some microseconds; servers faster than this get a quarter of the runs."""
NEAR, NEAR_DISTURBED, SPREAD = 0.03, 0.05, 0.03

SERVERS: dict[str, Server] = {
    "20 tokens x 40 ms": Server(20, 0.040),
    "16 tokens x 50 ms": Server(16, 0.050),
    "12 tokens x 30 ms": Server(12, 0.030),
    "exponential holds, 500/s": Server(20, 0.040, spread=1.0),
    "two kinds of requests, 1:10": Server(20, 0.020, slow_share=0.1),
    "10,000/s": Server(20, 0.002),
    "125/s, 400 ms each": Server(50, 0.400),
    "20/s": Server(2, 0.100),
    "failures behind a second of queue": Server(20, 0.040, failing=1.0),
    "10 % of seconds stolen": Server(20, 0.040, stolen=0.1),
    "10 % stolen, varying holds": Server(16, 0.050, spread=0.5, stolen=0.1),
}
LATENCY_LIMITED = frozenset({"20/s"})
"""Two tokens keep no Poisson arrivals below 500 ms near their ceiling: the sustainable rate is truly lower."""


def search(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Return median error and spread of both rates, at 90 s without profiles and at 60 s with them."""
    figures: list[Figure] = []
    for budget_s, profile in ((90.0, False), (60.0, True)):
        for name, server in SERVERS.items():
            count = QUICK_RUNS if quick else RUNS
            count = count if server.ceiling_rps < FASTEST_RPS else max(2, count // 4)
            found = [_run(server, seed, budget_s, profile=profile) for seed in range(count)]
            figures += _figures(f"{name}, {budget_s:.0f} s", server, found, strict=not profile, name=name)
            say(f"{name}, {budget_s:.0f} s: " + _line(server, found))
    return figures


def _run(server: Server, seed: int, budget_s: float, *, profile: bool) -> tuple[Capacity, float]:
    _, session, used_s = simulated.search(server, seed=seed, budget_s=budget_s, profile=profile)
    recording = session.recording()
    steps = build_steps(recording, Samples([]))
    return capacity(steps, ladder(steps), 500.0, 0.01, rows_by_step(recording)), used_s


def _rates(found: list[tuple[Capacity, float]], name: str, truth: float) -> list[float]:
    return [(getattr(each, f"{name}_rps") or 0.0) / truth for each, _ in found]


def _line(server: Server, found: list[tuple[Capacity, float]]) -> str:
    parts = []
    for what in ("sustainable", "saturation"):
        rates = _rates(found, what, server.ceiling_rps)
        spread = statistics.stdev(rates) / max(statistics.fmean(rates), 1e-9)
        parts.append(f"{what} {statistics.median(rates):.3f} ({min(rates):.3f} to {max(rates):.3f}, CV {spread:.3f})")
    return "; ".join(parts) + f"; at most {max(used for _, used in found):.0f} s"


def _figures(
    label: str, server: Server, found: list[tuple[Capacity, float]], *, strict: bool, name: str
) -> list[Figure]:
    figures = []
    for what in ("sustainable", "saturation"):
        rates = _rates(found, what, server.ceiling_rps)
        held = strict and not (what == "sustainable" and name in LATENCY_LIMITED)
        limit = (NEAR_DISTURBED if server.stolen else NEAR) if held else None
        error = abs(statistics.median(rates) - 1)
        spread = statistics.stdev(rates) / max(statistics.fmean(rates), 1e-9)
        figures.append(Figure(f"{label}: {what} off", error, "", limit, "lower", None, len(rates)))
        target = SPREAD if held and not server.stolen else None
        figures.append(Figure(f"{label}: {what} CV", spread, "", target, "lower", None, len(rates)))
    return figures
