"""A load profile on the real thing: a spike over an app of known capacity, and a load that is stopped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.report.build import validate

pytestmark = [pytest.mark.paced, pytest.mark.timeout(90)]

# Eight at a time, 50 ms each: 160 requests/s.
APP = """
import asyncio
gate = asyncio.Semaphore(8)

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    async with gate:
        await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def staged(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run stages over the app; return the exit code, the report, and what was said."""
    (folder / "eight.py").write_text(APP)
    done = subprocess.run(
        [sys.executable, "-m", "pinchpoint", "run", "eight:app", "--get", "/", "--json", "--no-calibrate", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=80,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_spike_crosses_a_threshold_and_its_recovery_is_told(tmp_path: Path) -> None:
    """300/s for 2 s over a capacity of 160/s leave 280 requests, gone 2 s after the spike: 280 / (160 - 30)."""
    code, report, said = staged(tmp_path, "--stages", "spike(30,300,3s,2s,5s)", "--threshold", "p(95)<300")

    assert code == 1, said
    assert "threshold p(95)<300 was crossed" in said
    assert validate(report) == []
    stages = report["stages"]
    assert (stages["model"], stages["profile"], stages["stop"]) == ("rate", "spike(30,300,3s,2s,5s)", None)
    assert len(stages["series"]) == 10
    (spike,) = stages["spikes"]
    assert spike["recovered"] is True
    assert 1.0 <= spike["recovery_s"] <= 4.0
    assert [one["passed"] for one in report["steps"] if one["phase"] == "stage"][:2] == [True, False]
    assert report["capacity"]["breaking_rps"] == 300.0
    asked = [one for one in report["capacity"]["slo"] if one["asked"]]
    assert [(one["threshold"], one["ok"]) for one in asked] == [("p(95)<300", False)]


def test_an_autostop_ends_the_load_at_the_point_of_imbalance(tmp_path: Path) -> None:
    """A ramp of 40 rps a second passes 160/s at second 4; the breach begins within seconds of that."""
    code, report, said = staged(tmp_path, "--stages", "10s:400", "--autostop", "quantile(90,300ms,2s)")

    assert code == 1, said
    stop = report["stages"]["stop"]
    assert stop["criterion"] == "quantile(90,300ms,2s)"
    assert 150 <= stop["offered_rps"] <= 300, said
    assert stop["last_good_s"] == stop["second_s"] - 1
    assert stop["at_s"] < 9.5
    assert "point of imbalance" in (tmp_path / "runs" / "latest" / "report.md").read_text().lower()
