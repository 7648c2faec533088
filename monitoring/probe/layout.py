"""The probe page: one memory-mapped file per process, fixed layout, sequence lock.

Standard library only, Python 3.9+; imports nothing of pinchpoint, because it also runs inside other people's
interpreters. Writer and reader share this module.

Header (little-endian): magic 8s, version u32, field count u32, sequence u64 (odd while being written), pid u64,
published f64 (time.monotonic()). Then one f64 per field, in the order of FIELDS; NaN = unavailable.
Counters are cumulative since the process started; `*_s` are seconds.
"""

import struct

MAGIC = b"PINCHPG\x00"
VERSION = 1
HEADER = struct.Struct("<8sIIQQd")
SEQUENCE_OFFSET = 16
PAGE_SUFFIX = ".page"

FIELDS = (
    "loop_tid",  # native id of the thread that runs the event loop
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
    "handler_cpu_s",  # CPU of the loop thread inside handler steps
    "handler_wall_s",  # wall time of the loop thread inside handler steps
    "tokens_total",  # anyio threadpool limiter
    "tokens_busy",
    "tokens_busy_s",  # integral
    "tokens_waiting",
    "tokens_waiting_s",  # integral
    "tokens_wait_s",  # sum of waits
    "tokens_taken",
    "pool_size",  # connections a worker may have: pool_size + max_overflow over all engines
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
)
VALUES = struct.Struct("<%dd" % len(FIELDS))
PAGE_BYTES = HEADER.size + VALUES.size
