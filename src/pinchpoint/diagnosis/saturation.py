"""How full each resource was in one step. Shared by the gates, the ledger and the rules."""

from dataclasses import dataclass

from pinchpoint.measures import PoolFigures, ServerFigures, Step, WorkerFigures

CPU_SATURATED = 0.9
"""Share of the allowed cores, stolen time included (DESIGN §6: running alone can read 0.72 at saturation)."""

LOOP_SATURATED = 0.85
"""A loop under full load still passes through its selector at every turn: 5 to 15 % of the time."""

POOL_FULL = 0.9
"""Mean members in use as a share of the pool; returning and taking a member leaves short gaps."""

POOL_WAITING = 0.5
"""Mean number of requests waiting for the pool that counts as a queue."""


NOBODY_ELSE_CORES = 0.05
"""Cores used by others on the machine, below which nobody can have kept the target waiting for long."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the target may run on."""

    cores: float | None
    """Cores it may use: pinning or host, cut by the quota; None when unknown."""
    shared: bool
    """The load generator may run on the same cores."""
    apart: bool = False
    """The load generator runs on another machine."""
    cpus: int | None = None
    """CPUs it may run on, whatever a quota leaves of them; None when unknown."""


def cpu_use(step: Step, machine: Machine) -> float | None:
    """Return running time plus the runnable time that others took, as a share of the allowed cores, at most 1.

    Of the run-queue wait only as much counts as others used: threads of the target that wait for each other queue at
    half load already (M/M/1: rho / (1 - rho) runnable), so that wait is no use of the core.
    """
    alone = running_use(step.server, machine.cores)
    if alone is None or machine.cores is None or alone >= CPU_SATURATED:
        return None if alone is None else min(1.0, alone)
    stolen = _stolen_cores(step, machine)
    return None if stolen is None else min(1.0, alone + stolen / machine.cores)


def _stolen_cores(step: Step, machine: Machine) -> float | None:
    """Return how many cores' worth of time the target was kept waiting by others; None when nothing tells."""
    others, waited = _others(step, machine), step.server.runq_cores
    if others is None:
        return None
    if waited is None:
        # A kernel without schedstat: pressure says for which share of the time somebody waited (DESIGN §6).
        waited = step.server.psi.get("cpu_some")
    if waited is None:
        return 0.0 if others < NOBODY_ELSE_CORES else None
    return min(waited, others)


def _others(step: Step, machine: Machine) -> float | None:
    """Return what others used: of the target's own CPUs where that was told apart, else of the whole machine."""
    if step.server.rival_cpu_cores is not None:
        return step.server.rival_cpu_cores
    foreign = step.server.foreign_cpu_cores
    generator = step.client.cpu_cores if machine.shared else 0.0
    return None if foreign is None or generator is None else foreign + generator


def running_use(server: ServerFigures, cores: float | None) -> float | None:
    """Return running alone, as a share of the allowed cores."""
    return None if server.cpu_cores is None or not cores else server.cpu_cores / cores


def loop_threads(server: ServerFigures) -> int:
    """Return how many workers there were on average, one loop or interpreter each; at least 1."""
    return max(1, len(server.per_worker) if server.workers is None else round(server.workers))


def loop_use(server: ServerFigures) -> float | None:
    """Busy share of the busiest loop; without one, the mean loop thread's running plus runnable time."""
    if server.loop_busy is not None:
        return server.loop_busy
    if server.loop_cpu_cores is None:
        return None
    running = server.loop_cpu_cores / loop_threads(server)
    if server.loop_runq_cores is None:
        return min(1.0, running) if running >= LOOP_SATURATED else None
    return min(1.0, running + server.loop_runq_cores / loop_threads(server))


def loop_running(server: ServerFigures) -> float | None:
    """CPU of the mean loop thread, without run-queue wait, in cores."""
    return None if server.loop_cpu_cores is None else server.loop_cpu_cores / loop_threads(server)


ONE_GIL = (0.85, 1.15)
"""Cores per worker that one GIL hands out. Below, threads wait for something else; above, native code runs, too."""


def busiest_loop(server: ServerFigures) -> WorkerFigures | None:
    """Return the worker whose event loop is busiest; what it does says more of a full loop than the mean of all."""
    known = [worker for worker in server.per_worker if worker.loop_busy is not None]
    return max(known, key=lambda worker: worker.loop_busy or 0.0, default=None)


def one_interpreter_full(server: ServerFigures) -> bool:
    """Return True when a worker without an event loop runs as much as one interpreter lock hands out."""
    running = max((worker.cpu_cores or 0.0 for worker in server.per_worker), default=0.0)
    return server.has_loop is False and running >= ONE_GIL[0]


def worker_full(server: ServerFigures) -> bool:
    """Return True when the busiest worker that serves without an event loop computes all the time: one GIL's worth."""
    if server.has_loop is not False:
        return False
    known = [worker for worker in server.per_worker if worker.cpu_cores is not None]
    if not known:
        return False
    busiest = max(known, key=lambda worker: worker.cpu_cores or 0.0)
    wanted = (busiest.cpu_cores or 0.0) + (busiest.runq_share or 0.0)
    slots = server.pools.get("slots")
    single = slots is not None and slots.size == len(server.per_worker)
    low, high = ONE_GIL
    # Threads that wait for each other's GIL are not runnable; those that wait for a core are, and may be many.
    return wanted >= low and (single or (busiest.cpu_cores or 0.0) <= high)


def slots_full(server: ServerFigures) -> bool:
    """Return True when every slot that workers serve with is taken and requests queue, in the worker or before it."""
    slots = server.pools.get("slots")
    if slots is None or (fullness(slots) or 0.0) < POOL_FULL:
        return False
    return (slots.waiting or 0.0) + (server.listen_queue or 0.0) >= POOL_WAITING


def pool_use(pool: PoolFigures | None) -> float | None:
    """Mean members in use as a share of the pool's size."""
    if pool is None or pool.busy is None or not pool.size:
        return None
    return min(1.0, pool.busy / pool.size)


def fullness(pool: PoolFigures | None) -> float | None:
    """Return the share in use in the busiest worker: what each worker has of its own is full in one first."""
    use = pool_use(pool)
    return None if pool is None or use is None else min(1.0, use * pool.uneven)


GATE_KINDS = {
    "db": "db-pool ",
    "slots": "worker-slots ",
    "http": "http-pool ",
    "executor": "executor ",
    "lock": "lock ",
}
"""Kind of pool -> how the names of its gates begin."""


def narrowest(server: ServerFigures, key: str) -> tuple[str | None, PoolFigures | None]:
    """Return what most requests queue for among the full pools of a kind, with its name; else the kind's total.

    The total of a full pool of 3 and an idle one of 100 looks nearly empty.
    """
    gates = {name: gate for name, gate in server.gates.items() if name.startswith(GATE_KINDS.get(key, "\0"))}
    total = server.pools.get(key)
    full = [name for name, gate in gates.items() if pool_full(gate)]
    if len(gates) > 1 and full:
        name = max(full, key=lambda one: gates[one].waiting or 0.0)
        return name, gates[name]
    return (next(iter(gates)) if len(gates) == 1 else None), total


def same_pool(server: ServerFigures, key: str, name: str | None) -> PoolFigures | None:
    """Return the figures in another step of what `narrowest` chose in one."""
    alone = sum(one.startswith(GATE_KINDS.get(key, "\0")) for one in server.gates) <= 1
    return server.pools.get(key) if alone or name is None else server.gates.get(name)


def pool_full(pool: PoolFigures | None) -> bool:
    """Return True when the pool is in use throughout, in the busiest worker at least, and requests wait for it."""
    if pool is None:
        return False
    return (fullness(pool) or 0.0) >= POOL_FULL and (pool.waiting or 0.0) >= POOL_WAITING


def saturated(step: Step, machine: Machine) -> bool:
    """Return True when any resource of the server is full in the step."""
    server = step.server
    return (
        (cpu_use(step, machine) or 0.0) >= CPU_SATURATED
        or (loop_use(server) or 0.0) >= LOOP_SATURATED
        or worker_full(server)
        or slots_full(server)
        or any(pool_full(pool) for pool in (*server.pools.values(), *server.gates.values()))
    )
