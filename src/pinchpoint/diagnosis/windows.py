"""Sample rows of a time window -> what the server did in it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pinchpoint.diagnosis.pressures import pressures
from pinchpoint.diagnosis.probe_tables import probe_tables
from pinchpoint.diagnosis.saturation import Machine
from pinchpoint.diagnosis.tracks import Track, difference, per, tracks
from pinchpoint.measures import PoolFigures, ServerFigures, WorkerFigures
from pinchpoint.rows import DigestRow, HostRow, SampleRow

SAMPLE_INTERVAL_S = 0.1
"""The collector's tick (DESIGN §2: 10 Hz)."""

TABLES_LOOK_BACK_S = 0.5
"""Tables are recorded twice a second: without the row before, a window of 2 s could lose a quarter of itself."""

PSS_LOOK_BACK_S = 2.0
"""PSS is read at most once a second per process, so a short window may hold no reading of one."""

LASTING = 0.5
"""Share of a window that a worker must have been there for to be looked at by itself."""

MS_PER_S = 1000.0
US_PER_S = 1e6

Total = Callable[[str], float | None]


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _max(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


class Samples:
    """The collector's rows in time order."""

    def __init__(self, rows: Sequence[SampleRow], ticks_s: Sequence[float] = ()) -> None:
        """Sort the rows; `ticks_s` are the times of all that there were, where these are thinned out."""
        self.rows = sorted(rows, key=lambda row: row["t_s"])
        self._times = [row["t_s"] for row in self.rows]
        self._ticks_s = sorted(ticks_s) if len(ticks_s) else self._times

    def received(self, t0_s: float, t1_s: float) -> int:
        """Count the rows that there were with t0 <= t <= t1."""
        return bisect_right(self._ticks_s, t1_s) - bisect_left(self._ticks_s, t0_s)

    def between(self, t0_s: float, t1_s: float) -> list[SampleRow]:
        """Rows with t0 <= t <= t1."""
        return self.rows[bisect_left(self._times, t0_s) : bisect_right(self._times, t1_s)]


def server_figures(
    samples: Samples, digests: Sequence[DigestRow], t0_s: float, t1_s: float, workers_died: int = 0
) -> ServerFigures:
    """Fold the window's rows. Every figure that was not measured is None; without any row all of them are."""
    rows = samples.between(t0_s, t1_s)
    found = tracks(rows)
    workers = [track for track in found if track.role == "worker"]
    seconds = rows[-1]["t_s"] - rows[0]["t_s"] if len(rows) > 1 else 0.0

    def total(key: str) -> float | None:
        return _sum(track.probe_delta(key) for track in workers)

    return ServerFigures(
        **_cpu(found, workers, seconds),
        **_loops(workers),
        **_requests(workers, total, seconds),
        **_database(workers, total, seconds),
        **_machine(rows, found, digests, seconds),
        **_outgoing(total),
        **probe_tables(samples.between(t0_s - TABLES_LOOK_BACK_S, t1_s)),
        pools={name: pool for name in POOLS if (pool := _pool(workers, total, name, seconds)) is not None},
        rss_bytes=_sum(_mean(track.rss) for track in found),
        pss_bytes=_pss(found, samples.between(t0_s - PSS_LOOK_BACK_S, t1_s)),
        workers_died=workers_died,
        samples_received=samples.received(t0_s, t1_s),
        samples_expected=max(0, round((t1_s - t0_s) / SAMPLE_INTERVAL_S)),
        workers=sum(track.seconds for track in workers) / seconds if workers and seconds > 0 else None,
        per_worker=[_worker(track) for track in _lasting(workers, seconds)],
    )


def _lasting(workers: list[Track], seconds: float) -> list[Track]:
    """Leave out the workers that were there for less than half of the window, unless all of them come and go."""
    return [track for track in workers if track.seconds >= LASTING * seconds] or workers


def _mean_sum(workers: Sequence[Track], key: str, seconds: float) -> float | None:
    """Sum a probe counter's growth per second of the window: a worker that was replaced counts for its own time."""
    if seconds <= 0:
        return None
    rates = ((track.probe_rate(key), track.seconds / seconds) for track in workers)
    return _sum(None if rate is None else rate * share for rate, share in rates)


def _pss(found: Sequence[Track], rows: Sequence[SampleRow]) -> float | None:
    """Sum PSS over the processes; None unless each was read, or the sum would be of another set in each window."""
    latest = {p["pid"]: float(p["pss_bytes"]) for row in rows for p in row["processes"] if p["pss_bytes"] is not None}
    sizes = [_mean(track.pss) if track.pss else latest.get(track.pid) for track in found]
    return None if None in sizes else _sum(sizes)


def _over(amount: float | None, seconds: float) -> float | None:
    return per(amount, seconds)


def _cpu(found: Sequence[Track], everyone: Sequence[Track], seconds: float) -> dict[str, Any]:
    workers = [track for track in everyone if track.has_loop() is not False]
    off_loop = [
        track.delta("cpu_s") - loop  # type: ignore[operator]
        for track in workers
        if (loop := track.delta("loop_cpu_s")) is not None and track.delta("cpu_s") is not None
    ]
    return {
        "cpu_cores": _over(_sum(track.delta("cpu_s") for track in found), seconds),
        "runq_cores": _over(_sum(track.delta("runq_s") for track in found), seconds),
        "loop_cpu_cores": _over(_sum(track.delta("loop_cpu_s") for track in workers), seconds),
        "loop_runq_cores": _over(_sum(track.delta("loop_runq_s") for track in workers), seconds),
        "off_loop_cpu_cores": _over(max(0.0, sum(off_loop)), seconds) if off_loop else None,
        "major_faults_per_s": _over(_sum(track.delta("major_faults") for track in found), seconds),
        "read_bytes_per_s": _over(_sum(track.delta("read_bytes") for track in found), seconds),
        "write_bytes_per_s": _over(_sum(track.delta("write_bytes") for track in found), seconds),
    }


def _loops(workers: Sequence[Track]) -> dict[str, Any]:
    busy = {track.pid: share for track in workers if (share := track.loop_busy()) is not None}
    busiest = max(busy, key=lambda pid: busy[pid], default=None)
    lags = [per(track.probe_delta("loop_lag_s"), track.probe_delta("loop_lag_n")) for track in workers]
    worst = _max(lags)
    loops = [said for track in workers if (said := track.has_loop()) is not None]
    worst_ever = _max(track.gauge("loop_lag_max_s") for track in workers)
    return {
        "has_loop": any(loops) if loops else None,
        "loop_busy": busy[busiest] if busiest is not None else None,
        "loop_busy_mean": _mean(list(busy.values())),
        "loop_blocked": next((track.loop_blocked() for track in workers if track.pid == busiest), None),
        "loop_lag_ms": None if worst is None else worst * MS_PER_S,
        "loop_lag_max_ms": None if worst_ever is None else worst_ever * MS_PER_S,
    }


def _requests(workers: Sequence[Track], total: Total, seconds: float) -> dict[str, Any]:
    done = total("requests_done")
    return {
        "inflight": _mean_sum(workers, "inflight_s", seconds),
        "requests_rps": _mean_sum(workers, "requests_done", seconds),
        "service_ms": _in_ms(per(total("service_s"), done)),
        "handler_cpu_ms": _in_ms(per(total("handler_cpu_s"), done)),
    }


def _database(workers: Sequence[Track], total: Total, seconds: float) -> dict[str, Any]:
    done = total("requests_done")
    embedded = [value for track in workers if (value := track.gauge("db_embedded")) is not None]
    return {
        "db_ms_per_request": _in_ms(per(total("db_s"), done)),
        "db_calls_per_request": per(total("db_calls"), done),
        "db_active": _mean_sum(workers, "db_active_s", seconds),
        "db_embedded": all(value > 0 for value in embedded) if embedded else None,
        "sqlite_busy": _mean_sum(workers, "sqlite_busy_s", seconds),
    }


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * MS_PER_S


def _outgoing(total: Total) -> dict[str, Any]:
    done = total("requests_done")
    return {
        "queue_ms": _in_ms(per(total("queue_s"), total("queue_n"))),
        "http_ms_per_request": _in_ms(per(total("http_s"), done)),
        "http_calls_per_request": per(total("http_calls"), done),
    }


@dataclass(frozen=True, slots=True)
class PoolFields:
    """Names among the page's fields of one kind of pool."""

    prefix: str
    size: str = "size"
    taken: str = "taken"
    held: str = "hold_s"
    timeouts: str | None = "timeouts"


POOLS = {
    "db": PoolFields("pool", taken="checkouts"),
    # Tokens count no hold time of their own: it is the integral of those out.
    "threadpool": PoolFields("tokens", size="total", held="busy_s", timeouts=None),
    "slots": PoolFields("slots"),
    "http": PoolFields("http_pool"),
    "executor": PoolFields("executor"),
    "lock": PoolFields("lock"),
}


def _pool(workers: Sequence[Track], total: Total, name: str, seconds: float) -> PoolFigures | None:
    fields = POOLS[name]
    prefix = fields.prefix
    sizes = ((track.gauge(f"{prefix}_{fields.size}"), track.seconds / seconds) for track in workers if seconds > 0)
    size = _sum(None if own is None else own * share for own, share in sizes)
    busy = _mean_sum(workers, f"{prefix}_busy_s", seconds)
    taken = total(f"{prefix}_{fields.taken}")
    if size is None and busy is None:
        return None
    return PoolFigures(
        size=size,
        busy=busy,
        waiting=_mean_sum(workers, f"{prefix}_waiting_s", seconds),
        wait_ms=_in_ms(per(total(f"{prefix}_wait_s"), taken)),
        hold_ms=_in_ms(per(total(f"{prefix}_{fields.held}"), taken)),
        checkouts_per_request=per(taken, total("requests_done")),
        timeouts=total(f"{prefix}_{fields.timeouts}") if fields.timeouts else None,
    )


def _machine(
    rows: Sequence[SampleRow], found: Sequence[Track], digests: Sequence[DigestRow], seconds: float
) -> dict[str, Any]:
    if len(rows) < 2 or seconds <= 0:  # noqa: PLR2004 - a difference needs two rows
        return {"listen_queue": None}
    first, last = rows[0]["host"], rows[-1]["host"]
    queues = [float(queue) for row in rows if (queue := row["host"]["listen_queue"]) is not None]
    return {
        "psi": _psi(first, last, seconds),
        "foreign_cpu_cores": _foreign(rows, found, digests, seconds),
        "rival_cpu_cores": _rivals(rows, seconds),
        "throttled_share": _throttled(rows),
        "listen_queue": _mean(queues),
        "listen_overflows": difference(first["listen_overflows"], last["listen_overflows"]),
        "oom_kills": _oom_kills(rows),
        **pressures(rows, seconds),
    }


def _psi(first: HostRow, last: HostRow, seconds: float) -> dict[str, float]:
    before, after = first["psi_us"] or {}, last["psi_us"] or {}
    shares = {key: difference(before.get(key), after[key]) for key in sorted(after)}
    return {key: grown / US_PER_S / seconds for key, grown in shares.items() if grown is not None}


def _foreign(
    rows: Sequence[SampleRow], found: Sequence[Track], digests: Sequence[DigestRow], seconds: float
) -> float | None:
    busy = difference(rows[0]["host"]["cpu_busy_s"], rows[-1]["host"]["cpu_busy_s"])
    target = _sum(track.delta("cpu_s") for track in found)
    if busy is None or target is None:
        return None
    collector = difference(rows[0]["collector_cpu_s"], rows[-1]["collector_cpu_s"])
    machine = rows[-1].get("machine")
    beside = [digest for digest in digests if digest.get("host") == machine]
    generator = generator_cores(beside, rows[0]["t_s"], rows[-1]["t_s"])
    if generator is None and machine is not None:
        generator = 0.0  # an agent samples the server's machine, and all load comes from others
    if collector is None or generator is None:
        return None
    return max(0.0, (busy - target - collector) / seconds - generator)


def _rivals(rows: Sequence[SampleRow], seconds: float) -> float | None:
    """Return what others used of the target's CPUs; None where the collector did not tell them apart."""
    used = difference(rows[0]["host"].get("foreign_busy_s"), rows[-1]["host"].get("foreign_busy_s"))
    return None if used is None else max(0.0, used / seconds)


def generator_cores(digests: Iterable[DigestRow], t0_s: float, t1_s: float) -> float | None:
    """CPU of all load processes in cores, from the digests whose midpoint lies in the window."""
    used: dict[int, list[float]] = {}
    for row in digests:
        if t0_s <= (row["t0_s"] + row["t1_s"]) / 2 <= t1_s:
            sums = used.setdefault(row["process"], [0.0, 0.0])
            sums[0] += row["cpu_s"]
            sums[1] += row["t1_s"] - row["t0_s"]
    return _sum(per(cpu, wall) for cpu, wall in used.values())


def _throttled(rows: Sequence[SampleRow]) -> float | None:
    first, last = rows[0]["cgroup"], rows[-1]["cgroup"]
    if first is None or last is None:
        return None
    periods = difference(first["periods"], last["periods"])
    return per(difference(first["throttled_periods"], last["throttled_periods"]), periods)


def _oom_kills(rows: Sequence[SampleRow]) -> float | None:
    first, last = rows[0]["cgroup"], rows[-1]["cgroup"]
    return None if first is None or last is None else difference(first["oom_kills"], last["oom_kills"])


def _worker(track: Track) -> WorkerFigures:
    return WorkerFigures(
        pid=track.pid,
        cpu_cores=track.rate("cpu_s"),
        runq_share=track.rate("runq_s"),
        loop_busy=track.loop_busy(),
        requests_rps=track.probe_rate("requests_done"),
        rss_bytes=_mean(track.rss),
        pss_bytes=_mean(track.pss),
        inflight=track.probe_rate("inflight_s"),
        loop_cpu_cores=track.rate("loop_cpu_s"),
        loop_runq_cores=track.rate("loop_runq_s"),
        loop_blocked=track.loop_blocked(),
    )


def machine_of(settings: Mapping[str, object], rows: Sequence[SampleRow]) -> Machine:
    """Return the cores of the target, and whether `server_cpus` and `load_cpus` keep the generator off them."""
    cpus = allowed_cpus(settings, rows)
    if rows and rows[-1].get("machine") is not None:
        return Machine(allowed_cores(settings, rows), shared=False, apart=True, cpus=cpus)
    pinned, load = settings.get("server_cpus"), settings.get("load_cpus")
    apart = isinstance(pinned, list) and isinstance(load, list) and bool(pinned and load) and not {*pinned} & {*load}
    return Machine(allowed_cores(settings, rows), shared=not apart, cpus=cpus)


def allowed_cpus(settings: Mapping[str, object], rows: Sequence[SampleRow]) -> int | None:
    """Return how many CPUs the target may run on: those it is pinned to, or the host's."""
    pinned = settings.get("server_cpus")
    if isinstance(pinned, list) and pinned:
        return len(pinned)
    return (len(rows[-1]["host"]["per_cpu_busy_s"]) if rows else 0) or None


def allowed_cores(settings: Mapping[str, object], rows: Sequence[SampleRow]) -> float | None:
    """Return the cores the target may use: its pinning (or the host's CPUs), cut by the control group's quota."""
    cpus = allowed_cpus(settings, rows)
    cores = None if cpus is None else float(cpus)
    limits = [limit for row in rows[-1:] if row["cgroup"] and (limit := row["cgroup"]["cpu_limit_cores"]) is not None]
    return min([cores, *limits]) if cores is not None else (limits[0] if limits else None)
