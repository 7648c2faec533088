"""Which slices of a load profile may set capacity."""

from collections.abc import Sequence

from pinchpoint.measures import Step

CLEARLY_HIGHER = 1.05
"""After a break a slice counts again when its load is this much above every load before it."""


def counted(steps: Sequence[Step]) -> list[Step]:
    """Return the `stage` slices that are evidence, in time order.

    All of them up to and with the first that broke; after that only those with more load than any before. What a load
    does on its way down from a break is hysteresis: a slice that fails there fails for the queue it inherited, and one
    that holds says nothing against the break.
    """
    found: list[Step] = []
    broke, highest = False, 0.0
    for step in sorted((one for one in steps if one.phase == "stage"), key=lambda one: one.t_start_s):
        load = step.offered_rps if step.offered_rps is not None else float(step.users or 0)
        if load <= 0:
            continue
        if not broke or load > CLEARLY_HIGHER * highest:
            found.append(step)
        broke = broke or not step.passed
        highest = max(highest, load)
    return found
