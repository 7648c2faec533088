"""The probe page's tables and the looks at threads -> what each pool, route and peer did in a window.

Tables are recorded twice a second: a quantity runs from a process's first row with tables in the window to its last.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pinchpoint.measures import PeerFigures, PoolFigures, RouteFigures
from pinchpoint.rows import ProcessRow, SampleRow

MS_PER_S = 1000.0
MIN_LOOKS = 20
"""Looks at threads that were up to something, needed before their shares mean anything."""

DATABASE = "db "
"""How the names of databases begin among the peers."""

_GAUGES = frozenset({"size", "busy", "waiting", "active", "state", "service_max_s"})
Columns = Mapping[str, float]


@dataclass(slots=True)
class Merged:
    """One row of a table, over all processes: counters as amounts and per second, gauges as they stood at the end."""

    amounts: Counter[str] = field(default_factory=Counter)
    rates: Counter[str] = field(default_factory=Counter)
    gauges: Counter[str] = field(default_factory=Counter)

    def add(self, before: Columns, after: Columns, seconds: float) -> None:
        """Add one process's row; a row that is new has counted from zero."""
        for column, value in after.items():
            if column in _GAUGES:
                self.gauges[column] += value  # type: ignore[assignment]
                continue
            grown = max(0.0, value - before.get(column, 0.0))
            self.amounts[column] += grown  # type: ignore[assignment]
            self.rates[column] += grown / seconds  # type: ignore[assignment]

    def mean_ms(self, seconds: str, count: str) -> float | None:
        """Return a sum of seconds over a count, in milliseconds."""
        number = self.amounts[count]
        return self.amounts[seconds] / number * MS_PER_S if number > 0 else None


def probe_tables(rows: Sequence[SampleRow]) -> dict[str, Any]:
    """Return those fields of `ServerFigures` that come from tables and from looks at threads."""
    histories = _histories(rows)
    routes, calls = _merge(histories, "routes"), _merge(histories, "calls")
    done = sum(route.amounts["done"] for route in routes.values())
    return {
        "gates": {name: _pool(gate, done) for name, gate in _merge(histories, "gates").items()},
        "routes": _routes(routes, database=any(name.startswith(DATABASE) for name in calls)),
        "calls": _peers(calls),
        "hooks_off": _off(histories),
        "thread_states": _shares(histories, "thread_states"),
        "socket_peers": _peer_shares(histories),
        "threads_in": _threads_in(histories),
    }


History = list[tuple[float, ProcessRow]]


def _histories(rows: Sequence[SampleRow]) -> list[History]:
    found: dict[int, History] = {}
    for row in rows:
        for process in row["processes"]:
            found.setdefault(process["pid"], []).append((row["t_s"], process))
    return list(found.values())


def _merge(histories: Iterable[History], table: str) -> dict[str, Merged]:
    merged: dict[str, Merged] = {}
    for history in histories:
        seen = [(t_s, tables[table]) for t_s, row in history if (tables := row.get("tables")) and table in tables]
        if len(seen) < 2:  # noqa: PLR2004 - a difference needs two
            continue
        (t_first, first), (t_last, last) = seen[0], seen[-1]
        for name, columns in last.items():
            merged.setdefault(name, Merged()).add(first.get(name, {}), columns, t_last - t_first)
    return merged


def _pool(gate: Merged, done: float) -> PoolFigures:
    return PoolFigures(
        size=gate.gauges.get("size"),
        busy=gate.rates.get("busy_s"),
        waiting=gate.rates.get("waiting_s"),
        wait_ms=gate.mean_ms("wait_s", "taken"),
        hold_ms=gate.mean_ms("hold_s", "taken"),
        checkouts_per_request=gate.amounts["taken"] / done if done > 0 else None,
        timeouts=gate.amounts.get("timeouts"),
    )


def _routes(routes: Mapping[str, Merged], *, database: bool) -> list[RouteFigures]:
    busiest = sorted(routes.items(), key=lambda item: -item[1].amounts["service_s"])
    return [
        RouteFigures(
            name=name,
            requests_rps=route.rates["done"],
            service_ms=route.mean_ms("service_s", "done"),
            responses_4xx=route.amounts["responses_4xx"],
            responses_5xx=route.amounts["responses_5xx"],
            # Without a database that the probe knows, 0 would say that there is none.
            db_calls_per_request=_per(route, "db_calls", "counted") if database else None,
            counted=route.amounts["counted"],
        )
        for name, route in busiest
        if route.amounts["done"]
    ]


def _per(row: Merged, amount: str, count: str) -> float | None:
    return row.amounts[amount] / row.amounts[count] if row.amounts[count] > 0 else None


def _peers(peers: Mapping[str, Merged]) -> list[PeerFigures]:
    longest = sorted(peers.items(), key=lambda item: -item[1].amounts["seconds"])
    return [
        PeerFigures(
            name=name,
            calls_rps=peer.rates["calls"],
            call_ms=peer.mean_ms("seconds", "calls"),
            active=peer.rates.get("active_s"),
            errors=peer.amounts["errors"],
        )
        for name, peer in longest
        if peer.amounts["calls"] or peer.gauges["active"]
    ]


def _off(histories: Iterable[History]) -> list[str]:
    """Return the hooks that any process said had switched themselves off."""
    tables = [found for history in histories for _, row in history if (found := row.get("tables"))]
    hooks = [item for found in tables for item in found.get("hooks", {}).items()]
    return sorted({name for name, columns in hooks if columns.get("state") == 0.0})


def _counts(histories: Iterable[History], key: str) -> Counter[str]:
    """Growth of cumulative counts over the window, summed over the processes."""
    grown: Counter[str] = Counter()
    for history in histories:
        seen = [counts for _, row in history if (counts := cast("dict[str, int] | None", row.get(key))) is not None]
        if len(seen) > 1:
            first, last = seen[0], seen[-1]
            grown.update({name: max(0, count - first.get(name, 0)) for name, count in last.items()})
    return grown


def _shares(histories: Sequence[History], key: str) -> dict[str, float]:
    counts = _counts(histories, key)
    awake = {name: count for name, count in counts.items() if name not in {"samples", "idle"} and count}
    total = sum(awake.values())
    return {name: count / total for name, count in sorted(awake.items())} if total >= MIN_LOOKS else {}


def _threads_in(histories: Sequence[History]) -> dict[str, float]:
    """Mean number of threads in each state, over all processes; each look is at one thread."""
    found: Counter[str] = Counter()
    for history in histories:
        counts = _counts([history], "thread_states")
        threads = [float(row["threads"]) for _, row in history if row.get("threads")]  # type: ignore[arg-type]
        if counts["samples"] >= MIN_LOOKS and threads:
            each = sum(threads) / len(threads) / counts["samples"]
            found.update({name: count * each for name, count in counts.items() if name != "samples"})
    return dict(sorted(found.items()))


def _peer_shares(histories: Sequence[History]) -> dict[str, float]:
    """Shares of the same looks as the thread states': both add up to the share of `socket`."""
    counts = _counts(histories, "thread_states")
    total = sum(count for name, count in counts.items() if name not in {"samples", "idle"})
    met = _counts(histories, "peers")
    return {name: count / total for name, count in met.most_common() if count} if total >= MIN_LOOKS else {}
