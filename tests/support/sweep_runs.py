"""Made-up runs of a sweep: what `execute` would have returned, without a server."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.run import RunResult
from pinchpoint.errors import ExitCode
from pinchpoint.recording import write_json

MIB = 1048576


def report(
    rate: float | None, *, valid: bool = True, reached: bool = True, bracket: float = 1.03, verdict: str = "pool/tokens"
) -> dict[str, Any]:
    """Return as much of a report as a sweep reads."""
    kind, _, cause = verdict.partition("/")
    server = {
        "cpu_cores": None if rate is None else rate / 200,
        "pss_bytes": 60.0 * MIB,
        "loop_busy": 0.4,
        "pools": {"slots": {"busy": 3.0, "size": 4.0}},
    }
    gate = {"name": "generator", "status": "fail", "message": "the generator's core was full"}
    return {
        "capacity": {
            "sustainable_rps": rate,
            "sustainable_ci_rps": None,
            "reached": reached,
            "lower_bound_rps": rate,
            "upper_bound_rps": None if rate is None else rate * bracket,
            "saturation_rps": None if rate is None else rate * 1.05,
            "latency_at_sustainable_ms": None if rate is None else {"p95": 80.0},
        },
        "steps": [] if rate is None else [{"phase": "ramp", "passed": True, "goodput_rps": rate, "server": server}],
        "verdict": {"class": kind, "cause": cause},
        "validity": {"status": "valid" if valid else "invalid", "gates": [] if valid else [gate]},
    }


def ran(folder: Path, shown: dict[str, Any]) -> RunResult:
    """Return the result of a run that left a report."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", {"started_at": "2026-11-21T10:00:00+00:00", "load": {}, "host": {}})
    code = ExitCode.DONE if shown["validity"]["status"] == "valid" else ExitCode.INVALID_MEASUREMENT
    return RunResult(folder, cast("Any", SimpleNamespace(report=shown)), code)


def failed(folder: Path, code: ExitCode, problem: str) -> RunResult:
    """Return the result of a run that left none."""
    return RunResult(folder, None, code, problem)


class Runs:
    """Stands for `execute`: asks `answer` for each run, and keeps what was asked for."""

    def __init__(self, answer: Callable[[RunConfig, int], RunResult]) -> None:
        self.configs: list[RunConfig] = []
        self._answer = answer

    def __call__(self, config: RunConfig, console: Console) -> RunResult:
        """Run once."""
        self.configs.append(config)
        return self._answer(config, len(self.configs))
