"""`db-pool`: four connections per worker, each held for 40 ms by a request that waits.

Class `pool`, cause `db-pool`. The database is idle meanwhile: SQLite's connection is held over an await, PostgreSQL
runs `pg_sleep`. It binds because only `size` gets can be in that wait at once. Ceiling for the items mix: workers *
4 / mean hold per request, where the mean hold is 0.6 * (40 ms + the get's own query) + 0.2 * the insert; a bigger
pool raises it in proportion. The pool's own timeout is a minute, so that waiting is seen and not failing.
"""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from .model import CREATE_SHARE, GET_SHARE, Fault, Pool

HOLD_S = 0.040
STATEMENT_S = 0.003  # what a get's or an insert's own statement holds, docs/faults.md
POOL = Pool(size=4, overflow=0, timeout_s=60.0)

_SLEEP = text("SELECT pg_sleep(:seconds)")


async def hold_connection(connection: AsyncConnection, severity: float) -> None:
    """Keep the connection checked out for `HOLD_S * severity` seconds while nobody works."""
    seconds = HOLD_S * severity
    if connection.dialect.name == "postgresql":
        await connection.execute(_SLEEP, {"seconds": seconds})
    else:
        await asyncio.sleep(seconds)


def _ceiling(workers: int, _cores: int, severity: float) -> float:
    mean_hold_s = GET_SHARE * (HOLD_S * severity + STATEMENT_S) + CREATE_SHARE * STATEMENT_S
    return workers * (POOL.size + POOL.overflow) / mean_hold_s


FAULT = Fault(
    name="db-pool",
    label_class="pool",
    label_cause="db-pool",
    binds="the connection pool of each worker: four, all held by requests that wait",
    formula="workers * 4 / (0.6 * (40 ms * severity + 3 ms) + 0.2 * 3 ms)",
    ceiling=_ceiling,
    on_connection=hold_connection,
    pool=POOL,
)
