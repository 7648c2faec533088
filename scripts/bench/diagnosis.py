"""How long a diagnosis takes and what memory it needs: of a minute, of an hour with nine workers, and of half of one.

Each is a fresh process that reads a run folder and diagnoses it. Its wall time (imports included) and its largest
resident size are what GNU time tells as "Elapsed" and "Maximum resident set size": wait4's.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, median_figure

HERE = Path(__file__).resolve().parent
MB = 1e6
REPEATS, QUICK_REPEATS = 5, 1
DIAGNOSE = """
import sys
from pathlib import Path
from pinchpoint.diagnosis import diagnose
from pinchpoint.profiles.awaits import summarise
from pinchpoint.profiles.load import load_profiles
from pinchpoint.recording import load_recording
recording = load_recording(Path(sys.argv[1]))
taken = load_profiles(recording)
print(diagnose(recording, taken, summarise(recording, taken)).verdict.cause)
"""
EXPECTED = "db-pool"
LINEAR = 1.25
"""Time of an hour over twice that of half an hour; a quadratic one would be 2."""


@dataclass(frozen=True)
class Length:
    """One recording, and what its diagnosis may cost."""

    name: str
    workers: int
    seconds: int
    most_s: float | None
    most_mb: float | None


MINUTE = Length("one minute, 1 worker", 1, 60, 1.0, 200.0)
HALF = Length("half an hour, 9 workers", 9, 1800, None, None)
HOUR = Length("an hour, 9 workers", 9, 3600, 5.0, 500.0)


def diagnosis(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Return seconds and megabytes of each length, and whether time grows in proportion to it."""
    figures, times = [], {}
    for length in (MINUTE, HALF, HOUR):
        with tempfile.TemporaryDirectory(prefix="pinchpoint-bench-") as root:
            folder = Path(root) / "run"
            words = [str(folder), str(length.workers), str(length.seconds)]
            subprocess.run([sys.executable, str(HERE / "long_recording.py"), *words], check=True)
            size_mb = sum(file.stat().st_size for file in folder.iterdir()) / MB
            taken = [_once(folder) for _ in range(QUICK_REPEATS if quick else REPEATS)]
        seconds, memory = ([one[part] for one in taken] for part in (0, 1))
        name = f"{length.name} ({size_mb:,.0f} MB)"
        figures += [
            median_figure(f"{name}: wall time", seconds, "s", length.most_s, "lower"),
            median_figure(f"{name}: largest resident size", memory, "MB", length.most_mb, "lower"),
        ]
        # The shortest of several is what the work takes; the others were disturbed.
        times[length.name] = min(seconds)
        say(f"{name}: {min(seconds):.2f} s, {max(memory):.0f} MB")
    ratio = times[HOUR.name] / (2 * times[HALF.name])
    return [*figures, Figure("an hour over twice half an hour", ratio, "", LINEAR, "lower", None, 1)]


def _once(folder: Path) -> tuple[float, float]:
    """Return wall seconds and the largest resident size in MB of one diagnosis.

    Raises:
        SystemExit: it failed, or found something else than what binds.

    """
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", DIAGNOSE, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None  # noqa: S101 - it was asked for
    cause = child.stdout.read().strip()
    _, status, usage = os.wait4(child.pid, 0)
    took_s = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or cause != EXPECTED:
        raise SystemExit(f"the diagnosis of {folder} ended with {child.returncode} and {cause!r}")
    return took_s, usage.ru_maxrss * 1024 / MB
