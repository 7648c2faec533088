"""Read and write a run folder: append-only lines, so that a run killed at any moment can be read to its last line."""

import contextlib
import gc
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.rows import AwaitRow, DigestRow, EventRow, SampleRow
from pinchpoint.shapes import Run, checker, event_fits
from pinchpoint.thinning import Thinned, is_long, thinned_awaits, thinned_samples

RUN_FILE = "run.json"
LABEL_FILE = "label.json"
EVENTS_FILE = "events.jsonl"
SERVER_FILE = "server.jsonl"
CLIENT_GLOB = "client-*.jsonl"
AWAITS_FILE = "awaits.jsonl"


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


def _encode(row: object) -> bytes:
    """Return a row as one line. The collector writes some thousand figures ten times a second: orjson's is the speed.

    What is no number (NaN) was not measured: null. Text that UTF-8 cannot hold (a path may be any bytes) is escaped.
    """
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return (json.dumps(row, separators=(",", ":")) + "\n").encode()


class LineWriter:
    """Append JSON lines, each flushed whole. One writer per file."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            MeasurementError: it cannot be opened (no permission, the folder is gone).

        """
        self._path = path
        try:
            self._file: BinaryIO = path.open("ab")
        except OSError as error:
            message = f"cannot write {path}: {error.strerror}; free some space or choose another folder with --out"
            raise MeasurementError(message) from error

    def write(self, row: object) -> None:
        """Append one line.

        Raises:
            MeasurementError: the disk is full or the folder is gone.

        """
        try:
            self._file.write(_encode(row))
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
    """Yield the rows of a JSON-lines file; a torn last line (a kill mid-write) is left out, a missing file is empty.

    Raises:
        UsageError: the file is there and cannot be read.

    """
    try:
        with path.open("rb") as lines:
            for line in lines:
                row = _decoded(line)
                if isinstance(row, dict):
                    yield row
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error


def _decoded(line: bytes) -> Any:
    """Return a line's value; None when it is no JSON. What orjson is too strict for (NaN, half a surrogate) is not."""
    try:
        return orjson.loads(line)
    except ValueError:
        try:
            return json.loads(line.decode(errors="replace"))
        except (ValueError, RecursionError):
            return None


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
    """`damaged_rows`: how many rows were left out because a number was missing or of the wrong type."""
    awaits: list[AwaitRow] = field(default_factory=list)
    ticks_s: Sequence[float] = ()
    """Of a long recording, whose `samples` are thinned out (`thinning`): the times of all that there were."""


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Hold Python's cycle collector off: it would walk a growing million of new mappings, none of them in a cycle."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_no_collector()
def load_recording(folder: Path) -> Recording:
    """Load the signals of a run folder, whole or cut short. Rows of another shape than `rows` says are left out.

    Of a long recording the collector's rows are thinned out while they are read.

    Raises:
        UsageError: the folder is not a run, or a file in it cannot be read.

    """
    run = load_run(folder)
    events, bad_events = _sorted_out([folder / EVENTS_FILE], event_fits)
    seen = _samples(folder / SERVER_FILE, cast("list[EventRow]", events))
    digests, bad_digests = _sorted_out(sorted(folder.glob(CLIENT_GLOB)), checker(DigestRow))
    awaits, bad_awaits = _awaits(folder / AWAITS_FILE, cast("list[EventRow]", events))
    digests.sort(key=lambda row: float(row["t0_s"]))
    return Recording(
        events=cast("list[EventRow]", events),
        samples=seen.rows,
        digests=cast("list[DigestRow]", digests),
        settings={"load": run.get("load", {}), "slo": run.get("slo", {})},
        root=folder,
        extra={"damaged_rows": bad_events + seen.damaged + bad_digests + bad_awaits},
        awaits=awaits,
        ticks_s=seen.ticks_s,
    )


def _samples(path: Path, events: list[EventRow]) -> Thinned:
    if is_long(path):
        return thinned_samples(path, events)
    rows, damaged = _sorted_out([path], checker(SampleRow))
    return Thinned(cast("list[SampleRow]", rows), damaged=damaged)


def _awaits(path: Path, events: list[EventRow]) -> tuple[list[AwaitRow], int]:
    if is_long(path):
        return thinned_awaits(path, events)
    rows, damaged = _sorted_out([path], checker(AwaitRow))
    return cast("list[AwaitRow]", rows), damaged


def _sorted_out(paths: list[Path], fits: Callable[[dict[str, Any]], bool]) -> tuple[list[dict[str, Any]], int]:
    """Return the rows that fit, and how many do not."""
    rows = [row for path in paths for row in read_lines(path)]
    good = [row for row in rows if fits(row)]
    return good, len(rows) - len(good)


def load_run(folder: Path) -> dict[str, Any]:
    """Return `run.json`.

    Raises:
        UsageError: there is none, or it is damaged.

    """
    try:
        value = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{folder} is not a run folder: it has no {RUN_FILE}; `pinchpoint runs` lists the runs there are"
        raise UsageError(message) from None
    except NotADirectoryError:
        message = f"{folder} is a file, not a run folder; `pinchpoint runs` lists the runs there are"
        raise UsageError(message) from None
    except (OSError, ValueError, RecursionError) as error:
        message = f"cannot read {folder / RUN_FILE}: {error}"
        raise UsageError(message) from error
    if not checker(Run)(value):
        message = f"{folder / RUN_FILE} is damaged: a setting in it is not what pinchpoint writes there"
        raise UsageError(message)
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
        # A convenience: a `runs` that is read-only, or a folder called `latest`, is no reason not to measure.
        with contextlib.suppress(OSError):
            _point_latest(root, folder)
    return folder


def _clear(folder: Path) -> None:
    """Remove the files of an older run, and nothing that a run did not write."""
    known: list[Callable[[Path], bool]] = [
        lambda path: path.suffix in {".jsonl", ".json", ".md", ".html", ".log", ".xml", ".folded", ".svg", ".tmp"},
        lambda path: path.match("requests-*.csv"),
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
