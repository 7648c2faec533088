"""Which kind of CPU limit: the causes of class `cpu`, from the most external to the most ordinary."""

from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.readings import per_request_ms
from pinchpoint.diagnosis.saturation import LOOP_SATURATED, ONE_GIL, loop_threads, loop_use, worker_full
from pinchpoint.measures import ServerFigures, Step
from pinchpoint.records import Evidence

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

THREADS_SHARE = 0.6
"""Off-loop share of the CPU, without an embedded database: threads burn it, in Python or in native code."""

THREADS_COMPUTE = 0.5
"""Of the time that threads are held at low load, spent on CPU: above, they compute rather than wait."""

GIL_WAIT = 0.3
"""Share of time the loop was busy, yet neither ran nor was runnable nor blocked: it waited for the GIL."""


def cpu_cause(facts: Facts, step: Step, *, cores_full: bool) -> tuple[str, list[Evidence]]:
    """Return the cause's slug and what speaks for it."""
    server = step.server
    for cause in (_quota, _neighbour, _imbalance):
        found = cause(server)
        if found is not None:
            return found[0], [_at(found[1], step)]
    if not cores_full and gil_full(server):
        return "gil", [_at(item, step) for item in _gil_evidence(server)]
    idle = _idle_cores(facts, step)
    if not cores_full and idle is not None and idle >= IDLE_CORE:
        text = f"{idle:.1f} allowed cores were idle while {loop_threads(server)} worker(s) were full"
        return "too-few-workers", [Evidence(text, "host.cpu_idle", idle, "cores", step.index)]
    native = _native(server) if _threads_compute(facts) else None
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
    if server.rival_cpu_cores is not None:
        # On other CPUs they take nothing away; on its own there may also be the generator, which is no neighbour.
        foreign = min(foreign, server.rival_cpu_cores)
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
    """Return the allowed cores left over; a full loop claims all of its core, although it may read 0.9 of it."""
    server = step.server
    if facts.cores is None or server.cpu_cores is None:
        return None
    all_full = (loop_use(server) or 0.0) >= LOOP_SATURATED or worker_full(server)
    full = loop_threads(server) if all_full else 0
    generator = 0.0 if facts.machine.apart else step.client.cpu_share or 0.0
    return facts.cores - max(server.cpu_cores, float(full)) - (server.foreign_cpu_cores or 0.0) - generator


def _threads_share(server: ServerFigures) -> float | None:
    if not server.cpu_cores or server.off_loop_cpu_cores is None:
        return None
    return server.off_loop_cpu_cores / server.cpu_cores


def _per_worker(server: ServerFigures) -> float:
    return (server.cpu_cores or 0.0) / loop_threads(server)


def gil_wait(server: ServerFigures) -> float | None:
    """Share of time that the loop's thread waited for the GIL: what is left of its busy time."""
    busy, blocked = server.loop_busy, server.loop_blocked
    if busy is None or blocked is None or server.loop_cpu_cores is None or server.loop_runq_cores is None:
        return None
    wanted = (server.loop_cpu_cores + server.loop_runq_cores) / loop_threads(server)
    return max(0.0, busy - blocked - wanted)


def gil_full(server: ServerFigures) -> bool:
    """Return True when threads off the loop compute, yet each worker gets the one core that its GIL allows."""
    low, high = ONE_GIL
    share, waited = _threads_share(server), gil_wait(server)
    if share is None or share < THREADS_SHARE or not low <= _per_worker(server) <= high:
        return False
    # Without a busy share nothing tells a single native thread from a held GIL.
    return waited is not None and waited >= GIL_WAIT


def _threads_compute(facts: Facts) -> bool:
    """Return False when threads mostly wait while they are held at low load: no long native call burns the CPU then."""
    held = facts.low(_thread_ms)
    burnt = facts.low(lambda server: per_request_ms(server.off_loop_cpu_cores, server))
    return not held or burnt is None or burnt >= THREADS_COMPUTE * held


def _thread_ms(server: ServerFigures) -> float | None:
    """Milliseconds per request for which threads are held."""
    pools = [server.pools.get("threadpool"), server.pools.get("executor")]
    busy = [pool.busy for pool in pools if pool is not None and pool.busy is not None]
    return per_request_ms(sum(busy), server) if busy else None


def _gil_evidence(server: ServerFigures) -> list[Evidence]:
    waited, each = gil_wait(server), _per_worker(server)
    return [
        Evidence(f"its threads together run {each:.2f} cores per worker", "cpu.per_worker", each, "cores", None),
        Evidence(
            f"the event loop waited for the GIL {waited or 0.0:.0%} of the time", "loop.gil", waited, "share", None
        ),
    ]


def _native(server: ServerFigures) -> Evidence | None:
    """Native code: threads burn the CPU without keeping the loop from the GIL, or more than one GIL could hand out."""
    share, waited = _threads_share(server), gil_wait(server)
    if share is None or share < THREADS_SHARE:
        return None
    beside = _per_worker(server) > ONE_GIL[1]
    if not beside and (waited is None or waited >= GIL_WAIT):
        return None
    return Evidence(f"{share:.0%} of the CPU burns off the event loop", "cpu.off_loop", share, "share", None)
