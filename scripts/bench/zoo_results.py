"""Rows of `runs/bench/zoo/results.jsonl`: one run of one case, its label, and what was said of its recording."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import FOLDER
from zoo_labels import fingerprint

from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.catalogue import tuned
from pinchpoint.app.faults.pace import Paces, paced
from pinchpoint.commands.limits import recorded_thresholds
from pinchpoint.commands.zoo_case import Ended
from pinchpoint.diagnosis import diagnose
from pinchpoint.diagnosis.baselines import baselines
from pinchpoint.diagnosis.staged import judged
from pinchpoint.errors import PinchpointError
from pinchpoint.profiles.awaits import summarise
from pinchpoint.profiles.load import load_profiles
from pinchpoint.recording import load_recording
from pinchpoint.records import to_jsonable
from pinchpoint.rows import SampleRow

ZOO = FOLDER / "zoo"
RESULTS, REDIAGNOSED = ZOO / "results.jsonl", ZOO / "rediagnosed.jsonl"
VERDICT = ("class", "cause", "status", "confidence", "co_bottlenecks", "next_wall", "location", "summary", "score")
CAPACITY = ("sustainable_rps", "saturation_rps", "lower_bound_rps", "upper_bound_rps", "breaking_rps", "reached")

VOID = 0.15
"""Of the machine's time in a run, taken by the hypervisor for others, from which the run tells of the host alone."""
TRIES = 3
"""Of a run that is void; the last one counts as it is."""

HERE = Path(__file__).resolve().parent

Row = dict[str, Any]


def stated(case: Case, severity: float, round_: int, pace: Paces | None = None) -> Row:
    """Return what is known of a run: the case and its label, and its rates at the pace of the machine, where given."""
    rates = {"ceiling_rps": case.ceiling_rps, "second_rps": case.second_rps}
    return {
        "case": case.name,
        "family": case.family,
        "kind": case.kind,
        "half": "tuned" if tuned(case) else "held-out",
        "flavour": case.flavour,
        "database": case.database,
        "severity": severity,
        "round": round_,
        "labels": [[one.class_, one.cause] for one in case.labels],
        **{name: paced(rate, severity, pace) for name, rate in rates.items()},
        "sustained": case.sustained,
        "pace": pace,
        "fingerprint": fingerprint(case),
    }


def ended(ended: Ended, folder: Path) -> Row:
    """Return what a run has come to."""
    return {
        "wall_s": round(ended.wall_s, 2),
        "exit_code": ended.exit_code,
        "paces": [(round(at_s, 2), {kind: round(pace, 3) for kind, pace in one.items()}) for at_s, one in ended.paces],
        "run": str(folder),
        "commit": commit(),
        **said(folder),
    }


def said(folder: Path) -> Row:
    """Diagnose a recording with the rules as they are: verdict, capacity, baselines; nothing for no recording."""
    try:
        recording = load_recording(folder)
        taken = load_profiles(recording)
        limits = recorded_thresholds(recording.settings["load"])
        diagnosis = judged(diagnose(recording, taken, summarise(recording, taken)), recording, limits)
        others = baselines(recording, taken)
    except (PinchpointError, OSError, KeyError) as error:
        return {"verdict": None, "capacity": None, "baselines": {}, "problem": f"{type(error).__name__}: {error}"}
    verdict, capacity = to_jsonable(diagnosis.verdict), to_jsonable(diagnosis.capacity)
    return {
        "stolen_share": stolen_share(recording.samples),
        "verdict": {name: verdict[name] for name in VERDICT},
        "capacity": {name: capacity[name] for name in CAPACITY},
        "validity": diagnosis.validity.status,
        "baselines": {name: list(answer) for name, answer in others.items()},
    }


def stolen_share(samples: Sequence[SampleRow]) -> float | None:
    """Return what the hypervisor took of the machine's time between the first and the last sample; None if unknown."""
    if len(samples) < 2:  # noqa: PLR2004 - two ends
        return None
    first, last = samples[0], samples[-1]
    before_s, after_s = first["host"]["cpu_steal_s"], last["host"]["cpu_steal_s"]
    cpus, lasted_s = len(last["host"]["per_cpu_busy_s"]), last["t_s"] - first["t_s"]
    if before_s is None or after_s is None or lasted_s <= 0 or not cpus:
        return None
    return round((after_s - before_s) / lasted_s / cpus, 4)


def void(row: Mapping[str, Any]) -> bool:
    """Tell whether a run has to be made again, whatever was said of it."""
    return (row.get("stolen_share") or 0.0) >= VOID


def commit() -> str:
    """Return the checkout's commit, with a `+` when files of the package differ from it."""
    asked = (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    name, changed = (
        subprocess.run(["git", *words], check=False, capture_output=True, text=True, cwd=HERE).stdout.strip()
        for words in asked
    )
    return name + ("+" if changed else "")


def append(row: Mapping[str, Any]) -> None:
    """Add a row so that it is there whatever happens next."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def rows(path: Path = RESULTS) -> list[Row]:
    """Return all rows but those that a crash has cut."""
    found = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def latest(path: Path, wanted: Sequence[Case]) -> list[Row]:
    """Return the last row of every run, by case and round, of cases that are wanted; skipped ones where never run."""
    found: dict[tuple[str, int], Row] = {}
    names = {one.name for one in wanted}
    for row in rows(path):
        key = row["case"], row["round"]
        if row["case"] in names and not (row.get("skipped") and key in found):
            found[key] = row
    return list(found.values())


def done(case: Case, round_: int) -> bool:
    """Tell whether a case has been run in a round, as it is now; of a run that is void, often enough."""
    made = [row for row in runs_of(rows(), case, round_) if Path(row["run"]).is_dir()]
    tries = [void(row) for row in made[-TRIES:]]
    return bool(tries) and (not tries[-1] or (len(tries) == TRIES and all(tries)))


def stands(row: Mapping[str, Any], case: Case) -> bool:
    """Tell whether a run counts: of the case as it is now, and not void, or void as often as it may be made again."""
    return row["fingerprint"] == fingerprint(case) and (not void(row) or done(case, row["round"]))


def counting(found: Sequence[Row], wanted: Sequence[Case]) -> list[Row]:
    """Return the rows that count, and those that were skipped."""
    cases = {one.name: one for one in wanted}
    return [row for row in found if row.get("skipped") or stands(row, cases[row["case"]])]


def runs_of(found: Sequence[Row], case: Case, round_: int) -> list[Row]:
    """Return the rows of a case in a round, as it is now, but for those where it was skipped."""
    mark = fingerprint(case)
    wanted = (row for row in found if row["case"] == case.name and row["round"] == round_)
    return [row for row in wanted if not row.get("skipped") and row["fingerprint"] == mark]


def replaced(wanted: Sequence[Case]) -> list[Row]:
    """Return the void runs that were made again, as they were recorded."""
    known = rows()
    every = [runs_of(known, case, round_) for case in wanted for round_ in sorted({row["round"] for row in known})]
    return [row for made in every for row in made[:-1] if void(row)]


def again(row: Row, label: Row) -> Row:
    """Return a row with the label as it is now, and what the present rules say of the recording.

    The recording stays what it was, and so does its mark: of a case that has changed since, it is another case's.
    """
    return {**row, **label, "fingerprint": row["fingerprint"], **said(Path(row["run"]))}


def store(made: Sequence[Row], path: Path) -> None:
    """Write rows to a file of their own."""
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
