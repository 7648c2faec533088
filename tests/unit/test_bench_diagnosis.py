"""The made-up recording that `scripts/bench.sh diagnosis` times still shows what it says it shows."""

import subprocess
import sys
from pathlib import Path

from pinchpoint.diagnosis import diagnose
from pinchpoint.recording import load_recording


def test_the_timed_recording_shows_a_full_pool(checkout: Path, tmp_path: Path) -> None:
    """A rule that no longer sees it would end the bench; of a minute, as the hour is the same search and a soak."""
    maker = checkout / "scripts" / "bench" / "long_recording.py"
    subprocess.run([sys.executable, str(maker), str(tmp_path / "run"), "1", "60"], check=True, timeout=60)

    assert diagnose(load_recording(tmp_path / "run")).verdict.cause == "db-pool"
