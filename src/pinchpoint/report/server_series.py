"""The server's side of the time axis: counters of the collector's samples turned into rates per bin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pinchpoint.rows import ProcessRow, SampleRow

PROBE_FRESH_S = 1.0
"""The probe publishes 20 times a second; a page older than this says nothing about now, and a stale counter is no 0."""

GAP_BINS = 2.5
"""Two samples further apart than this many bins leave a gap instead of a mean over the silence."""

US_PER_S = 1e6

Series = list[float | None]
Read = Callable[[ProcessRow], float | None]


def server_series(samples: Sequence[SampleRow], start_s: float, width_s: float, bins: int) -> dict[str, Any]:
    """Return sums over the target's processes per bin, and each worker's CPU."""
    pairs = _pairs(samples, start_s, width_s, bins)
    pids = sorted({row["pid"] for sample in samples for row in sample["processes"] if row["role"] == "worker"})
    size = _each(pairs, lambda _, after: _gauge(after, _probe("pool_size")))
    return {
        "cpu_cores": _each(pairs, lambda before, after: _rate(before, after, lambda row: row["cpu_s"], sum)),
        "runq_cores": _each(pairs, lambda before, after: _rate(before, after, lambda row: row["runq_s"], sum)),
        "workers": [{"pid": pid, "cpu_cores": _each(pairs, _one_worker(pid))} for pid in pids],
        "loop_busy": _each(pairs, lambda before, after: _rate(before, after, _probe("loop_busy_s"), max)),
        "inflight": _each(pairs, lambda before, after: _rate(before, after, _probe("inflight_s"), sum)),
        "pool_busy": _each(pairs, lambda before, after: _rate(before, after, _probe("pool_busy_s"), sum)),
        "pool_waiting": _each(pairs, lambda before, after: _rate(before, after, _probe("pool_waiting_s"), sum)),
        "pool_size": size,
        "tokens_busy": _each(pairs, lambda before, after: _rate(before, after, _probe("tokens_busy_s"), sum)),
        "tokens_waiting": _each(pairs, lambda before, after: _rate(before, after, _probe("tokens_waiting_s"), sum)),
        "rss_bytes": _each(pairs, lambda _, after: _gauge(after, lambda row: row["rss_bytes"])),
        "pss_bytes": _pss(samples, pairs),
        "psi_cpu": _each(pairs, _psi_cpu),
    }


Pair = tuple[SampleRow, SampleRow]


def _pairs(samples: Sequence[SampleRow], start_s: float, width_s: float, bins: int) -> list[Pair | None]:
    """Return the last samples at or before both edges of each bin; None where the collector was silent."""
    last: dict[int, SampleRow] = {}
    for sample in samples:
        last[math.floor((sample["t_s"] - start_s) / width_s)] = sample
    pairs: list[Pair | None] = []
    for index in range(bins):
        before, after = last.get(index - 1), last.get(index)
        if before is None and after is not None:
            before = next((one for one in samples if one["t_s"] >= start_s + index * width_s), None)
        close = before is not None and after is not None and 0 < after["t_s"] - before["t_s"] < GAP_BINS * width_s
        pairs.append((before, after) if close and before is not None and after is not None else None)
    return pairs


def _each(pairs: Sequence[Pair | None], read: Callable[[SampleRow, SampleRow], float | None]) -> Series:
    return [None if pair is None else _short(read(*pair)) for pair in pairs]


def _rate(before: SampleRow, after: SampleRow, read: Read, fold: Callable[[list[float]], float]) -> float | None:
    """Fold the growth per second of a counter over the processes that have it at both ends."""
    seconds = after["t_s"] - before["t_s"]
    earlier = {row["pid"]: read(row) for row in before["processes"]}
    rates = []
    for row in after["processes"]:
        now, then = read(row), earlier.get(row["pid"])
        if now is not None and then is not None and now >= then:
            rates.append((now - then) / seconds)
    return fold(rates) if rates else None


def _gauge(sample: SampleRow, read: Read) -> float | None:
    values = [value for row in sample["processes"] if (value := read(row)) is not None]
    return sum(values) if values else None


def _probe(field: str) -> Read:
    def read(row: ProcessRow) -> float | None:
        age = row["probe_age_s"]
        if row["probe"] is None or (age is not None and age > PROBE_FRESH_S):
            return None
        return row["probe"].get(field)

    return read


def _one_worker(pid: int) -> Callable[[SampleRow, SampleRow], float | None]:
    def cpu(row: ProcessRow) -> float | None:
        return row["cpu_s"] if row["pid"] == pid else None

    return lambda before, after: _rate(before, after, cpu, sum)


def _pss(samples: Sequence[SampleRow], pairs: Sequence[Pair | None]) -> Series:
    """Sum each process's last known PSS (it is read once a second, staggered); None until every process has one."""
    known: dict[int, int] = {}
    series: Series = []
    rows = iter(samples)
    for pair in pairs:
        if pair is None:
            series.append(None)
            continue
        for sample in rows:
            known.update({row["pid"]: row["pss_bytes"] for row in sample["processes"] if row["pss_bytes"] is not None})
            if sample["t_s"] >= pair[1]["t_s"]:
                break
        alive = [row["pid"] for row in pair[1]["processes"]]
        complete = bool(alive) and all(pid in known for pid in alive)
        series.append(_short(float(sum(known[pid] for pid in alive))) if complete else None)
    return series


def _psi_cpu(before: SampleRow, after: SampleRow) -> float | None:
    then, now = before["host"]["psi_us"], after["host"]["psi_us"]
    if not then or not now or "cpu_some" not in then or "cpu_some" not in now:
        return None
    return (now["cpu_some"] - then["cpu_some"]) / US_PER_S / (after["t_s"] - before["t_s"])


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
