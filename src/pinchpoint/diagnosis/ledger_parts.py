"""What every row of the ledger is made of: throughput, demand, the ceiling of a flow, and how evenly workers share."""

import math
from collections.abc import Callable, Sequence

from pinchpoint.diagnosis.saturation import CPU_SATURATED, pool_use
from pinchpoint.diagnosis.steps import Ladder, enough, load_of
from pinchpoint.diagnosis.words import counted
from pinchpoint.measures import PoolFigures, ServerFigures, Step
from pinchpoint.records import BottleneckClass, Resource
from pinchpoint.statistics import Estimate, ratio_estimate, utilisation_ceiling

FIT_STEPS = 5
"""Unsaturated steps nearest to the limit that the utilisation fit uses: demand at 5 % load says nothing about 90 %."""

FIT_HIGHEST_USE = 0.97
"""Above this a step is saturated and its throughput is itself the ceiling."""

MIN_HELD = 1e-4
"""Mean members of a pool in use below which its demand is noise."""

UNEVEN = 1.1
"""Imbalance below which nothing is lost worth a word."""

CHANCE = 3.0
"""Standard deviations of a Poisson count that the busiest worker's requests must lie above the mean."""

DEPTH = {
    "generator": 0, "accept-backlog": 1, "admission-limit": 1, "worker-slots": 2, "loop": 3, "threadpool": 4,
    "executor": 4, "db-pool": 5, "http-pool": 5, "lock": 6, "sqlite-writer": 6, "db": 7, "downstream": 7, "disk": 8,
    "gil": 8, "cpu": 9, "memory": 10,
}  # fmt: skip
"""A resource held while waiting for another has the smaller number (layered queueing, METHOD §4.1)."""

NO_WALLS = frozenset({"generator", "gil", "sqlite-writer"})
"""Rows that name no wall of their own: not the server's, or the same thing as the row of the core or of the lock."""


def throughput(step: Step) -> float:
    """Return the requests per second that cost the server something: failures included, as the server saw them."""
    if step.server.requests_rps is not None:
        return step.server.requests_rps
    failed = (step.error_rate or 0.0) * step.goodput_rps / max(1e-9, 1.0 - (step.error_rate or 0.0))
    return step.goodput_rps + (failed if (step.error_rate or 0.0) < 1.0 else 0.0)


def flow_ceiling(sorted_out: Ladder, limit: Step, use: Callable[[Step], float | None]) -> tuple[Estimate | None, str]:
    """Return the ceiling of what is used more as more is served, and how it was found."""
    points = []
    for step in sorted(sorted_out.passed, key=load_of):
        value = use(step)
        if value is not None and value < FIT_HIGHEST_USE and enough(step):
            points.append((throughput(step), value))
    chosen = points[-FIT_STEPS:]
    fitted = utilisation_ceiling([x for x, _ in chosen], [u for _, u in chosen])
    at_limit = use(limit)
    if at_limit is None or at_limit < CPU_SATURATED or limit.goodput_rps <= 0:
        return fitted, "fit of utilisation over the steps that held"
    # Full at the limit: what it served there is the ceiling, measured and not extrapolated.
    held = sorted_out.sustained.goodput_rps if sorted_out.sustained is not None else 0.0
    reached = max(held, limit.goodput_rps)
    low = reached if fitted is None else min(reached, fitted.value)
    high = reached if fitted is None else max(reached, fitted.value)
    note = "measured: full at the limit"
    if fitted is not None:
        note += f"; the fit from the steps that held says {fitted.value:.0f}/s"
    return Estimate(reached, low, high, len(chosen)), note


def demand(low: Sequence[Step], busy: Callable[[ServerFigures], float | None]) -> Estimate | None:
    """Busy seconds per request over the light steps, each weighted by its length."""
    busy_s, requests = [], []
    for step in low:
        value, seconds = busy(step.server), step.t_end_s - step.t_start_s - step.settle_s
        if value is not None and throughput(step) > 0:
            busy_s.append(value * seconds)
            requests.append(throughput(step) * seconds)
    return ratio_estimate(busy_s, requests)


def resource(
    name: str,
    kind: BottleneckClass,
    capacity: float | None,
    unit: str,
    demand: Estimate | None,
    ceiling: Estimate | None,
    use: float | None,
    queue: float | None,
    note: str,
) -> Resource:
    """Return a row; see `records.Resource` for what its fields mean."""
    return Resource(
        resource=name,
        kind=kind,
        capacity=capacity,
        unit=unit,
        demand_s_per_request=demand.value if demand else None,
        ceiling_rps=ceiling.value if ceiling else None,
        ceiling_ci_rps=(ceiling.low, ceiling.high) if ceiling else None,
        utilisation=use,
        queue=queue,
        depth=DEPTH[name],
        note=note,
    )


def imbalance(step: Step) -> float:
    """Return the busiest worker's share of the requests over an even one, 1 where that is no more than chance.

    What each worker has of its own is full in one worker first, so its ceiling is that much lower (METHOD §5.5).
    """
    rates = [worker.requests_rps for worker in step.server.per_worker if worker.requests_rps is not None]
    total = sum(rates)
    if len(rates) < 2 or total <= 0:  # noqa: PLR2004 - one worker has nobody to differ from
        return 1.0
    seconds, mean = step.t_end_s - step.t_start_s - step.settle_s, total / len(rates)
    clear = (max(rates) - mean) * seconds >= CHANCE * math.sqrt(mean * seconds)
    uneven = max(rates) / mean
    return uneven if clear and uneven >= UNEVEN else 1.0


def held_row(
    limit: Step,
    low: Sequence[Step],
    name: str,
    unit: str,
    pool: PoolFigures | None,
    busy: Callable[[ServerFigures], float | None],
) -> Resource | None:
    """Return the row of something that is taken, held and given back; None where there is none.

    Its ceiling is its size over the holding time per request at low load; `busy` gives the members in use of a step.
    """
    if pool is None or not pool.size:
        return None
    needed = demand(low, busy)
    if needed is None or needed.value * throughput(limit) < MIN_HELD:
        return resource(name, "pool", pool.size, unit, None, None, pool_use(pool), pool.waiting, "hardly used")
    uneven = imbalance(limit)
    size = pool.size / uneven
    high = size / needed.low if needed.low > 0 else size / needed.value
    ceiling = Estimate(size / needed.value, size / needed.high, high, needed.n)
    note = f"holding time at low load, from {counted(needed.n, 'step')}"
    if uneven > 1.0:
        note += f"; the busiest worker gets {uneven:.1f} times the mean"
    return resource(name, "pool", pool.size, unit, needed, ceiling, pool_use(pool), pool.waiting, note)
