"""Write the outputs into the run folder, each whole or not at all; what fails later costs nothing written before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinchpoint.errors import MeasurementError
from pinchpoint.recording import write_json
from pinchpoint.report.build import REPORT_HTML, REPORT_JSON, REPORT_MARKDOWN, build_report
from pinchpoint.report.html import read_graphs, render_html
from pinchpoint.report.markdown import render_markdown
from pinchpoint.report.series import timeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pinchpoint.recording import Recording
    from pinchpoint.records import AwaitShares, Diagnosis, Profile


def write_reports(
    folder: Path,
    recording: Recording,
    run: dict[str, Any],
    diagnosis: Diagnosis,
    profiles: Sequence[Profile],
    awaits: AwaitShares | None = None,
) -> dict[str, Path]:
    """Write `report.json`, `report.md` and `report.html`, in this order; returns output name -> path.

    Raises:
        MeasurementError: a file cannot be written. `report.json` stands even when a later output fails.

    """
    report = build_report(run, diagnosis, profiles, awaits)
    paths = {"json": folder / REPORT_JSON, "markdown": folder / REPORT_MARKDOWN, "html": folder / REPORT_HTML}
    write_json(paths["json"], report)
    write_text(paths["markdown"], render_markdown(report))
    write_text(paths["html"], render_html(report, timeline(recording), read_graphs(folder, report)))
    return paths


def write_text(path: Path, text: str) -> None:
    """Write text so that a reader sees the old file or the new one, never half of one.

    Raises:
        MeasurementError: the file cannot be written (disk full, no permission).

    """
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        # surrogatepass would write invalid UTF-8; names from the wire may hold lone surrogates.
        temporary.write_text(text, encoding="utf-8", errors="replace")
        temporary.replace(path)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}; free some space or choose another folder with --out"
        raise MeasurementError(message) from error
