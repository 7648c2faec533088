"""What binds at each load from the limit on: a pool at 80/s, the CPU beyond."""

from collections.abc import Callable, Sequence

from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.steps import load_of
from pinchpoint.diagnosis.validity import enough_seen
from pinchpoint.diagnosis.words import significant
from pinchpoint.measures import Step
from pinchpoint.records import Evidence, StepBound


def by_step(facts: Facts, bound_in: Callable[[Facts, Step], Candidate | None]) -> list[StepBound]:
    """Ask every step that broke, and the overload, lightest first; of equal loads the first that shows something."""
    found: dict[float, StepBound] = {}
    for step in sorted([*facts.ladder.failed, *facts.ladder.overload], key=lambda step: (load_of(step), step.index)):
        if load_of(step) in found or not enough_seen(step):
            continue
        candidate = bound_in(facts, step)
        if candidate is not None:
            unit = "users" if step.model == "users" else "requests/s"
            found[load_of(step)] = StepBound(
                step.index, load_of(step), unit, candidate.class_, candidate.cause, candidate.resource
            )
    return list(found.values())


def changes(bounds: Sequence[StepBound]) -> list[StepBound]:
    """Return the first load of each stretch in which the same binds."""
    return [one for one, before in zip(bounds, [None, *bounds], strict=False) if before is None or _differ(one, before)]


def _differ(one: StepBound, other: StepBound) -> bool:
    return (one.class_, one.cause) != (other.class_, other.cause)


def told(bounds: Sequence[StepBound]) -> list[Evidence]:
    """Return one line that says how what binds moves with the load; none where it stays."""
    stretches = changes(bounds)
    if len(stretches) < 2:  # noqa: PLR2004 - one stretch does not move
        return []
    parts = [f"{one.class_}/{one.cause} from {significant(one.load)} {one.unit}" for one in stretches]
    text = f"what binds moves with the load: {', then '.join(parts)}"
    return [Evidence(text, "by_step", stretches[-1].load, stretches[-1].unit, stretches[-1].step)]
