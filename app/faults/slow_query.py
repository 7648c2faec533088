"""`slow-query`: a scan that no index serves, behind a pool that is large enough.

Class `io`, cause `slow-query`. Each get also reads all 10,000 seeded rows and tries several patterns against each;
one row comes back, so nearly all of the time is the database's CPU. SQLite runs inside the worker and counts as the
database (it scans outside the interpreter lock, in the connection's own thread); PostgreSQL burns its own process.
It binds because the cores are full of scans: a bigger pool only queues more of them. Ceiling for the items mix:
cores / (0.6 * 22 ms + h), with h the healthy app's CPU per request where app and database share the cores.
"""

from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from .model import GET_SHARE, SPARSE_S, Fault, Pool

# Patterns tried against each row, for about 22 ms of the database's CPU on the machine of docs/faults.md.
PATTERNS = {"sqlite": 10, "postgresql": 18}
SCAN_S = 0.022
POOL = Pool(size=40, overflow=0, timeout_s=60.0)


@cache
def scan_statement(dialect: str, severity: float) -> TextClause:
    """Return the scan, `severity` times as many patterns as usual (at least one).

    Only the seeded rows are read, so that items created during a run do not make later scans slower.
    """
    count = max(1, round(PATTERNS[dialect] * severity))
    patterns = " OR ".join(f"name || ' ' || description LIKE '%needle {number}%'" for number in range(count))
    return text(f"SELECT count(*) FROM items WHERE id <= 10000 AND ({patterns})")  # noqa: S608 - numbers of ours only


async def scan(connection: AsyncConnection, severity: float) -> None:
    """Run the scan and fetch its one row."""
    await connection.execute(scan_statement(connection.dialect.name, severity))


FAULT = Fault(
    name="slow-query",
    label_class="io",
    label_cause="slow-query",
    binds="the database's CPU: a scan of all rows for each get",
    formula="cores / (0.6 * 22 ms * severity + 1.1 ms)",
    ceiling=lambda _workers, cores, severity: cores / (GET_SHARE * SCAN_S * severity + SPARSE_S),
    on_connection=scan,
    pool=POOL,
)
