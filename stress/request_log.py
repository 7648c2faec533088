"""A line for each request, for those who want to look at raw values: `requests-<process>.csv`, off unless asked for."""

import csv
import io
from pathlib import Path
from typing import IO

from pinchpoint.errors import MeasurementError

HEADER = ("due_s", "start_s", "done_s", "name", "outcome", "bytes")
UNSENT = "unsent"
_DIGITS = 6


class RequestLog:
    """Keeps lines until `flush`, which writes them whole: a process that is killed loses the last row's, no more."""

    def __init__(self, path: Path) -> None:
        """Open the file and write the header.

        Raises:
            MeasurementError: it cannot be written.

        """
        self._path = path
        self._rows: list[tuple[float | None, float | None, float | None, str, str, int]] = []
        try:
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as error:
            raise MeasurementError(f"cannot write {path}: {error.strerror}") from error
        self._write([HEADER])

    def add(self, due_s: float | None, start_s: float, done_s: float, name: str, outcome: str, size_bytes: int) -> None:
        """Note a request.

        Args:
            due_s: the arrival it was the first request of; None for any other.
            start_s: when it left.
            done_s: when its answer was whole, or it was given up.
            name: as in the digest.
            outcome: HTTP status, or the kind of error.
            size_bytes: of the answer.

        """
        self._rows.append((due_s, start_s, done_s, name, outcome, size_bytes))

    def unsent(self, due_s: list[float]) -> None:
        """Note arrivals that nobody was free for."""
        self._rows.extend((due, None, None, "", UNSENT, 0) for due in due_s)

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            MeasurementError: the disk is full or the folder is gone.

        """
        rows, self._rows = self._rows, []
        if rows:
            self._write([(_text(due), _text(start), _text(done), *rest) for due, start, done, *rest in rows])

    def close(self) -> None:
        """Write what was noted, and close the file."""
        self.flush()
        self._file.close()

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        try:
            self._file.write(text.getvalue().encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise MeasurementError(f"cannot write {self._path}: {error.strerror}") from error


def _text(t_s: float | None) -> str:
    return "" if t_s is None else f"{t_s:.{_DIGITS}f}"
