"""Long recordings: what is kept of them, and that it leads to the same verdict as all of them."""

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from pinchpoint import thinning
from pinchpoint.diagnosis import diagnose
from pinchpoint.recording import Recording, load_recording
from pinchpoint.rows import EventRow
from pinchpoint.thinning import thinned_awaits, thinned_samples
from support import synthetic

STEP: EventRow = {"kind": "step", "t_s": 60.0, "data": {"t_start_s": 20.0, "t_end_s": 60.0, "settle_s": 0.5}}


def _row(t_s: float, **of_process: Any) -> dict[str, Any]:
    """Return a whole row of the collector's with one process, from a synthetic run."""
    row = dict(synthetic.Synthetic(synthetic.HEALTHY).run().recording().samples[0])
    process = {**row["processes"][0], "pss_bytes": None, "tables": None, **of_process}  # type: ignore[index]
    return {"t_s": t_s, **{key: value for key, value in row.items() if key != "t_s"}, "processes": [process]}


def _file(folder: Path, rows: list[Any]) -> Path:
    path = folder / "server.jsonl"
    lines = [row if isinstance(row, bytes) else orjson.dumps(row) + b"\n" for row in rows]
    path.write_bytes(b"".join(lines))
    return path


def _ticks(count: int, first_s: float = 0.0) -> list[dict[str, Any]]:
    template = _row(0.0)
    return [{**template, "t_s": round(first_s + number / 10, 3)} for number in range(count)]


@pytest.fixture(name="coarse")
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make spans of 10 s of 100 s, and every file a long one."""
    monkeypatch.setattr(thinning, "SPANS", 10)
    monkeypatch.setattr(thinning, "WHOLE_BYTES", 0)


@pytest.mark.usefixtures("coarse")
def test_rows_at_the_edges_of_a_step_and_one_of_every_span_are_kept(tmp_path: Path) -> None:
    """A window needs its first and last rows; in between a row now and then is enough."""
    kept = thinned_samples(_file(tmp_path, _ticks(1001)), [STEP])
    times = [row["t_s"] for row in kept.rows]

    assert {19.9, 20.0, 20.1, 20.4, 20.5, 20.6, 59.9, 60.0, 60.1} <= set(times)
    assert len(times) < 30
    assert max(after - before for before, after in pairwise(times)) <= 10.01


@pytest.mark.usefixtures("coarse")
def test_all_ticks_are_counted_though_few_rows_are_kept(tmp_path: Path) -> None:
    """Whether the collector kept time must not look worse for a long run."""
    kept = thinned_samples(_file(tmp_path, _ticks(1001)), [STEP])

    assert len(kept.ticks_s) == 1001


@pytest.mark.usefixtures("coarse")
def test_figures_that_few_rows_hold_are_carried_into_the_kept_one(tmp_path: Path) -> None:
    """PSS and tables stand in a row now and then, hardly ever in the one that is kept."""
    rows = _ticks(1001)
    rows[690] = _row(69.0, pss_bytes=123, tables={"routes": {}})
    kept = thinned_samples(_file(tmp_path, rows), [STEP]).rows
    process = next(row for row in kept if row["t_s"] == 69.9)["processes"][0]

    assert (process["pss_bytes"], process.get("tables")) == (123, {"routes": {}})


@pytest.mark.usefixtures("coarse")
def test_the_latest_of_such_figures_is_carried(tmp_path: Path) -> None:
    """An older one would be of another moment."""
    rows = _ticks(1001)
    rows[685], rows[690] = _row(68.5, pss_bytes=1), _row(69.0, pss_bytes=2)
    kept = thinned_samples(_file(tmp_path, rows), [STEP]).rows

    assert next(row for row in kept if row["t_s"] == 69.9)["processes"][0]["pss_bytes"] == 2


@pytest.mark.usefixtures("coarse")
def test_the_last_row_of_a_process_that_ended_is_kept(tmp_path: Path) -> None:
    """A worker that was replaced between two kept rows would not be noticed."""
    rows = _ticks(1001)
    rows[730] = _row(73.0, gone=True)
    successor = _row(0.0, pid=4321)
    rows[731:] = [{**successor, "t_s": row["t_s"]} for row in rows[731:]]
    kept = thinned_samples(_file(tmp_path, rows), [STEP]).rows

    assert 73.0 in [row["t_s"] for row in kept]


@pytest.mark.usefixtures("coarse")
def test_a_damaged_row_gives_way_to_the_one_before(tmp_path: Path) -> None:
    """The last row of a span has no host: the row before it stands in, and the damage is counted."""
    rows: list[Any] = _ticks(1001)
    rows[699] = {"t_s": 69.9, "processes": []}
    kept = thinned_samples(_file(tmp_path, rows), [STEP])

    assert 69.8 in [row["t_s"] for row in kept.rows]
    assert kept.damaged == 1


@pytest.mark.usefixtures("coarse")
def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    """A run killed in the middle of a line is readable to its last whole one."""
    kept = thinned_samples(_file(tmp_path, [*_ticks(1001), b'{"t_s":100']), [STEP])

    assert (len(kept.ticks_s), kept.damaged) == (1001, 0)


@pytest.mark.usefixtures("coarse")
def test_an_empty_file_keeps_nothing(tmp_path: Path) -> None:
    """No row, no damage."""
    kept = thinned_samples(_file(tmp_path, []), [])

    assert (kept.rows, list(kept.ticks_s), kept.damaged) == ([], [], 0)


def test_await_rows_of_short_steps_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a few seconds has few looks as it is; of a long one whole seconds are left out."""
    path = tmp_path / "awaits.jsonl"
    rows = [
        {"t_s": float(t), "pid": 1, "ticks": 20, "tasks": 5, "walked": 5, "stacks": {"GET /": 5}} for t in range(100)
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    monkeypatch.setattr(thinning, "WHOLE_BYTES", path.stat().st_size // 4)
    short: EventRow = {"kind": "step", "t_s": 17.0, "data": {"t_start_s": 10.0, "t_end_s": 17.0}}

    kept, damaged = thinned_awaits(path, [short])

    assert {row["t_s"] for row in kept} >= {11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0}
    assert len(kept) < 35
    assert damaged == 0


@pytest.mark.parametrize("name", ["db-pool", "python-cpu", "threadpool", "sync-call"])
def test_a_thinned_recording_leads_to_the_same_verdict(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of seconds are the hardest: what binds, the capacity and the confidence stay as they are."""
    folder = tmp_path / "run"
    synthetic.Synthetic(synthetic.TRUTHS[name][0]).run().write(folder)
    whole = diagnose(load_recording(folder))
    monkeypatch.setattr(thinning, "WHOLE_BYTES", 0)
    recording = load_recording(folder)
    found = diagnose(recording)

    assert len(recording.samples) < len(recording.ticks_s)
    assert (found.verdict.class_, found.verdict.cause) == (whole.verdict.class_, whole.verdict.cause)
    assert found.capacity == whole.capacity
    assert found.validity.status == whole.validity.status


def test_the_memory_of_a_recording_does_not_grow_with_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times as long is less than twice as much: what is kept is bounded by the spans."""
    monkeypatch.setattr(thinning, "WHOLE_BYTES", 0)
    monkeypatch.setattr(thinning, "SPANS", 50)
    monkeypatch.setattr(thinning, "_TAIL_BYTES", 20_000)

    assert _peak(tmp_path / "long", 8000) < 2 * _peak(tmp_path / "short", 2000)


def _peak(folder: Path, ticks: int) -> int:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"load": {}, "slo": {}}))
    _file(folder, _ticks(ticks))
    tracemalloc.start()
    recording: Recording = load_recording(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(recording.ticks_s) == ticks
    return peak
