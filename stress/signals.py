"""What the collector saw of the server in one second, by name, for criteria on it. Missing is None, never 0.

Names: `cpu_cores`, `loop_busy` (0..1, the busiest worker), `loop_lag_ms` (mean, the worst worker), `rss_bytes`,
`pss_bytes`, `inflight`, `db_active`, `psi_cpu`, `psi_io`, `psi_memory` (0..1), `listen_queue`, `pool_busy:NAME` and
`pool_waiting:NAME` (a pool as the report calls it; without `:NAME` the database pools together).
"""

from collections.abc import Callable, Mapping
from typing import Any

from pinchpoint.rows import ProcessRow, SampleRow
from pinchpoint.seconds import Second

FRESH_S = 1.0
"""The probe publishes 20 times a second: an older page says nothing about now."""
PSS_STANDS_S = 10.0
"""PSS is read every other second, or every eighth while memory stands still."""
US_PER_S, MS_PER_S = 1e6, 1000.0
POOL_SIGNALS = ("pool_waiting", "pool_busy")

Counter = Callable[[ProcessRow], float | None]


class Signals:
    """Reads signals second after second; remembers only each process's last PSS and each pool's last row."""

    def __init__(self) -> None:
        self._pss: dict[int, tuple[float, int]] = {}
        self._pools: dict[int, tuple[float, Mapping[str, Mapping[str, float]]]] = {}
        self._rates: dict[str, dict[str, float]] = {}

    def feed(self, second: Second) -> None:
        """Take in a second; to be called once for each, in order."""
        self._rates = {}
        for row in second.samples:
            for process in row["processes"]:
                if process["pss_bytes"] is not None:
                    self._pss[process["pid"]] = (row["t_s"], process["pss_bytes"])
                gates = (process.get("tables") or {}).get("gates")
                if gates is not None:
                    self._pool_rates(process["pid"], row["t_s"], gates)

    def read(self, name: str, second: Second) -> float | None:
        """Return a signal's value in the second fed last; None when it was not measured."""
        if not second.samples:
            return None
        after = second.samples[-1]
        before = second.before if second.before is not None else second.samples[0]
        kind, _, pool = name.partition(":")
        if pool:
            return self._rates.get(pool, {}).get(kind)
        if kind == "pss_bytes":
            return self._pss_bytes(after)
        read = _READERS.get(kind)
        return None if read is None or after["t_s"] <= before["t_s"] else read(before, after)

    def _pool_rates(self, pid: int, t_s: float, gates: Mapping[str, Mapping[str, float]]) -> None:
        old = self._pools.get(pid)
        self._pools[pid] = (t_s, gates)
        if old is None or t_s <= old[0]:
            return
        for name, columns in gates.items():
            then = old[1].get(name, {})
            rates = self._rates.setdefault(name, {})
            for kind, column in (("pool_waiting", "waiting_s"), ("pool_busy", "busy_s")):
                if column in columns:
                    grown = max(0.0, columns[column] - then.get(column, 0.0)) / (t_s - old[0])
                    rates[kind] = rates.get(kind, 0.0) + grown

    def _pss_bytes(self, after: SampleRow) -> float | None:
        known = [self._pss.get(process["pid"]) for process in after["processes"]]
        fresh = [one[1] for one in known if one is not None and after["t_s"] - one[0] <= PSS_STANDS_S]
        return float(sum(fresh)) if fresh and len(fresh) == len(known) else None


def _probe(field: str) -> Counter:
    def read(row: ProcessRow) -> float | None:
        age_s = row["probe_age_s"]
        if row["probe"] is None or (age_s is not None and age_s > FRESH_S):
            return None
        return row["probe"].get(field)

    return read


def _growth(before: SampleRow, after: SampleRow, read: Counter) -> list[float]:
    """Growth per second of a counter, of every process that has it at both ends."""
    seconds = after["t_s"] - before["t_s"]
    then = {row["pid"]: read(row) for row in before["processes"]}
    grown = []
    for row in after["processes"]:
        first, last = then.get(row["pid"]), read(row)
        if first is not None and last is not None and last >= first:
            grown.append((last - first) / seconds)
    return grown


def _sum_of(read: Counter) -> Callable[[SampleRow, SampleRow], float | None]:
    def total(before: SampleRow, after: SampleRow) -> float | None:
        grown = _growth(before, after, read)
        return sum(grown) if grown else None

    return total


def _busiest(before: SampleRow, after: SampleRow) -> float | None:
    return max(_growth(before, after, _probe("loop_busy_s")), default=None)


def _lag_ms(before: SampleRow, after: SampleRow) -> float | None:
    """Mean lateness of the loop's heartbeat; the worst worker's. A loop without one heartbeat is not measured."""
    then = {row["pid"]: row for row in before["processes"]}
    lags, sums, beats = [], _probe("loop_lag_s"), _probe("loop_lag_n")
    for row in after["processes"]:
        old = then.get(row["pid"])
        figures = (sums(old), sums(row), beats(old), beats(row)) if old is not None else (None,) * 4
        s0, s1, n0, n1 = figures
        if s0 is not None and s1 is not None and n0 is not None and n1 is not None and n1 > n0:
            lags.append((s1 - s0) / (n1 - n0) * MS_PER_S)
    return max(lags, default=None)


def _rss(_: SampleRow, after: SampleRow) -> float | None:
    sizes = [row["rss_bytes"] for row in after["processes"] if row["rss_bytes"] is not None]
    return float(sum(sizes)) if sizes else None


def _psi(key: str) -> Callable[[SampleRow, SampleRow], float | None]:
    def share(before: SampleRow, after: SampleRow) -> float | None:
        then: Any = before["host"]["psi_us"] or {}
        now: Any = after["host"]["psi_us"] or {}
        if then.get(key) is None or now.get(key) is None:
            return None
        return float(now[key] - then[key]) / US_PER_S / (after["t_s"] - before["t_s"])

    return share


def _listen_queue(_: SampleRow, after: SampleRow) -> float | None:
    length = after["host"]["listen_queue"]
    return None if length is None else float(length)


_READERS: dict[str, Callable[[SampleRow, SampleRow], float | None]] = {
    "cpu_cores": _sum_of(lambda row: row["cpu_s"]),
    "loop_busy": _busiest,
    "loop_lag_ms": _lag_ms,
    "rss_bytes": _rss,
    "inflight": _sum_of(_probe("inflight_s")),
    "db_active": _sum_of(_probe("db_active_s")),
    "pool_waiting": _sum_of(_probe("pool_waiting_s")),
    "pool_busy": _sum_of(_probe("pool_busy_s")),
    "psi_cpu": _psi("cpu_some"),
    "psi_io": _psi("io_some"),
    "psi_memory": _psi("memory_some"),
    "listen_queue": _listen_queue,
}
NAMES = tuple(sorted({*_READERS, "pss_bytes"}))


def known(name: str) -> bool:
    """Tell whether there is such a signal."""
    kind, _, pool = name.partition(":")
    return kind in NAMES and (not pool or kind in POOL_SIGNALS)
