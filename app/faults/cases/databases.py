"""Pools of connections that are held while the database has nothing to do, or only waits.

In a formula, the constant beside the wait is what the statements, the pool and the event loop add to the hold, as a
closed loop of 32 connections measures it.
"""

from ..case import Case, Companion, Label
from ..pace import CpuRate

_SERVING = "pinchpoint.app.faults.serving"
_DB_POOL = (Label("pool", "db-pool"),)

_HELD = (
    Case(
        name="db-pool-async-sqlite",
        family="db-pool",
        kind="single",
        labels=_DB_POOL,
        binds="five connections, each kept over an await of 40 ms in which nobody uses it; the core is nearly idle",
        formula="5 / (40 ms * severity + 9 ms)",
        ceiling_rps=lambda severity: 5 / (0.040 * severity + 0.009),
        second_rps=lambda severity: min(60 / (0.040 * severity + 0.009), 600),
        second_binds="the worker's core, or again the pool of 60",
        target=(f"{_SERVING}.databases_parcels:app",),
        load=("--get", "/parcels/7"),
        connections=32,
        database="sqlite",
    ),
    Case(
        name="db-pool-sync-postgresql",
        family="db-pool",
        kind="single",
        labels=_DB_POOL,
        binds="four connections of a psycopg pool, each kept while a bureau answers; 40 threads queue",
        formula="4 / (30 ms * severity + 2 ms)",
        ceiling_rps=lambda severity: 4 / (0.030 * severity + 0.002),
        second_rps=lambda severity: min(40 / (0.030 * severity + 0.002), 1400),
        second_binds="the 40 threads and connections, or the core",
        target=(f"{_SERVING}.databases_customers:app",),
        load=("--get", "/customers/7/credit"),
        connections=32,
        database="postgresql",
        flavour="sync",
    ),
    Case(
        name="db-pool-two-workers",
        family="db-pool",
        kind="single",
        labels=_DB_POOL,
        binds="three connections in each of two workers, kept over an await of 40 ms",
        formula="2 * 3 / (40 ms * severity + 4 ms)",
        ceiling_rps=lambda severity: 6 / (0.040 * severity + 0.004),
        second_rps=lambda severity: min(60 / (0.040 * severity + 0.004), 1500),
        second_binds="again the pools, of 30 each, or the cores",
        target=(f"{_SERVING}.databases_bookings:app",),
        knobs=("--workers", "2"),
        load=("--get", "/bookings/7"),
        connections=32,
        database="postgresql",
        server_cores=2,
    ),
    Case(
        name="db-pool-asyncpg",
        family="db-pool",
        kind="single",
        labels=_DB_POOL,
        binds="six connections of asyncpg's pool, each kept over an await of 50 ms",
        formula="6 / (50 ms * severity + 3 ms)",
        ceiling_rps=lambda severity: 6 / (0.050 * severity + 0.003),
        second_rps=lambda severity: min(60 / (0.050 * severity + 0.003), 1800),
        second_binds="again the pool, of 60",
        target=(f"{_SERVING}.databases_sensors:app",),
        load=("--get", "/sensors/7/now"),
        connections=32,
        database="postgresql",
    ),
)

_DELAYED = (
    Case(
        name="query-delay-async",
        family="query-delay",
        kind="single",
        labels=_DB_POOL,
        binds="five connections, each held by a query that waits and burns nothing; a bigger pool helps",
        formula="5 / (50 ms * severity + 3 ms)",
        ceiling_rps=lambda severity: 5 / (0.050 * severity + 0.003),
        second_rps=lambda severity: min(50 / (0.050 * severity + 0.003), 1000),
        second_binds="again the pool, of 50",
        target=(f"{_SERVING}.databases_tariffs:app",),
        load=("--get", "/tariffs/3?kilos=12"),
        connections=32,
        database="postgresql",
    ),
    Case(
        name="query-delay-wsgi",
        family="query-delay",
        kind="single",
        labels=_DB_POOL,
        binds="six connections (four and two overflow), each held by a query that waits; 32 threads queue for them",
        formula="6 / (60 ms * severity + 3 ms)",
        ceiling_rps=lambda severity: 6 / (0.060 * severity + 0.003),
        second_rps=lambda severity: 32 / (0.060 * severity + 0.003),
        second_binds="the 32 threads",
        target=(f"{_SERVING}.databases_statements:app",),
        knobs=("--worker-class", "gthread", "--threads", "32"),
        load=("--get", "/accounts/7/statement"),
        connections=32,
        database="postgresql",
        flavour="wsgi",
    ),
)

_IDLE_IN_TRANSACTION = (
    Case(
        name="idle-in-transaction-async",
        family="idle-in-transaction",
        kind="single",
        labels=_DB_POOL,
        binds="five connections (three and two overflow), idle in transaction while a partner answers over HTTP",
        formula="5 / (45 ms * severity + 9 ms)",
        ceiling_rps=lambda severity: 5 / (0.045 * severity + 0.009),
        second_rps=CpuRate(0.0, 5.0),
        second_binds="the core: SQLAlchemy's and httpx's Python",
        target=(f"{_SERVING}.databases_checkout:app",),
        load=("--get", "/orders/7/quote"),
        connections=32,
        database="postgresql",
        companions=(
            Companion(
                argv=("{python}", "-m", f"{_SERVING}.stub", "--port", "{port}", "--delay-ms", "45", "--scaled"),
                variable="PAYMENTS_URL",
            ),
        ),
    ),
    Case(
        name="idle-in-transaction-sync",
        family="idle-in-transaction",
        kind="single",
        labels=_DB_POOL,
        binds="six connections (four and two overflow), idle in transaction while a rate is looked up",
        formula="6 / (60 ms * severity + 4 ms)",
        ceiling_rps=lambda severity: 6 / (0.060 * severity + 0.004),
        second_rps=lambda severity: min(40 / (0.060 * severity + 0.004), 850),
        second_binds="the 40 threads",
        target=(f"{_SERVING}.databases_refunds:app",),
        load=("--get", "/refunds/7"),
        connections=32,
        database="postgresql",
        flavour="sync",
    ),
)

CASES: tuple[Case, ...] = _HELD + _DELAYED + _IDLE_IN_TRANSACTION
