"""The expected peak and 50 % more: is it served, how fast, with which errors, and what does it take? Pure.

Limits are those of the run (`--p95`, `--max-errors`); with their defaults the table of load targets that was asked for:
p95 < 500 ms (acceptable < 1000), p99 < 1000 ms (< 2000), failures < 0.1 % (< 1 %).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pinchpoint import units
from pinchpoint.diagnosis.checklist.lines import ChecklistLine, Status, graded, unmeasured, worst
from pinchpoint.diagnosis.checklist.windows import Window
from pinchpoint.diagnosis.memory import free_bytes
from pinchpoint.diagnosis.saturation import (
    CPU_SATURATED,
    LOOP_SATURATED,
    POOL_FULL,
    fullness,
    loop_use,
    narrowest,
    pool_use,
)
from pinchpoint.diagnosis.windows import allowed_cores
from pinchpoint.measures import PoolFigures

LOAD, RESOURCES, ERRORS = 3, 4, 6

BEYOND_PEAK = 1.5
"""The load that a peak must leave room for: "simulate expected peak load + 50%"."""

ROOM = 1 / BEYOND_PEAK
"""Use of a resource at the peak above which half as much again would not fit."""

ACCEPTABLE = 2.0
"""Acceptable latency over the target: 500 and 1000 ms at p95, 1000 and 2000 at p99."""

P99_OVER_P95 = 2.0
TARGET_ERRORS = 0.1
"""Targeted share of failures over the accepted one: 0.1 % and 1 %."""

LEFT_GOOD, LEFT_BAD = 0.05, 0.1
"""Share of the arrivals by which the queue grew: above the second a load is not served (`steps.FELL_SHORT`)."""

FEW_WAITING = 3.0
"""So many arrivals more may wait by chance when the window ends."""

MEMORY_GOOD, MEMORY_BAD = 0.8, 0.9
"""Share of the memory that the target may take: what is left must hold the kernel's cache and the next worker."""

LONG_WAIT_MS = 10.0
"""Mean wait for a connection that is too long even where the pool is not full: all that a health check may take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the run: what a user accepts."""

    p95_ms: float
    max_error_rate: float


def load_lines(window: Window, name: str, limits: Limits) -> list[ChecklistLine]:
    """Return what the clients saw of one load; `name` is `the expected peak` or `peak + 50 %`."""
    if window.died is not None:
        return [died_line(name, window.died)]
    latency = window.client.latency
    how = (
        f"{units.seconds(window.seconds)} at {units.rps(window.offered_rps)} (arrivals, open model), "
        f"{units.count(window.client.figures.ok)} good answers, from when each was due"
    )
    lines = [_served(window, name)]
    for quantile, value, target_ms in (
        ("p95", latency.p95 if latency else None, limits.p95_ms),
        ("p99", latency.p99 if latency else None, P99_OVER_P95 * limits.p95_ms),
    ):
        lines.append(_latency(f"{quantile} at {name}", value, target_ms, how))
    return lines


def died_line(name: str, died: str) -> ChecklistLine:
    """Return the line of a load under which the target died."""
    return ChecklistLine(
        item=LOAD,
        name=f"Throughput at {name}",
        status="failed",
        value=None,
        unit="requests/s",
        limit=None,
        shown="the target died",
        limit_shown="",
        how=died,
        todo="Read target.log in the run's folder, and find the limit with `pinchpoint run`.",
    )


def _served(window: Window, name: str) -> ChecklistLine:
    figures, title = window.client.figures, f"Throughput at {name}"
    if not figures.scheduled:
        return unmeasured(LOAD, title, "no arrival was due", "requests/s")
    left = window.left_waiting if window.left_waiting > FEW_WAITING else 0.0
    status = graded(left / figures.scheduled, LEFT_GOOD, LEFT_BAD)
    return ChecklistLine(
        item=LOAD,
        name=title,
        status=status,
        value=window.client.goodput_rps,
        unit="requests/s",
        limit=None,
        shown=f"{units.rps(window.client.goodput_rps)} answered well",
        limit_shown=f"< {units.percent(LEFT_GOOD)} of the arrivals left waiting",
        how=f"{units.count(window.left_waiting)} of {units.count(figures.scheduled)} arrivals left waiting in "
        f"{units.seconds(window.seconds)} at {units.rps(window.offered_rps)} (open model)",
        todo="" if status == "ok" else "The queue grows: the app cannot serve this load. `pinchpoint run` says why.",
    )


def _latency(title: str, value: float | None, target_ms: float, how: str) -> ChecklistLine:
    if value is None:
        return unmeasured(LOAD, title, "nothing was answered well", "ms")
    status = graded(value, target_ms, ACCEPTABLE * target_ms)
    return ChecklistLine(
        item=LOAD,
        name=title,
        status=status,
        value=value,
        unit="ms",
        limit=target_ms,
        shown=units.ms(value),
        limit_shown=f"< {units.ms(target_ms)}, acceptable < {units.ms(ACCEPTABLE * target_ms)}",
        how=how,
        todo="" if status == "ok" else "`pinchpoint run` names what requests wait for at this load.",
    )


def error_line(window: Window, name: str, limits: Limits) -> ChecklistLine:
    """Return the failures under one load."""
    rate, figures, title = window.client.error_rate, window.client.figures, f"Errors at {name}"
    if rate is None:
        return unmeasured(ERRORS, title, "no request was answered", "share")
    target = TARGET_ERRORS * limits.max_error_rate
    status = graded(rate, target, limits.max_error_rate)
    kinds = ", ".join(f"{kind} ({units.count(count)})" for kind, count in figures.errors.items())
    return ChecklistLine(
        item=ERRORS,
        name=title,
        status=status,
        value=rate,
        unit="share",
        limit=target,
        shown=f"{units.percent(rate)} of {units.count(figures.ok + figures.failed)} requests",
        limit_shown=f"< {units.percent(target)}, acceptable < {units.percent(limits.max_error_rate)}",
        how=f"as the clients saw them in {units.seconds(window.seconds)} at {units.rps(window.offered_rps)}"
        + (f": {kinds}" if kinds else ""),
        todo=""
        if status == "ok"
        else "Look at the app's log for these; timeouts and refusals point at a full resource above.",
    )


# --- what it takes of the machine -------------------------------------------------------------------------------------


def resource_lines(peak: Window, beyond: Window | None, load: Mapping[str, object]) -> list[ChecklistLine]:
    """Return the use of each resource at the peak; `load` is that section of `run.json`."""
    how = f"mean of {units.seconds(peak.seconds)} at {units.rps(peak.offered_rps)}"
    seen = [peak, *([beyond] if beyond is not None else [])]
    return [_cpu(peak, load, how), _worker(peak, how), _memory(seen), _connections(peak, how), _refused(seen)]


def _used(name: str, value: float, bad: float, **words: str) -> ChecklistLine:
    """Return the line of a resource whose use (0..1) must leave room for half as much again."""
    status = graded(value, ROOM, bad)
    return ChecklistLine(
        item=RESOURCES,
        name=name,
        status=status,
        value=value,
        unit="share",
        limit=ROOM,
        shown=words["shown"],
        limit_shown=f"< {units.percent(ROOM)}, so that 50 % more fits",
        how=words["how"],
        todo="" if status == "ok" else words["todo"],
    )


def _cpu(peak: Window, load: Mapping[str, object], how: str) -> ChecklistLine:
    rows = [peak.last] if peak.last is not None else []
    cores, used = allowed_cores(load, rows), peak.server.cpu_cores
    if cores is None or used is None:
        return unmeasured(RESOURCES, "CPU", "the collector saw none of the target's processes", "share")
    return _used(
        "CPU",
        used / cores,
        CPU_SATURATED,
        shown=f"{units.percent(used / cores)}: {units.number(used)} of {units.cores(cores)}",
        how=f"CPU of all the target's processes, {how}",
        todo="Profile it, or give it more cores and workers: `pinchpoint sweep --workers` says how many pay.",
    )


def _worker(peak: Window, how: str) -> ChecklistLine:
    """One Python worker computes on one core, whatever the machine has."""
    busy = loop_use(peak.server)
    if peak.server.has_loop and busy is not None:
        return _used(
            "Busiest event loop",
            busy,
            LOOP_SATURATED,
            shown=f"{units.percent(busy)} busy",
            how=f"time outside the selector, {how}",
            todo="Take blocking and computing work off the loop, or add workers.",
        )
    known = [one.cpu_cores for one in peak.server.per_worker if one.cpu_cores is not None]
    if not known:
        return unmeasured(RESOURCES, "Busiest worker", "the collector saw no worker", "share")
    return _used(
        "Busiest worker",
        max(known),
        CPU_SATURATED,
        shown=f"{units.percent(max(known))} of one core",
        how=f"CPU of the worker with most, {how}",
        todo="Profile it, or add workers: one Python process computes on one core.",
    )


def _memory(seen: Sequence[Window]) -> ChecklistLine:
    sizes = [(one.server.pss_bytes or one.server.rss_bytes, _free(one)) for one in seen]
    known = [(used, free) for used, free in sizes if used is not None and free is not None]
    if not known:
        return unmeasured(RESOURCES, "Memory", "the collector read no memory of the target", "share")
    used, free = max(known, key=lambda one: one[0] / (one[0] + one[1]))
    share = used / (used + free)
    status = graded(share, MEMORY_GOOD, MEMORY_BAD)
    return ChecklistLine(
        item=RESOURCES,
        name="Memory",
        status=status,
        value=share,
        unit="share",
        limit=MEMORY_GOOD,
        shown=f"{units.size(used)} used, {units.size(free)} left",
        limit_shown=f"< {units.percent(MEMORY_GOOD)} of what it may take, acceptable < {units.percent(MEMORY_BAD)}",
        how="of all the target's processes, shared pages once (PSS), under the heaviest load; left: the host's or the "
        "control group's, whichever is less",
        todo="" if status == "ok" else "Raise the limit, or run fewer workers; first ask what each of them holds.",
    )


def _free(window: Window) -> float | None:
    return min(free_bytes(window.last), default=None) if window.last is not None else None


def _connections(peak: Window, how: str) -> ChecklistLine:
    name, pool = narrowest(peak.server, "db")
    title = "Database connections"
    if pool is None or pool.busy is None:
        return unmeasured(RESOURCES, title, "no connection pool was seen inside the app", "share")
    use, full = pool_use(pool), fullness(pool)
    if use is None or full is None:
        why = f"{units.tenths(pool.busy)} checked out on average, of a pool without a limit"
        return unmeasured(RESOURCES, title, why, "share", "Set a limit: without one the database's own is hit.")
    status = worst(graded(full, ROOM, POOL_FULL), _waiting(pool))
    waits = f"; wait {units.ms(pool.wait_ms)}" if pool.wait_ms is not None else ""
    gave_up = f"; {units.count(pool.timeouts)} gave up" if pool.timeouts else ""
    return ChecklistLine(
        item=RESOURCES,
        name=title,
        status=status,
        value=use,
        unit="share",
        limit=ROOM,
        shown=f"{units.tenths(pool.busy)} of {units.number(pool.size)} checked out{waits}{gave_up}",
        limit_shown=f"< {units.percent(ROOM)}, so that 50 % more fits; wait < {units.ms(LONG_WAIT_MS)}",
        how=f"{name or 'all database pools'}: checked out over size, {how}",
        todo="" if status == "ok" else "Hold connections for less time first; then make the pool larger.",
    )


def _waiting(pool: PoolFigures) -> Status:
    if pool.timeouts:
        return "failed"
    return "attention" if pool.wait_ms is not None and pool.wait_ms >= LONG_WAIT_MS else "ok"


def _refused(seen: Sequence[Window]) -> ChecklistLine:
    found = [one.server.listen_overflows for one in seen if one.server.listen_overflows is not None]
    if not found:
        return unmeasured(RESOURCES, "Accept queue", "this system does not tell how often it overflowed", "connections")
    total = sum(found)
    return ChecklistLine(
        item=RESOURCES,
        name="Accept queue",
        status="failed" if total else "ok",
        value=total,
        unit="connections",
        limit=0.0,
        shown=f"overflowed {units.count(total)} times",
        limit_shown="never",
        how="the kernel's counter (machine-wide) under the peak and beyond",
        todo="The workers accept too slowly: add workers, or a longer backlog for bursts." if total else "",
    )
