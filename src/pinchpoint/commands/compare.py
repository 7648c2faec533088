"""`pinchpoint compare A B`: what got better, what got worse, and where the bottleneck went.

Both recordings are diagnosed anew, so that an older report brings no older rules; the run folders stay as they are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinchpoint.commands.printing import AS_JSON, Result, leave, show_json, wrote
from pinchpoint.errors import ExitCode, MeasurementError, UsageError

if TYPE_CHECKING:
    from pinchpoint.diagnosis.compare.runs import Side

RUNS = Path("runs")
LATEST = "latest"
COMPARE_JSON, COMPARE_MARKDOWN, COMPARE_HTML = "compare.json", "compare.md", "compare.html"
SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class CompareResult:
    """`compare.json`, the files that were written, and the exit code that the later run earned."""

    table: dict[str, Any]
    paths: dict[str, Path]
    exit_code: ExitCode


def compare(
    before: Annotated[
        str, typer.Argument(metavar="A", help="The run to compare with: its folder, or its name below runs/.")
    ],
    after: Annotated[str, typer.Argument(metavar="[B]", help="The later run; default: the latest one.")] = LATEST,
    *,
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=100, help="Percent of capacity lost, or of p95 gained, that is no regression."),
    ] = 10.0,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for the outputs; default: runs/compare-A-B, beside B.")
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Compare two runs: whether B is worse than A, and whether the bottleneck moved.

    Capacity by goal, latency, CPU and memory at the same load, errors, both verdicts, both ledgers, and what was
    changed between the runs; each change with its 95 % interval, and whether it is more than noise.

    - `pinchpoint compare 20260101-120000-000` the latest run with an older one

    - `pinchpoint compare runs/before runs/after --tolerance 5`

    Exit code 0: no regression. 1: the capacity is lower, or the p95 at the same load higher, by more than --tolerance
    and by more than noise. 2: the runs cannot be compared. 3: the measurement of one is invalid. docs/compare.md
    """
    _show(run_compare(before, after, tolerance / 100, out), as_json=as_json)


def _show(result: CompareResult, *, as_json: bool) -> None:
    """Print the result on stdout, and on stderr where it was written; with JSON also that it is a regression."""
    from pinchpoint.report.compare import render_compare  # noqa: PLC0415 - `--help` should load little

    if as_json:
        show_json(result.table)
    else:
        render_compare(result.table, Result())
    wrote(result.paths)
    leave(result.exit_code, result.table["headline"] if as_json and result.exit_code else None)


def run_compare(before: str, after: str, tolerance: float, out: Path | None = None, root: Path = RUNS) -> CompareResult:
    """Compare two recorded runs and write the outputs; `tolerance` is a share, 0..1.

    Raises:
        UsageError: one of them is no run, or they have nothing in common.
        MeasurementError: one of them is invalid, or the outputs cannot be written.

    """
    from pinchpoint.commands.compare_table import compare_table  # noqa: PLC0415 - as above
    from pinchpoint.diagnosis.compare.comparison import compare as compared  # noqa: PLC0415
    from pinchpoint.diagnosis.compare.runs import refusal  # noqa: PLC0415

    folders = run_folder(before, root), run_folder(after, root)
    names = [folder.name for folder in folders]
    if names[0] == names[1] and folders[0] != folders[1]:
        names = [before, after]
    one = _side(folders[0], names[0])
    two = one if folders[0] == folders[1] else _side(folders[1], names[1])
    if (objection := refusal(one, two)) is not None:
        raise (MeasurementError if objection.invalid else UsageError)(objection.text)
    found = compared(one, two, tolerance)
    table = compare_table(found)
    folder = out if out is not None else folders[1].parent / f"compare-{folders[0].name}-{folders[1].name}"
    code = ExitCode.THRESHOLD_CROSSED if found.regressions else ExitCode.DONE
    return CompareResult(table, _written(folder, table), code)


def run_folder(text: str, root: Path = RUNS) -> Path:
    """Return the folder of a run that is called by its path, by its name below `root`, or `latest`.

    Raises:
        UsageError: there is none, or it is a sweep.

    """
    places = [root / text] if text == LATEST else [Path(text), root / text]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        message = f"there is no run {text!r}, neither here nor in {root}; `pinchpoint runs` lists the runs there are"
        raise UsageError(message)
    folder = found.resolve()
    if (folder / SWEEP_FILE).is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/run.json"))
        such = f", such as {text}/{inside[0]}" if inside else ""
        raise UsageError(f"{text} is a sweep, and its page compares its values; name two of its runs{such}")
    return folder


def _side(folder: Path, name: str) -> "Side":
    """Diagnose a run as `pinchpoint report` does, and write nothing."""
    from pinchpoint.commands.limits import recorded_thresholds  # noqa: PLC0415 - as above
    from pinchpoint.diagnosis import diagnose  # noqa: PLC0415
    from pinchpoint.diagnosis.compare.runs import Side  # noqa: PLC0415
    from pinchpoint.diagnosis.staged import judged  # noqa: PLC0415
    from pinchpoint.profiles.awaits import summarise  # noqa: PLC0415
    from pinchpoint.profiles.load import load_profiles  # noqa: PLC0415
    from pinchpoint.recording import load_recording, load_run  # noqa: PLC0415

    run, recording = load_run(folder), load_recording(folder)
    profiles = load_profiles(recording)
    limits = recorded_thresholds(recording.settings["load"])
    diagnosis = judged(diagnose(recording, profiles, summarise(recording, profiles)), recording, limits)
    return Side(name, run, diagnosis)


def _written(folder: Path, table: dict[str, Any]) -> dict[str, Path]:
    """Write the three outputs; a folder that holds something else stays as it is."""
    from pinchpoint.recording import write_json  # noqa: PLC0415 - as above
    from pinchpoint.report.compare import compare_markdown  # noqa: PLC0415
    from pinchpoint.report.compare_page import compare_html  # noqa: PLC0415
    from pinchpoint.report.write import write_text  # noqa: PLC0415

    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / COMPARE_JSON).is_file():
            raise UsageError(f"{folder} holds something else; choose another folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot write {folder}: {error.strerror}; choose another folder with --out"
        raise MeasurementError(message) from error
    paths = {"json": folder / COMPARE_JSON, "markdown": folder / COMPARE_MARKDOWN, "html": folder / COMPARE_HTML}
    write_json(paths["json"], table)
    write_text(paths["markdown"], compare_markdown(table))
    write_text(paths["html"], compare_html(table))
    return paths
