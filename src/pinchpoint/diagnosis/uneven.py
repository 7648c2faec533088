"""How unevenly requests are spread over workers, told to every pool: what each has of its own is full in one first.

Keep-alive connections stay with the worker that accepted them (METHOD §5.5), so one worker's pool may be full, with a
queue, while the sum over all workers looks half empty.
"""

from collections.abc import Sequence
from dataclasses import replace

from pinchpoint.diagnosis.ledger_parts import imbalance
from pinchpoint.measures import PoolFigures, ServerFigures, Step


def spread(steps: Sequence[Step]) -> list[Step]:
    """Return the steps with the imbalance noted in every pool and gate of those that have several workers."""
    return [replace(step, server=_noted(step)) for step in steps]


def _noted(step: Step) -> ServerFigures:
    server, factor = step.server, imbalance(step)
    if factor <= 1.0:
        return server

    def noted(pools: dict[str, PoolFigures]) -> dict[str, PoolFigures]:
        return {name: replace(pool, uneven=factor) for name, pool in pools.items()}

    return replace(server, pools=noted(server.pools), gates=noted(server.gates))
