"""Which slices of a load profile may set capacity."""

from collections.abc import Sequence

from pinchpoint.measures import Step

SAME_LOAD = 0.999
"""A slice of this much of the heaviest load so far is a trial of the same load."""


def counted(steps: Sequence[Step]) -> list[Step]:
    """Return the `stage` slices that are evidence, in time order.

    All of them up to and with the first that broke; after that only those with as much load as any before. What a load
    does on its way down from a break is hysteresis: a slice that fails there fails for the queue it inherited, and one
    that holds says nothing against the break. At the same load a slice that holds does: what broke before it was a
    warm-up or a disturbance, and which of them are more decides (`steps.ladder`).
    """
    found: list[Step] = []
    broke, highest = False, 0.0
    for step in sorted((one for one in steps if one.phase == "stage"), key=lambda one: one.t_start_s):
        load = step.offered_rps if step.offered_rps is not None else float(step.users or 0)
        if load <= 0:
            continue
        if not broke or load >= SAME_LOAD * highest:
            found.append(step)
        broke = broke or not step.passed
        highest = max(highest, load)
    return found
