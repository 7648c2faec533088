"""Which kind of CPU limit: the causes of class `cpu`, from the most external to the most ordinary."""

from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.saturation import LOOP_SATURATED, loop_threads
from pinchpoint.records import Evidence, ServerFigures, Step

THROTTLED = 0.2
"""Share of quota periods in which the target was throttled."""

STOLEN_SHARE = 0.3
"""Run-queue wait over running plus waiting: a third of the wish for CPU went to somebody else."""

NEIGHBOUR_CORES = 0.3
"""CPU of other processes that can explain it."""

IDLE_CORE = 1.0
"""Allowed cores left over; a further worker needs one."""

IMBALANCE = 1.3
"""Busiest worker's CPU over the mean (METHOD §5.5)."""

NATIVE_SHARE = 0.6
"""Off-loop share of the CPU, without an embedded database: native code or threads burn it."""


def cpu_cause(facts: Facts, step: Step, *, cores_full: bool) -> tuple[str, list[Evidence]]:
    """Return the cause's slug and what speaks for it."""
    server = step.server
    for cause in (_quota, _neighbour, _imbalance):
        found = cause(server)
        if found is not None:
            return found[0], [_at(found[1], step)]
    idle = _idle_cores(facts, step)
    if not cores_full and idle is not None and idle >= IDLE_CORE:
        text = f"{idle:.1f} allowed cores were idle while {loop_threads(server)} worker(s) were full"
        return "too-few-workers", [Evidence(text, "host.cpu_idle", idle, "cores", step.index)]
    native = _native(server)
    if native is not None:
        return "native-code", [_at(native, step)]
    return "python-code", []


def _at(found: Evidence, step: Step) -> Evidence:
    return Evidence(found.statement, found.signal, found.value, found.unit, step.index)


def _quota(server: ServerFigures) -> tuple[str, Evidence] | None:
    share = server.throttled_share
    if share is None or share < THROTTLED:
        return None
    return "cpu-quota", Evidence(
        f"throttled in {share:.0%} of the quota periods", "cgroup.throttled", share, "share", None
    )


def _neighbour(server: ServerFigures) -> tuple[str, Evidence] | None:
    running, waiting, foreign = server.loop_cpu_cores, server.loop_runq_cores, server.foreign_cpu_cores
    if not running or waiting is None or foreign is None:
        return None
    stolen = waiting / (running + waiting)
    # Own threads off the loop wait in the same queue; only foreign CPU larger than theirs makes it a neighbour's doing.
    if stolen < STOLEN_SHARE or foreign < max(NEIGHBOUR_CORES, server.off_loop_cpu_cores or 0.0):
        return None
    text = f"the loop waited for a core {stolen:.0%} of the time it wanted one; others used {foreign:.2f} cores"
    return "noisy-neighbour", Evidence(text, "sched.run_queue", stolen, "share", None)


def _imbalance(server: ServerFigures) -> tuple[str, Evidence] | None:
    used = [worker.cpu_cores for worker in server.per_worker if worker.cpu_cores is not None]
    if len(used) < 2 or not sum(used):  # noqa: PLR2004 - one worker has nobody to differ from
        return None
    ratio = max(used) * len(used) / sum(used)
    mean_busy = server.loop_busy_mean
    if ratio < IMBALANCE or mean_busy is None or mean_busy >= LOOP_SATURATED:
        return None
    text = f"the busiest worker used {ratio:.1f} times the mean CPU"
    return "worker-imbalance", Evidence(text, "cpu.per_worker", ratio, "ratio", None)


def _idle_cores(facts: Facts, step: Step) -> float | None:
    server = step.server
    if facts.cores is None or server.cpu_cores is None:
        return None
    generator = step.client.cpu_share or 0.0
    return facts.cores - server.cpu_cores - (server.foreign_cpu_cores or 0.0) - generator


def _native(server: ServerFigures) -> Evidence | None:
    if not server.cpu_cores or server.off_loop_cpu_cores is None:
        return None
    share = server.off_loop_cpu_cores / server.cpu_cores
    if share < NATIVE_SHARE:
        return None
    return Evidence(f"{share:.0%} of the CPU burns off the event loop", "cpu.off_loop", share, "share", None)
