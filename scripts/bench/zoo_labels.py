"""Are the labels of the zoo true? Each is checked without the classifier: a plain server and a plain closed loop.

A label stands when the faulted system measures its ceiling within 15 % and the cured one at least 1.25 times as much.
Where memory runs out instead, it must grow with the requests, and without the fault not. Everything that was measured
is kept in `runs/bench/zoo/labels.json`; what stands there is not measured again unless the case has changed.
"""

import argparse
import ast
import contextlib
import datetime as dt
import fcntl
import hashlib
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from figures import FOLDER
from rich.console import Console
from rich.table import Table
from zoo_server import database, names, pin_database, wanted_cases

from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.pace import Kind, PaceMeter, mean_pace, paced
from pinchpoint.commands.run import interruptible
from pinchpoint.commands.zoo_case import Prepared, prepared, unmet
from pinchpoint.errors import Interrupted, PinchpointError
from pinchpoint.processes import Child, start
from pinchpoint.readiness import wait_http_ready

LABELS = FOLDER / "zoo" / "labels.json"
PRESS = Path(__file__).resolve().parent / "zoo_press.py"
OPEN = PRESS.with_name("zoo_open.py")
OPEN_LIMIT_MS, OPEN_SHARE = 500, 0.05
OPEN_LEVELS, OPEN_CURED_LEVELS = (0.8, 0.9, 1.0, 1.1, 1.2), (1.25, 1.4)
"""Rates of the open loop, over the ceiling. Each is offered for a time in which some hundred arrivals come."""
OPEN_S = 7.0
WARMUP_S, SECONDS = 1.5, 4.0
PACE_EVERY_S = 0.2
READY_S = 30.0
REDIAL_S = 0.5
WITHIN, GAIN = 0.15, 1.25
GROWTH, LEAST_GROWTH = 4.0, 4096.0
"""A leak grows this many times as fast as its cured twin, and at least so many bytes per request."""
SEVERITIES = ("light", "middle", "severe")


@dataclass(frozen=True)
class Measured:
    """One system under the closed loop."""

    rate: float
    ok: int
    failed: int
    median_ms: float | None
    cpu_s: float
    """Of the closed loop itself, in `SECONDS`."""
    server_cpu: float
    """Cores that the server's processes used."""
    bytes_per_request: float
    """Growth of the server's resident memory."""
    died: bool
    """A process of the server is gone that was there before."""
    pace: dict[Kind, float] | None = None
    """Of the server's first core, meanwhile: a ceiling that the CPU sets follows it."""


@dataclass(frozen=True)
class Judged:
    """What was found about one case at one severity."""

    severity: float
    expected: float | None
    faulted: Measured
    cured: Measured | None
    problem: str | None
    """Why the label does not stand; None: it stands."""


def main(words: Sequence[str]) -> int:
    """Check the labels asked for; return 0 when all stand, 1 when one does not.

    Raises:
        Interrupted: by a signal; what was measured is kept, and nothing is left running.

    """
    asked = _parser().parse_args(words)
    console, talk = Console(soft_wrap=True), Console(stderr=True)
    cases = [case for case in wanted_cases(asked.case, asked.family, spare=asked.all) if case.kind != "generator"]
    standing = True
    needs_postgres = any(case.database == "postgresql" for case in cases)
    with interruptible(), database(needs_postgres) as postgres:
        for number, case in enumerate(cases, 1):
            if (reason := unmet(case, postgres)) is not None:
                talk.print(f"[{number}/{len(cases)}] {case.name}: skipped, {reason}", highlight=False)
                continue
            if not asked.case and not asked.again and _known(case):
                continue
            found = _check(case, asked.severity, postgres)
            _store(case, found)
            for one in found if isinstance(found, list) else []:
                talk.print(f"[{number}/{len(cases)}] {told(case, one)}", highlight=False, soft_wrap=True)
            if isinstance(found, str):
                talk.print(f"[{number}/{len(cases)}] {case.name}: FAILED, {found}", highlight=False, soft_wrap=True)
            standing &= not isinstance(found, str) and all(one.problem is None for one in found)
    console.print(table([case.name for case in cases]))
    return 0 if standing else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh zoo-labels", description="Check the labels of the zoo.")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this one, measured anew")
    parser.add_argument("--family", action="append", default=[], help="only the cases of this family")
    parser.add_argument("--all", action="store_true", help="spare variants too, which a pass leaves out")
    parser.add_argument("--severity", choices=SEVERITIES, action="append", default=[], help="default: all three")
    parser.add_argument("--again", action="store_true", help="measure also what stands already")
    return parser


def _check(case: Case, severities: Sequence[str], postgres: str | None) -> list[Judged] | str:
    """Measure one case; return what was found, or why nothing could be."""
    asked = [case.severities[SEVERITIES.index(one)] for one in severities] or list(case.severities)
    try:
        cured = None if case.kind == "negative" else _measure(case, asked[0], postgres, cured=True)
        return [_judge(case, one, _measure(case, one, postgres), cured) for one in dict.fromkeys(asked)]
    except Interrupted:
        raise
    except PinchpointError as error:
        return str(error)


# --- one measurement -------------------------------------------------------------------------------------------------


def _measure(case: Case, severity: float, postgres: str | None, *, cured: bool = False) -> Measured:
    with prepared(case, severity=severity, cured=cured, postgres=postgres) as ready:
        pin_database(postgres, ready.cores.server)
        with serving(ready) as (child, port):
            return _press(case, ready, child, port)


@contextlib.contextmanager
def serving(ready: Prepared) -> Iterator[tuple[Child, int]]:
    """Serve a case as `pinchpoint run` would, without anything of pinchpoint in it."""
    plan = ready.plain()
    assert plan.command is not None  # noqa: S101 - `plain` starts one of its own
    assert plan.port is not None  # noqa: S101 - `plain` starts one of its own
    with start(plan.command) as child:
        wait_http_ready(plan.ready_url, child, READY_S)
        yield child, plan.port


def _press(case: Case, ready: Prepared, child: Child, port: int) -> Measured:
    words, seconds = _open_words(case, ready, port) if case.connections == 0 else _closed_words(case, ready, port)
    pin = [] if ready.cores.load is None else ["taskset", "-c", ",".join(map(str, sorted(ready.cores.load)))]
    meter = PaceMeter(min(ready.cores.server or os.sched_getaffinity(0)), PACE_EVERY_S)
    with meter, subprocess.Popen([*pin, sys.executable, *words], stdout=subprocess.PIPE) as loop:
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                loop.wait(WARMUP_S)
            before, from_s = _processes(child), time.monotonic()
            assert loop.stdout is not None  # noqa: S101 - a pipe, as asked for
            found = json.loads(loop.stdout.read())
            after = _processes(child)
        finally:
            loop.kill()
    grown = sum(rss for rss, _ in after.values()) - sum(rss for rss, _ in before.values())
    used = sum(cpu - before.get(pid, (0, 0.0))[1] for pid, (_, cpu) in after.items())
    died = bool(set(before) - set(after))
    per_request = grown / max(found["ok"], 1)
    pace = mean_pace(meter.readings, [(from_s, from_s + seconds)])
    return Measured(**found, server_cpu=used / seconds, bytes_per_request=per_request, died=died, pace=pace)


def _closed_words(case: Case, ready: Prepared, port: int) -> tuple[list[str], float]:
    """Return the words of the closed loop, and the seconds that are measured."""
    numbers = (port, case.connections, ready.several_workers * REDIAL_S, WARMUP_S, SECONDS)
    return [str(PRESS), *map(str, numbers), *(case.press or _paths(case.load))], SECONDS


def _open_words(case: Case, ready: Prepared, port: int) -> tuple[list[str], float]:
    """Return the words of the open loop, for a limit that lies in how arrivals come, and its seconds."""
    assert case.ceiling_rps is not None  # noqa: S101 - what else would be checked
    levels = OPEN_CURED_LEVELS if ready.cured else OPEN_LEVELS
    rates = [f"{one * case.ceiling_rps(ready.severity):.1f}:{OPEN_S:g}" for one in levels]
    path = (case.press or _paths(case.load))[0]
    return [str(OPEN), *map(str, (port, path, OPEN_LIMIT_MS, OPEN_SHARE, 1)), *rates], len(levels) * OPEN_S


def _processes(child: Child) -> dict[int, tuple[int, float]]:
    """Return resident bytes and CPU seconds of every process of a server."""
    found = {}
    for root in child.roots:
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(root)
            for one in [top, *top.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times = one.cpu_times()
                    found[one.pid] = one.memory_info().rss, times.user + times.system
    return found


def _paths(load: Sequence[str]) -> list[str]:
    return [following for word, following in pairwise(load) if word == "--get"] or ["/"]


# --- the judgement ---------------------------------------------------------------------------------------------------


def _judge(case: Case, severity: float, faulted: Measured, cured: Measured | None) -> Judged:
    expected = paced(case.ceiling_rps, severity, faulted.pace)
    problem = _ceiling(expected, faulted, cured)
    if problem is None and cured is not None:
        problem = _cure(case, expected, faulted, cured)
    return Judged(severity, expected, faulted, cured, problem)


def _ceiling(expected: float | None, faulted: Measured, cured: Measured | None) -> str | None:
    if expected is None:
        return None
    if expected == 0:
        limit = WITHIN * (cured.rate if cured is not None else 1.0)
        return None if faulted.rate <= limit else f"{faulted.rate:.1f}/s where nothing should pass"
    off = faulted.rate / expected - 1
    return None if abs(off) <= WITHIN else f"{faulted.rate:.1f}/s is {off:+.0%} off the ceiling of {expected:.1f}/s"


def _cure(case: Case, expected: float | None, faulted: Measured, cured: Measured) -> str | None:
    gain = cured.rate / faulted.rate if faulted.rate else float("inf")
    if gain >= GAIN:
        return None
    if expected is None or any(label.class_ == "memory" for label in case.labels):
        if faulted.died and not cured.died:
            return None
        if faulted.bytes_per_request >= max(LEAST_GROWTH, GROWTH * cured.bytes_per_request):
            return None
        grown = f"{faulted.bytes_per_request:.0f} B per request, cured {cured.bytes_per_request:.0f} B"
        return f"cured is {gain:.2f} times as fast, and memory grows by {grown}"
    return f"cured is only {gain:.2f} times as fast"


def told(case: Case, one: Judged) -> str:
    """Return one judgement as a line."""
    cured = "" if one.cured is None else f", cured {one.cured.rate:.1f}/s"
    faulted, ceiling = one.faulted, "no ceiling" if one.expected is None else f"ceiling {one.expected:.1f}/s"
    median = "n/a" if faulted.median_ms is None else f"{faulted.median_ms:.0f} ms"
    figures = f"{ceiling}, measured {faulted.rate:.1f}/s{cured}, {faulted.failed} failed, median {median}"
    seen = f"server {faulted.server_cpu:.2f} cores, loop {faulted.cpu_s / SECONDS:.2f}"
    return f"{case.name} x{one.severity:g}: {one.problem or 'ok'} ({figures}; {seen})"


# --- what is kept ----------------------------------------------------------------------------------------------------


def fingerprint(case: Case) -> str:
    """Return a mark of everything the label rests on: the case's data, and the text of what is served."""
    rate = case.ceiling_rps
    rests_on = (
        [None if rate is None else rate(one) for one in case.severities],
        *(case.target, case.cured_target, case.knobs, case.cured_knobs, case.load, case.press, case.connections),
        *(case.database, sorted(case.env.items()), case.companions, case.server_cores, case.keeps),
        [_source(word) for words in (case.target, case.cured_target or ()) for word in words],
    )
    here = str(Path(inspect.getfile(Case)).parent)  # files of a case are the same in every checkout
    return hashlib.sha256(repr(rests_on).replace(here, "").encode()).hexdigest()[:16]


def _source(word: str) -> str:
    module = word.partition(":")[0]
    if not module.startswith("pinchpoint.app.faults.serving."):
        return word
    path = Path(inspect.getfile(Case)).parent / "serving" / f"{module.rpartition('.')[2]}.py"
    return ast.dump(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else word


def labels() -> dict[str, Any]:
    """Return what is known: {case: {fingerprint, at, valid, problem, severities: {…}}}."""
    try:
        found: dict[str, Any] = json.loads(LABELS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def valid(case: Case, known: dict[str, Any]) -> bool | None:
    """Tell whether a label stands; None when that is not known of the case as it is now."""
    if case.kind == "generator":
        return True
    entry = known.get(case.name)
    if entry is None or entry["fingerprint"] != fingerprint(case):
        return None
    whole = {f"{one:g}" for one in case.severities} <= set(entry["severities"])
    bad = entry["problem"] is not None or any(one["problem"] for one in entry["severities"].values())
    return False if bad else True if whole else None


def _known(case: Case) -> bool:
    return valid(case, labels()) is True


def _store(case: Case, found: list[Judged] | str) -> None:
    """Add to the file what was found; others may do the same at this moment."""
    LABELS.parent.mkdir(parents=True, exist_ok=True)
    with LABELS.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = labels()
        mark = fingerprint(case)
        entry = known.get(case.name, {})
        if entry.get("fingerprint") != mark:
            entry = {"fingerprint": mark, "severities": {}}
        entry["at"] = dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds")
        entry["problem"] = found if isinstance(found, str) else None
        for one in found if isinstance(found, list) else []:
            entry["severities"][f"{one.severity:g}"] = asdict(one)
        known[case.name] = entry
        new = LABELS.with_suffix(".new")
        new.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        new.replace(LABELS)


def table(only: Sequence[str]) -> Table:
    """Return what is known of these cases."""
    made = Table(title="labels of the zoo, without the classifier", title_justify="left", box=None)
    for head in ("case", "severity", "ceiling/s", "measured/s", "off", "cured/s", "gain", "label"):
        made.add_column(head, justify="left" if head in {"case", "label"} else "right")
    known = labels()
    for name in names():
        entry = known.get(name) if name in only else None
        for one in (entry or {}).get("severities", {}).values():
            made.add_row(*_row(name, one))
        if entry is not None and entry["problem"]:
            made.add_row(name, "", "", "", "", "", "", f"[red]{entry['problem']}[/]")
    return made


def _row(name: str, one: dict[str, Any]) -> list[str]:
    rate, expected, cured = one["faulted"]["rate"], one["expected"], one["cured"]
    return [
        name,
        f"{one['severity']:g}",
        "-" if expected is None else f"{expected:.1f}",
        f"{rate:.1f}",
        f"{rate / expected - 1:+.0%}" if expected else "-",
        "-" if cured is None else f"{cured['rate']:.1f}",
        f"{cured['rate'] / rate:.2f}" if cured and rate else "-",
        f"[red]{one['problem']}[/]" if one["problem"] else "[green]stands[/]",
    ]
