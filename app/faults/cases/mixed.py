"""Systems in which more than one resource is full, or nearly: side by side, nested, one behind the other, in turn.

Costs in milliseconds are of a request to the route in question, on the machine of docs/faults.md. A mix is half and
half, so that a route's cost counts half. `labels` is what binds: resources whose ceilings are at most 1.1 apart bind
together. Those are never a core and something else: a virtual core's speed changes by more than that within minutes.
"""

from ..case import Case, Companion, Label
from ..pace import CpuRate

_SERVING = "pinchpoint.app.faults.serving"
_CPU = Label("cpu", "python-code")
_POOL = Label("pool", "db-pool")
_THREADS = Label("pool", "threadpool")
_HTTP = Label("pool", "http-pool")
_BLOCKED = Label("blocking", "sync-call")


def _stub(variable: str, delay_ms: int) -> Companion:
    words = ("{python}", "-m", f"{_SERVING}.stub", "--port", "{port}", "--delay-ms", str(delay_ms), "--scaled")
    return Companion(argv=words, variable=variable)


def _get(*paths: str) -> tuple[str, ...]:
    return tuple(word for path in paths for word in ("--get", path))


# --- ceilings at most 1.1 apart --------------------------------------------------------------------------------------

_EQUAL = (
    Case(
        name="equal-http-pool-db-pool",
        family="mixed-equal",
        kind="mixed",
        labels=(_HTTP, _POOL),
        binds="12 connections of the HTTP client on one route, 12 to the database on the other, each held for a wait",
        formula="12 / (0.5 * (160 ms * severity + 3 ms))",
        ceiling_rps=lambda severity: 24_000 / (160 * severity + 3),
        second_rps=lambda severity: 24_000 / (160 * severity + 1),
        second_binds="the other of the two",
        severities=(1.0, 1.5, 2.0),
        target=(f"{_SERVING}.mixed_quotes:app",),
        load=_get("/quotes/9000", "/stock/7"),
        connections=96,
        database="postgresql",
        companions=(_stub("BANK_URL", 160),),
    ),
    Case(
        name="equal-threadpool-db-pool",
        family="mixed-equal",
        kind="mixed",
        labels=(_THREADS, _POOL),
        binds="40 threads that a printer's driver blocks and, 1.1 above, 10 connections held while the database waits",
        formula="min(40 / (0.5 * 201 ms * severity), 10 / (0.5 * (45 ms * severity + 1.5 ms)))",
        ceiling_rps=lambda severity: 80_000 / (201 * severity),
        second_rps=lambda severity: 20_000 / (45 * severity + 1.5),
        second_binds="the connection pool",
        severities=(1.0, 1.25, 1.6),
        target=(f"{_SERVING}.mixed_labels:app",),
        load=_get("/parcels/7/label", "/parcels/7/address"),
        connections=160,
        database="postgresql",
        flavour="sync",
    ),
    Case(
        name="equal-blocking-db-pool",
        family="mixed-equal",
        kind="mixed",
        labels=(_BLOCKED, _POOL),
        binds="the event loop, stopped while a partner is asked, and 20 connections held while the database waits",
        formula="min(1 / (0.5 * (10 ms * severity + 0.8 ms) + 0.5 ms), 20 / (0.5 * (20 ms + 205 ms * severity)))",
        ceiling_rps=lambda severity: 1000 / (5 * severity + 0.9),
        second_rps=lambda severity: 40_000 / (20 + 205 * severity),
        second_binds="the other of the two",
        severities=(1.0, 1.5, 2.0),
        target=(f"{_SERVING}.mixed_bookings:app",),
        load=_get("/fares/vie-ham", "/seats/12"),
        connections=160,
        database="postgresql",
        companions=(_stub("FARES_URL", 10),),
    ),
)

# --- what is in front is full because of what is behind --------------------------------------------------------------

_NESTED = (
    Case(
        name="nested-slow-query",
        family="mixed-nested",
        kind="mixed",
        labels=(Label("io", "slow-query"),),
        binds="the database, which scans a table without an index on the worker's core; a pool of 3 is full in front",
        formula="1 / (5.6 ms * severity + 0.7 ms)",
        ceiling_rps=CpuRate(5.6, 0.7),
        second_rps=CpuRate(0.0, 1.0),
        second_binds="the worker's core, with an index",
        severities=(0.5, 1.0, 2.0),
        target=(f"{_SERVING}.mixed_articles:app",),
        load=_get("/suppliers/articles/70007"),
        database="sqlite",
    ),
    Case(
        name="nested-slots-cpu",
        family="mixed-nested",
        kind="mixed",
        labels=(_CPU,),
        binds="the cores: both of two sync workers compute all the time, so their slots are full as well",
        formula="2 / (8.2 ms * severity + 0.6 ms)",
        ceiling_rps=CpuRate(8.2, 0.6, cores=2.0, kind="loop"),
        second_rps=CpuRate(0.0, 0.7, cores=2.0, kind="loop"),
        second_binds="the cores, with a tour improved once",
        target=(f"{_SERVING}.mixed_routes:app",),
        knobs=("--workers", "2", "--worker-class", "sync"),
        load=_get("/tours/7"),
        connections=32,
        server_cores=2,
        flavour="wsgi",
    ),
    Case(
        name="nested-file-lock",
        family="mixed-nested",
        kind="mixed",
        labels=(Label("lock", "file-lock"),),
        binds="a lock on a file, held one request at a time; threads and connections are full of those who wait for it",
        formula="1 / (12 ms * severity + 0.4 ms)",
        ceiling_rps=lambda severity: 1000 / (12 * severity + 0.4),
        second_rps=lambda severity: min(15_000 / (12 * severity + 2), 1000.0),
        second_binds="15 connections, or the worker's core",
        target=(f"{_SERVING}.mixed_receipts:app",),
        load=_get("/receipts/7"),
        database="sqlite",
        flavour="sync",
    ),
)

# --- a second wall behind the first ----------------------------------------------------------------------------------

_MASKED = (
    Case(
        name="masked-db-pool-then-threadpool",
        family="mixed-masked",
        kind="mixed",
        labels=(_POOL,),
        binds="30 connections held while the database waits; 40 threads would be full at 1.4 times that",
        formula="30 / (150 ms * severity + 4 ms)",
        ceiling_rps=lambda severity: 30_000 / (150 * severity + 4),
        second_rps=lambda severity: 40_000 / (143 * severity + 1),
        second_binds="the threadpool",
        severities=(1.0, 1.2, 1.5),
        target=(f"{_SERVING}.mixed_tickets:app",),
        load=_get("/seats/7/ticket"),
        connections=160,
        database="postgresql",
    ),
    Case(
        name="masked-threadpool-then-blocking",
        family="mixed-masked",
        kind="mixed",
        labels=(_THREADS,),
        binds="40 threads that an archive's library blocks; the loop, stopped by a clock, would be full at twice that",
        formula="40 / (200 ms * severity + 3 ms)",
        ceiling_rps=lambda severity: 40_000 / (200 * severity + 3),
        second_rps=lambda severity: 1000 / (1.65 * severity + 0.75),
        second_binds="the event loop",
        severities=(1.0, 1.5, 2.0),
        target=(f"{_SERVING}.mixed_statements:app",),
        load=_get("/accounts/7/statement"),
        connections=200,
    ),
)

# --- in turn ---------------------------------------------------------------------------------------------------------

_ALTERNATING = (
    Case(
        name="alternating-routes",
        family="mixed-alternating",
        kind="mixed",
        labels=(_HTTP, _THREADS),
        binds="on one route 10 connections of the HTTP client, on the other 10 threads: each held 160 ms",
        formula="10 / (0.5 * (160 ms * severity + 3 ms))",
        ceiling_rps=lambda severity: 20_000 / (160 * severity + 3),
        second_rps=lambda severity: 20_000 / (160 * severity + 1),
        second_binds="the other of the two",
        severities=(1.0, 1.5, 2.0),
        target=(f"{_SERVING}.mixed_rates:app",),
        load=_get("/lanes/7/rate", "/shipments/7/scan"),
        connections=96,
        companions=(_stub("RATES_URL", 160),),
    ),
    Case(
        name="alternating-batches",
        family="mixed-alternating",
        kind="mixed",
        labels=(_POOL, _THREADS),
        binds="twenty requests wait in the database on 12 connections, the next twenty for a slow share in 40 threads",
        formula="min(12 / (0.5 * (72 ms * severity + 1.5 ms)), 40 / (0.5 * (240 ms * severity + 1.5 ms)))",
        ceiling_rps=lambda severity: 24_000 / (72 * severity + 1.5),
        second_rps=lambda severity: 80_000 / (240 * severity + 1.5),
        second_binds="the other of the two",
        severities=(1.0, 1.4, 1.8),
        target=(f"{_SERVING}.mixed_batches:app",),
        load=_get("/prices/7"),
        connections=160,
        database="postgresql",
    ),
)

CASES: tuple[Case, ...] = (*_EQUAL, *_NESTED, *_MASKED, *_ALTERNATING)
