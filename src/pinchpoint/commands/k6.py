"""`pinchpoint report RUN --k6 FILE`: the report as data for what reads k6's summaries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pinchpoint.packs import Part
from pinchpoint.recording import load_recording, write_json
from pinchpoint.report.k6_summary import k6_summary
from pinchpoint.stress.scenarios import SCENARIOS


def export_k6(folder: Path, report: dict[str, Any], file: Path) -> Path:
    """Write a run's summary to `file`, in the shape of k6's `handleSummary` data; returns `file`.

    Args:
        folder: the run.
        report: its `report.json`, as `rebuild` returns it.
        file: what to write; one that is there is replaced.

    Raises:
        UsageError: the folder is not a run.
        MeasurementError: the file cannot be written.

    """
    recording = load_recording(folder)
    write_json(file, k6_summary(report, recording.digests, _parts(recording.settings["load"])))
    return file


def _parts(load: dict[str, Any]) -> Sequence[Part]:
    """Return the parts of the pack that the run was judged by; none where it names none that is known here."""
    scenario = SCENARIOS.get(str(load.get("pack")))
    pack = scenario.pack if scenario is not None else None
    return pack.parts if pack is not None else ()
