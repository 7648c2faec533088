"""Read and write a run folder: append-only lines, so that a run killed at any moment can be read to its last line."""

import contextlib
import functools
import json
import math
import os
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Any,
    BinaryIO,
    NotRequired,
    TypedDict,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import orjson

from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.rows import AwaitRow, DigestRow, EventRow, SampleRow

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


class _StepData(TypedDict):
    """`data` of a `step` event; see `EventRow`."""

    index: int
    phase: str
    t_start_s: float
    t_end_s: float
    model: NotRequired[str]
    segment: NotRequired[int]
    offered_rps: float | None
    users: int | None
    settle_s: NotRequired[float]
    passed: NotRequired[bool]
    breaches: NotRequired[list[str]]


class _ProfileData(TypedDict):
    """`data` of a `profile` event, as far as every reader relies on it."""

    phase: str
    path: str


_StageData = TypedDict(  # a keyword is among the names
    "_StageData",
    {"name": str, "kind": NotRequired[str], "start_s": float, "seconds": float, "from": float, "to": float},
)


class _SpikeData(TypedDict):
    """One of its `spikes`."""

    start_s: float
    end_s: float
    base: float
    peak: float


class _StagesData(TypedDict):
    """`data` of a `stages` event: a load profile."""

    text: str
    model: str
    t_start_s: float
    seconds: float
    stages: list[_StageData]
    spikes: list[_SpikeData]


class _StopData(TypedDict):
    """`data` of a `stop` event."""

    criterion: str
    message: str
    second: NotRequired[float]
    at_s: NotRequired[float]
    offered_rps: float | None
    users: float | None
    last_good_s: float | None
    last_good_load: float | None


class _CalibrationData(TypedDict):
    """`data` of a `calibration` event."""

    max_rps: float | None
    answered_rps: NotRequired[float | None]
    cpu_share: NotRequired[float | None]
    processes: int
    reason: NotRequired[str]


class _GeneratorData(TypedDict):
    """`data` of a `generator` event."""

    processes: int
    load_cpus: list[int] | None
    server_cpus: list[int] | None
    reason: str
    remote: NotRequired[int]


_DATA: dict[str, Any] = {
    "step": _StepData,
    "profile": _ProfileData,
    "stages": _StagesData,
    "stop": _StopData,
    "calibration": _CalibrationData,
    "generator": _GeneratorData,
}
"""What readers rely on in an event's data, by its kind."""


class _Slo(TypedDict, total=False):
    """`slo` of `run.json`."""

    p95_ms: float | None
    max_error_rate: float | None


class _Load(TypedDict, total=False):
    """`load` of `run.json`; the rest of it is only shown."""

    model: str
    processes: int
    max_users: int
    workers: int
    load_cpus: list[int] | None
    server_cpus: list[int] | None


class _Run(TypedDict, total=False):
    """`run.json`, as far as readers rely on its shape."""

    id: str
    started_at: str
    argv: list[str]
    budget_s: float | None
    partial: bool
    problem: str | None
    duration_s: float | None
    versions: dict[str, str]
    host: dict[str, Any]
    target: dict[str, Any]
    load: _Load
    slo: _Slo


@functools.cache
def _checker(hint: Any) -> Callable[[Any], bool]:
    """Return the test whether a JSON value has the shape of a type; it adds keys that are missing and may be None."""
    if is_typeddict(hint):
        return _mapping_checker(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    inner = [_checker(one) for one in arguments]
    if origin in {Union, types.UnionType}:
        return lambda value: any(test(value) for test in inner)
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(inner[0], value))
    if origin is dict:
        return lambda value: isinstance(value, dict) and all(map(inner[1], value.values()))
    return lambda value: _is_plain(value, hint)


def _is_plain(value: Any, hint: Any) -> bool:
    """Hold a value against Any, None, str, bool, int or float; JSON writes 5.0 as 5, and must not hold an infinity."""
    if hint in {int, float}:
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    return hint is Any or isinstance(value, hint)


def _mapping_checker(hint: Any) -> Callable[[Any], bool]:
    members = []
    for name, annotation in get_type_hints(hint, include_extras=True).items():
        optional = get_origin(annotation) is NotRequired or not hint.__total__
        inner = get_args(annotation)[0] if get_origin(annotation) is NotRequired else annotation
        members.append((name, _checker(inner), optional, type(None) in get_args(inner)))

    def fits(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        for name, test, optional, nullable in members:
            if name in value:
                if not test(value[name]):
                    return False
            elif nullable:
                value[name] = None
            elif not optional:
                return False
        return True

    return fits


def _event_fits(row: dict[str, Any]) -> bool:
    """Tell whether a row is an event whose data readers can rely on."""
    if not {"kind", "t_s", "data"} <= row.keys() or not _checker(EventRow)(row):
        return False
    hint = _DATA.get(row["kind"])
    return hint is None or _checker(hint)(row["data"])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON-lines file; a torn last line (a kill mid-write) is left out, a missing file is empty.

    Raises:
        UsageError: the file is there and cannot be read.

    """
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(row, dict):
                    yield row
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error


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


def load_recording(folder: Path) -> Recording:
    """Load the signals of a run folder, whole or cut short. Rows of another shape than `rows` says are left out.

    Raises:
        UsageError: the folder is not a run, or a file in it cannot be read.

    """
    run = load_run(folder)
    events, bad_events = _sorted_out([folder / EVENTS_FILE], _event_fits)
    samples, bad_samples = _sorted_out([folder / SERVER_FILE], _checker(SampleRow))
    digests, bad_digests = _sorted_out(sorted(folder.glob(CLIENT_GLOB)), _checker(DigestRow))
    awaits, bad_awaits = _sorted_out([folder / AWAITS_FILE], _checker(AwaitRow))
    digests.sort(key=lambda row: float(row["t0_s"]))
    return Recording(
        events=cast("list[EventRow]", events),
        samples=cast("list[SampleRow]", samples),
        digests=cast("list[DigestRow]", digests),
        settings={"load": run.get("load", {}), "slo": run.get("slo", {})},
        root=folder,
        extra={"damaged_rows": bad_events + bad_samples + bad_digests + bad_awaits},
        awaits=cast("list[AwaitRow]", awaits),
    )


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
    if not _checker(_Run)(value):
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
