"""The await files of the probes, turned into rows."""

import os
from pathlib import Path

from pinchpoint.errors import MeasurementError
from pinchpoint.monitoring.awaits import AwaitReader, AwaitRecorder
from pinchpoint.monitoring.probe.awaits_format import Awaits, render
from pinchpoint.rows import AwaitRow

WRITTEN_S = 1_000_000.0


def _publish(folder: Path, pid: int, ticks: int, stacks: dict[str, int], age_s: float = 0.0) -> None:
    temporary = folder / f"{pid}.awaits.tmp"
    temporary.write_text(render(Awaits(pid, ticks, 10 * ticks, sum(stacks.values()), stacks)))
    os.utime(temporary, (WRITTEN_S - age_s, WRITTEN_S - age_s))
    temporary.replace(folder / f"{pid}.awaits")


def _reader(folder: Path) -> AwaitReader:
    return AwaitReader(folder, clock=lambda: 50.0, wall=lambda: WRITTEN_S)


def test_a_row_holds_what_is_new_since_the_last(tmp_path: Path) -> None:
    """Files are cumulative; a row's time is the file's, on the recording's clock."""
    reader = _reader(tmp_path)
    _publish(tmp_path, 7, 10, {"GET /;[sleep]": 3, "GET /a;[sleep]": 1}, age_s=2.0)
    first = reader.read()
    _publish(tmp_path, 7, 12, {"GET /;[sleep]": 5, "GET /a;[sleep]": 1}, age_s=0.5)
    second: list[AwaitRow] = [
        {"t_s": 49.5, "pid": 7, "ticks": 2, "tasks": 20, "walked": 2, "stacks": {"GET /;[sleep]": 2}}
    ]
    assert first[0]["t_s"] == 48.0
    assert reader.read() == second


def test_a_file_that_did_not_change_is_told_once(tmp_path: Path) -> None:
    """A dead worker's last words count once."""
    reader = _reader(tmp_path)
    _publish(tmp_path, 7, 10, {"GET /;[sleep]": 3})
    assert [len(reader.read()), len(reader.read())] == [1, 0]


def test_a_pid_used_again_starts_from_nothing(tmp_path: Path) -> None:
    """Its counters went down."""
    reader = _reader(tmp_path)
    _publish(tmp_path, 7, 10, {"GET /;[sleep]": 30}, age_s=1.0)
    reader.read()
    _publish(tmp_path, 7, 2, {"GET /;[sleep]": 4})
    assert reader.read()[0]["stacks"] == {"GET /;[sleep]": 4}


def test_strange_files_and_a_missing_folder_are_no_error(tmp_path: Path) -> None:
    """Whoever writes there."""
    (tmp_path / "7.awaits").write_text("nonsense")
    (tmp_path / "x.awaits").write_text("nonsense")
    _publish(tmp_path, 8, 1, {})
    (tmp_path / "8.awaits").rename(tmp_path / "9.awaits")
    assert _reader(tmp_path).read() == []
    assert _reader(tmp_path / "gone").read() == []


def test_the_recorder_reads_once_more_when_it_stops(tmp_path: Path) -> None:
    """What was published between the last read and the end counts."""
    rows: list[AwaitRow] = []
    waits: list[float] = []

    def waiter(seconds: float) -> bool:
        waits.append(seconds)
        _publish(tmp_path, 7, len(waits), {"GET /;[sleep]": len(waits)})
        return len(waits) == 3

    recorder = AwaitRecorder(tmp_path, rows.append, waiter=waiter)
    recorder.start()
    recorder.stop()
    assert (sum(row["ticks"] for row in rows), recorder.error) == (len(waits), None)


def test_a_sink_that_fails_ends_the_recording_and_shows(tmp_path: Path) -> None:
    """A full disk, for one."""
    _publish(tmp_path, 7, 1, {})
    full = MeasurementError("cannot write")

    def sink(_: AwaitRow) -> None:
        raise full

    recorder = AwaitRecorder(tmp_path, sink, waiter=lambda _: False)
    recorder.start()
    recorder.stop()
    assert recorder.error is full
