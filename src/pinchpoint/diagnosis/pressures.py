"""Disk, network, memory and quota in one window, from the collector's rows: what is wide as the machine or the group.

Each figure is None where a reading is missing at either end; a counter that fell says nothing.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from pinchpoint.diagnosis.tracks import difference, per
from pinchpoint.rows import CgroupRow, HostRow, SampleRow


def pressures(rows: Sequence[SampleRow], seconds: float) -> dict[str, Any]:
    """Return those fields of `ServerFigures` that come from the machine's and the control group's counters."""
    if len(rows) < 2 or seconds <= 0:  # noqa: PLR2004 - a difference needs two rows
        return {}
    hosts = (rows[0]["host"], rows[-1]["host"])
    groups = (rows[0]["cgroup"], rows[-1]["cgroup"])

    def rate(key: str) -> float | None:
        return per(difference(hosts[0].get(key), hosts[1].get(key)), seconds)

    def group_rate(key: str) -> float | None:
        before, after = groups
        return None if before is None or after is None else per(difference(before.get(key), after.get(key)), seconds)

    return {
        "disk_busy": rate("disk_busy_s"),
        "disk_ios_per_s": rate("disk_ios"),
        "iowait_cores": rate("cpu_iowait_s"),
        "steal_cores": rate("cpu_steal_s"),
        "steal_share": per(rate("cpu_steal_s"), float(len(hosts[1]["per_cpu_busy_s"]))),
        "net_tx_bytes_per_s": rate("net_tx_bytes"),
        "retransmits_per_s": rate("retransmits"),
        "accepts_per_s": rate("tcp_accepts"),
        "swap_pages_per_s": _sum(rate("swap_in_pages"), rate("swap_out_pages")),
        "throttled_cores": group_rate("throttled_s"),
        "memory_hits_per_s": _sum(group_rate("memory_limit_hits"), group_rate("memory_high_hits")),
        "memory_use": _mean(rows, _memory_use),
        "listen_limit": _last(rows),
    }


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _mean(rows: Sequence[SampleRow], figure: Callable[[CgroupRow], float | None]) -> float | None:
    known = [value for row in rows if row["cgroup"] is not None and (value := figure(row["cgroup"])) is not None]
    return sum(known) / len(known) if known else None


def _memory_use(group: CgroupRow) -> float | None:
    return per(group["memory_bytes"], group["memory_limit_bytes"])


def _last(rows: Sequence[SampleRow]) -> float | None:
    host: HostRow = rows[-1]["host"]
    limit = host.get("listen_limit")
    return None if limit is None else float(limit)


def oom_kills(rows: Sequence[SampleRow]) -> float | None:
    """Return how many processes of the target's control group were killed for want of memory; None when not told."""
    told = [
        float(kills) for row in rows if row["cgroup"] is not None and (kills := row["cgroup"]["oom_kills"]) is not None
    ]
    return sum(max(0.0, after - before) for before, after in pairwise(told)) if told else None


def deaths(rows: Sequence[SampleRow], until_s: float) -> int:
    """Return how many workers ended by then; at the end of a run they all do."""
    return sum(
        process.get("gone", False) and process["role"] == "worker"
        for row in rows
        if row["t_s"] <= until_s
        for process in row["processes"]
    )
