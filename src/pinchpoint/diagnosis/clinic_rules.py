"""The rules of Clinic.js Doctor 11 on a Python server: five tests, one table. Read from its source.

| Doctor's signal | test | here |
|---|---|---|
| CPU | 90th percentile below 0.9: "not fully used" | CPU of the busiest worker, per tick |
| event-loop delay | median ≥ 10 ms, or maximum ≥ 100 ms | lateness of the probe's timer on the loop, per tick |
| loop utilisation | median ≥ 0.95 | busy share of the loop, per tick |
| memory | a second with ≥ 100 ms of garbage collection | not measured: no issue (CPython frees by counting) |
| handles | runs of ups and downs not by chance (1e-7), or skewed (1e-10) | open descriptors of the busiest worker |

Doctor's classes become ours in the way that suits it best. `event-loop` (the loop is late while the CPU is in use) is
`cpu/python-code`. `io` (the CPU is not used and the loop is not late) is what requests spend more time at of the two
that Doctor means, database and downstream services: it does not know which, so it is told. `gc` cannot come up. `none`
is `none/not-saturated`; `unknown`, nine of its sixteen combinations, and `data` name nothing: `undetermined`.

Doctor's mixture model, which takes V8's own threads out of the CPU figure, is left out: CPython has no such threads.
It has one sample each 10 ms where this has one each 100 ms; its thresholds are on medians and quantiles, so only the
handles feel that. The window is given: all steps that broke the app, or else the heaviest one.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import comb, erfc, sqrt

import numpy as np

from pinchpoint.diagnosis.steps import Ladder
from pinchpoint.diagnosis.tracks import difference, per, tracks
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.measures import Step
from pinchpoint.rows import ProcessRow, SampleRow

Answer = tuple[str, str]

LOW_CPU = 0.9
LATE_MEDIAN_S, LATE_MAX_S = 0.010, 0.100
BUSY_LOOP = 0.95
SIGN_ALPHA, SKEW_ALPHA = 1e-7, 1e-10
LEAST_SAMPLES, LEAST_HANDLES = 4, 2


def clinic_doctor(samples: Samples, sorted_out: Ladder) -> Answer:
    """Return what Doctor would say, in our slugs."""
    asked = [*sorted_out.failed, *sorted_out.overload] or [step for step in (sorted_out.limit,) if step is not None]
    windows = [samples.between(step.t_start_s + step.settle_s, step.t_end_s) for step in asked]
    pid = _busiest(windows)
    if pid is None:
        return "undetermined", "too-few-samples"
    series = [_of(rows, pid) for rows in windows]
    used = [value for one in series for value in _rates(one, "cpu_s")]
    fds = [float(row["fds"]) for one in series for _, row in one if row["fds"] is not None]
    if len(used) < LEAST_SAMPLES or len(fds) < LEAST_HANDLES:
        return "undetermined", "too-few-samples"
    cpu = float(np.quantile(used, 0.9)) < LOW_CPU
    late = _late(series)
    handles = _sawtooth(fds) < SIGN_ALPHA or _skewed(fds) < SKEW_ALPHA
    return _category(cpu=cpu, late=late, handles=handles, waits=_waits(asked))


def _category(*, cpu: bool, late: bool, handles: bool, waits: Answer) -> Answer:
    """Doctor's table, without its memory column."""
    if late and not cpu and not handles:
        return "cpu", "python-code"
    if (cpu or handles) and not late:
        return waits
    if not late:
        return "none", "not-saturated"
    return "undetermined", "conflicting-evidence"


def _waits(asked: Sequence[Step]) -> Answer:
    """Return which of the things Doctor calls I/O takes more of a request's time."""
    query = sum(step.server.db_ms_per_request or 0.0 for step in asked)
    call = sum(step.server.http_ms_per_request or 0.0 for step in asked)
    return ("io", "downstream") if call > query else ("io", "slow-query")


def _busiest(windows: Sequence[Sequence[SampleRow]]) -> int | None:
    """Return the worker to look at: Doctor watches one process."""
    used: dict[int, float] = {}
    for rows in windows:
        for track in tracks(rows):
            if track.role == "worker":
                used[track.pid] = used.get(track.pid, 0.0) + (track.delta("cpu_s") or 0.0)
    return max(used, key=lambda pid: used[pid], default=None)


Ticks = Sequence[tuple[float, ProcessRow]]


def _of(rows: Sequence[SampleRow], pid: int) -> Ticks:
    return [(row["t_s"], process) for row in rows for process in row["processes"] if process["pid"] == pid]


def _rates(ticks: Ticks, key: str) -> list[float]:
    """Return a counter's growth per second from tick to tick."""
    pairs = pairwise(ticks)
    rates = [per(difference(before.get(key), after.get(key)), t1 - t0) for (t0, before), (t1, after) in pairs]
    return [rate for rate in rates if rate is not None]


def _late(series: Sequence[Ticks]) -> bool:
    """Tell whether the loop was late or full; a server without a loop has none that could be."""
    delays, busy = [], []
    for ticks in series:
        for (t0, before), (t1, after) in pairwise(ticks):
            page, then = after["probe"] or {}, before["probe"] or {}
            delay = per(*(difference(then.get(key), page.get(key)) for key in ("loop_lag_s", "loop_lag_n")))
            delays += [delay] if delay is not None else []
            # Ages of the two pages: the probe publishes on its own beat, not on the collector's.
            wall = t1 - t0 - (after["probe_age_s"] or 0.0) + (before["probe_age_s"] or 0.0)
            share = per(difference(then.get("loop_busy_s"), page.get("loop_busy_s")), wall)
            busy += [share] if share is not None else []
    late = bool(delays) and (float(np.median(delays)) >= LATE_MEDIAN_S or max(delays) >= LATE_MAX_S)
    return late or (bool(busy) and float(np.median(busy)) >= BUSY_LOOP)


def _sawtooth(values: Sequence[float]) -> float:
    """Sign test: p-value that ups and downs are equally likely, of the steps that are either."""
    steps = [after - before for before, after in pairwise(values) if after != before]
    n, ups = len(steps), sum(step > 0 for step in steps)
    tail = sum(comb(n, k) for k in range(min(ups, n - ups) + 1))
    return min(1.0, 2 * tail / (1 << n))


def _skewed(values: Sequence[float]) -> float:
    """Mira's test of symmetry (1999), on twice the distance of mean and median: its p-value."""
    x = np.sort(np.asarray(values, dtype=float))
    n = len(x)
    middle, mean = float(np.median(x)), float(x.mean())
    low = max(0, round(n / 2 - n**0.8 / 2))
    high = min(n - 1, round(n / 2 + n**0.8 / 2) + 1)
    density = n**0.2 * float(x[high] - x[low])
    spread = float(np.mean(np.abs(x - middle)))
    variance = 4 * float(x.var()) + density**2 - 4 * density * spread
    if variance <= 0:
        return 1.0
    return erfc(abs(2 * (mean - middle)) * sqrt(n / variance) / sqrt(2))
