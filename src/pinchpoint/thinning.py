"""Long recordings, read in seconds and kept in little memory: of the collector's rows only those that figures need.

Counters are cumulative, so a window is told by its first and last rows; between them a row now and then is enough for
what is averaged. What is recorded less often than ten times a second (a process's PSS, its tables) is carried into the
next row that is kept. Short recordings are read whole (`recording.load_recording`).
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from pinchpoint.errors import UsageError
from pinchpoint.rows import AwaitRow, EventRow, ProcessRow, SampleRow
from pinchpoint.shapes import checker

WHOLE_BYTES = 48_000_000
"""Files up to this size are read whole: three minutes of nine workers, half an hour of one."""

SPANS = 1000
"""A row of each span of the recording is kept, whatever its length: a plot has no more columns (`report.series`)."""

PSS_SPANS = 100
"""PSS is carried into a row of each of so many: it is in rows of its own, and looking for them is what takes time."""

SHORTEST_SPAN_S = 0.5

EDGE_S = 0.11
"""Rows this close to a step's first or last moment are kept, all of them: a tick of the collector on either side."""

SHORT_STEPS_S = 240.0
"""Of the shortest steps, together this long, every await row is kept: of a search's, not of a soak's slices."""

LOOK_BACK = 22
"""Rows before a kept one to take from: PSS stands in a row every two seconds, each process's in one of its own."""

BARE = 6
"""Rows in a row without tables at most: those are written twice a second."""

_HEAD = b'{"t_s":'
_TAIL_BYTES = 1_000_000
_PSS, _NO_PSS, _TABLES, _GONE = b'"pss_bytes":', b'"pss_bytes":null', b'"tables":{', b'"gone":true'

Row = dict[str, Any]


@dataclass
class Thinned:
    """What was kept of the collector's rows."""

    rows: list[SampleRow] = field(default_factory=list)
    ticks_s: "array[float]" = field(default_factory=lambda: array("d"))
    """Times of all rows that there were, in order."""
    damaged: int = 0
    """Rows left out because they had another shape, among those that were looked at."""
    pss_every_s: float = 0.0
    pss_s: dict[int, float] = field(default_factory=dict)
    """When a process's PSS was looked for last."""


def is_long(path: Path) -> bool:
    """Tell whether a file is too long to be read whole; one that is missing is not."""
    try:
        return path.stat().st_size > WHOLE_BYTES
    except OSError:
        return False


def edges_of(events: Iterable[EventRow]) -> list[float]:
    """Return the moments at which the windows of steps begin and end, in order."""
    found: set[float] = set()
    for event in events:
        data = event.get("data") or {}
        if event.get("kind") == "step" and {"t_start_s", "t_end_s"} <= data.keys():
            start_s = float(data["t_start_s"])
            found |= {start_s, start_s + float(data.get("settle_s") or 0.0), float(data["t_end_s"])}
    return sorted(found)


def thinned_samples(path: Path, events: Iterable[EventRow]) -> Thinned:
    """Read `server.jsonl`: rows around the edges of steps, and one of every span between them.

    Raises:
        UsageError: the file cannot be read.

    """
    kept, edges = Thinned(), edges_of(events)
    with _opened(path) as file:
        length_s = _length_s(file)
        span_s = max(SHORTEST_SPAN_S, length_s / SPANS)
        kept.pss_every_s = length_s / PSS_SPANS
        waiting: list[bytes] = []
        span = None
        for line in file:
            t_s = _time_of(line)
            if t_s is None:
                kept.damaged += line.strip() != b"" and line.endswith(b"\n")
                continue
            kept.ticks_s.append(t_s)
            if _near(edges, t_s):
                _flush(kept, waiting)
                _keep(kept, _row(line))
                continue
            if t_s // span_s != span:
                _drop_bare(waiting)
                _flush(kept, waiting)
                span = t_s // span_s
            waiting.append(line)
        _flush(kept, waiting)
    return kept


def thinned_awaits(path: Path, events: Iterable[EventRow]) -> tuple[list[AwaitRow], int]:
    """Read `awaits.jsonl`: all rows of the shortest steps, and of the rest as many whole seconds as `WHOLE_BYTES` hold.

    Returns:
        The rows, and how many of those looked at were damaged.

    Raises:
        UsageError: the file cannot be read.

    """
    short = sorted(_shortest_steps(events))
    starts = [start for start, _ in short]
    every = -(-path.stat().st_size // WHOLE_BYTES)
    fits = checker(AwaitRow)
    rows, damaged = [], 0
    with _opened(path) as file:
        for line in file:
            t_s = _time_of(line)
            at = bisect_left(starts, t_s or 0.0) - 1
            within = t_s is not None and at >= 0 and t_s <= short[at][1] + 1.0
            if t_s is None or not (within or int(t_s) % every == 0):
                continue
            row = _row(line)
            if row is not None and fits(row):
                rows.append(cast("AwaitRow", row))
            else:
                damaged += row is not None
    return rows, damaged


def _shortest_steps(events: Iterable[EventRow]) -> Iterator[tuple[float, float]]:
    """Yield the start and end of the shortest steps, as many as last `SHORT_STEPS_S` together."""
    found = []
    for event in events:
        data = event.get("data") or {}
        if event.get("kind") == "step" and {"t_start_s", "t_end_s"} <= data.keys() and data.get("phase") != "soak":
            found.append((float(data["t_start_s"]), float(data["t_end_s"])))
    left_s = SHORT_STEPS_S
    for start_s, end_s in sorted(found, key=lambda one: one[1] - one[0]):
        left_s -= end_s - start_s
        if left_s < 0:
            return
        yield start_s, end_s


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=1 << 17)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error


def _length_s(file: BinaryIO) -> float:
    """Return the time between the first row and the last whole one; leave the file at its start."""
    first_s = _time_of(file.readline())
    end = file.seek(0, 2)
    file.seek(max(0, end - _TAIL_BYTES))
    times = [t_s for line in file.readlines()[1:] if line.endswith(b"\n") and (t_s := _time_of(line)) is not None]
    file.seek(0)
    return max(times) - first_s if times and first_s is not None else 0.0


def _time_of(line: bytes) -> float | None:
    """Return a row's `t_s` without reading the rest of it: it stands first as the collector writes it."""
    if line.startswith(_HEAD):
        try:
            return float(line[len(_HEAD) : line.index(b",", len(_HEAD))])
        except ValueError:
            return None
    row = _row(line)
    t_s = None if row is None else row.get("t_s")
    return float(t_s) if isinstance(t_s, (int, float)) else None


def _row(line: bytes) -> Row | None:
    try:
        row = orjson.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _near(edges: Sequence[float], t_s: float) -> bool:
    at = bisect_left(edges, t_s - EDGE_S)
    return at < len(edges) and edges[at] <= t_s + EDGE_S


def _keep(kept: Thinned, row: Row | None) -> bool:
    if row is None or not checker(SampleRow)(row):
        kept.damaged += 1
        return False
    kept.rows.append(cast("SampleRow", row))
    return True


def _drop_bare(lines: list[bytes]) -> None:
    """Drop the last rows of a span down to one with tables: away from edges the moment matters less than the work."""
    for back in range(1, min(BARE, len(lines)) + 1):
        if _GONE in lines[-back]:
            return
        if _TABLES in lines[-back]:
            del lines[len(lines) - back + 1 :]
            return


def _flush(kept: Thinned, lines: list[bytes]) -> None:
    """Keep the last good row of a span, with what only its earlier rows tell; leave the span empty."""
    before = _living(kept.rows[-1:])
    while lines and not _keep(kept, _row(lines.pop())):
        continue
    if lines and not before <= _living(kept.rows[-1:]):
        _keep_ends(kept, lines)
    if lines:
        _carry(kept, lines[-LOOK_BACK:])
    lines.clear()


def _living(rows: Sequence[SampleRow]) -> set[int]:
    return {process["pid"] for row in rows for process in row["processes"] if not process.get("gone")}


def _keep_ends(kept: Thinned, lines: Sequence[bytes]) -> None:
    """Keep, before the row kept last, those that are the last of a process."""
    last = kept.rows.pop()
    for line in lines:
        if _GONE in line:
            _keep(kept, _row(line))
    kept.rows.append(last)


def _carry(kept: Thinned, lines: Sequence[bytes]) -> None:
    """Fill in what the row kept last lacks from the latest earlier row that has it."""
    processes, now_s = cast("list[Row]", kept.rows[-1]["processes"]), kept.rows[-1]["t_s"]
    lacking = {key: {row["pid"]: row for row in processes if row.get(key) is None} for key in RARE}
    for pid in [pid for pid, t_s in kept.pss_s.items() if now_s - t_s < kept.pss_every_s]:
        lacking["pss_bytes"].pop(pid, None)
    looked_for = list(lacking["pss_bytes"])
    for line in reversed(lines):
        wanted = [key for key in RARE if lacking[key] and RARE[key](line)]
        earlier = _row(line) if wanted else None
        for process in _processes(earlier):
            for key in wanted:
                wants = lacking[key].get(process.get("pid", -1))
                if wants is not None and process.get(key) is not None and checker(ProcessRow)(process):
                    wants[key] = process[key]
                    del lacking[key][wants["pid"]]
    kept.pss_s.update(dict.fromkeys(looked_for, now_s))


def _processes(row: Row | None) -> list[Row]:
    found = [] if row is None else row.get("processes")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _has_pss(line: bytes) -> bool:
    return line.count(_PSS) > line.count(_NO_PSS)


def _has_tables(line: bytes) -> bool:
    return _TABLES in line


RARE: dict[str, Callable[[bytes], bool]] = {"pss_bytes": _has_pss, "tables": _has_tables}
"""Figures of a process that only some rows hold -> whether a row may."""
