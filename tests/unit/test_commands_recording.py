"""Damaged recordings are read as far as they make sense, and never with a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.recording import LineWriter, load_recording, load_run, new_run_folder

STEP = {"index": 0, "phase": "ramp", "t_start_s": 1.0, "t_end_s": 2, "offered_rps": 40.0, "users": None}
EVENT = {"kind": "step", "t_s": 1.5, "data": STEP}
NAME = {"ok": 1, "failed": 0, "errors": {}, "bytes": 0, "latency_ok": None, "latency_failed": None, "service_ok": None}
COUNTS = {"process": 0, "pid": 1, "segment": 1, "scheduled": 1, "started": 1, "unsent": 0, "inflight": 0, "users": 1}
TIMES = {"t0_s": 1.0, "t1_s": 2.0, "inflight_s": 0.0, "cpu_s": 0.0, "runq_s": None, "send_lag": None}
HANDLES = {"fds": None, "fd_limit": None, "loop_busy_s": None, "unanswered": None}
DIGEST = {**COUNTS, **TIMES, **HANDLES, "names": {"GET /": NAME}}


def folder_of(root: Path, run: object, events: list[Any], digests: list[Any]) -> Path:
    """Write a run folder of these rows."""
    (root / "run.json").write_text(json.dumps(run))
    (root / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in events))
    (root / "client-0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in digests))
    return root


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    """Leave one key out."""
    return {key: value for key, value in row.items() if key != name}


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        without(DIGEST, "t0_s"),
        {**DIGEST, "scheduled": "many"},
        {**DIGEST, "t0_s": float("inf")},
        {**DIGEST, "users": True},
        {**DIGEST, "names": {"GET /": [1]}},
        {**DIGEST, "names": {"GET /": without(NAME, "failed")}},
    ],
)
def test_a_digest_of_another_shape_is_left_out_and_counted(tmp_path: Path, damaged: object) -> None:
    """Abstain rather than guess a number that is missing."""
    recording = load_recording(folder_of(tmp_path, {}, [], [DIGEST, damaged]))

    assert recording.digests == [DIGEST]
    assert recording.extra["damaged_rows"] == 1


@pytest.mark.parametrize(
    "damaged", [without(EVENT, "data"), {**EVENT, "data": {}}, {**EVENT, "data": {**STEP, "index": "a"}}]
)
def test_an_event_that_says_too_little_is_left_out(tmp_path: Path, damaged: object) -> None:
    """A step without its times is no step."""
    recording = load_recording(folder_of(tmp_path, {}, [EVENT, damaged], []))

    assert recording.events == [EVENT]
    assert recording.extra["damaged_rows"] == 1


def test_a_figure_that_may_be_missing_is_not_measured(tmp_path: Path) -> None:
    """Rows of an older version stay readable: None, never 0."""
    recording = load_recording(folder_of(tmp_path, {}, [], [without(DIGEST, "runq_s")]))

    assert recording.digests == [DIGEST]


@pytest.mark.parametrize(
    "run", [[], 3, {"slo": True}, {"target": True}, {"argv": 1e308}, {"load": {"server_cpus": [{}]}}]
)
def test_a_damaged_run_file_is_one_sentence(tmp_path: Path, run: object) -> None:
    """It is refused before anything relies on it."""
    with pytest.raises(UsageError, match="is damaged"):
        load_run(folder_of(tmp_path, run, [], []))


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    """The message does not speak of errno."""
    path = tmp_path / "file"
    path.touch()

    with pytest.raises(UsageError, match="is a file, not a run folder"):
        load_run(path)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(noise=st.binary(max_size=60))
def test_no_bytes_in_a_recording_make_the_reader_fail(tmp_path: Path, noise: bytes) -> None:
    """Whatever a crash left in the file, the good rows are read."""
    folder = folder_of(tmp_path, {}, [], [DIGEST])
    (folder / "events.jsonl").write_bytes(noise + b"\n" + json.dumps(EVENT).encode() + b"\n")

    assert EVENT in load_recording(folder).events


def test_a_recording_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    """Folders that are read-only or gone."""
    with pytest.raises(MeasurementError, match="cannot write"):
        LineWriter(tmp_path / "gone" / "events.jsonl")


def test_a_folder_called_latest_is_no_reason_not_to_measure(tmp_path: Path) -> None:
    """The link is a convenience."""
    (tmp_path / "latest" / "inside").mkdir(parents=True)

    assert new_run_folder(tmp_path, "one", None, force=False) == tmp_path / "one"
