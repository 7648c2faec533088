"""Known bottlenecks, one module each, all off unless named by `PINCHPOINT_APP_FAULT` (several with commas).

`PINCHPOINT_APP_FAULT_SEVERITY` (default 1) multiplies the cost a fault adds to each request.
"""

from collections.abc import Iterable

from . import db_pool, leak, python_cpu, slow_query, sync_call
from .model import Active, Fault

__all__ = ["FAULTS", "Active", "Fault", "activate"]

FAULTS: dict[str, Fault] = {
    module.FAULT.name: module.FAULT for module in (python_cpu, db_pool, sync_call, slow_query, leak)
}


def activate(names: Iterable[str], severity: float) -> Active:
    """Combine the named faults; of several pools the smallest is used. Raises KeyError for an unknown name."""
    faults = [FAULTS[name] for name in names]
    pools = [fault.pool for fault in faults if fault.pool is not None]
    return Active(
        severity=severity,
        on_loop=tuple(fault.on_loop for fault in faults if fault.on_loop is not None),
        on_connection=tuple(fault.on_connection for fault in faults if fault.on_connection is not None),
        pool=min(pools, key=lambda pool: pool.size + pool.overflow, default=None),
    )
