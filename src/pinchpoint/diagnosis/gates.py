"""What every gate is made of: a value held against a limit that warns and one that fails."""

from collections.abc import Sequence
from dataclasses import dataclass

from pinchpoint.measures import Step
from pinchpoint.records import Gate, GateStatus


@dataclass(frozen=True, slots=True)
class Judged:
    """The steps that the gates look at."""

    held: Sequence[Step]
    """The highest load that held; empty when none did."""
    limit: Step
    """The lightest load that broke; without one the highest that held."""
    exonerated: bool = False
    """The server's own signals explain why it broke: a busy generator there says nothing (DESIGN §6)."""

    @property
    def broke(self) -> bool:
        """True when some load broke."""
        return self.limit not in self.held

    @property
    def steps(self) -> list[Step]:
        """Steps in which the generator must have kept up."""
        return list(self.held) if self.exonerated or not self.broke else [*self.held, self.limit]

    @property
    def all(self) -> list[Step]:
        """The same, with the limit in any case."""
        return [*self.held, self.limit] if self.broke else list(self.held)


def high_is_bad(value: float, warn: float, fail: float | None = None) -> GateStatus:
    """Status of a value that should be low."""
    if fail is not None and value >= fail:
        return "fail"
    return "warn" if value >= warn else "ok"


def low_is_bad(value: float, warn: float, fail: float) -> GateStatus:
    """Status of a value that should be high."""
    return "fail" if value < fail else "warn" if value < warn else "ok"


def softened(status: GateStatus, *, exonerated: bool) -> GateStatus:
    """Return `warn` for a failure that the server's own signals excuse: it can only make a capacity look smaller."""
    return "warn" if exonerated and status == "fail" else status


def missing(name: str, unit: str, reason: str = "not measured") -> Gate:
    """Return a gate on something that was not measured."""
    return Gate(name, "unavailable", None, None, unit, reason)
