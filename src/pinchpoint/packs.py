"""What a bundled load scenario brings with it: its parts, its targets and its presets; and what became of them.

Only data. `stress.scenarios` holds the packs, `diagnosis.packs` judges a recording by one, `report.packs` prints the
tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinchpoint.records import Finding

Compliance = Literal["passed", "partially_passed", "failed"]
Metric = Literal["avg_ms", "p50_ms", "p95_ms", "p99_ms", "rps", "error_rate", "users", "oversold", "negative_stock"]
Op = Literal["<", ">", ">=", "<=", "=="]

AUDITED: tuple[Metric, ...] = ("oversold", "negative_stock")
"""Metrics read from the database after the run; all others are measured by the clients."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One scenario of a pack: "Create Pet"."""

    name: str
    endpoints: tuple[str, ...]
    """Request names (Locust's) that belong to it."""
    presses: str
    """In words: "POST /pets, the writer of SQLite"."""
    weight: int = 1
    """Share of a pack's users."""
    peak_users: int | None = None
    """In the users model."""
    p95_ms: float | None = None
    """Its own limits; None: the run's."""
    max_error_rate: float | None = None
    """0..1."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One line of a table of targets."""

    name: str
    """As the table says it: "GET requests", "P95 Response Time"."""
    metric: Metric
    endpoints: tuple[str, ...] = ()
    """Request names; () = all."""
    op: Op
    target: float
    """In the metric's unit: milliseconds, requests/s, 0..1, users, pieces."""
    acceptable: float | None = None
    """None: only target or missed."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A size of load by name: light, medium, heavy."""

    name: str
    users: int
    spawn_rate: float
    """Users/s."""
    seconds: float
    at_least_rps: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pack:
    """What a scenario adds to a run, and what its result is held against."""

    parts: tuple[Part, ...] = ()
    targets: tuple[Target, ...] = ()
    presets: tuple[Preset, ...] = ()
    grades: tuple[str, str, str] = ("target", "acceptable", "missed")
    """Words for the three grades; of the inventory: green, yellow, red."""
    model: Literal["rate", "users"] = "rate"
    """Default of `run --scenario`; the user's own --model wins."""
    staged: tuple[tuple[float, int], ...] = ()
    """Users model: (share of the time left, users) as k6 stages; () = search for the limit."""
    audit: str | None = None
    """Module of the app that checks the database after the run: `python -m pinchpoint.app.stock URL` prints JSON.

    Without URL it checks the one that the environment names, as the app does.
    """


@dataclass(frozen=True)
class PartResult:
    """What became of a part."""

    name: str
    requests: int
    """Answered, failed ones included."""
    error_rate: float | None
    """0..1; this and what follows: None = not measured."""
    avg_ms: float | None
    p95_ms: float | None
    peak_users: int | None
    compliance: Compliance | None
    errors: Mapping[str, int] = field(default_factory=dict)
    """Kind of failure, as the clients name it -> requests."""


@dataclass(frozen=True)
class TargetResult:
    """What became of a target."""

    name: str
    metric: Metric
    observed: float | None
    """In the metric's unit; None = not measured."""
    target: float
    acceptable: float | None
    op: Op
    grade: str | None
    """One of the pack's three words; None = not measured, never a guess."""
    at: str
    """At which load."""


@dataclass(frozen=True)
class PackResult:
    """What became of a pack in one run."""

    name: str
    """The scenario's."""
    at: str
    """At which load its parts were judged; empty where no load was recorded."""
    grades: tuple[str, str, str]
    parts: tuple[PartResult, ...] = ()
    targets: tuple[TargetResult, ...] = ()
    audit: Mapping[str, Any] | None = None
    """What the app's own check of its database printed after the run; None = it was not checked."""
    findings: tuple[Finding, ...] = ()
    step: int | None = None
    """Index of the step that it was judged at; None where that was the whole load."""
