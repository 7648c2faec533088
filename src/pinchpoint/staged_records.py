"""What a run with `--stages` says: its load second by second, its thresholds, spikes and early end. Frozen records.

`None` means "not measured"; 0 is a measurement. Times `*_s` are seconds since the stages began. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class StagePoint:
    """One second, all load processes together; nothing but `t_s` and the load where they did not report."""

    t_s: float
    """Its start."""
    offered_rps: float | None
    users: float | None
    started_rps: float | None = None
    goodput_rps: float | None = None
    error_rate: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    unsent: int | None = None
    inflight: float | None = None


@dataclass(frozen=True, slots=True)
class LimitResult:
    """A threshold held against a window."""

    threshold: str
    ok: bool | None
    """None: nothing to judge."""
    observed: float | None
    shown: str = ""


@dataclass(frozen=True, slots=True)
class StageResult:
    """One stage of the profile, as far as the load got."""

    name: str
    start_s: float
    end_s: float
    from_: float
    to: float
    requests: int
    error_rate: float | None
    p95_ms: float | None
    goodput_rps: float | None
    limits: list[LimitResult] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SpikeResult:
    """A peak, and how long its after-effects lasted once the load was back."""

    start_s: float
    end_s: float
    base: float
    peak: float
    before_ms: float | None
    """p90 of the seconds before it; what counts as back."""
    peak_error_rate: float | None
    recovered: bool | None
    """None: the load ended, or rose again, too soon to tell."""
    recovery_s: float | None


@dataclass(frozen=True, slots=True)
class StopResult:
    """Why the load ended early, and the point of imbalance."""

    criterion: str
    message: str
    second_s: float
    """Where the breach began: the first second that the criterion counts."""
    at_s: float
    """When the load was ended."""
    offered_rps: float | None
    users: float | None
    last_good_s: float | None
    last_good_load: float | None


@dataclass(frozen=True, slots=True)
class Staged:
    """The whole of it."""

    profile: str
    model: Literal["rate", "users"]
    seconds: float
    """As asked; the load may have ended earlier."""
    series: list[StagePoint] = field(default_factory=list)
    stages: list[StageResult] = field(default_factory=list)
    limits: list[LimitResult] = field(default_factory=list)
    """Over all stages together."""
    spikes: list[SpikeResult] = field(default_factory=list)
    stop: StopResult | None = None
