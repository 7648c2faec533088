"""`pinchpoint doctor`: what this machine permits, with the consequence and the remedy of each limit."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinchpoint.commands.exporter import pages_of, runs
from pinchpoint.errors import ExitCode, UsageError
from pinchpoint.monitoring.doctor import LIMITED, MISSING, OK, PASSIVE, Check, Machine, run_checks
from pinchpoint.monitoring.doctor_trials import Neighbours, clock, disk, loopback
from pinchpoint.profiles import grants
from pinchpoint.profiles.capture import py_spy_path

SCHEMA = "pinchpoint.doctor/1"
DUMP_TIMEOUT_S = 3.0
_CHILD = "import sys; print(flush=True); sys.stdin.read()"
_STYLES = {OK: "green", LIMITED: "yellow", MISSING: "red"}


def examine(pid: int | None, progress: Callable[[str], None]) -> list[Check]:
    """Run every check, in at most five seconds; those about a process look at `pid`, or at this one.

    Raises:
        UsageError: there is no such process.

    """
    if pid is not None and not runs(pid):
        raise UsageError(f"--pid {pid}: there is no such process")
    machine = Machine() if pid is None else Machine(pid=pid)
    checks: list[tuple[str, Callable[[Machine], Check]]] = []
    if pid is not None:
        checks.append(("probe", partial(probe, wanted=pid)))
    checks += [*PASSIVE, ("py-spy", partial(py_spy, wanted=pid))]
    checks += [("clock", clock), ("loopback", loopback), ("disk", disk), *Neighbours().checks]
    return run_checks(checks, machine, progress)


def exit_code(checks: list[Check]) -> ExitCode:
    """Return 0, or 3 when nothing can be measured at all: the process cannot be seen from outside."""
    blind = any(check.name == "process files" and check.status == MISSING for check in checks)
    return ExitCode.INVALID_MEASUREMENT if blind else ExitCode.DONE


def as_json(checks: list[Check]) -> dict[str, Any]:
    """Return the findings as plain data."""
    usable = exit_code(checks) == ExitCode.DONE
    return {"schema": SCHEMA, "usable": usable, "checks": [check.as_json() for check in checks]}


def render(checks: list[Check], console: Console) -> None:
    """Print a table on a terminal, and plain lines when piped."""
    if not console.is_terminal:
        for check in checks:
            line = f"{check.status:8} {check.name}: {check.value} - {check.consequence}"
            console.print(Text(line + _remedy(check)), soft_wrap=True)
        return
    table = Table("check", "", "found", "what follows", box=None, pad_edge=False)
    for check in checks:
        status = Text(check.status, style=_STYLES.get(check.status, "magenta"))
        table.add_row(Text(check.name), status, Text(check.value), Text(check.consequence + _remedy(check)))
    console.print(table)


def _remedy(check: Check) -> str:
    return f"; to change it: {check.remedy}" if check.remedy else ""


def py_spy(machine: Machine, wanted: int | None = None) -> Check:
    """Run py-spy for real: on a child of ours, or on the process asked about, which is not stopped for it."""
    program = py_spy_path()
    if program is None:
        text = "no profiles: functions and lines cannot be named"
        return Check("py-spy", MISSING, "not installed", text, "pip install py-spy into pinchpoint's environment")
    if wanted is not None:
        return _dump(program, machine.pid, f"process {wanted}")
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None  # noqa: S101 - a pipe, as asked for
            child.stdout.readline()
            return _dump(program, child.pid, "a child")
        finally:
            child.kill()


def _dump(program: Path, pid: int, whom: str) -> Check:
    command = [str(program), "dump", "--nonblocking", "--pid", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DUMP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Check("py-spy", LIMITED, f"no answer within {DUMP_TIMEOUT_S:g} s", "profiles may fail on a busy machine")
    if done.returncode == 0 and "Python v" in done.stdout:
        return Check("py-spy", OK, f"read the stack of {whom}", "functions and lines can be named")
    said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
    remedy = grants.sentence() if grants.is_refusal(done.stderr) else None
    return Check("py-spy", MISSING, said, "no profiles: functions and lines cannot be named", remedy)


def probe(_machine: Machine, wanted: int) -> Check:
    """Whether a running server was started with the probe."""
    folder = pages_of(wanted)
    remedy = 'start it from a shell after  eval "$(pinchpoint probe-env)"'
    if folder is None:
        text = "pools, routes and the event loop cannot be seen; what is seen from outside remains"
        return Check("probe", MISSING, "not started with it", text, remedy)
    members = [wanted, *(child.pid for child in psutil.Process(wanted).children(recursive=True))]
    serving = [pid for pid in members if (folder / f"{pid}.page").exists()]
    if not serving:
        text = "no process of it has served yet, or its Python ignores PYTHONPATH (-I, -E) or is too old"
        return Check("probe", LIMITED, f"in place, no page in {folder}", text, "send it a request and look again")
    return Check("probe", OK, f"{len(serving)} processes with a page in {folder}", "everything can be seen")
