"""Read and write a run folder: append-only lines, so that a run killed at any moment can be read to its last line."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.rows import DigestRow, EventRow, SampleRow

RUN_FILE = "run.json"
LABEL_FILE = "label.json"
EVENTS_FILE = "events.jsonl"
SERVER_FILE = "server.jsonl"
CLIENT_GLOB = "client-*.jsonl"


def write_json(path: Path, value: object) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one.

    Raises:
        MeasurementError: the file cannot be written (disk full, no permission).

    """
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}; free some space or choose another folder with --out"
        raise MeasurementError(message) from error


class LineWriter:
    """Append JSON lines, each flushed whole. One writer per file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO = path.open("a", encoding="utf-8")

    def write(self, row: object) -> None:
        """Append one line.

        Raises:
            MeasurementError: the disk is full or the folder is gone.

        """
        try:
            self._file.write(json.dumps(row, separators=(",", ":")) + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            message = f"cannot write {self._path}: {error}; free some space or choose another folder with --out"
            raise MeasurementError(message) from error

    def close(self) -> None:
        """Close the file; closing twice, or on a full disk, is fine."""
        try:
            self._file.close()
        except OSError:
            return


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON-lines file; a torn last line (a kill mid-write) is left out, a missing file is empty."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if isinstance(row, dict):
                    yield row
    except FileNotFoundError:
        return


class LineTail:
    """Follow a JSON-lines file while another process writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def poll(self) -> list[dict[str, Any]]:
        """Return the rows completed since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in whole if line.strip()]


@dataclass(frozen=True)
class Recording:
    """The signals of one run. Holds neither the command line nor the label, so that diagnosis cannot read them."""

    events: list[EventRow]
    samples: list[SampleRow]
    digests: list[DigestRow]
    settings: dict[str, Any]
    """`run.json`'s `load` and `slo` sections: model, thresholds, budget."""
    root: Path
    """Only for reading the folded stacks that `profile` events name."""
    extra: dict[str, Any] = field(default_factory=dict)


def load_recording(folder: Path) -> Recording:
    """Load the signals of a run folder, whole or cut short.

    Raises:
        UsageError: the folder is not a run.

    """
    run = load_run(folder)
    digests = [row for path in sorted(folder.glob(CLIENT_GLOB)) for row in read_lines(path)]
    digests.sort(key=lambda row: float(row["t0_s"]))
    return Recording(
        events=cast("list[EventRow]", list(read_lines(folder / EVENTS_FILE))),
        samples=cast("list[SampleRow]", list(read_lines(folder / SERVER_FILE))),
        digests=cast("list[DigestRow]", digests),
        settings={"load": run.get("load", {}), "slo": run.get("slo", {})},
        root=folder,
    )


def load_run(folder: Path) -> dict[str, Any]:
    """Return `run.json`.

    Raises:
        UsageError: there is none, or it is not JSON.

    """
    try:
        value = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{folder} is not a run folder: it has no {RUN_FILE}; `pinchpoint runs` lists the runs there are"
        raise UsageError(message) from None
    except (OSError, json.JSONDecodeError) as error:
        message = f"cannot read {folder / RUN_FILE}: {error}"
        raise UsageError(message) from error
    return cast("dict[str, Any]", value)


def new_run_folder(root: Path, run_id: str, out: Path | None, *, force: bool, latest: bool = True) -> Path:
    """Make the folder of a new run and, unless told otherwise, point `latest` at it.

    Raises:
        UsageError: `out` is not empty and `force` was not given.

    """
    folder = out if out is not None else root / run_id
    try:
        if folder.exists() and any(folder.iterdir()):
            if not force:
                message = f"{folder} is not empty; choose another folder with --out, or overwrite it with --force"
                raise UsageError(message)
            _clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, NotADirectoryError) as error:
        message = f"cannot use {folder} as the run folder: {error.strerror}; choose another with --out"
        raise UsageError(message) from error
    if latest:
        _point_latest(root, folder)
    return folder


def _clear(folder: Path) -> None:
    """Remove the files of an older run, and nothing that a run did not write."""
    known: list[Callable[[Path], bool]] = [
        lambda path: path.suffix in {".jsonl", ".json", ".md", ".html", ".log", ".xml", ".folded", ".svg", ".tmp"},
    ]
    for path in folder.rglob("*"):
        if path.is_file() and any(test(path) for test in known):
            path.unlink()


def _point_latest(root: Path, folder: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    link = root / "latest"
    temporary = root / f".latest.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(folder.resolve(), root.resolve()))
    temporary.replace(link)
