"""What the client and the server saw, second by second, on one axis; a missing sample stays None, a gap in the plot."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pinchpoint import histograms
from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.errors import UsageError
from pinchpoint.report.server_series import server_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pinchpoint.recording import Recording
    from pinchpoint.rows import DigestRow

MAX_POINTS = 1000
"""More points than a screen has columns only make the file bigger; longer runs get wider bins."""

_MARKED = ("target-exit", "worker-exit", "note")


SHORTEST_RATE_S = 0.2
"""A bin that holds only the few milliseconds between two load levels has no rate worth drawing."""


def timeline(recording: Recording) -> dict[str, Any]:
    """Return every series of the time axis; `t_s[i]` is the middle of bin i, in seconds since the first step began.

    Rates are per second, `*_ms` percentiles of that bin's successful requests, `*_cores` CPU time per wall time, shares
    0..1. The boot of the target lies before 0.
    """
    steps = [event["data"] for event in recording.events if event.get("kind") == "step"]
    edges = _edges(recording, steps)
    if edges is None:
        return {"origin_s": None, "bin_s": 1.0, "t_s": [], "client": {}, "server": {}, "bands": [], "marks": []}
    origin, start, width, bins = edges
    return {
        "origin_s": origin,
        "bin_s": width,
        "t_s": [round(start - origin + (index + 0.5) * width, 3) for index in range(bins)],
        "client": client_series(recording.digests, start, width, bins),
        "server": server_series(recording.samples, start, width, bins),
        "bands": [_band(step, origin) for step in steps],
        "marks": [_mark(event, origin) for event in recording.events if event.get("kind") in _MARKED],
    }


def origin_s(recording: Recording) -> float | None:
    """Return the clock time that counts as 0: the start of the first step, else the first row of all."""
    starts = [event["data"].get("t_start_s") for event in recording.events if event.get("kind") == "step"]
    first_step = min((float(start) for start in starts if start is not None), default=None)
    if first_step is not None:
        return first_step
    rows = [row["t_s"] for row in recording.samples[:1]] + [row["t0_s"] for row in recording.digests[:1]]
    return min(rows, default=None)


def _edges(recording: Recording, steps: Sequence[dict[str, Any]]) -> tuple[float, float, float, int] | None:
    origin = origin_s(recording)
    if origin is None:
        return None
    firsts = [row["t_s"] for row in recording.samples[:1]] + [row["t0_s"] for row in recording.digests[:1]]
    lasts = [row["t_s"] for row in recording.samples[-1:]] + [row["t1_s"] for row in recording.digests[-1:]]
    lasts += [float(step["t_end_s"]) for step in steps if step.get("t_end_s") is not None]
    first, last = min([*firsts, origin]), max([*lasts, origin])
    width = float(max(1, math.ceil((last - first) / (MAX_POINTS - 2))))
    start = origin - math.ceil((origin - first) / width) * width
    return origin, start, width, max(1, math.ceil((last - start) / width))


def client_series(
    rows: Iterable[DigestRow], start_s: float, width_s: float, bins: int
) -> dict[str, list[float | None]]:
    """Fold digest rows into bins by their midpoint; rates per summed row duration of each process, then summed."""
    binned: defaultdict[int, list[DigestRow]] = defaultdict(list)
    for row in rows:
        binned[math.floor(((row["t0_s"] + row["t1_s"]) / 2 - start_s) / width_s)].append(row)
    series: dict[str, list[float | None]] = {name: [None] * bins for name in _CLIENT}
    for index, group in binned.items():
        if 0 <= index < bins:
            for name, read in _CLIENT.items():
                series[name][index] = _short(read(group))
            latency = _latency(group)
            for name, value in latency.items():
                series.setdefault(name, [None] * bins)[index] = _short(value)
    return series


def _per_second(read: Callable[[DigestRow], float]) -> Callable[[Sequence[DigestRow]], float | None]:
    def rate(rows: Sequence[DigestRow]) -> float | None:
        shares = _by_process(rows, read)
        return sum(shares) if shares else None

    return rate


def _by_process(rows: Sequence[DigestRow], read: Callable[[DigestRow], float]) -> list[float]:
    amounts: defaultdict[int, float] = defaultdict(float)
    durations: defaultdict[int, float] = defaultdict(float)
    for row in rows:
        amounts[row["process"]] += read(row)
        durations[row["process"]] += row["t1_s"] - row["t0_s"]
    return [amounts[process] / durations[process] for process in amounts if durations[process] >= SHORTEST_RATE_S]


def _completed(key: str) -> Callable[[DigestRow], float]:
    def total(row: DigestRow) -> float:
        return sum(float(one[key]) for name, one in _load(row))

    return total


def _load(row: DigestRow) -> list[tuple[str, Any]]:
    return [(name, one) for name, one in row["names"].items() if not name.startswith(SETUP_PREFIX)]


def _busiest(rows: Sequence[DigestRow]) -> float | None:
    return max(_by_process(rows, lambda row: row["cpu_s"]), default=None)


_CLIENT: dict[str, Callable[[Sequence[DigestRow]], float | None]] = {
    "offered_rps": _per_second(lambda row: row["scheduled"]),
    "started_rps": _per_second(lambda row: row["started"]),
    "goodput_rps": _per_second(_completed("ok")),
    "errors_rps": _per_second(_completed("failed")),
    "inflight": _per_second(lambda row: row["inflight_s"]),
    "cpu_cores": _busiest,
}


def _latency(rows: Sequence[DigestRow]) -> dict[str, float | None]:
    texts = [one["latency_ok"] for row in rows for _, one in _load(row)]
    try:
        latency = histograms.percentiles_ms(histograms.merge(texts))
    except UsageError:
        # One damaged line must not cost the reader the whole report.
        latency = None
    return {"p50_ms": latency.p50 if latency else None, "p95_ms": latency.p95 if latency else None}


def _short(value: float | None) -> float | None:
    """Four digits are finer than any pixel, and keep the file small."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def _band(step: dict[str, Any], origin: float) -> dict[str, Any]:
    return {
        "index": step.get("index"),
        "phase": step.get("phase"),
        "from_s": round(float(step["t_start_s"]) - origin, 3),
        "to_s": round(float(step["t_end_s"]) - origin, 3),
        "offered_rps": step.get("offered_rps"),
        "users": step.get("users"),
        "passed": step.get("passed"),
    }


def _mark(event: Any, origin: float) -> dict[str, Any]:
    data = event.get("data") or {}
    label = data.get("message") or event["kind"].replace("-", " ")
    return {"t_s": round(float(event["t_s"]) - origin, 3), "kind": event["kind"], "label": str(label)}
