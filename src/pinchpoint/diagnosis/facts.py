"""What the rules may look at: one immutable bundle of everything measured and derived so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinchpoint.diagnosis.bounds import Bound
from pinchpoint.diagnosis.ledger_parts import NO_WALLS
from pinchpoint.diagnosis.memory import Growth
from pinchpoint.diagnosis.saturation import Machine
from pinchpoint.diagnosis.steps import Ladder, low_steps
from pinchpoint.diagnosis.time_shares import mean_of
from pinchpoint.measures import ServerFigures, Step
from pinchpoint.records import (
    AwaitPlace,
    AwaitShares,
    BottleneckClass,
    Capacity,
    Evidence,
    Profile,
    Resource,
    TimeShares,
    Validity,
)

FRONT = ("worker-slots", "executor", "http-pool")
"""Rows of the ledger that fill up behind whatever is deeper."""


@dataclass(frozen=True)
class Facts:
    """Everything a verdict rests on."""

    steps: list[Step]
    ladder: Ladder
    machine: Machine
    validity: Validity
    capacity: Capacity
    ledger: list[Resource]
    time: TimeShares
    leak: Growth | None
    profiles: Sequence[Profile]
    slo_errors: float | None
    target_killed: bool
    """The target or a worker was killed by SIGKILL (nobody but the kernel, or a supervisor, does that)."""
    awaits: AwaitShares | None = None
    """What requests await, where an event loop serves and the probe looked."""
    agent_lost: str | None = None
    """Why the collector on the server's machine was lost, if it was."""
    oom_kills: float | None = None
    """Processes of the control group that the kernel killed for want of memory, in the whole run."""
    workers_died: int = 0
    """Workers that ended while a load was offered."""

    @property
    def cores(self) -> float | None:
        """Cores the target may use."""
        return self.machine.cores

    def low(self, figure: Callable[[ServerFigures], float | None]) -> float | None:
        """Mean of a per-request figure over the light steps."""
        light = low_steps(self.ladder)
        return mean_of(light, [figure(step.server) for step in light])

    def resource(self, name: str) -> Resource | None:
        """Row of the ledger, if that resource was measured."""
        return next((row for row in self.ledger if row.resource == name), None)

    def next_wall(self, binding: Sequence[str], above_rps: float | None, margin: float) -> Resource | None:
        """Lowest ceiling of the other resources, at least `margin` times the binding one."""
        bound = (above_rps or 0.0) * margin
        skipped = {*binding, *NO_WALLS}
        others = [row for row in self.ledger if row.resource not in skipped and row.ceiling_rps is not None]
        above = [row for row in others if (row.ceiling_rps or 0.0) >= bound]
        return min(above, key=lambda row: row.ceiling_rps or 0.0, default=None)


@dataclass(frozen=True)
class Candidate:
    """What one rule concluded from one step."""

    class_: BottleneckClass
    cause: str
    summary: str
    resource: str | None
    """Row of the ledger that binds."""
    same: tuple[str, ...]
    """Rows that are the same thing seen from elsewhere, or that fill up because of it."""
    evidence: list[Evidence]
    margin: float
    """How far past its threshold the deciding signal is, 0 (just) to 1 (completely)."""
    agrees: bool
    """The demand measured at low load predicts the same resource."""
    conflicts: tuple[str, ...] = ()
    place: AwaitPlace | None = None
    """Where the app awaits it, when that decided."""
    also: tuple[str, ...] = ()
    """Rows of the ledger that bind as well, as the rule itself found."""
    deciding: tuple[Bound, ...] = ()
    """The signals that it rests on, with their thresholds."""


def margin(value: float | None, threshold: float, full: float) -> float:
    """Place a signal between its threshold (0) and the value that leaves no doubt (1)."""
    if value is None:
        return 0.0
    return max(0.0, min(1.0, (value - threshold) / (full - threshold)))
