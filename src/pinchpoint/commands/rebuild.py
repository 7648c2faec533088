"""From a run folder to its outputs, with no server running: what `pinchpoint report` does, and the end of every run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pinchpoint.commands.limits import recorded_thresholds
from pinchpoint.commands.packs import judged_by_pack
from pinchpoint.diagnosis import diagnose
from pinchpoint.diagnosis.questions import answers
from pinchpoint.diagnosis.staged import crossings, judged
from pinchpoint.profiles.awaits import await_profiles, summarise
from pinchpoint.profiles.load import load_profiles
from pinchpoint.recording import load_recording, load_run
from pinchpoint.records import Diagnosis
from pinchpoint.report.build import build_report
from pinchpoint.report.write import write_reports


@dataclass(frozen=True)
class Rebuilt:
    """The report of a run, and the files it was written to."""

    diagnosis: Diagnosis
    report: dict[str, Any]
    paths: dict[str, Path]
    damaged_rows: int = 0
    """Rows of the recording that were left out."""
    crossed: tuple[str, ...] = ()
    """Limits of the user's own that were crossed, and what ended the load early, in words."""


def rebuild(folder: Path) -> Rebuilt:
    """Diagnose a recording and write `report.json`, `report.md` and `report.html`.

    Raises:
        UsageError: the folder is not a run.
        MeasurementError: the outputs cannot be written.

    """
    run = load_run(folder)
    recording = load_recording(folder)
    taken = load_profiles(recording)
    awaits = summarise(recording, taken)
    profiles = [*taken, *await_profiles(recording, taken)]
    limits = recorded_thresholds(recording.settings["load"])
    diagnosis = judged(diagnose(recording, taken, awaits), recording, limits)
    asked = answers(diagnosis, recording.settings)
    diagnosis = replace(diagnosis, pack=judged_by_pack(diagnosis, recording), questions=asked)
    paths = write_reports(folder, recording, run, diagnosis, profiles, awaits)
    damaged = int(recording.extra.get("damaged_rows", 0))
    crossed = crossings(run.get("mode"), diagnosis, recording)
    return Rebuilt(diagnosis, build_report(run, diagnosis, profiles, awaits), paths, damaged, crossed)
