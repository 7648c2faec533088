"""How right the capacity is: apps whose ceiling is arithmetic (tokens / hold), searched in fresh processes.

The last side is the first app on a host that loses one second in ten; see `theft`. Recordings stay in
`runs/bench/capacity/`, and every single run in `runs/bench/capacity/runs.json`.
"""

import contextlib
import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from figures import FOLDER, Figure, median_figure
from servers import press
from theft import Thief

from pinchpoint.processes import Command, start
from pinchpoint.readiness import free_port, wait_http_ready

APPS = Path(__file__).resolve().parent / "token_apps"
REPEATS, BUDGET_S = 5, 60
QUICK_REPEATS, QUICK_BUDGET_S, QUICK_DISTURBED = 2, 45, 1
NEAR, NEAR_DISTURBED, SPREAD, CEILING = 0.03, 0.05, 0.03, 0.005
CEILING_S = (3.0, 13.0)
GRACE_S = 60.0
"""A run that takes this much longer than its budget is ended, and counts as one that found nothing."""
NOTHING = 1.0
"""The error of a run that names no capacity."""
TOKENS = re.compile(r"^TOKENS = Tokens\((\d+), ([\d.]+)\)$", re.MULTILINE)
RUNS_FILE = FOLDER / "capacity" / "runs.json"


@dataclass(frozen=True)
class Side:
    """One app of known ceiling, as it is started."""

    name: str
    module: str
    server: tuple[str, ...] = ()
    """Options of `pinchpoint run`."""
    gunicorn: tuple[str, ...] = ("--worker-class", "uvicorn_worker.UvicornWorker")
    """The same server without pinchpoint."""
    disturbed: bool = False

    @property
    def tokens(self) -> tuple[int, float]:
        """How many tokens, and the hold in seconds, as the app's own file says: it is read, not imported."""
        found = TOKENS.search((APPS / f"{self.module}.py").read_text(encoding="utf-8"))
        if found is None:
            raise SystemExit(f"{self.module}.py names no tokens")
        return int(found[1]), float(found[2])

    @property
    def ceiling_rps(self) -> float:
        """The most requests per second."""
        count, hold_s = self.tokens
        return count / hold_s


SEMAPHORE = Side("asyncio.Semaphore", "semaphore")
SIDES = (
    SEMAPHORE,
    Side("anyio limiter, plain def", "limiter"),
    Side(
        "gthread slots, WSGI",
        "slots",
        server=("--worker-class", "gthread", "--threads", "12"),
        gunicorn=("--worker-class", "gthread", "--threads", "12"),
    ),
    Side("asyncio.Semaphore, 10 % of seconds stolen", SEMAPHORE.module, disturbed=True),
)


@dataclass(frozen=True)
class Single:
    """What one run said; rates per second, None where it named none."""

    side: str
    repeat: int
    ceiling_rps: float
    sustainable_rps: float | None
    saturation_rps: float | None
    wall_s: float
    exit_code: int
    validity: str | None
    verdict: str | None
    steps: int
    stolen_s: int
    run: str

    def error(self, name: str) -> float:
        """Return how far a rate is off the ceiling, as a share of it."""
        value = getattr(self, f"{name}_rps")
        return NOTHING if value is None else abs(value / self.ceiling_rps - 1.0)


def capacity(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Return the errors of the capacity, their spread, and what the runs took."""
    repeats, budget_s = (QUICK_REPEATS, QUICK_BUDGET_S) if quick else (REPEATS, BUDGET_S)
    if quick:
        say(f"quick: {repeats} runs of {budget_s} s a side instead of {REPEATS} of {BUDGET_S} s, one of them disturbed")
    figures = [_check(side, say) for side in SIDES if not side.disturbed]
    runs: list[Single] = []
    say(HEAD)
    for repeat in range(repeats):
        for side in SIDES:
            if not (quick and side.disturbed and repeat >= QUICK_DISTURBED):
                runs.append(_run(side, repeat, budget_s))
                say(line(runs[-1]))
                _store(runs)
    for side in SIDES:
        figures += _figures(side, [one for one in runs if one.side == side.name])
    slowest = max(one.wall_s for one in runs)
    return [*figures, Figure("slowest run", slowest, "s", float(budget_s), "lower", None, len(runs))]


def _figures(side: Side, runs: Sequence[Single]) -> list[Figure]:
    limit, figures = NEAR_DISTURBED if side.disturbed else NEAR, []
    for name in ("sustainable", "saturation"):
        errors = [one.error(name) for one in runs]
        what = f"{side.name}: {name} off its ceiling"
        figures.append(median_figure(f"{what}, median", errors, "", limit, "lower"))
        figures.append(Figure(f"{what}, worst", max(errors), "", limit, "lower", None, len(errors)))
        values = [value for one in runs if (value := getattr(one, f"{name}_rps")) is not None]
        if len(runs) > 1:
            spread = statistics.stdev(values) / statistics.fmean(values) if len(values) == len(runs) else NOTHING
            target = None if side.disturbed else SPREAD
            figures.append(Figure(f"{side.name}: spread of {name} (CV)", spread, "", target, "lower", None, len(runs)))
    return figures


# --- the ceiling itself, without pinchpoint --------------------------------------------------------------------------


def _check(side: Side, say: Callable[[str], None]) -> Figure:
    """Hold the arithmetic against a closed loop that keeps twice as many requests waiting as there are tokens."""
    (count, hold_s), port = side.tokens, free_port()
    words = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", str(APPS), *side.gunicorn]
    log = FOLDER / "capacity" / f"ceiling-{side.module}.log"
    child = start(
        Command("server", (*words, "--log-level", "warning", f"{side.module}:app"), log, env=dict(os.environ))
    )
    try:
        wait_http_ready(f"http://127.0.0.1:{port}/", child, 20.0)
        short, long = (press(port, "/", 2 * count, seconds, None) for seconds in CEILING_S)
    finally:
        child.stop()
    # The first and the last holds of a loop fill it badly; what both loops have in common cancels.
    rate = (long["requests"] - short["requests"]) / (long["seconds"] - short["seconds"])
    say(f"{side.name}: {count} tokens x {hold_s * 1000:g} ms = {side.ceiling_rps:.1f}/s; closed loop {rate:.1f}/s")
    error = abs(rate / side.ceiling_rps - 1.0)
    return Figure(f"{side.name}: closed loop off N / hold", error, "", CEILING, "lower", None, 1)


# --- one run ---------------------------------------------------------------------------------------------------------


def _run(side: Side, repeat: int, budget_s: int) -> Single:
    folder = (FOLDER / "capacity" / f"{side.module}{'-stolen' if side.disturbed else ''}-{repeat}").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".log").unlink(missing_ok=True)
    words = [sys.executable, "-m", "pinchpoint", "run", "--budget", f"{budget_s}s", "--no-profile", "--get", "/"]
    words += ["--seed", str(repeat + 1), "--cwd", str(APPS), "--out", str(folder), *side.server, f"{side.module}:app"]
    started_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        thief = stack.enter_context(Thief(folder, seed=repeat)) if side.disturbed else None
        child = start(Command("pinchpoint", tuple(words), folder.with_suffix(".log"), env=dict(os.environ)))
        stack.callback(child.stop)
        code = child.wait(budget_s + GRACE_S)
        wall_s = time.monotonic() - started_s
    return _single(side, repeat, folder, (wall_s, -1 if code is None else code), thief.stolen if thief else 0)


def _single(side: Side, repeat: int, folder: Path, ended: tuple[float, int], stolen_s: int) -> Single:
    report: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    found, verdict = report.get("capacity", {}), report.get("verdict", {})
    return Single(
        side=side.name,
        repeat=repeat,
        ceiling_rps=side.ceiling_rps,
        sustainable_rps=found.get("sustainable_rps"),
        saturation_rps=found.get("saturation_rps"),
        wall_s=ended[0],
        exit_code=ended[1],
        validity=report.get("validity", {}).get("status"),
        verdict=f"{verdict['class']}/{verdict['cause']}" if verdict else None,
        steps=len(report.get("steps", [])),
        stolen_s=stolen_s,
        run=folder.name,
    )


HEAD = f"{'app':<42} {'run':>3} {'ceiling':>8} {'sustainable':>17} {'saturation':>17} {'wall':>7} {'exit':>4}  verdict"


def line(one: Single) -> str:
    """Return one run as a line of the table that `HEAD` begins."""
    cells = [_cell(one.sustainable_rps, one.ceiling_rps), _cell(one.saturation_rps, one.ceiling_rps)]
    stolen = f", {one.stolen_s} s stolen" if one.stolen_s else ""
    said = f"{one.verdict or 'no report'} ({one.validity or 'n/a'}, {one.steps} steps{stolen})"
    rates = f"{one.ceiling_rps:>8.1f} {cells[0]:>17} {cells[1]:>17}"
    return f"{one.side:<42} {one.repeat + 1:>3} {rates} {one.wall_s:>5.1f} s {one.exit_code:>4}  {said}"


def _cell(rate: float | None, ceiling: float) -> str:
    return "n/a" if rate is None else f"{rate:.1f} ({rate / ceiling - 1:+.1%})"


def _store(runs: Sequence[Single]) -> None:
    RUNS_FILE.parent.mkdir(parents=True, exist_ok=True)
    RUNS_FILE.write_text(json.dumps([asdict(one) for one in runs], indent=2) + "\n", encoding="utf-8")
