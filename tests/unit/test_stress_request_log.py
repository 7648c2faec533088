"""The log of raw requests: whole lines only, plain numbers, unsent arrivals apart."""

import csv
from pathlib import Path

import pytest

from pinchpoint.errors import MeasurementError
from pinchpoint.stress.request_log import HEADER, RequestLog


def test_nothing_is_written_before_a_flush_and_everything_after_it(tmp_path: Path) -> None:
    """The header is there from the start; names survive commas, quotes and line ends."""
    path = tmp_path / "requests-0.csv"
    log = RequestLog(path)
    log.add(1.5, 1.50025, 1.75, 'a "b", c', "200", 12)
    log.add(None, 2.0, 2.5, "line\nend", "timeout", 0)
    log.unsent([3.0, 3.25])
    assert path.read_text() == ",".join(HEADER) + "\n"

    log.close()

    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["1.500000", "1.500250", "1.750000", 'a "b", c', "200", "12"],
        ["", "2.000000", "2.500000", "line\nend", "timeout", "0"],
        ["3.000000", "", "", "", "unsent", "0"],
        ["3.250000", "", "", "", "unsent", "0"],
    ]


def test_a_second_flush_adds_only_what_is_new(tmp_path: Path) -> None:
    """Lines are written once."""
    path = tmp_path / "requests-0.csv"
    log = RequestLog(path)
    log.unsent([1.0])
    log.flush()
    log.flush()
    log.unsent([2.0])
    log.close()
    assert [line.split(",")[0] for line in path.read_text().splitlines()[1:]] == ["1.000000", "2.000000"]


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    """No traceback from a load process."""
    with pytest.raises(MeasurementError, match="cannot write"):
        RequestLog(tmp_path / "gone" / "requests-0.csv")
