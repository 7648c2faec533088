"""`pinchpoint sweep`: one run per worker count under the same load, side by side, with the best count named.

The order is shuffled (seeded), so that a machine that warms up or slows down does not favour the last count.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pinchpoint.commands.config import RunConfig, split_cpus
from pinchpoint.commands.run import RunResult, execute, run_id
from pinchpoint.errors import ExitCode, PinchpointError, UsageError
from pinchpoint.recording import load_run, new_run_folder, write_json
from pinchpoint.report.sweep import sweep_html, sweep_markdown
from pinchpoint.report.write import write_text

SWEEP_FILE = "sweep.json"
TIE = 0.05
"""A larger count must beat a smaller one by this share: less is within the noise of one run each."""


@dataclass(frozen=True)
class SweepResult:
    """The table of a sweep and the exit code it earned."""

    sweep: dict[str, Any]
    folder: Path
    exit_code: ExitCode
    problem: str | None = None


def run_sweep(config: RunConfig, counts: tuple[int, ...], console: Console, cores: int) -> SweepResult:
    """Run once per worker count and compare.

    Raises:
        UsageError: the configuration makes no sense; nothing was started.

    """
    if config.pid is not None:
        raise UsageError("a sweep starts the server anew for each worker count; leave out --pid")
    if config.command and not any("{workers}" in word for word in (*config.command, *config.env.values())):
        raise UsageError("the command must take the worker count: write {workers} where it belongs after `--`")
    folder = new_run_folder(config.root, _sweep_id(counts), config.out, force=config.force, latest=False)
    server_cpus, load_cpus = split_cpus(max(counts)) if config.pin else (None, None)
    rows: dict[int, dict[str, Any]] = {}
    sweep: dict[str, Any] = {}
    order = list(counts)
    random.Random(config.seed).shuffle(order)  # noqa: S311 - an order, not a secret
    for count in order:
        console.print(f"workers = {count}", style="bold", highlight=False)
        one = replace(
            config,
            workers=count,
            out=folder / f"workers-{count}",
            root=folder,
            pin=False,
            profile=False,
            server_cpus=config.server_cpus or server_cpus,
            load_cpus=config.load_cpus or load_cpus,
        )
        result = execute(one, console)
        if result.exit_code in {ExitCode.INTERRUPTED, ExitCode.TARGET_FAILED} or result.rebuilt is None:
            return SweepResult(sweep, folder, result.exit_code, result.problem)
        rows[count] = row(count, result)
        sweep = _summary(folder, counts, rows, cores)
        _store(folder, sweep)
    return SweepResult(sweep, folder, ExitCode.DONE)


def _sweep_id(counts: tuple[int, ...]) -> str:
    return f"{run_id()}-sweep-{'-'.join(str(count) for count in counts)}"


def row(count: int, result: RunResult) -> dict[str, Any]:
    """One line of the table, from a run's report; what was not measured is None."""
    if result.rebuilt is None:
        raise PinchpointError(f"the run with {count} workers left no report")
    report = result.rebuilt.report
    capacity = report["capacity"]
    limit = _step_at(report["steps"], capacity["sustainable_rps"])
    server = limit["server"] if limit else {}
    latency = capacity["latency_at_sustainable_ms"] or {}
    return {
        "workers": count,
        "capacity_rps": capacity["saturation_rps"],
        "sustainable_rps": capacity["sustainable_rps"],
        "p95_ms": latency.get("p95"),
        "cpu_cores": server.get("cpu_cores"),
        "pss_bytes": server.get("pss_bytes"),
        "verdict": f"{report['verdict']['class']}/{report['verdict']['cause']}",
        "validity": report["validity"]["status"],
        "run": str(result.folder.name),
        "started_at": load_run(result.folder).get("started_at"),
    }


def _step_at(steps: list[dict[str, Any]], rate: float | None) -> dict[str, Any] | None:
    """Return the passing step with the goodput nearest to the sustainable rate."""
    passing = [step for step in steps if step["passed"] and not step["phase"].startswith("profile")]
    if not passing or rate is None:
        return None
    nearest: dict[str, Any] = min(passing, key=lambda step: abs(step["goodput_rps"] - rate))
    return nearest


def best(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Name the smallest worker count within `TIE` of the highest sustainable rate, and why."""
    measured = [one for one in rows if one["sustainable_rps"] is not None and one["validity"] != "invalid"]
    if not measured:
        return None
    top = max(measured, key=lambda one: float(one["sustainable_rps"]))
    enough = [one for one in measured if one["sustainable_rps"] >= top["sustainable_rps"] * (1 - TIE)]
    choice = min(enough, key=lambda one: int(one["workers"]))
    if choice is top:
        reason = f"it sustains the most: {choice['sustainable_rps']:.0f} requests/s"
    else:
        reason = (
            f"it sustains {choice['sustainable_rps']:.0f} requests/s, within {TIE:.0%} of the most "
            f"({top['sustainable_rps']:.0f} with {top['workers']} workers)"
        )
    return {"workers": choice["workers"], "reason": reason}


def _store(folder: Path, sweep: dict[str, Any]) -> None:
    """Write the table after every run, so that an interrupted sweep keeps what it has."""
    write_json(folder / SWEEP_FILE, sweep)
    write_text(folder / "sweep.md", sweep_markdown(sweep))
    write_text(folder / "sweep.html", sweep_html(sweep))


def _summary(folder: Path, counts: tuple[int, ...], rows: dict[int, dict[str, Any]], cores: int) -> dict[str, Any]:
    ordered = [rows[count] for count in counts if count in rows]
    return {
        "schema": "pinchpoint.sweep/1",
        "id": folder.name,
        "knob": "workers",
        "cores": cores,
        "rule_of_thumb": 2 * cores + 1,
        "best": best(ordered),
        "rows": ordered,
    }
