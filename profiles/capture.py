"""Start py-spy on every worker at once, without stopping the workers, and keep what it saw.

`--nonblocking`: a blocking py-spy stops every thread of the target at every sample (py-spy #872). Reading without a
stop tears some stacks (`folded.tidy` mends them), and lets several kinds be taken of one process at once.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pinchpoint.errors import PinchpointError
from pinchpoint.processes import Command, start
from pinchpoint.profiles import grants
from pinchpoint.profiles.attribution import short_path
from pinchpoint.profiles.folded import read, render, tidy
from pinchpoint.profiles.sources import source_lines, write_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pinchpoint.measures import Phase
    from pinchpoint.profiles.folded import Frame, Stack

CaptureKind = Literal["cpu", "gil", "wall"]

FOLDER = "profiles"
DEFAULT_RATE_HZ = 100
ATTACH_S = 10.0
"""py-spy reads the symbols of the interpreter before the first sample: 0.1 s when idle, seconds on a saturated box."""
POLL_S = 0.05
EXITED = "process exited"
_KIND_FLAGS: dict[CaptureKind, tuple[str, ...]] = {"cpu": (), "gil": ("--gil",), "wall": ("--idle",)}


class ChildLike(Protocol):
    """What is needed of `processes.Child`."""

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""

    def stop(self, grace_s: float = 5.0) -> int | None:
        """Terminate and reap it."""

    def log_tail(self, lines: int = 20) -> str:
        """Return the end of its output."""


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """One profile to take."""

    phase: Phase
    pid: int
    kind: CaptureKind
    """`cpu`: threads that run; `gil`: the thread that holds the GIL; `wall`: every thread."""
    duration_s: float
    folder: Path
    """The run's `profiles` folder; made when missing."""
    rate_hz: int = DEFAULT_RATE_HZ

    @property
    def stem(self) -> str:
        """Name of the profile's files, without suffix."""
        return f"{self.phase}-{self.pid}-{self.kind}"


@dataclass(frozen=True, slots=True)
class Captured:
    """One profile that was taken."""

    phase: Phase
    pid: int
    kind: CaptureKind
    rate_hz: int
    samples: int
    """Samples of threads, not of moments: four threads running make four a tick."""
    path: Path
    note: str | None = None
    """Why it is shorter than asked for."""


@dataclass(frozen=True, slots=True)
class Missing:
    """One profile that could not be taken, and why, in one sentence."""

    phase: Phase
    pid: int
    kind: CaptureKind
    reason: str


@dataclass(frozen=True, slots=True)
class ProfilerUnavailable:
    """Nothing can be profiled here. The message is one sentence that says what to install or to grant."""

    message: str


@dataclass(frozen=True)
class CaptureOutcome:
    """What a capture brought. Never an exception: a run goes on without profiles."""

    captured: list[Captured] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    unavailable: ProfilerUnavailable | None = None

    @property
    def notes(self) -> list[str]:
        """Sentences for the user, each once."""
        if self.unavailable is not None:
            return [self.unavailable.message]
        texts = [*(entry.note for entry in self.captured), *(entry.reason for entry in self.missing)]
        return list(dict.fromkeys(text for text in texts if text))


def py_spy_path() -> Path | None:
    """Find py-spy: beside our own interpreter first, because that is where pip put it, then on PATH."""
    beside = Path(sys.executable).parent / ("py-spy.exe" if os.name == "nt" else "py-spy")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("py-spy")
    return Path(found) if found else None


def py_spy_argv(program: Path, request: ProfileRequest, output: Path) -> tuple[str, ...]:
    """Build the command. py-spy takes whole seconds only."""
    seconds = max(1, math.ceil(request.duration_s))
    return (
        *(str(program), "record", "--pid", str(request.pid), "--duration", str(seconds)),
        *("--rate", str(request.rate_hz), "--format", "raw", "--output", str(output)),
        *("--nonblocking", "--full-filenames", "--threads", *_KIND_FLAGS[request.kind]),
    )


def capture(
    requests: Sequence[ProfileRequest],
    *,
    root: Path | None = None,
    launch: Callable[[Command], ChildLike] = start,
    program: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> CaptureOutcome:
    """Take all the profiles at once; return when the last is written, at most the longest duration plus ATTACH_S later.

    `root` is the project's folder: paths below it are kept relative to it. `launch` starts a child process.
    """
    session = CaptureSession(requests, root=root, launch=launch, program=program, clock=clock)
    try:
        while not session.done():
            sleep(POLL_S)
    finally:
        session.stop()
    return session.collect()


class CaptureSession:
    """A capture under way, for callers with other things to do: `done()` until true, `stop()`, then `collect()`."""

    def __init__(
        self,
        requests: Sequence[ProfileRequest],
        *,
        root: Path | None = None,
        launch: Callable[[Command], ChildLike] = start,
        program: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start one py-spy for each request."""
        self._root = root
        self._clock = clock
        self._running: list[tuple[ProfileRequest, ChildLike]] = []
        self._missing: list[Missing] = []
        self._program = program or py_spy_path()
        if self._program is not None:
            for request in requests:
                self._start(self._program, request, launch)
        longest_s = max((math.ceil(request.duration_s) for request, _ in self._running), default=0)
        self._deadline_s = clock() + longest_s + ATTACH_S

    def done(self) -> bool:
        """Tell whether every profiler has ended, or its time is up."""
        return self._clock() >= self._deadline_s or all(child.returncode is not None for _, child in self._running)

    def stop(self) -> None:
        """Stop whatever still runs; what it would have written is lost. Reaps those that have ended, too."""
        for _, child in self._running:
            child.stop(1.0)

    def collect(self) -> CaptureOutcome:
        """Read what was written. Call it once, after `stop`."""
        if self._program is None:
            return CaptureOutcome(unavailable=ProfilerUnavailable(grants.NOT_INSTALLED))
        captured: list[Captured] = []
        missing = list(self._missing)
        refused = 0
        for request, child in self._running:
            log = child.log_tail(40)
            kept = self._keep(request, child, log)
            if isinstance(kept, Captured):
                captured.append(kept)
            else:
                refused += grants.is_refusal(log)
                missing.append(kept)
        if refused and not captured:
            return CaptureOutcome([], missing, ProfilerUnavailable(grants.sentence()))
        return CaptureOutcome(captured, missing)

    def _start(self, program: Path, request: ProfileRequest, launch: Callable[[Command], ChildLike]) -> None:
        output = _raw_path(request)
        log = request.folder / f"{request.stem}.log"
        command = Command(name=f"py-spy {request.stem}", argv=py_spy_argv(program, request, output), log=log)
        try:
            request.folder.mkdir(parents=True, exist_ok=True)
            for old in (output, log):
                old.unlink(missing_ok=True)
            self._running.append((request, launch(command)))
        except (OSError, PinchpointError) as error:
            self._miss(request, f"py-spy did not start on worker {request.pid}: {error}")

    def _miss(self, request: ProfileRequest, reason: str) -> None:
        self._missing.append(Missing(request.phase, request.pid, request.kind, reason))

    def _keep(self, request: ProfileRequest, child: ChildLike, log: str) -> Captured | Missing:
        """Turn py-spy's file into ours: mended, without this machine's paths, with the text of the sampled lines."""
        raw = _raw_path(request)
        if child.returncode != 0 or not raw.exists():
            reason = _failure(request, child.returncode, log)
            raw.unlink(missing_ok=True)
            return Missing(request.phase, request.pid, request.kind, reason)
        try:
            stacks = tidy(read(raw))
            if EXITED in log and stacks.total == 0:
                return Missing(
                    request.phase, request.pid, request.kind, f"worker {request.pid} ended before it was sampled"
                )
            path = request.folder / f"{request.stem}.folded"
            write_lines(path, source_lines(stacks, self._short))
            shortened = stacks.map(self._shorten)
            _write(path, render(shortened))
            raw.unlink()
        except OSError as error:
            return Missing(request.phase, request.pid, request.kind, f"the profile of worker {request.pid}: {error}")
        note = f"worker {request.pid} ended while it was profiled ({request.kind})" if EXITED in log else None
        return Captured(request.phase, request.pid, request.kind, request.rate_hz, shortened.total, path, note)

    def _short(self, file: str) -> str:
        return short_path(file, str(self._root) if self._root is not None else None)

    def _shorten(self, stack: Stack) -> Stack:
        return tuple(self._short_frame(frame) for frame in stack)

    def _short_frame(self, frame: Frame) -> Frame:
        if frame.kind != "code":
            return frame
        return type(frame)(frame.function, self._short(frame.file), frame.line)


def _raw_path(request: ProfileRequest) -> Path:
    return request.folder / f"{request.stem}.folded.tmp"


def _write(path: Path, text: str) -> None:
    """Replace the file whole: a reader never sees half of one."""
    temporary = path.with_suffix(path.suffix + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _failure(request: ProfileRequest, code: int | None, log: str) -> str:
    """Say in one sentence why there is no profile."""
    if grants.is_refusal(log):
        return grants.sentence()
    if code is None or code < 0:
        return f"py-spy on worker {request.pid} did not end in time and was stopped ({request.kind})"
    if not Path(f"/proc/{request.pid}").exists() and Path("/proc/self").exists():
        return f"worker {request.pid} ended before it was sampled"
    last = next((line for line in log.splitlines() if line.strip().startswith("Error:")), f"exit code {code}")
    return f"py-spy cannot read worker {request.pid}: {last.strip().removeprefix('Error: ')}"
