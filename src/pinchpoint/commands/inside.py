"""What can be read off the processes of a started server: its interpreter, and why no probe reports from it."""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from pinchpoint.commands.attach import environment
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.describe import LOG_FILE, Description, Inquiry, describe
from pinchpoint.commands.target import server_of
from pinchpoint.errors import PinchpointError
from pinchpoint.monitoring import probe
from pinchpoint.monitoring.injection import PAGE_FOLDER_VARIABLE
from pinchpoint.monitoring.processes_tree import find_members
from pinchpoint.monitoring.procfs import read_once

OLDEST = (3, 9)
INJECT = str(Path(probe.__file__).resolve().parent / "inject")
"""What PYTHONPATH must hold for the probe to be loaded."""
ASK_S = 5.0
_PYTHON = re.compile(r"^python(?:(\d+)(?:\.(\d+))?)?t?$")
_WITH_VALUE = frozenset("WX")
"""Interpreter options whose value may be the next word."""


def ask_interpreter(
    roots: Iterable[int], config: RunConfig, env: Mapping[str, str], folder: Path
) -> Description | None:
    """Ask the interpreter of a server that is no app of ours to import; None when it is not Python or does not say."""
    python = next((found for pid in find_members(roots) if (found := interpreter_of(pid)) is not None), None)
    if python is None:
        return None
    try:
        return describe(Inquiry(python, env or os.environ, config.cwd, folder / LOG_FILE), ASK_S)
    except PinchpointError:
        return None


def server_seen(roots: Iterable[int]) -> str | None:
    """Return the server that the processes' command lines name, if any does."""
    for pid in find_members(roots):
        words = (read_once(f"/proc/{pid}/cmdline") or "").split("\0")
        if (server := server_of(words)) is not None:
            return server
    return None


def interpreter_of(pid: int) -> str | None:
    """Return the path of a process's Python as it was called: a virtual environment is known by that path alone."""
    words = (read_once(f"/proc/{pid}/cmdline") or "").split("\0")
    called = shutil.which(words[0], path=(environment(pid) or {}).get("PATH", os.defpath))
    try:
        running = Path(f"/proc/{pid}/exe").readlink()
        same = called is not None and Path(called).resolve() == running
    except OSError:
        return None
    # A server may have given itself a title in place of its command line.
    found = called if same else str(running)
    return found if _PYTHON.match(running.name) else None


def stranger(roots: Iterable[int], port: int | None, listeners: Callable[[int], Collection[int]]) -> str | None:
    """Say so when a process that the command did not start answers on its port; None when all is well or unknown."""
    owners = set(listeners(port)) if port is not None else set()
    if not owners or owners & find_members(roots).keys():
        return None
    pid = min(owners)
    try:
        name = psutil.Process(pid).name()
    except psutil.Error:
        return None
    return (
        f"PID {pid} ({name}) answers on port {port}, and the command did not start it: the server's figures are not "
        f"its own; attach to it with --pid {pid}"
    )


def why_no_page(workers: Sequence[int], roots: Sequence[int]) -> str:
    """Name the likely reason why no process has a probe page."""
    reasons = [reason for pid in [*workers, *roots] if (reason := _reason(pid)) is not None]
    likely = reasons[0] if reasons else "none of its processes runs a server, framework or loop that the probe knows"
    return f"no process of the target reports from inside ({likely}): pools, routes and the event loop are unavailable"


def _reason(pid: int) -> str | None:
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return None
    words = (read_once(f"/proc/{pid}/cmdline") or "").split("\0")
    reason = why_interpreter(program, words)
    if reason is not None:
        return reason
    environ = environment(pid)
    if environ is None:
        return "its environment cannot be read"
    if PAGE_FOLDER_VARIABLE not in environ:
        return "it was started with an environment of its own"
    if INJECT not in environ.get("PYTHONPATH", "").split(os.pathsep):
        return "the command sets PYTHONPATH anew; let it keep what is there"
    return None


def why_interpreter(program: str, words: Sequence[str]) -> str | None:
    """Say what of an interpreter and its command line keeps the probe out; None when nothing does."""
    if program.startswith("pypy"):
        return "it runs on PyPy, and the probe is made for CPython"
    match = _PYTHON.match(program)
    if match is None:
        return f"{program} is not a Python interpreter"
    major, minor = match.groups()
    if major and minor and (int(major), int(minor)) < OLDEST:
        return f"it runs on Python {major}.{minor}, and the probe needs {OLDEST[0]}.{OLDEST[1]}"
    flags = interpreter_flags(words)
    if flags & {"I", "E"}:
        return f"python -{'I' if 'I' in flags else 'E'} ignores PYTHONPATH, which loads the probe"
    if "S" in flags:
        return "python -S runs no sitecustomize, which loads the probe"
    return None


def interpreter_flags(words: Sequence[str]) -> set[str]:
    """Return the single-letter options before the program in an interpreter's command line."""
    flags: set[str] = set()
    skip = False
    for word in words[1:]:
        if skip:
            skip = False
            continue
        if not word.startswith("-") or word.startswith("--") or word == "-":
            break
        for place, letter in enumerate(word[1:], start=1):
            flags.add(letter)
            if letter in "cm":
                return flags
            if letter in _WITH_VALUE:
                skip = place == len(word) - 1
                break
    return flags
