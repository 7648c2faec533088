"""Which kind of CPU limit: the causes of class `cpu`, from the most external to the most ordinary."""

from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.readings import per_request_ms
from pinchpoint.diagnosis.saturation import (
    LOOP_SATURATED,
    ONE_GIL,
    busiest_loop,
    loop_threads,
    loop_use,
    worker_full,
)
from pinchpoint.diagnosis.steps import load_of
from pinchpoint.measures import ServerFigures, Step
from pinchpoint.records import Evidence

THROTTLED = 0.2
"""Share of quota periods in which the target was throttled."""

STOLEN_SHARE = 0.3
"""Run-queue wait over running plus waiting: a third of the wish for CPU went to somebody else."""

NEIGHBOUR_CORES = 0.3
"""CPU of other processes that can explain it."""

IDLE_CORE = 0.5
"""Allowed cores left over, from which a further worker adds at least a third of what one does now: it and the load that
it serves share them. On two cores, of which the generator uses a part, a whole one is never left."""

IMBALANCE = 1.2
"""Busiest worker's CPU over the mean, from which evening it out gains a fifth; METHOD §5.5 reports 1.3 of any step. It
must last under the heaviest load: connections that chance spread badly fill every worker then."""

THREADS_SHARE = 0.6
"""Off-loop share of the CPU, without an embedded database: threads burn it, in Python or in native code."""

THREADS_COMPUTE = 0.5
"""Of the time that threads are held at low load, on the CPU or waiting for it: above, they compute rather than wait."""

GIL_WAIT = 0.3
"""Share of time the loop was busy, yet neither ran nor was runnable nor blocked: it waited for the GIL."""


SEVERAL_RUNNABLE = 2.5
"""Threads off the loop that wait for a core, per worker: of those that need the GIL one does at a time, and the others
only for an instant, every 5 ms (`sys.setswitchinterval`): 1.5 to 4 of eight in the zoo's `python-loop-gthread`."""

GIL_TO_RUNNABLE = 0.6
"""Threads met waiting for the GIL over those met waiting for a core, from which they are the same ones: who waits for
the GIL of a thread that holds the only core waits for that core, too. In the tuned half of the zoo 0.6 to 4 where
threads compute in Python (`python-loop-gthread`, `leak-gthread`), 0.1 to 0.56 in native code (`native-threadpool`)."""

GIL_SHARE = 0.2
"""Of its threads that are up to something, those that wait for the GIL."""


def cpu_cause(facts: Facts, step: Step, *, cores_full: bool) -> tuple[str, list[Evidence]]:
    """Return the cause's slug and what speaks for it."""
    server = step.server
    for cause in (_quota, _neighbour, _imbalance):
        found = cause(server)
        if found is None or (cause is _neighbour and _works_for_the_app(facts, step)):
            continue
        if cause is not _imbalance or _lasts(facts, step):
            return found[0], [_at(found[1], step)]
    idle = _most_idle(facts, step)
    if not cores_full and gil_full(server):
        return "gil", [_at(item, step) for item in _gil_evidence(server)]
    if not cores_full and idle is not None and idle >= IDLE_CORE and gil_shared(server):
        return "gil", [_at(item, step) for item in _shared_evidence(server)]
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
    who = "the loop"
    if server.has_loop is False:
        # Threads of one worker wait for each other as well: only what others used can have been taken from them.
        waited, rivals = server.runq_cores, server.rival_cpu_cores
        known = waited is not None and rivals is not None
        running, waiting, who = server.cpu_cores, min(waited or 0.0, rivals or 0.0) if known else None, "the app"
    if not running or waiting is None or foreign is None:
        return None
    if server.rival_cpu_cores is not None:
        # On other CPUs they take nothing away; on its own there may also be the generator, which is no neighbour.
        foreign = min(foreign, server.rival_cpu_cores)
    stolen = waiting / (running + waiting)
    # Own threads off the loop wait in the same queue; only foreign CPU larger than theirs makes it a neighbour's doing.
    if stolen < STOLEN_SHARE or foreign < max(NEIGHBOUR_CORES, server.off_loop_cpu_cores or 0.0):
        return None
    text = f"{who} waited for a core {stolen:.0%} of the time it wanted one; others used {foreign:.2f} cores"
    return "noisy-neighbour", Evidence(text, "sched.run_queue", stolen, "share", None)


def _lasts(facts: Facts, step: Step) -> bool:
    """Return True when the heaviest load finds the workers as uneven."""
    heaviest = max([step, *facts.ladder.failed, *facts.ladder.overload], key=load_of)
    return _imbalance(heaviest.server) is not None


ALWAYS_THERE = 0.5
"""CPU of others at the lightest load over that at the limit, from which they do not work for the app: a database's or a
service's grows with what is asked of it."""


def _works_for_the_app(facts: Facts, step: Step) -> bool:
    """Return True when the others hardly ran before the load came."""
    lightest = facts.ladder.low
    if lightest is None or lightest is step:
        return True  # without a lighter load to compare with, nobody is accused
    before, now = lightest.server.foreign_cpu_cores, step.server.foreign_cpu_cores
    return before is not None and now is not None and before < ALWAYS_THERE * now


def _imbalance(server: ServerFigures) -> tuple[str, Evidence] | None:
    used = [worker.cpu_cores for worker in server.per_worker if worker.cpu_cores is not None]
    if len(used) < 2 or not sum(used):  # noqa: PLR2004 - one worker has nobody to differ from
        return None
    ratio = max(used) * len(used) / sum(used)
    # Without a loop, what a worker's one GIL hands out is the same measure.
    mean_busy = sum(used) / len(used) if server.has_loop is False else server.loop_busy_mean
    if ratio < IMBALANCE or mean_busy is None or mean_busy >= LOOP_SATURATED:
        return None
    text = f"the busiest worker used {ratio:.1f} times the mean CPU"
    return "worker-imbalance", Evidence(text, "cpu.per_worker", ratio, "ratio", None)


def _most_idle(facts: Facts, step: Step) -> float | None:
    """Return the most cores left over in any step in which the workers were full: what others take comes and goes."""
    steps = [step, *(one for one in (*facts.ladder.failed, *facts.ladder.overload) if _full(one.server))]
    return max((idle for one in steps if (idle := idle_cores(facts, one)) is not None), default=None)


def _full(server: ServerFigures) -> bool:
    return (loop_use(server) or 0.0) >= LOOP_SATURATED or worker_full(server)


def idle_cores(facts: Facts, step: Step) -> float | None:
    """Return the allowed cores left over; a full loop claims all of its core, although it may read 0.9 of it."""
    server = step.server
    if facts.cores is None or server.cpu_cores is None:
        return None
    own = max(server.cpu_cores, float(loop_threads(server)) if _full(server) else 0.0)
    beside = server.rival_cpu_cores
    if beside is None:
        generator = 0.0 if facts.machine.apart else step.client.cpu_cores
        if generator is None or server.foreign_cpu_cores is None:
            return None  # what nobody measured is not idle
        beside = server.foreign_cpu_cores + generator
    cpus = facts.machine.cpus
    # A quota is its own; what others use of the CPUs behind it takes none of it as long as CPUs are left.
    return facts.cores - own - beside if cpus is None else min(facts.cores - own, cpus - own - beside)


def _threads_share(server: ServerFigures) -> float | None:
    if not server.cpu_cores or server.off_loop_cpu_cores is None:
        return None
    return server.off_loop_cpu_cores / server.cpu_cores


def _per_worker(server: ServerFigures) -> float:
    """Return the CPU of the worker that uses most, in cores: where load is uneven, the mean is nobody's."""
    used = [worker.cpu_cores for worker in server.per_worker if worker.cpu_cores is not None]
    return max(used) if used else (server.cpu_cores or 0.0) / loop_threads(server)


def gil_wait(server: ServerFigures) -> float | None:
    """Share of time that the loop's thread waited for the GIL: what is left of its busy time."""
    busy, blocked = server.loop_busy, server.loop_blocked
    if busy is None or blocked is None or server.loop_cpu_cores is None or server.loop_runq_cores is None:
        return None
    wanted = (server.loop_cpu_cores + server.loop_runq_cores) / loop_threads(server)
    busiest = busiest_loop(server)
    if busiest is not None and busiest.loop_cpu_cores is not None and busiest.loop_runq_cores is not None:
        wanted = busiest.loop_cpu_cores + busiest.loop_runq_cores
    return max(0.0, busy - blocked - wanted)


def gil_full(server: ServerFigures) -> bool:
    """Return True when threads off the loop compute, yet each worker gets the one core that its GIL allows."""
    low, high = ONE_GIL
    share, waited = _threads_share(server), gil_wait(server)
    if share is None or share < THREADS_SHARE or not low <= _per_worker(server) <= high or _beside_the_gil(server):
        return False
    # Without a busy share or a look at the threads nothing tells a single native thread from a held GIL. What a loop
    # waits for the GIL on its way out of the selector counts as idle, so the looks may show what the loop does not.
    return (waited is not None and waited >= GIL_WAIT) or _gil_contended(server)


def _beside_the_gil(server: ServerFigures) -> bool:
    """Return True when several threads of a worker want a core at once, so that they do not need its GIL."""
    gil, runnable = (server.thread_states.get(state, 0.0) for state in ("gil", "runnable"))
    if server.runq_cores is None or gil > GIL_TO_RUNNABLE * runnable:
        return False
    waiting = server.runq_cores - (server.loop_runq_cores or 0.0)
    return waiting >= SEVERAL_RUNNABLE * loop_threads(server)


def _gil_contended(server: ServerFigures) -> bool:
    return server.thread_states.get("gil", 0.0) >= GIL_SHARE


GIL_THREADS = 1.5
"""Requests in progress per worker without an event loop, from which several of its threads want the GIL at once."""


def gil_shared(server: ServerFigures) -> bool:
    """Return True when threads of a worker without a loop compute one at a time, although several want to."""
    slots = server.pools.get("slots")
    if server.has_loop is not False or slots is None or not slots.size or slots.busy is None:
        return False
    workers = loop_threads(server)
    several = slots.size > workers and slots.busy >= GIL_THREADS * workers
    waits = server.thread_states.get("gil")
    several = several and not _beside_the_gil(server)
    return several and worker_full(server) and (waits is None or waits >= GIL_SHARE)


def _shared_evidence(server: ServerFigures) -> list[Evidence]:
    each, waits = _per_worker(server), server.thread_states.get("gil")
    found = [Evidence(f"its threads together run {each:.2f} cores per worker", "cpu.per_worker", each, "cores", None)]
    if waits is not None:
        text = f"{waits:.0%} of the threads that are up to something wait for the GIL"
        found.append(Evidence(text, "threads.gil", waits, "share", None))
    return found


def _threads_compute(facts: Facts) -> bool:
    """Return False when threads mostly wait while they are held at low load: no long native call burns the CPU then."""
    held = facts.low(_thread_ms)
    burnt = facts.low(lambda server: per_request_ms(_wanted_off_loop(server), server))
    return not held or burnt is None or burnt >= THREADS_COMPUTE * held


def _wanted_off_loop(server: ServerFigures) -> float | None:
    """Cores that threads beside the loops ran on or waited for: two that compute on one core wait half of the time."""
    if server.off_loop_cpu_cores is None:
        return None
    return server.off_loop_cpu_cores + max(0.0, (server.runq_cores or 0.0) - (server.loop_runq_cores or 0.0))


def _thread_ms(server: ServerFigures) -> float | None:
    """Milliseconds per request for which threads are held."""
    pools = [server.pools.get("threadpool"), server.pools.get("executor")]
    busy = [pool.busy for pool in pools if pool is not None and pool.busy is not None]
    return per_request_ms(sum(busy), server) if busy else None


def _gil_evidence(server: ServerFigures) -> list[Evidence]:
    waited = gil_wait(server) or 0.0
    text = f"the event loop waited for the GIL {waited:.0%} of the time"
    loop = [Evidence(text, "loop.gil", waited, "share", None)] if waited >= GIL_WAIT else []
    return [*_shared_evidence(server), *loop]


def _native(server: ServerFigures) -> Evidence | None:
    """Native code: threads burn the CPU without keeping the loop from the GIL, or more than one GIL could hand out."""
    share, waited = _threads_share(server), gil_wait(server)
    if server.has_loop is False and _per_worker(server) > ONE_GIL[1]:
        each = _per_worker(server)
        text = f"a worker runs {each:.2f} cores, more than one GIL hands out"
        return Evidence(text, "cpu.per_worker", each, "cores", None)
    if server.has_loop is False and _beside_the_gil(server):
        waiting = (server.runq_cores or 0.0) / loop_threads(server)
        text = f"{waiting:.0f} threads of a worker want a core at once, which no GIL lets them"
        return Evidence(text, "sched.run_queue", waiting, "threads", None)
    if share is None or share < THREADS_SHARE:
        return None
    beside = _per_worker(server) > ONE_GIL[1] or _beside_the_gil(server)
    if not beside and (waited is None or waited >= GIL_WAIT or _gil_contended(server)):
        return None
    return Evidence(f"{share:.0%} of the CPU burns off the event loop", "cpu.off_loop", share, "share", None)
