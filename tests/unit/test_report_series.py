"""The time axis."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pinchpoint.recording import Recording
from pinchpoint.report import series
from pinchpoint.report.series import timeline
from support.sample_run import sample_recording

if TYPE_CHECKING:
    from pinchpoint.rows import SampleRow


def at(line: dict[str, Any], second: float, values: Sequence[float | None]) -> float | None:
    """Return the value of the bin that holds a second."""
    index = next(index for index, middle in enumerate(line["t_s"]) if abs(middle - second) <= line["bin_s"] / 2)
    return values[index]


def test_the_client_is_shown_second_by_second(tmp_path: Path) -> None:
    """Second 12 lies in the step of 20/s, second 24 above the ceiling of 98/s."""
    line = timeline(sample_recording(tmp_path))
    offered, goodput = line["client"]["offered_rps"], line["client"]["goodput_rps"]

    assert [at(line, 12.5, offered), at(line, 24.5, offered)] == [20, 160]
    assert [at(line, 12.5, goodput), at(line, 24.5, goodput)] == [20, 98]


def test_the_server_is_shown_from_its_counters(tmp_path: Path) -> None:
    """CPU is 2 ms a request; the busiest loop serves 61 % of the requests at 2.4 ms each."""
    line = timeline(sample_recording(tmp_path))

    assert at(line, 12.5, line["server"]["cpu_cores"]) == pytest.approx(19.94 * 0.002, rel=1e-3)
    assert at(line, 12.5, line["server"]["loop_busy"]) == pytest.approx(19.94 * 0.61 * 0.0024, rel=1e-3)
    assert at(line, 12.5, line["server"]["pool_size"]) == 4
    assert [worker["pid"] for worker in line["server"]["workers"]] == [4201, 4202]


def test_a_silent_collector_leaves_a_gap(tmp_path: Path) -> None:
    """Missing samples are null, before and after them there are numbers."""
    line = timeline(sample_recording(tmp_path))
    cpu = line["server"]["cpu_cores"]

    assert [at(line, second, cpu) is None for second in (19.5, 20.5, 21.5, 22.5, 24.5)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_stale_probe_page_is_no_measurement(tmp_path: Path) -> None:
    """A counter that nobody updates would read as a rate of 0."""
    recording = sample_recording(tmp_path)
    for sample in recording.samples:
        for process in sample["processes"]:
            process["probe_age_s"] = 5.0

    server = timeline(recording)["server"]

    assert set(server["loop_busy"]) == {None}
    assert set(server["cpu_cores"]) > {None}


def test_a_sliver_between_two_levels_has_no_rate(tmp_path: Path) -> None:
    """Two responses in five milliseconds are not 400 a second."""
    recording = sample_recording(tmp_path)
    last = max(recording.digests, key=lambda row: row["t1_s"])
    sliver = {**last, "t0_s": last["t1_s"] + 1.5, "t1_s": last["t1_s"] + 1.505}
    line = timeline(replace(recording, digests=[*recording.digests, cast("Any", sliver)]))

    assert line["client"]["goodput_rps"][-1] is None


def test_setup_requests_are_no_load(tmp_path: Path) -> None:
    """Logins before the first arrival count neither as goodput nor in latency."""
    line = timeline(sample_recording(tmp_path, name="setup: /login"))

    assert at(line, 12.5, line["client"]["goodput_rps"]) == 0
    assert at(line, 12.5, line["client"]["p95_ms"]) is None


def test_steps_become_bands_on_the_same_axis(tmp_path: Path) -> None:
    """Second 0 is where the first step begins; the boot lies before it."""
    line = timeline(sample_recording(tmp_path))

    assert [(band["phase"], band["from_s"], band["to_s"]) for band in line["bands"][:2]] == [
        ("warmup", 0, 4),
        ("baseline", 4, 10),
    ]
    assert line["t_s"][0] == -1.5


def test_a_long_run_gets_wider_bins(tmp_path: Path) -> None:
    """No more points than the screen has columns, and no request lost: a wider bin is still a mean per second."""
    recording = sample_recording(tmp_path)
    last = cast("SampleRow", {**recording.samples[-1], "t_s": recording.samples[0]["t_s"] + 7200})
    line = timeline(replace(recording, samples=[*recording.samples, last]))

    assert line["bin_s"] == 8
    assert len(line["t_s"]) <= series.MAX_POINTS
    assert {len(values) for values in line["client"].values()} == {len(line["t_s"])}


def test_an_empty_recording_has_an_empty_axis(tmp_path: Path) -> None:
    """A run killed at once leaves nothing to draw, and no error."""
    assert timeline(Recording([], [], [], {}, tmp_path))["t_s"] == []


def test_a_damaged_histogram_costs_one_point_only(tmp_path: Path) -> None:
    """The rate of that second is still known."""
    recording = sample_recording(tmp_path)
    for entry in recording.digests[10]["names"].values():
        entry["latency_ok"] = "damaged"

    line = timeline(recording)

    assert (at(line, 10.5, line["client"]["p95_ms"]), at(line, 10.5, line["client"]["goodput_rps"])) == (None, 20)
    assert at(line, 11.5, line["client"]["p95_ms"]) is not None
