"""What a comparison of two runs says: frozen records. None: not measured; infinity and 0: an interval's open end."""

from dataclasses import dataclass, field

from pinchpoint.diagnosis.compare.levels import Level, Pair
from pinchpoint.diagnosis.compare.noise import Between, Change, Trend
from pinchpoint.diagnosis.compare.runs import Changed, Side
from pinchpoint.diagnosis.compare.verdicts import Move
from pinchpoint.records import Resource


@dataclass(frozen=True, slots=True)
class CapacityRow:
    """One meaning of capacity in both runs."""

    name: str
    """`sustainable`, `strict`, `breaking`, `plateau` or `users`."""
    what: str
    unit: str
    """`requests/s` or `users`."""
    before: Between
    after: Between
    change: Change
    """`unknown` as well where the two runs asked for something else."""


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One figure at all loads that both runs held."""

    name: str
    """`p50`, `p95`, `cpu` or `memory`."""
    what: str
    unit: str
    """`ms` or `bytes`."""
    loads: int
    at: float | None
    """The heaviest of them."""
    before: float | None
    """There."""
    after: float | None
    change: Change
    """Over all of them."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Failed over answered, at the loads that both runs tried and one of them held."""

    loads: int
    before: float | None
    before_ci: tuple[float, float]
    after: float | None
    after_ci: tuple[float, float]
    side: Trend


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One resource in both ledgers."""

    resource: str
    before: Resource | None
    after: Resource | None
    change: Change
    """Of the ceiling."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory that stays with each request, bytes; None where no leak was found."""

    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is said of two runs."""

    before: Side
    after: Side
    tolerance: float
    headline: str
    move: Move
    capacity: list[CapacityRow]
    at_load: list[LoadRow]
    errors: Errors
    growth: Growth
    ledger: list[LedgerRow]
    pairs: list[Pair]
    """Loads of both runs."""
    levels: tuple[list[Level], list[Level]]
    """All loads of each."""
    changes: list[Changed]
    warnings: list[str]
    regressions: list[str] = field(default_factory=list)
    """Why it got worse, a sentence each; empty when it did not."""
