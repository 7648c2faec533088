"""The probe page: one memory-mapped file per process, fixed layout, sequence lock.

Standard library only, Python 3.9+; imports nothing of pinchpoint, because it also runs inside other people's
interpreters. Writer and reader share this module.

Header (little-endian): magic 8s, version u32, field count u32, sequence u64 (odd while being written), pid u64,
published f64 (time.monotonic()). Then one f64 per field, in the order of FIELDS; NaN = unavailable. Then the tables,
in the order of TABLES: fixed numbers of rows, each a name (UTF-8, NUL-padded; all NUL: the row is free) and one f64 per
column. Rows are appended and never move. Counters are cumulative since the process started; `*_s` are seconds.
"""

import struct

MAGIC = b"PINCHPG\x00"
VERSION = 3
HEADER = struct.Struct("<8sIIQQd")
SEQUENCE_OFFSET = 16
PAGE_SUFFIX = ".page"
AWAITS_SUFFIX = ".awaits"

_GATE_FIGURES = ("size", "busy", "busy_s", "waiting", "waiting_s", "wait_s", "hold_s", "taken", "timeouts")
GATE_TOTALS = {"worker-slots": "slots", "executor": "executor", "http-pool": "http_pool", "lock": "lock"}
"""Kind of gate -> prefix of its totals among FIELDS (`slots_busy_s`), over all gates of that kind in the process."""

FIELDS = (
    "loop_tid",  # native id of the thread that runs the event loop
    "probe_tid",  # native id of the probe's own thread, which is no part of the app
    "loop_kind",  # 1 asyncio selector loop, 2 uvloop
    "loop_busy_s",  # time the loop thread spent outside the selector; unavailable on uvloop
    "loop_lag_s",  # sum of the lateness of the loop's heartbeat
    "loop_lag_n",  # heartbeats
    "loop_lag_max_s",  # worst lateness since start of the last second
    "requests_started",
    "requests_done",
    "responses_4xx",
    "responses_5xx",
    "inflight",
    "inflight_s",  # integral of inflight over time
    "service_s",  # sum of entry-to-exit times of finished requests
    "queue_s",  # sum of waits from accepted or parsed by the server to entry
    "queue_n",  # requests whose wait was measured
    "handler_cpu_s",  # CPU of the serving thread inside handler steps
    "handler_wall_s",  # wall time of the serving thread inside handler steps
    "tokens_total",  # anyio threadpool limiter
    "tokens_busy",
    "tokens_busy_s",  # integral
    "tokens_waiting",
    "tokens_waiting_s",  # integral
    "tokens_wait_s",  # sum of waits
    "tokens_taken",
    "pool_size",  # connections a worker may have, over all its database pools
    "pool_busy",
    "pool_busy_s",  # integral
    "pool_waiting",
    "pool_waiting_s",  # integral
    "pool_wait_s",  # sum of waits for a connection, loop lag included
    "pool_hold_s",  # sum of hold times of returned connections
    "pool_checkouts",
    "pool_timeouts",
    "pool_connects",
    "pool_connect_s",
    "db_calls",
    "db_s",  # sum of execute times as the caller saw them
    "db_active",
    "db_active_s",  # integral
    "db_embedded",  # 1 when every database seen runs inside this process (SQLite)
    "db_errors",
    "sqlite_busy_n",  # calls that SQLite's busy handler held up, or that ended in `database is locked`
    "sqlite_busy_s",
    "http_calls",  # outgoing requests
    "http_s",
    "http_active",
    "http_active_s",  # integral
    "http_errors",
    *(f"{prefix}_{figure}" for prefix in GATE_TOTALS.values() for figure in _GATE_FIGURES),
)
VALUES = struct.Struct("<%dd" % len(FIELDS))


class Table:
    """Where one table lies, and what its columns mean."""

    def __init__(self, name: str, rows: int, name_bytes: int, columns: "tuple[str, ...]", offset: int) -> None:
        self.name = name
        self.rows = rows
        self.name_bytes = name_bytes
        self.columns = columns
        self.offset = offset
        self.row = struct.Struct("<%ds%dd" % (name_bytes, len(columns)))
        self.end = offset + rows * self.row.size


ROUTES = Table(
    # `GET /items/{id}`; requests of a process whose framework names no route: the path with its ids taken out.
    "routes",
    64,
    112,
    # `db_calls`: database statements of `counted` of the requests, those whose statements were counted.
    ("done", "responses_4xx", "responses_5xx", "service_s", "service_max_s", "counted", "db_calls"),
    HEADER.size + VALUES.size,
)
GATES = Table(
    # `KIND NAME`: what admits so many at a time. Kinds: db-pool, http-pool, executor, worker-slots, lock.
    "gates",
    32,
    112,
    (*_GATE_FIGURES, "opened", "open_s"),
    ROUTES.end,
)
CALLS = Table(
    # `KIND NAME`: whom requests wait for. Kinds: db, http, smtp.
    "calls",
    32,
    112,
    ("calls", "errors", "seconds", "active", "active_s"),
    GATES.end,
)
HOOKS = Table(
    # What the probe hooked; state 1 works, 0 switched itself off.
    "hooks",
    64,
    56,
    ("state",),
    CALLS.end,
)
TABLES = (ROUTES, GATES, CALLS, HOOKS)
OTHER = "(other)"
"""The last row of a table that is full takes everything else."""
SCALAR_BYTES = ROUTES.offset
PAGE_BYTES = HOOKS.end
