"""What the collector costs: its thread's CPU at 10 Hz beside one, three and nine workers, idle and busy."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from figures import Figure, median_figure
from servers import BARE, HERE, observed, page_folder, serving

WORKERS = (1, 3, 9)
REPEATS, SECONDS = 5, 6.0
QUICK_REPEATS, QUICK_SECONDS = 3, 3.0
CORE_TARGET = 0.02
SETTLE_S = 1.5
"""The first reads open every file; they are paid once."""


def collector(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Return the share of one core for each number of workers, under light load."""
    repeats, seconds = (QUICK_REPEATS, QUICK_SECONDS) if quick else (REPEATS, SECONDS)
    figures = []
    for workers in WORKERS:
        shares = []
        with page_folder() as pages, serving(BARE, workers=workers, pages=pages) as (child, port):
            for repeat in range(repeats):
                shares.append(_share(child.pid, port, pages, seconds))
                say(f"{workers} workers, {repeat + 1} of {repeats}: {shares[-1]:.2%} of a core")
        target = CORE_TARGET if workers == max(WORKERS) else None
        figures.append(median_figure(f"collector beside {workers} workers", shares, "cores", target, "lower"))
    one, three, nine = (figure.value for figure in figures)
    ratio = (nine - three) / 6 / ((three - one) / 2)
    return [*figures, Figure("cost of each of workers 4 to 9 over each of 2 and 3", ratio, "", None, "lower", None, 1)]


def _share(pid: int, port: int, pages: Path, seconds: float) -> float:
    load = subprocess.Popen(
        [sys.executable, str(HERE / "gentle_loop.py"), str(port), BARE.path, str(seconds + 2 * SETTLE_S)],
        stdout=subprocess.DEVNULL,
    )
    try:
        with observed(pid, port, pages) as sampler:
            time.sleep(SETTLE_S)
            first = sampler.latest
            time.sleep(seconds)
            last = sampler.latest
    finally:
        load.kill()
        load.wait()
    if first is None or last is None or sampler.error is not None:
        raise SystemExit(f"the collector stopped: {sampler.error}")
    return (last["collector_cpu_s"] - first["collector_cpu_s"]) / (last["t_s"] - first["t_s"])
