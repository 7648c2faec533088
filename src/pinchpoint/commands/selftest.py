"""`pinchpoint selftest`: systems with a known bottleneck, pressed on this machine, to see whether each one is named."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinchpoint import units
from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.catalogue import all_cases
from pinchpoint.app.faults.pace import Paces, paced
from pinchpoint.commands.run import interruptible
from pinchpoint.commands.zoo_case import Ended, pace_at_limit, prepared, run, unmet
from pinchpoint.errors import ExitCode, Interrupted, PinchpointError, UsageError
from pinchpoint.recording import RUN_FILE
from pinchpoint.report.build import REPORT_JSON

SCHEMA = "pinchpoint.selftest/1"
SHORT = (
    "python-loop-async",
    "sleep-in-dependency",
    "db-pool-async-sqlite",
    "missing-index-sqlite-async",
    "thread-lock",
    "leak-async",
    "under-loaded-pool",
    "generator-quota-30",
)
"""One case of every class that needs no more than pinchpoint itself: no root, no database server."""
OVERHEAD_S = 6.0
"""Of a run beside its budget: preparing the case, writing the report."""
_STYLES = {"right": "green", "WRONG": "red", "invalid": "yellow", "skipped": "dim"}

Judgement = Literal["right", "WRONG", "invalid", "skipped"]
Run = Callable[[Case, float, Path], Ended]
"""(case, severity, folder of the run) -> how it ended; raises PinchpointError when it cannot be prepared."""


@dataclass(frozen=True)
class Outcome:
    """One case: what should have been said, and what was."""

    case: Case
    severity: float
    report: dict[str, Any] | None
    """None when the run left none."""
    ended: Ended | None = None
    """None when it was not run."""
    folder: Path | None = None
    reason: str | None = None
    """Why it was not run, or came to nothing."""
    pace: Paces | None = None
    """Of a core of this machine: the ceilings that CPU time sets follow it."""

    @property
    def wanted(self) -> list[str]:
        """The right answers, as `class/cause`."""
        return [f"{one.class_}/{one.cause}" for one in self.case.labels]

    @property
    def got(self) -> str | None:
        """The verdict, as `class/cause`."""
        return None if self.report is None else f"{self.report['verdict']['class']}/{self.report['verdict']['cause']}"

    @property
    def judgement(self) -> Judgement:
        """Right or wrong, where the run can be judged: a measurement that calls itself invalid claims nothing."""
        if self.ended is None and self.reason is not None:
            return "skipped"
        if self.got in self.wanted:
            return "right"
        code = None if self.ended is None else self.ended.exit_code
        judged = self.report is not None and code in {ExitCode.DONE, ExitCode.THRESHOLD_CROSSED}
        return "WRONG" if judged else "invalid"


def chosen(names: Sequence[str]) -> list[Case]:
    """Return the cases of these names; the short set when there are none.

    Raises:
        UsageError: there is no such case.

    """
    known = {case.name: case for case in all_cases()}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else "`pinchpoint selftest --list` shows them all"
            raise UsageError(f"there is no case {name!r}; {hint}")
    return [known[name] for name in names or SHORT]


def examine(
    cases: Sequence[Case], budget_s: float, make: Run, root: Path, talk: Console, postgres: str | None
) -> list[Outcome]:
    """Run the cases, one after the other, and tell how far it is."""
    outcomes: list[Outcome] = []
    say = partial(talk.print, highlight=False, markup=False, soft_wrap=True)
    number_of = f"{len(cases)} case{'' if len(cases) == 1 else 's'}"
    say(f"{number_of}, about {_minutes(len(cases) * (budget_s + OVERHEAD_S))}; recordings go to {root}")
    started_s = time.monotonic()
    for number, case in enumerate(cases, 1):
        left_s = (len(cases) - number + 1) * (budget_s + OVERHEAD_S)
        say(f"[{number}/{len(cases)}] {case.name}: {case.binds}")
        outcome = _one(case, root / case.name, make, postgres)
        outcomes.append(outcome)
        gone_s, left_s = time.monotonic() - started_s, left_s - budget_s - OVERHEAD_S
        style = _STYLES[outcome.judgement]
        said = f"      {outcome.judgement}: {outcome.got or outcome.reason or 'no verdict'}"
        say(Text(f"{said}; {_minutes(gone_s)} gone, {_minutes(left_s)} left", style=style))
    return outcomes


def _one(case: Case, folder: Path, make: Run, postgres: str | None) -> Outcome:
    severity = case.severities[1]
    if (reason := unmet(case, postgres)) is not None:
        return Outcome(case, severity, None, reason=reason)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".log").unlink(missing_ok=True)
    try:
        ended = make(case, severity, folder)
    except Interrupted:
        raise
    except PinchpointError as error:
        return Outcome(case, severity, None, reason=str(error))
    report = None
    with contextlib.suppress(OSError, ValueError):
        report = json.loads((folder / REPORT_JSON).read_text(encoding="utf-8"))
    reason = f"no report; see {folder.with_suffix('.log')}" if report is None else None
    return Outcome(case, severity, report, ended, folder, reason)


def make_room(root: Path, cases: Sequence[Case]) -> None:
    """Make the folder of the recordings; earlier recordings of the same cases give way to the new ones, nothing else.

    Raises:
        UsageError: it cannot be written to, or something that is no recording is in the way.

    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        taken = [root / case.name for case in cases if (root / case.name).is_dir()]
        foreign = [folder for folder in taken if any(folder.iterdir()) and not (folder / RUN_FILE).is_file()]
    except OSError as error:
        raise UsageError(f"--out {root}: {error.strerror or error}; name a folder that can be written to") from None
    if not os.access(root, os.W_OK | os.X_OK):
        raise UsageError(f"--out {root}: not writable; name a folder that can be written to")
    if foreign:
        raise UsageError(f"{foreign[0]} is no recording, so it is not replaced; choose another --out")


def selftest(names: Sequence[str], budget_s: float, root: Path, talk: Console, postgres: str | None) -> list[Outcome]:
    """Run what is asked for on this machine.

    Raises:
        UsageError: there is no such case, or no room for its recording.
        Interrupted: by a signal; nothing is left running.

    """
    cases = chosen(names)

    make_room(root, cases)

    def make(case: Case, severity: float, folder: Path) -> Ended:
        with prepared(case, severity=severity, postgres=postgres) as ready:
            return run(ready, folder, budget_s)

    with interruptible():
        return [_with_pace(one) for one in examine(cases, budget_s, make, root, talk, postgres)]


def _with_pace(one: Outcome) -> Outcome:
    """Add how fast the server's core was at the limit; a case that was not run has none."""
    if one.ended is None or one.folder is None:
        return one
    return replace(one, pace=pace_at_limit(one.ended, one.folder))


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    """Return 0 when every verdict is right, 1 when one is wrong, 3 when a measurement was invalid or none was made."""
    judgements = {one.judgement for one in outcomes}
    if "WRONG" in judgements:
        return ExitCode.THRESHOLD_CROSSED
    return ExitCode.DONE if "right" in judgements and "invalid" not in judgements else ExitCode.INVALID_MEASUREMENT


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what was found as plain data."""
    return {"schema": SCHEMA, "exit_code": int(exit_code(outcomes)), "cases": [_facts(one) for one in outcomes]}


def _facts(one: Outcome) -> dict[str, Any]:
    verdict, capacity = (one.report or {}).get("verdict") or {}, (one.report or {}).get("capacity") or {}
    return {
        "case": one.case.name,
        "severity": one.severity,
        "judgement": one.judgement.lower(),
        "wanted": one.wanted,
        "got": one.got,
        "confidence": verdict.get("confidence"),
        "sustainable_rps": capacity.get("sustainable_rps"),
        "saturation_rps": capacity.get("saturation_rps"),
        "ceiling_rps": paced(one.case.ceiling_rps, one.severity, one.pace),
        "seconds": None if one.ended is None else round(one.ended.wall_s, 1),
        "exit_code": None if one.ended is None else one.ended.exit_code,
        "reason": one.reason,
        "run": None if one.folder is None else str(one.folder),
    }


def render(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the table, and what it comes to."""
    table = Table(box=None, pad_edge=False)
    for head in ("", "case", "wanted", "got", "sure", "limit", "arithmetic"):
        table.add_column(head, overflow="fold")
    for one in outcomes:
        facts = _facts(one)
        limit = (None if one.case.sustained else facts["saturation_rps"]) or facts["sustainable_rps"]
        sure = "" if facts["confidence"] is None else f"{facts['confidence']:.2f}"
        said = one.got or one.reason or "no verdict"
        figures = (units.rate(limit), units.rate(facts["ceiling_rps"]))
        style = _STYLES[one.judgement]
        table.add_row(Text(one.judgement, style=style), one.case.name, "\n".join(one.wanted), said, sure, *figures)
    console.print(table)
    console.print(Text(conclusion(outcomes)), soft_wrap=True)


def conclusion(outcomes: Sequence[Outcome]) -> str:
    """Say in a sentence or two what was found."""
    count = {name: sum(one.judgement == name for one in outcomes) for name in _STYLES}
    asked = len(outcomes) - count["skipped"]
    text = f"{count['right']} of {asked} named rightly"
    text += f", {count['WRONG']} wrongly" if count["WRONG"] else ""
    text += f"; {count['invalid']} could not be measured here" if count["invalid"] else ""
    text += f"; {count['skipped']} skipped" if count["skipped"] else ""
    if count["WRONG"] or count["invalid"]:
        text += ". Was the machine busy with something else? `pinchpoint doctor` looks at that"
    return text + "."


def listing(console: Console) -> None:
    """Print every case there is, those of the short set marked, with what keeps one from running here."""
    table = Table(box=None, pad_edge=False)
    for head in ("", "case", "right answer", "what binds", "here"):
        table.add_column(head, no_wrap=head in {"case", "right answer"})
    for case in all_cases():
        labels = "\n".join(f"{one.class_}/{one.cause}" for one in case.labels)
        here = unmet(case) or "yes"
        table.add_row("*" if case.name in SHORT else "", case.name, labels, Text(case.binds), Text(here))
    console.print(table)
    console.print("* in the short set, which runs when no --case is given")


def _minutes(seconds: float) -> str:
    return f"{int(max(seconds, 0) // 60)} min {int(max(seconds, 0) % 60):02d} s"
