"""Steps in which the hypervisor took the machine away: they show neither that a load holds nor that it breaks."""

from collections.abc import Sequence

from pinchpoint.diagnosis.steps import CAPACITY_PHASES
from pinchpoint.measures import Step

STOLEN = 0.25
"""Of all cores' time, taken by others on the same host, from which a step is not judged: a server that should be idle
for a third of the time may be full then, and the generator as late."""

JUDGED = CAPACITY_PHASES | {"stage", "overload"}


def robbed(step: Step) -> bool:
    """Return True for a step that was taken away."""
    return (step.server.steal_share or 0.0) >= STOLEN


def unrobbed(steps: Sequence[Step]) -> list[Step]:
    """Return the steps but for those that were taken away; all of them where the rest would show no limit any more."""
    lost = {step.index for step in steps if step.phase in JUDGED and robbed(step)}
    rest = [step for step in steps if step.index not in lost]
    if not lost or not _tells(rest, passed=True):
        return list(steps)
    broke = _tells(steps, passed=False)
    return rest if not broke or _tells(rest, passed=False) else list(steps)


def _tells(steps: Sequence[Step], *, passed: bool) -> bool:
    return any(step.phase in JUDGED and step.passed is passed for step in steps)
