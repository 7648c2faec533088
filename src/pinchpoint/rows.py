"""The lines of a recording, as they stand on disk (`runs/<id>/`). Typed dicts: reading one costs nothing but the JSON.

Counters are cumulative since the process (or machine) started, so a lost line loses no quantity; gauges are values at
`t_s`. A missing measurement is `null` (None), never 0.

| file | a line is | written by |
|---|---|---|
| `events.jsonl` | `EventRow` | the engine: phases, steps, children, notes |
| `server.jsonl` | `SampleRow`, 10 Hz | the sampler thread |
| `client-<k>.jsonl` | `DigestRow`, 1 s and at every segment change | load process k |
| `requests-<k>.csv` | a request, with `--requests`; see below | load process k |
| `awaits.jsonl` | `AwaitRow`, 1 s per process that has an event loop | the sampler thread |
| `run.json` | configuration; diagnosis reads only its `load` and `slo` | the engine |
| `label.json` | what was injected on purpose (`--fault`); diagnosis never reads it | the engine |

The columns of `requests-<k>.csv`: `due_s` (the arrival that this is the first request of; empty for any other),
`start_s` (when it left), `done_s` (when its answer was whole, or it was given up), `name`, `outcome` (HTTP status, kind
of error, or `unsent`: an arrival that no user was free for), `bytes`. Lines are flushed with each digest row.
"""

from typing import Any, NotRequired, TypedDict


class NameRow(TypedDict):
    """One request name within a digest; histograms are HDR V2, base64, in microseconds (see `histograms`)."""

    ok: int
    failed: int
    errors: dict[str, int]
    bytes: int
    latency_ok: str | None
    """From the scheduled arrival (rate model) or the send (users model) to the full response."""
    latency_failed: str | None
    service_ok: str | None
    """From the send to the full response."""


class DigestRow(TypedDict):
    """What one load process saw between `t0_s` and `t1_s`, keyed by completion time."""

    process: int
    pid: int
    segment: int
    """Id of the segment (load level) in force; a row never spans two."""
    t0_s: float
    t1_s: float
    scheduled: int
    started: int
    unsent: int
    inflight: int
    """At `t1_s`."""
    inflight_s: float
    """Integral of requests in flight over the row, in request-seconds."""
    users: int
    cpu_s: float
    """CPU of the load process within the row."""
    runq_s: float | None
    """Time it sat runnable but not running within the row."""
    send_lag: str | None
    """How late a *free* user took its arrival: HDR of microseconds."""
    host: NotRequired[str]
    """Machine of a remote load worker; left out on ours. Its times are translated to our clock."""
    fds: NotRequired[int | None]
    """Open descriptors at `t1_s`."""
    fd_limit: NotRequired[int | None]
    loop_busy_s: NotRequired[float | None]
    """Time within the row in which the load process's event loop did not wait for events."""
    unanswered: NotRequired[str | None]
    """Ages at `t1_s`, from when they were due, of arrivals whose first request was sent and has no answer yet: HDR of
    microseconds. None when there are none, and in the users model."""
    names: dict[str, NameRow]


class HostRow(TypedDict):
    """Machine-wide figures. Pressure, memory, network, swap and disk are read at 2 Hz and stand in between."""

    cpu_busy_s: float
    cpu_iowait_s: float | None
    cpu_steal_s: float | None
    per_cpu_busy_s: list[float]
    psi_us: dict[str, int] | None
    """Cumulative: cpu_some, io_some, io_full, memory_some, memory_full."""
    memory_total_bytes: int
    memory_available_bytes: int
    swap_in_pages: int | None
    net_rx_bytes: int | None
    net_tx_bytes: int | None
    retransmits: int | None
    listen_overflows: int | None
    listen_drops: int | None
    listen_queue: int | None
    """Accept-queue length of the target's port."""
    listen_limit: int | None
    server_cpus: NotRequired[list[int]]
    """CPUs the workers may run on."""
    foreign_busy_s: NotRequired[float | None]
    """Busy time of these CPUs that no process of the target used; it may fall a little when a process is found late."""
    net_loopback_bytes: NotRequired[int | None]
    """The part of `net_rx_bytes` (and equally of `net_tx_bytes`) that went over loopback."""
    tcp_connects: NotRequired[int | None]
    """Connections opened from this network."""
    tcp_accepts: NotRequired[int | None]
    tcp_connect_failures: NotRequired[int | None]
    tcp_timeouts: NotRequired[int | None]
    """Retransmission timers that fired."""
    swap_out_pages: NotRequired[int | None]
    disk: NotRequired[str | None]
    """Device under the target's working folder; the next figures are its."""
    disk_read_bytes: NotRequired[int | None]
    disk_write_bytes: NotRequired[int | None]
    disk_ios: NotRequired[int | None]
    disk_busy_s: NotRequired[float | None]
    """Time with at least one request in progress."""
    tcp_time_wait: NotRequired[int | None]
    """Closed connections that still hold a port of ours, all peers together."""
    local_ports: NotRequired[int | None]
    """Ports that the kernel may give to connections opened from here."""


class CgroupRow(TypedDict):
    """Limits and pressure of the control group the target runs in (v1 or v2). Memory is taken at 2 Hz."""

    version: int | None
    cpu_limit_cores: float | None
    periods: int | None
    throttled_periods: int | None
    throttled_s: float | None
    memory_limit_bytes: int | None
    memory_bytes: int | None
    oom_kills: int | None
    memory_limit_hits: NotRequired[int | None]
    """Times the group was about to go over its limit: `max` of memory.events (v2), memory.failcnt (v1)."""
    memory_high_hits: NotRequired[int | None]
    """Times it was throttled for going over memory.high (v2 only)."""


class ProcessRow(TypedDict):
    """One process of the target."""

    pid: int
    role: str
    """`master`, `worker` (it has a probe page with requests, or is a leaf child) or `other`."""
    cpu_s: float
    runq_s: float | None
    loop_cpu_s: float | None
    """CPU of the event-loop thread (the probe names it; else the leader)."""
    loop_runq_s: float | None
    loop_states: dict[str, int] | None
    """Cumulative counts of 20 Hz looks at the loop thread: running, idle (epoll), futex, sleep, socket, disk, other."""
    threads: int | None
    fds: int | None
    """Like context switches and bytes read and written, taken at 2 Hz; in between the last figure stands."""
    rss_bytes: int | None
    pss_bytes: int | None
    """At most at 0.5 Hz, null in between; while `rss_bytes` stands still, the figure of at most 8 s ago."""
    ctx_voluntary: int | None
    ctx_involuntary: int | None
    major_faults: int | None
    read_bytes: int | None
    write_bytes: int | None
    probe: dict[str, float] | None
    """Fields of the probe page (names in `monitoring/probe/layout.py`), unavailable ones left out."""
    probe_age_s: float | None
    tables: NotRequired[dict[str, dict[str, dict[str, float]]] | None]
    """Tables of the probe page: table -> row -> column -> figure. At most 2 Hz; left out or null in between."""
    thread_states: NotRequired[dict[str, int] | None]
    """Cumulative counts of 20 Hz looks at all threads: running, runnable, gil (left out without a CPython in it), lock,
    sleep, socket, disk, idle, other; `samples` is their sum. Null where system calls cannot be seen."""
    peers: NotRequired[dict[str, int] | None]
    """Looks (of `thread_states`) that met a thread waiting on a socket, by its peer: `127.0.0.1:5432`, `unix PATH`,
    `clients` (a response being sent), `unknown`."""
    gone: NotRequired[bool]
    """True in the last row of a process, which ended since the last tick. Its counters are those of its last living
    row, its page and tables the last it published."""


class AwaitRow(TypedDict):
    """What the tasks of one process's event loop awaited since its last row: METHOD §6.1's task view."""

    t_s: float
    pid: int
    ticks: int
    """Looks taken since the last row."""
    tasks: int
    """Tasks alive, summed over the looks."""
    walked: int
    """Tasks whose await chain was walked, at most a cap per look; shares are of these."""
    stacks: dict[str, int]
    """Folded await chain -> times met. Root first, `;` between frames, as in the other profiles: the route, then frames
    `function (file:line)`, and what the innermost one waits for."""


class SampleRow(TypedDict):
    """One tick of the collector."""

    t_s: float
    host: HostRow
    cgroup: CgroupRow | None
    processes: list[ProcessRow]
    collector_cpu_s: float
    late_s: float
    """How late this tick was: sampling health."""
    machine: NotRequired[str]
    """The server's machine, where an agent sampled it; left out on ours. `t_s` is translated to our clock."""


class EventRow(TypedDict, total=False):
    """One event; `kind` and `t_s` always stand, the rest depends on the kind.

    `step`: index, phase, model, segment, offered_rps, users, t_start_s, t_end_s, settle_s, passed, breaches.
    `target-start`: pid. `target-ready`: seconds. `load-ready`: pids. `target-exit`: code, message. `profile`: phase,
    pid, profile_kind, samples, path, svg. `note`: message. `end`: partial, outcome. `calibration`: max_rps (started per
    second against a server that does nothing), cpu_share, processes, seconds. `generator`: processes, load_cpus,
    server_cpus, reason (how load and server share the machine, whenever that is decided anew). `worker-lost`: process,
    name, message, segment. `worker-joined`: process, name, offset_s, offset_error_s. `agent`: name, offset_s,
    offset_error_s. `agent-lost`: message. `generator-silent`: message (a load process does not answer, or writes no
    rows). `stop`: criterion, offered_rps, users, message (an autostop, `abortOnFail`), since_s, at_s
    (clock), second, last_good_s (since the load began), last_good_load. `stages`: text, model, t_start_s, seconds,
    stages (name, kind, start_s, seconds, from, to), spikes (start_s, end_s, base, peak). `audit`: module, result (what
    the reference app's own check found in its database after the load; see `pinchpoint.packs`).
    """

    kind: str
    t_s: float
    data: dict[str, Any]
