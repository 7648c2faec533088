"""What a step measured: frozen records of one window, from the client's and the server's side. Standard library only.

`None` means "not measured"; 0 is a measurement. Times ending in `t_s` are `time.monotonic()` of the machine
that runs the collector. Rates are per second of wall time; `*_cores` is CPU per wall time (1.0 = one core fully used).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Phase = Literal[
    "warmup", "baseline", "ramp", "search", "overload", "profile-baseline", "profile-limit", "recovery",
    "stage", "soak", "void",
]  # fmt: skip
"""`stage`: a slice of a load profile that the user gave (`--stages`). `soak`: a slice of a long steady load. `void`: a
step that we disturbed ourselves (a load worker was lost, the generator was changed), recorded and never counted."""
Model = Literal["rate", "users"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency percentiles in milliseconds, of successful requests only, counted from the scheduled arrival."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """What the client saw of one endpoint (Locust's request name) in one window."""

    name: str
    ok: int
    failed: int
    latency_ms: Latency | None
    errors: dict[str, int] = field(default_factory=dict)
    mean_ms: float | None = None
    """Mean latency of the successful ones."""


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """What the load generator saw and cost in one window, summed over its processes."""

    cpu_share: float | None
    """CPU of the busiest generator process as a share of one core."""
    runq_share: float | None
    """Share of wall time the busiest generator process sat runnable but not running."""
    send_lag_ms_p99: float | None
    """How late requests left although a user was free: the generator's own fault, not the server's."""
    scheduled: int
    started: int
    unsent: int
    """Arrivals nobody was free to take: never failures of the server."""
    ok: int
    failed: int
    inflight_mean: float | None
    users: int | None
    service_ms_p50: float | None
    """Median time from sending to the full response, without time spent waiting for a free user."""
    errors: dict[str, int] = field(default_factory=dict)
    endpoints: list[EndpointFigures] = field(default_factory=list)
    empty_seconds: int = 0
    """Seconds in which load was offered and nothing at all came back: a breach, not silence."""
    processes: int = 1
    """Load processes that reported, on this machine and others."""
    cpu_peak: float | None = None
    """CPU of one load process in its busiest second, as a share of one core: bursts hide in a mean."""
    cpu_cores: float | None = None
    """CPU of all load processes together, in cores; None where there is none."""
    fds_share: float | None = None
    """Open descriptors of the load process with most, over its limit."""
    loop_busy: float | None = None
    """Share of wall time in which the busiest load process's event loop did anything but wait for events: also while it
    was stopped, cut by a quota or blocked, which its CPU does not show."""
    loop_stalled: float | None = None
    """The part of that in which the process did not run: stopped, throttled, blocked, or waiting for a core; the worst
    load process's."""
    backlog_end: int | None = None
    """Arrivals unserved at the end of the step: waiting for a free user, or in flight. None in the users model."""
    backlog_slope_rps: float | None = None
    """Growth of that backlog over the window; about 0 at a load that can be sustained (METHOD §1.1)."""
    losses: dict[str, float] = field(default_factory=dict)
    """Goal -> share of the arrivals that failed it (METHOD §1.2); 0..1."""


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """One bounded pool, summed over the workers, in one window. Time averages, not end values."""

    size: float | None
    busy: float | None
    waiting: float | None
    wait_ms: float | None
    """Mean time a request waited for the pool, over all checkouts in the window."""
    hold_ms: float | None
    """Mean time a member was held per checkout."""
    checkouts_per_request: float | None
    timeouts: float | None = None
    uneven: float = 1.0
    """Requests of the busiest worker over the mean: each has such a pool of its own, and that one is full first."""


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One route in one window, as the server saw it, summed over the workers."""

    name: str
    """`GET /items/{id}`."""
    requests_rps: float
    service_ms: float | None
    """Mean time from entry to the end of the response."""
    responses_4xx: float
    responses_5xx: float
    db_calls_per_request: float | None = None
    """Database statements, mean over the `counted` requests; None where none was counted, or no database was seen."""
    counted: float = 0.0
    """Requests whose statements were counted: some a second, drawn at random; all of them at low rates."""


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """Calls to one database, service or mail server in one window, summed over the workers."""

    name: str
    """Kind and address: `http 127.0.0.1:9000`."""
    calls_rps: float
    call_ms: float | None
    active: float | None
    """Mean number of calls in progress."""
    errors: float


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker process in one window."""

    pid: int
    cpu_cores: float | None
    runq_share: float | None
    loop_busy: float | None
    requests_rps: float | None
    rss_bytes: float | None
    pss_bytes: float | None
    inflight: float | None
    loop_cpu_cores: float | None = None
    loop_runq_cores: float | None = None
    loop_blocked: float | None = None


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """What the collector saw of the target in one window. Sums over the target's processes unless said otherwise."""

    cpu_cores: float | None
    runq_cores: float | None
    """Cores' worth of time the target's threads sat runnable but not running."""
    loop_cpu_cores: float | None
    """CPU of the event-loop threads alone."""
    loop_runq_cores: float | None
    loop_busy: float | None
    """Busy share of the busiest worker's event loop (0..1): 1 - time in the selector / wall time."""
    loop_busy_mean: float | None
    loop_blocked: float | None
    """Share of wall time the busiest loop was busy yet neither running nor runnable: a blocking call inside it."""
    loop_lag_ms: float | None
    """Mean lateness of a timer on the loop; the worst worker's."""
    loop_lag_max_ms: float | None
    rss_bytes: float | None
    pss_bytes: float | None
    inflight: float | None
    requests_rps: float | None
    service_ms: float | None
    """Mean time from ASGI entry to exit."""
    handler_cpu_ms: float | None
    """Mean CPU time per request spent by the loop thread inside handlers."""
    db_ms_per_request: float | None
    db_calls_per_request: float | None
    db_active: float | None
    """Mean number of database calls in progress."""
    db_embedded: bool | None
    """True when the database runs inside the worker (SQLite)."""
    off_loop_cpu_cores: float | None
    """CPU of the workers' threads other than the loop threads."""
    has_loop: bool | None = None
    """False when the probe saw workers serve without an event loop (WSGI); None without a probe."""
    pools: dict[str, PoolFigures] = field(default_factory=dict)
    """By kind, over all of that kind: `db` (connections), `threadpool` (anyio tokens), `slots` (threads or connections
    a worker serves with), `http` (connections of HTTP clients), `executor` (thread pools of the app), `lock`."""
    gates: dict[str, PoolFigures] = field(default_factory=dict)
    """Each pool by itself, as the app made them: `db-pool postgresql 127.0.0.1:5432/shop`."""
    routes: list[RouteFigures] = field(default_factory=list)
    """Busiest (requests times service time) first."""
    calls: list[PeerFigures] = field(default_factory=list)
    """Longest total time first."""
    thread_states: dict[str, float] = field(default_factory=dict)
    """Shares of the looks at threads that were not idle, by state; see `rows.ProcessRow.thread_states`."""
    socket_peers: dict[str, float] = field(default_factory=dict)
    """Shares of the same looks that met a thread waiting on a socket, by its peer."""
    threads_in: dict[str, float] = field(default_factory=dict)
    """Mean number of threads in each of these states, idle ones included."""
    queue_ms: float | None = None
    """Mean wait from accepted or parsed by the server to the app's entry."""
    http_ms_per_request: float | None = None
    http_calls_per_request: float | None = None
    sqlite_busy: float | None = None
    """Mean number of calls that SQLite's lock holds up."""
    hooks_off: list[str] = field(default_factory=list)
    """Signals of the probe that switched themselves off."""
    psi: dict[str, float] = field(default_factory=dict)
    """Share of wall time: `cpu_some`, `io_some`, `io_full`, `memory_some`, `memory_full`."""
    foreign_cpu_cores: float | None = None
    """CPU used on the host by processes that are neither the target nor pinchpoint nor its generator."""
    rival_cpu_cores: float | None = None
    """CPU used by anything but the target on the CPUs that the target may run on."""
    throttled_share: float | None = None
    listen_queue: float | None = None
    listen_overflows: float | None = None
    major_faults_per_s: float | None = None
    read_bytes_per_s: float | None = None
    write_bytes_per_s: float | None = None
    oom_kills: float | None = None
    disk_busy: float | None = None
    """Share of the time in which the disk under the target's working folder had a request in progress."""
    disk_ios_per_s: float | None = None
    iowait_cores: float | None = None
    steal_cores: float | None = None
    """Time for which the hypervisor gave cores that wanted to run to somebody else, per second."""
    steal_share: float | None = None
    """The same as a share of all cores."""
    net_tx_bytes_per_s: float | None = None
    """Sent over all interfaces, loopback included."""
    retransmits_per_s: float | None = None
    accepts_per_s: float | None = None
    """TCP connections that the machine (or its network namespace) accepted."""
    swap_pages_per_s: float | None = None
    """Swapped in and out, machine-wide."""
    throttled_cores: float | None = None
    """Time for which the control group's quota stopped it, per second."""
    memory_hits_per_s: float | None = None
    """How often the control group ran into its memory limit, per second: the kernel then takes pages back."""
    memory_use: float | None = None
    """Memory of the control group that cannot be dropped at will, over its limit."""
    listen_limit: float | None = None
    workers_died: int = 0
    workers: float | None = None
    """Mean number of workers there were; one that lived for half of the window counts half."""
    samples_received: int = 0
    samples_expected: int = 0
    per_worker: list[WorkerFigures] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """One load level held for a while. Figures cover `[t_start_s + settle_s, t_end_s]`."""

    index: int
    phase: Phase
    model: Model
    t_start_s: float
    t_end_s: float
    settle_s: float
    offered_rps: float | None
    """Requests per second the schedule asked for; None in the users model."""
    users: int | None
    started_rps: float
    goodput_rps: float
    """Successful responses per second, by completion time."""
    error_rate: float | None
    """failed / (ok + failed); None when nothing completed."""
    latency_ms: Latency | None
    client: ClientFigures
    server: ServerFigures
    passed: bool
    breaches: list[str] = field(default_factory=list)
    steady: bool | None = None
    """Whether the window was steady (METHOD §1.7); None when it is too short to tell."""
    disturbed: bool = False
    """Answers all but stopped for a second, or the queue came in one go: the server was kept from running."""
    weight: float = 1.0
    """What a failure counts among the trials of its load: less where chance or a disturbance explains it as well."""
