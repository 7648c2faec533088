"""What a fault is: a known bottleneck, stated as data, so that a diagnosis can be checked against it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

# The items mix: root 1, get 3, create 1.
GET_SHARE = 3 / 5
CREATE_SHARE = 1 / 5

# CPU of one request of the healthy mix in a worker, measured in docs/faults.md. It falls as the rate rises, because a
# busy loop serves many sockets each time it wakes: saturated is about 2,100 requests per second, sparse about 100.
SATURATED_S = 0.00047
SPARSE_S = 0.0011

LoopHook = Callable[[float], None]
ConnectionHook = Callable[[AsyncConnection, float], Awaitable[None]]
StockHook = Callable[[float], Awaitable[None]]
Ceiling = Callable[[int, int, float], float]


@dataclass(frozen=True)
class Pool:
    """The connection pool a fault needs, per worker."""

    size: int
    overflow: int
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One known bottleneck. Both hooks act in `GET /items/{id}`.

    `ceiling` takes (workers, cores, severity) and returns requests of the items mix per second; `on_loop(severity)`
    runs on the event loop; `on_connection(connection, severity)` runs while the request holds a connection.
    """

    name: str
    label_class: str
    label_cause: str
    binds: str
    formula: str
    ceiling: Ceiling
    acts_on: str = "GET /items/{id}"
    on_loop: LoopHook | None = None
    on_connection: ConnectionHook | None = None
    pool: Pool | None = None

    def ceiling_rps(self, workers: int, cores: int, severity: float = 1.0) -> float:
        """Return the most requests of the items mix (root 1 : get 3 : create 1) served per second."""
        return self.ceiling(workers, cores, severity)


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One known wrong answer: it costs no capacity, so it has no ceiling, and no verdict can find it; an audit does.

    `stock_gap(severity)` is awaited between reading a product's stock and writing it.
    """

    name: str
    label_class: str
    label_cause: str
    breaks: str
    acts_on: str
    stock_gap: StockHook


@dataclass(frozen=True)
class Active:
    """What is on, flattened for the hot path: two empty tuples and None when nothing is."""

    severity: float
    on_loop: tuple[LoopHook, ...]
    on_connection: tuple[ConnectionHook, ...]
    pool: Pool | None
    stock_gap: StockHook | None = None
