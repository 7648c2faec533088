"""A soak without a search has no ramp: what it held stands in for one, each load as one long step."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from pinchpoint.diagnosis.memory import Growth
from pinchpoint.diagnosis.soak_memory import settled
from pinchpoint.diagnosis.steps import CAPACITY_PHASES, build_steps
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.measures import Step
from pinchpoint.recording import Recording
from pinchpoint.rows import EventRow
from pinchpoint.soak_records import Soak
from pinchpoint.statistics import Estimate

MOST_BROKEN = 0.05
"""Share of a load's slices that may break a threshold: one disturbed slice in hours is no limit."""


def counted_steps(recording: Recording, samples: Samples, steps: Sequence[Step]) -> list[Step]:
    """Return the steps that set capacity: those of a search if there was any, else the soak's loads, lightest first."""
    slices = [step for step in steps if step.phase == "soak" and step.offered_rps]
    if not slices or any(step.phase in CAPACITY_PHASES for step in steps):
        return list(steps)
    loads = [list(group) for _, group in groupby(slices, key=lambda step: step.offered_rps)]
    events: list[EventRow] = [_as_one(load) for load in reversed(loads)]
    others = [event for event in recording.events if event.get("kind") != "step"]
    merged = build_steps(replace(recording, events=[*others, *events]), samples)
    return [*(step for step in steps if step.phase != "soak"), *merged]


def _as_one(slices: Sequence[Step]) -> EventRow:
    broke = [step for step in slices if step.breaches]
    held = len(broke) <= MOST_BROKEN * len(slices)
    late = settled(slices)
    data: dict[str, Any] = {
        "index": slices[0].index,
        "phase": "search",
        "model": "rate",
        "segment": 0,
        "offered_rps": slices[0].offered_rps,
        "users": None,
        "t_start_s": slices[0].t_start_s,
        "t_end_s": slices[-1].t_end_s,
        "settle_s": late[0].t_start_s - slices[0].t_start_s if late else 0.0,
        "passed": held,
        "breaches": [] if held else broke[0].breaches,
    }
    return {"kind": "step", "t_s": slices[-1].t_end_s, "data": data}


def growth_of(found: Soak) -> Growth | None:
    """Return a soak's leak in the words of a run's: what it found in hours stands above what a ramp hints at."""
    slope = found.bytes_per_request
    if found.leak != "leak" or slope is None:
        return None
    return Growth(
        bytes_per_request=Estimate(slope.value, slope.low, slope.high, len(found.points)),
        grown_bytes=found.loads[0].grown_bytes or 0.0,
        free_bytes=found.free_bytes,
        seconds_to_limit=found.seconds_to_limit,
    )
