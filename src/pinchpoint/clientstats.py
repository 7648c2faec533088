"""What the load generator saw in one window: digest rows of all load processes folded into one set of figures."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from hdrh.histogram import HdrHistogram

from pinchpoint import histograms
from pinchpoint.measures import ClientFigures, EndpointFigures, Latency
from pinchpoint.rows import DigestRow, NameRow

SETUP_PREFIX = "setup: "
"""Names of requests a user made before its first arrival (logins): no load, so no goodput, errors or latency."""

OUT_OF_DESCRIPTORS, OUT_OF_PORTS = "out of descriptors", "out of ports"
"""Kinds of errors that are the load process's own: EMFILE and ENFILE, EADDRNOTAVAIL."""

EMPTY_ROW_S = 0.5
"""A row shorter than this is too short to say that nothing came back."""

PEAK_ROW_S = 0.4
"""A row shorter than this says nothing about a busiest second: writing the row before is a good part of its CPU."""

EMPTY_INFLIGHT_SHARE = 0.5
"""Requests were in flight for this share of a row before its silence counts: one sent at its end is no breach."""


@dataclass(frozen=True, slots=True)
class ClientWindow:
    """The client's side of a step."""

    figures: ClientFigures
    goodput_rps: float
    started_rps: float
    """Arrivals started per second (rate model), or task iterations started per second (users model)."""
    error_rate: float | None
    """failed / (ok + failed); None when nothing completed."""
    latency: Latency | None
    """In milliseconds, of successful requests, from the scheduled arrival (rate model) or the send (users model)."""
    covered_s: float = 0.0
    """Seconds that rows cover, in the process with most; 0: nothing was measured and the rates mean nothing."""
    rows: tuple[DigestRow, ...] = ()
    """What it was folded from, for limits on other figures than these."""


def client_figures(rows: Iterable[DigestRow], t0_s: float, t1_s: float) -> ClientWindow:
    """Fold the rows whose midpoint lies in `[t0_s, t1_s)`; times in seconds of the collector's monotonic clock.

    Rates are counts per summed row duration of each process, then summed over processes. Setup requests are listed as
    endpoints and left out of everything else.
    """
    inside = [row for row in rows if t0_s <= (row["t0_s"] + row["t1_s"]) / 2 < t1_s]
    inside.sort(key=lambda row: (row["process"], row["t0_s"]))
    processes = [list(group) for _, group in groupby(inside, key=lambda row: row["process"])]
    named = _by_name(inside)
    load = {name: entries for name, entries in named.items() if not name.startswith(SETUP_PREFIX)}
    entries = [entry for group in load.values() for entry in group]
    ok, failed = sum(entry["ok"] for entry in entries), sum(entry["failed"] for entry in entries)
    latencies = {name: histograms.merge(one["latency_ok"] for one in group) for name, group in named.items()}
    return ClientWindow(
        figures=_figures(inside, processes, named, entries, latencies),
        goodput_rps=_rate(processes, _ok),
        started_rps=_rate(processes, lambda row: row["started"]),
        error_rate=failed / (ok + failed) if ok + failed else None,
        latency=histograms.percentiles_ms(histograms.combine(latencies[name] for name in load)),
        covered_s=max((_duration_s(group) for group in processes), default=0.0),
        rows=tuple(inside),
    )


def overdue(rows: Iterable[DigestRow], limit_ms: float) -> int:
    """Count the arrivals that have waited for longer than `limit_ms` without an answer when the last of the rows ends.

    They are late already, whatever comes of them; the latency histograms know finished requests only.
    """
    last: dict[int, DigestRow] = {}
    for row in rows:
        if row["process"] not in last or row["t1_s"] > last[row["process"]]["t1_s"]:
            last[row["process"]] = row
    ages = histograms.merge(row.get("unanswered") for row in last.values())
    return 0 if ages is None else histograms.count_above(ages, limit_ms * histograms.US_PER_MS)


def _figures(
    rows: Sequence[DigestRow],
    processes: Sequence[Sequence[DigestRow]],
    named: dict[str, list[NameRow]],
    entries: Sequence[NameRow],
    latencies: Mapping[str, HdrHistogram | None],
) -> ClientFigures:
    cpu_share, runq_share = _busiest(processes)
    loops = _loops(processes)
    lag = histograms.merge(row["send_lag"] for row in rows)
    service = histograms.merge(entry["service_ok"] for entry in entries)
    return ClientFigures(
        cpu_share=cpu_share,
        runq_share=runq_share,
        send_lag_ms_p99=None if lag is None else histograms.quantile_us(lag, 0.99) / histograms.US_PER_MS,
        scheduled=sum(row["scheduled"] for row in rows),
        started=sum(row["started"] for row in rows),
        unsent=sum(row["unsent"] for row in rows),
        ok=sum(entry["ok"] for entry in entries),
        failed=sum(entry["failed"] for entry in entries),
        inflight_mean=_rate(processes, lambda row: row["inflight_s"]) if rows else None,
        users=sum(max(row["users"] for row in group) for group in processes) if rows else None,
        service_ms_p50=None if service is None else histograms.quantile_us(service, 0.50) / histograms.US_PER_MS,
        errors=_errors(entries),
        endpoints=[_endpoint(name, group, latencies[name]) for name, group in sorted(named.items())],
        empty_seconds=_empty_seconds(processes),
        processes=len(processes),
        cpu_peak=_cpu_peak(rows, cpu_share),
        cpu_cores=_rate(processes, lambda row: row["cpu_s"]) if cpu_share is not None else None,
        loop_busy=max((busy for busy, _ in loops), default=None),
        loop_stalled=max((max(0.0, busy - cpu) for busy, cpu in loops), default=None),
        fds_share=_fds_share(rows),
    )


def _by_name(rows: Iterable[DigestRow]) -> dict[str, list[NameRow]]:
    named: dict[str, list[NameRow]] = {}
    for row in rows:
        for name, entry in row["names"].items():
            named.setdefault(name, []).append(entry)
    return named


def _endpoint(name: str, entries: Sequence[NameRow], latency: HdrHistogram | None) -> EndpointFigures:
    return EndpointFigures(
        name=name,
        ok=sum(entry["ok"] for entry in entries),
        failed=sum(entry["failed"] for entry in entries),
        latency_ms=histograms.percentiles_ms(latency),
        errors=_errors(entries),
        mean_ms=histograms.mean_ms(latency),
    )


def _errors(entries: Iterable[NameRow]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for entry in entries:
        total.update(entry["errors"])
    return dict(sorted(total.items()))


def _duration_s(rows: Iterable[DigestRow]) -> float:
    return sum(row["t1_s"] - row["t0_s"] for row in rows)


def _rate(processes: Sequence[Sequence[DigestRow]], quantity: Callable[[DigestRow], float]) -> float:
    """Sum over processes of quantity per second."""
    total = 0.0
    for group in processes:
        duration_s = _duration_s(group)
        if duration_s > 0:
            total += sum(quantity(row) for row in group) / duration_s
    return total


def _busiest(processes: Sequence[Sequence[DigestRow]]) -> tuple[float | None, float | None]:
    """CPU share and run-queue share of the process that used most CPU; None where it was not measured."""
    best: tuple[float, float | None] | None = None
    for group in processes:
        duration_s = _duration_s(group)
        if duration_s <= 0:
            continue
        waits = [row["runq_s"] for row in group]
        known = [wait for wait in waits if wait is not None]
        runq_share = sum(known) / duration_s if len(known) == len(waits) else None
        cpu_share = sum(row["cpu_s"] for row in group) / duration_s
        if best is None or cpu_share > best[0]:
            best = (cpu_share, runq_share)
    return best if best is not None else (None, None)


def _cpu_peak(rows: Sequence[DigestRow], mean: float | None) -> float | None:
    """CPU share of one process in its busiest second, never below the mean; rows too short for a share are left out."""
    lengths = [(row["cpu_s"], row["t1_s"] - row["t0_s"]) for row in rows]
    shares = [cpu_s / duration_s for cpu_s, duration_s in lengths if duration_s >= PEAK_ROW_S]
    known = [*shares, *([mean] if mean is not None else [])]
    return max(known, default=None)


def _loops(processes: Sequence[Sequence[DigestRow]]) -> list[tuple[float, float]]:
    """(busy share of the loop, CPU share) of each process whose loop was measured throughout."""
    found = []
    for group in processes:
        busy = [row.get("loop_busy_s") for row in group]
        known = [seconds for seconds in busy if seconds is not None]
        duration_s = _duration_s(group)
        if duration_s > 0 and len(known) == len(busy):
            found.append((min(1.0, sum(known) / duration_s), sum(row["cpu_s"] for row in group) / duration_s))
    return found


def _fds_share(rows: Iterable[DigestRow]) -> float | None:
    """Open descriptors over their limit, of the process with most; None where not measured."""
    shares = []
    for row in rows:
        fds, limit = row.get("fds"), row.get("fd_limit")
        if fds is not None and limit:
            shares.append(fds / limit)
    return max(shares, default=None)


def _empty_seconds(processes: Sequence[Sequence[DigestRow]]) -> int:
    """Count the rows of one process in which load was offered and no process got anything back; the worst process's."""
    rows = [row for group in processes for row in group]
    worst = 0
    for group in processes:
        empty = [row for row in group if _is_empty(row)]
        worst = max(worst, sum(1 for row in empty if not _others_completed(row, rows)))
    return worst


def _is_empty(row: DigestRow) -> bool:
    duration_s = row["t1_s"] - row["t0_s"]
    if duration_s < EMPTY_ROW_S or _completed(row):
        return False
    if row["inflight"] > 0:
        return row["inflight_s"] >= EMPTY_INFLIGHT_SHARE * duration_s
    return row["scheduled"] > 0


def _others_completed(row: DigestRow, rows: Iterable[DigestRow]) -> bool:
    middle = (row["t0_s"] + row["t1_s"]) / 2
    return any(
        other["process"] != row["process"] and other["t0_s"] <= middle < other["t1_s"] and _completed(other) > 0
        for other in rows
    )


def _ok(row: DigestRow) -> int:
    return sum(entry["ok"] for name, entry in row["names"].items() if not name.startswith(SETUP_PREFIX))


def _completed(row: DigestRow) -> int:
    return sum(
        entry["ok"] + entry["failed"] for name, entry in row["names"].items() if not name.startswith(SETUP_PREFIX)
    )
