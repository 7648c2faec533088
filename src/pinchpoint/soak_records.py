"""What a soak says: a long steady load and what grew under it. Frozen records; standard library only.

`None` means "not measured"; 0 is a measurement. Times are seconds since the soak's first slice began; requests are
counted from there as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LeakVerdict = Literal["leak", "no leak", "cannot tell"]
Trend = Literal["grows", "falls", "steady", "unknown"]


@dataclass(frozen=True, slots=True)
class Slope:
    """A robust slope with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SoakLoad:
    """One steady load of the soak; the last one is none at all."""

    offered_rps: float
    seconds: float
    requests: int
    """Completed, whether well or not."""
    grown_bytes: float | None
    """Growth of the workers' memory (PSS) over the judged part, by its slope."""
    bytes_per_request: Slope | None
    """Of memory over completed requests; None without load, or with too few points."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the five conditions of a leak (METHOD §5.7)."""

    name: str
    statement: str
    ok: bool | None
    """True when it speaks for a leak, False when against one; None when it could not be judged."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How one signal changed under the first, longest load."""

    signal: str
    unit: str
    start: float | None
    """Level of the fitted line where the judged part begins."""
    end: float | None
    per_thousand_requests: Slope | None
    trend: Trend


@dataclass(frozen=True, slots=True)
class Restart:
    """Workers that were replaced while the load was on."""

    t_s: float
    pids: list[int]
    requests: int
    """Completed since the soak began."""
    freed_bytes: float | None
    """Memory of all workers before, less that after."""


@dataclass(frozen=True, slots=True)
class SoakPoint:
    """One slice, as the charts show it."""

    t_s: float
    requests: int
    offered_rps: float | None
    goodput_rps: float | None
    error_rate: float | None
    p95_ms: float | None
    pss_bytes: float | None
    rss_bytes: float | None
    cpu_ms_per_request: float | None
    fds: float | None
    threads: float | None
    passed: bool


@dataclass(frozen=True, slots=True)
class Soak:
    """Everything that a soak shows."""

    leak: LeakVerdict
    summary: str
    rate_rps: float
    """Of the first load."""
    seconds: float
    """From the first slice to the end of the last one."""
    requests: int
    bytes_per_request: Slope | None
    seen_from_bytes_per_request: float | None
    """The smallest leak that this soak would have shown."""
    free_bytes: float | None
    """What memory the target could still take at the end: the host's or its control group's, whichever is less."""
    seconds_to_limit: float | None
    """Until that is used up, at the first load's rate; None without a leak."""
    loads: list[SoakLoad] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    drifts: list[Drift] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    points: list[SoakPoint] = field(default_factory=list)
    broke: list[str] = field(default_factory=list)
    """Thresholds that slices broke, each once, with how many slices did."""
