"""Two sides of a comparison, made of the sample run: a pool of 4 that binds at 98/s, and single figures changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pinchpoint.diagnosis.compare.runs import Side
from pinchpoint.measures import Latency, ServerFigures, Step
from pinchpoint.records import Capacity, Diagnosis, GoalFigures, Resource
from support.sample_goals import diagnosis_with_goals
from support.sample_run import sample_run


def side(name: str = "before", diagnosis: Diagnosis | None = None, **run: Any) -> Side:
    """Return the sample run as one side; `run` replaces sections of run.json."""
    found = diagnosis_with_goals() if diagnosis is None else diagnosis
    return Side(name, {**sample_run(), **run}, found)


def section(name: str, **changes: Any) -> dict[str, Any]:
    """Return a section of the sample run's run.json with some of it changed."""
    return {name: {**sample_run()[name], **changes}}


def with_capacity(factor: float, **changes: Any) -> Diagnosis:
    """Return the sample diagnosis of an app that serves `factor` times as much; steps and ledger stay as they are."""
    found = diagnosis_with_goals()
    return replace(found, capacity=replace(scaled(found.capacity, factor), **changes))


def scaled(capacity: Capacity, factor: float) -> Capacity:
    """Return a capacity with every rate times `factor`."""
    rates = ("sustainable_rps", "lower_bound_rps", "upper_bound_rps", "saturation_rps", "breaking_rps", "knee_rps")
    changed: dict[str, Any] = {name: _times(getattr(capacity, name), factor) for name in rates}
    for name in ("sustainable_ci_rps", "saturation_ci_rps"):
        changed[name] = _ends(getattr(capacity, name), factor)
    return replace(capacity, **changed, goals=[_goal(goal, factor) for goal in capacity.goals])


def _goal(goal: GoalFigures, factor: float) -> GoalFigures:
    return replace(
        goal,
        lower_rps=_times(goal.lower_rps, factor),
        upper_rps=_times(goal.upper_rps, factor),
        throughput_rps=_times(goal.throughput_rps, factor),
        ci_rps=_ends(goal.ci_rps, factor),
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _ends(interval: tuple[float, float] | None, factor: float) -> tuple[float, float] | None:
    return None if interval is None else (interval[0] * factor, interval[1] * factor)


def with_latency(factor: float) -> Diagnosis:
    """Return the sample diagnosis with every response time times `factor`, and nothing else changed."""
    return with_steps(lambda step: replace(step, latency_ms=slower(step.latency_ms, factor)))


def slower(latency: Latency | None, factor: float) -> Latency | None:
    """Return every percentile times `factor`."""
    if latency is None:
        return None
    return Latency(*(getattr(latency, name) * factor for name in ("p50", "p90", "p95", "p99", "max")))


def with_server(**changes: Any) -> Diagnosis:
    """Return the sample diagnosis whose server has other figures in every step; a callable gets the old figures."""

    def change(step: Step) -> Step:
        new = {name: value(step.server) if callable(value) else value for name, value in changes.items()}
        return replace(step, server=replace(step.server, **new))

    return with_steps(change)


def cpu_times(factor: float) -> Callable[[ServerFigures], float]:
    """Return what makes every request cost `factor` times the CPU."""
    return lambda server: (server.cpu_cores or 0.0) * factor


def with_steps(change: Callable[[Step], Step]) -> Diagnosis:
    """Return the sample diagnosis with every step changed."""
    found = diagnosis_with_goals()
    return replace(found, steps=[change(step) for step in found.steps])


def with_ceiling(found: Diagnosis, resource: str, ceiling_rps: float) -> Diagnosis:
    """Return a diagnosis whose ledger puts one ceiling elsewhere, with an interval of 2 % around it."""

    def moved(row: Resource) -> Resource:
        if row.resource != resource:
            return row
        return replace(row, ceiling_rps=ceiling_rps, ceiling_ci_rps=(ceiling_rps * 0.98, ceiling_rps * 1.02))

    return replace(found, ledger=[moved(row) for row in found.ledger])
