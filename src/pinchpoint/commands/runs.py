"""`pinchpoint runs`: what was recorded, newest first."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinchpoint.recording import RUN_FILE


@dataclass(frozen=True)
class RunLine:
    """One run in the list; None where its report does not say."""

    id: str
    started_at: str
    target: str
    verdict: str | None
    sustainable_rps: float | None
    partial: bool


def list_runs(root: Path) -> list[RunLine]:
    """Return the runs below `root`, newest first; folders that are no runs are left out."""
    lines = [_line(path.parent) for path in root.glob(f"*/{RUN_FILE}") if not path.parent.is_symlink()]
    return sorted((line for line in lines if line is not None), key=lambda line: line.started_at, reverse=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _line(folder: Path) -> RunLine | None:
    run, report = _read(folder / RUN_FILE), _read(folder / "report.json")
    if not run:
        return None
    verdict = report.get("verdict")
    return RunLine(
        id=folder.name,
        started_at=str(run.get("started_at", "")),
        target=str(run.get("target", {}).get("command", "")),
        verdict=f"{verdict['class']}/{verdict['cause']}" if verdict else None,
        sustainable_rps=report.get("capacity", {}).get("sustainable_rps"),
        partial=bool(run.get("partial", True)),
    )
