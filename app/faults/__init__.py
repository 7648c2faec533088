"""Known bottlenecks and defects, one module each, off unless named by `PINCHPOINT_APP_FAULT` (several with commas).

`PINCHPOINT_APP_FAULT_SEVERITY` (default 1) multiplies the cost a fault adds to each request.
"""

from collections.abc import Iterable

from . import db_pool, leak, overselling, python_cpu, slow_query, sync_call
from .model import Active, Defect, Fault

__all__ = ["DEFECTS", "FAULTS", "Active", "Defect", "Fault", "activate"]

FAULTS: dict[str, Fault] = {
    module.FAULT.name: module.FAULT for module in (python_cpu, db_pool, sync_call, slow_query, leak)
}
DEFECTS: dict[str, Defect] = {module.DEFECT.name: module.DEFECT for module in (overselling,)}


def activate(names: Iterable[str], severity: float) -> Active:
    """Combine the named faults; of several pools the smallest is used. Raises KeyError for an unknown name."""
    chosen = list(names)
    faults = [FAULTS[name] for name in chosen if name not in DEFECTS]
    pools = [fault.pool for fault in faults if fault.pool is not None]
    return Active(
        severity=severity,
        on_loop=tuple(fault.on_loop for fault in faults if fault.on_loop is not None),
        on_connection=tuple(fault.on_connection for fault in faults if fault.on_connection is not None),
        pool=min(pools, key=lambda pool: pool.size + pool.overflow, default=None),
        stock_gap=next((DEFECTS[name].stock_gap for name in chosen if name in DEFECTS), None),
    )
