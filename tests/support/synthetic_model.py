"""What a synthetic run is made of: the truth, the counters, the flow of one step; and the truths with a known name."""

from dataclasses import dataclass, field, replace

INFINITE = 1e9


@dataclass(frozen=True)
class Truth:
    """What the app is made of. Times per request in milliseconds, means over the mix."""

    loop_cpu_ms: float = 1.0
    off_cpu_ms: float = 0.0
    blocked_ms: float = 0.0
    hold_ms: float | None = None
    """Connection held, idle time included; None: no pool."""
    pool_size: float = 15
    db_ms: float = 0.0
    db_embedded: bool = True
    db_cores: float | None = None
    """Cores of a remote database that its statements burn; None: they wait, or the database is embedded."""
    token_ms: float | None = None
    tokens: float = 40
    held: tuple[tuple[str, float, float], ...] = ()
    """Other pools: prefix among the page's fields (`slots`), size in each worker, ms held per request."""
    call_ms: float = 0.0
    """Calls to a service; 0: none."""
    call_slots: float = INFINITE
    """What that service serves at once."""
    row_ms: float = 0.0
    """One row of a remote database is locked for so long."""
    writer_ms: float = 0.0
    """SQLite's one writer is at it for so long."""
    file_lock_ms: float = 0.0
    thread_lock_ms: float = 0.0
    """Held by one of the threads that the tokens stand for; not watched."""
    wide_gate: bool = False
    """Another semaphore, of 1,000 and idle, beside whatever is held."""
    wsgi: bool = False
    """Served by threads, without an event loop."""
    leak_bytes: float = 0.0
    free_bytes: float = 8e9
    workers: int = 1
    cores: int = 1
    host_cores: int = 2
    generator_cpu_ms: float = 0.14
    generator_max_rps: float = INFINITE
    storm_above_rps: float = INFINITE
    """Above this load everything beyond a trickle is refused with fast errors."""
    highest_rps: float = 20_000
    foreign_cores: float = 0.02
    noise: float = 0.02
    seed: int = 1
    probe: bool = True
    psi: bool = True
    uvloop: bool = False
    gil: bool = False
    """The off-loop CPU holds the GIL: together with the loop it gets one core per worker, and the loop waits for it."""
    db_on_loop: bool = False
    """The embedded database runs on the loop's thread, one call at a time."""
    overload_holds: bool = False
    """The overload is called held although it fills the server: the machine became faster."""
    disturbed_above_rps: float = INFINITE
    """Steps of the ramp and the search above this serve half of it: somebody else had the machine."""
    step_s: float = 3.0

    def ceilings(self) -> dict[str, float]:
        """Return the requests per second at which each resource is full."""
        loop = self.loop_cpu_ms + self.blocked_ms
        found = {
            "loop": 1000 * self.workers / loop,
            "cpu": 1000 * self.cores / (self.loop_cpu_ms + self.off_cpu_ms),
            "generator": self.generator_max_rps,
        }
        if self.gil:
            found["loop"] = 1000 * self.workers / (self.loop_cpu_ms + self.off_cpu_ms)
        for name, size, ms in self.held:
            found[name] = 1000 * size * self.workers / ms
        for name, ms, size in (
            ("downstream", self.call_ms, self.call_slots), ("sqlite", self.writer_ms, 1), ("row", self.row_ms, 1),
            ("file", self.file_lock_ms, 1), ("turns", self.thread_lock_ms, 1),
        ):  # fmt: skip
            if ms:
                found[name] = 1000 * size / ms
        if self.hold_ms is not None:
            found["db-pool"] = 1000 * self.pool_size * self.workers / self.hold_ms
        if self.token_ms is not None:
            found["threadpool"] = 1000 * self.tokens * self.workers / self.token_ms
        if self.db_cores is not None:
            found["db"] = 1000 * self.db_cores / self.db_ms
        return found

    def binding(self) -> tuple[str, float]:
        """Return the lowest ceiling."""
        return min(self.ceilings().items(), key=lambda item: item[1])


@dataclass
class State:
    """Cumulative counters of the one simulated run."""

    t_s: float = 1000.0
    loop_cpu: float = 0.4
    off_cpu: float = 0.1
    runq: float = 0.0
    loop_runq: float = 0.0
    host_busy: float = 500.0
    probe: dict[str, float] = field(default_factory=dict)
    looks: dict[str, float] = field(default_factory=dict)
    threads: dict[str, float] = field(default_factory=dict)
    threads_now: float = 2.0
    gates: dict[str, dict[str, float]] = field(default_factory=dict)
    psi: float = 0.0
    collector: float = 0.0
    requests: float = 0.0


@dataclass(frozen=True)
class Flow:
    """Rates of one step, per second (of which one worker sees its share)."""

    offered: float
    goodput: float
    failed: float
    inflight: float
    latency_ms: float
    queue_at: str
    ticks: int
    generator_share: float


HEALTHY = Truth(loop_cpu_ms=0.5, hold_ms=1.2, pool_size=15, db_ms=0.8)
TRUTHS: dict[str, tuple[Truth, str, str]] = {
    "python-cpu": (replace(HEALTHY, loop_cpu_ms=3.3), "cpu", "python-code"),
    "db-pool": (replace(HEALTHY, hold_ms=24.0, pool_size=4), "pool", "db-pool"),
    "db-pool-postgres": (
        Truth(loop_cpu_ms=0.8, hold_ms=25.0, pool_size=4, db_ms=24.0, db_embedded=False), "pool", "db-pool",
    ),
    "sync-call": (replace(HEALTHY, blocked_ms=12.0), "blocking", "sync-call"),
    "slow-query": (replace(HEALTHY, off_cpu_ms=12.0, hold_ms=13.0, db_ms=12.5, pool_size=40), "io", "slow-query"),
    "slow-query-postgres": (
        Truth(loop_cpu_ms=1.0, hold_ms=15.0, db_ms=14.0, db_embedded=False, db_cores=1.0, pool_size=40),
        "io", "slow-query",
    ),
    "leak": (replace(HEALTHY, leak_bytes=38_000.0), "memory", "leak"),
    "healthy": (HEALTHY, "cpu", "python-code"),
    "threadpool": (replace(HEALTHY, token_ms=50.0, tokens=8), "pool", "threadpool"),
    "threads-on-one-core": (
        replace(HEALTHY, loop_cpu_ms=0.2, off_cpu_ms=3.0, token_ms=3.2, hold_ms=None, db_ms=0.0, gil=True),
        "cpu", "python-code",
    ),
    "gil": (
        Truth(loop_cpu_ms=0.2, off_cpu_ms=3.0, token_ms=3.2, gil=True, cores=3, host_cores=4), "cpu", "gil",
    ),
    "native-threads": (
        Truth(loop_cpu_ms=0.2, off_cpu_ms=3.0, token_ms=3.2, cores=2, host_cores=4), "cpu", "native-code",
    ),
    "query-on-the-loop": (
        Truth(loop_cpu_ms=5.5, hold_ms=5.4, db_ms=5.2, db_on_loop=True), "io", "slow-query",
    ),
    "worker-slots": (Truth(wsgi=True, held=(("slots", 4, 50.0),)), "pool", "worker-slots"),
    "wsgi-cpu": (
        Truth(wsgi=True, loop_cpu_ms=5.0, held=(("slots", 1, 5.0),), cores=3, host_cores=4), "cpu", "too-few-workers",
    ),
    "http-pool": (replace(HEALTHY, held=(("http_pool", 10, 60.0),)), "pool", "http-pool"),
    "executor": (replace(HEALTHY, held=(("executor", 6, 40.0),)), "pool", "threadpool"),
    "python-lock": (replace(HEALTHY, held=(("lock", 1, 10.0),)), "lock", "python-lock"),
    "semaphore": (replace(HEALTHY, held=(("lock", 3, 40.0),)), "pool", "admission-limit"),
    "narrow-semaphore-beside-a-wide-one": (
        replace(HEALTHY, held=(("lock", 3, 40.0),), wide_gate=True), "pool", "admission-limit",
    ),
    "pool-inside-a-semaphore": (
        replace(HEALTHY, hold_ms=40.0, pool_size=4, held=(("lock", 40, 41.0),)), "pool", "db-pool",
    ),
    "file-lock": (Truth(wsgi=True, file_lock_ms=10.0, held=(("slots", 8, 10.5),)), "lock", "file-lock"),
    "sqlite-writer": (Truth(wsgi=True, writer_ms=10.0, held=(("slots", 8, 10.5),)), "lock", "sqlite-writer"),
    "row-lock": (
        Truth(loop_cpu_ms=1.0, hold_ms=13.0, db_ms=12.0, db_embedded=False, row_ms=11.0, pool_size=20),
        "lock", "db-row",
    ),
    "thread-lock": (replace(HEALTHY, token_ms=10.5, thread_lock_ms=10.0), "lock", "python-lock"),
    "downstream": (replace(HEALTHY, call_ms=40.0, call_slots=4), "io", "downstream"),
    "downstream-behind-a-pool": (
        replace(HEALTHY, call_ms=40.0, call_slots=4, held=(("http_pool", 50, 40.0),)), "io", "downstream",
    ),
    "not-reached": (replace(HEALTHY, loop_cpu_ms=0.05, hold_ms=None, highest_rps=2000), "none", "not-saturated"),
    "generator-bound": (
        replace(HEALTHY, loop_cpu_ms=0.1, hold_ms=None, generator_max_rps=1500), "generator", "generator-bound",
    ),
}  # fmt: skip
"""Name -> (truth, class, cause)."""
