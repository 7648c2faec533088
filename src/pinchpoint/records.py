"""What diagnosis says: frozen records, every field's unit in its name. Standard library only.

`None` means "not measured"; 0 is a measurement.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pinchpoint.answer_records import Answer
    from pinchpoint.measures import Latency, Phase, Step
    from pinchpoint.packs import PackResult
    from pinchpoint.soak_records import Soak
    from pinchpoint.staged_records import Staged

BottleneckClass = Literal["cpu", "memory", "io", "pool", "blocking", "lock", "none", "generator", "undetermined"]
VerdictStatus = Literal["confirmed", "supported", "ambiguous", "invalid"]
GateStatus = Literal["ok", "warn", "fail", "unavailable"]
ProfileKind = Literal["cpu", "gil", "wall", "await"]


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition for believing the measurement."""

    name: str
    status: GateStatus
    value: float | None
    limit: float | None
    unit: str
    message: str


@dataclass(frozen=True, slots=True)
class Validity:
    """`invalid` voids every server verdict."""

    status: Literal["valid", "suspect", "invalid"]
    gates: list[Gate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SloResult:
    """One threshold, judged at the sustainable load."""

    threshold: str
    ok: bool
    observed: float | None
    asked: bool = False
    """True when the user gave it, False for a default."""


@dataclass(frozen=True, slots=True)
class GoalFigures:
    """What the search found for one goal (METHOD §1.2); rates in requests per second."""

    name: str
    """`strict`, `slo` or `breaking`."""
    description: str
    loss_ratio: float
    """Share of arrivals that may be lost: failed, too slow for the goal, or never answered."""
    lower_rps: float | None
    """Relevant lower bound: the largest load that met the goal, below every load that did not."""
    upper_rps: float | None
    """Smallest load that missed the goal; None when none did."""
    throughput_rps: float | None
    """Conditional throughput at the lower bound."""
    ci_rps: tuple[float, float] | None = None
    """95 % interval of it, by bootstrap over trials."""
    trials: int = 0
    """Trials that it rests on."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Different numbers that are often mixed up; see METHOD §1.1."""

    sustainable_rps: float | None
    """Goodput at the highest offered load that held every threshold."""
    lower_bound_rps: float | None
    upper_bound_rps: float | None
    """Lowest offered load that broke one."""
    saturation_rps: float | None
    """Plateau of goodput."""
    breaking_rps: float | None
    breaking_reason: str | None
    knee_rps: float | None
    reached: bool
    slo: list[SloResult] = field(default_factory=list)
    latency_at_sustainable_ms: Latency | None = None
    error_rate: float | None = None
    sustainable_users: int | None = None
    breaking_users: int | None = None
    sustainable_ci_rps: tuple[float, float] | None = None
    """95 % interval by bootstrap over trials; None when there were too few."""
    saturation_ci_rps: tuple[float, float] | None = None
    collapse_ratio: float | None = None
    """Goodput at 1.5 times the plateau over the plateau; below 0.9 the app collapses (METHOD §1.1)."""
    goals: list[GoalFigures] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Whether the app came back once the overload had ended."""

    recovered: bool
    seconds: float | None
    latency_ratio: float | None
    memory_ratio: float | None


@dataclass(frozen=True, slots=True)
class Resource:
    """One row of the ledger: the utilisation law, X <= capacity / demand."""

    resource: str
    kind: BottleneckClass
    capacity: float | None
    unit: str
    demand_s_per_request: float | None
    ceiling_rps: float | None
    ceiling_ci_rps: tuple[float, float] | None
    utilisation: float | None
    """At the limit step."""
    queue: float | None
    depth: int
    """Nesting depth: a resource held while waiting for a deeper one has the smaller number."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class TimeShares:
    """Where a request's response time goes, as shares that sum to 1."""

    low: dict[str, float] = field(default_factory=dict)
    limit: dict[str, float] = field(default_factory=dict)
    ms_low: float | None = None
    ms_limit: float | None = None


@dataclass(frozen=True, slots=True)
class AwaitPlace:
    """One thing that requests await at the limit, and the app's innermost function that awaits it."""

    kind: str
    """`connection pool`, `downstream`, `lock`, ..."""
    share: float
    """Of all requests met waiting at the limit."""
    endpoint: str
    """Whose requests wait there, most of them."""
    function: str | None = None
    """None when no function of the app awaits it itself, such as the thread of a plain `def` endpoint."""
    file: str | None = None
    line: int | None = None
    via: str | None = None
    """The innermost function of a library below it: `Lock.acquire`."""


@dataclass(frozen=True, slots=True)
class AwaitShares:
    """What requests on event loops wait for: endpoint -> what -> share (0..1) of its requests' time not running."""

    low: dict[str, dict[str, float]] = field(default_factory=dict)
    limit: dict[str, dict[str, float]] = field(default_factory=dict)
    met_low: dict[str, int] = field(default_factory=dict)
    """Endpoint -> how many of its requests were met waiting: what its shares rest on."""
    met_limit: dict[str, int] = field(default_factory=dict)
    places: list[AwaitPlace] = field(default_factory=list)
    """At the limit, over all endpoints, largest share first."""

    def overall(self) -> dict[str, float]:
        """Return what -> share of all requests' waiting at the limit, largest first; empty where nothing was met."""
        total = sum(self.met_limit.values()) or 1
        sums: dict[str, float] = {}
        for endpoint, shares in self.limit.items():
            for kind, share in shares.items():
                sums[kind] = sums.get(kind, 0.0) + share * self.met_limit.get(endpoint, 0) / total
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """The lowest ceiling of the ledger held against the capacity that was measured (METHOD §4.3)."""

    resource: str
    ceiling_rps: float
    ceiling_ci_rps: tuple[float, float]
    measured_rps: float
    ratio: float
    """Measured over ceiling."""
    outcome: Literal["agrees", "below", "above"]
    meaning: str
    """What that says, as a clause."""
    rivals: list[str] = field(default_factory=list)
    """Resources whose intervals reach down to the lowest one's: which of them is lowest is not certain."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where to look: code, or the knob."""

    endpoint: str | None = None
    function: str | None = None
    file: str | None = None
    line: int | None = None
    knob: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured statement behind the verdict."""

    statement: str
    signal: str
    value: float | None
    unit: str
    step: int | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change, by how much, and what it should bring."""

    text: str
    knob: str | None = None
    from_: str | None = None
    to: str | None = None
    expected_gain: str | None = None


@dataclass(frozen=True, slots=True)
class TimePart:
    """One part of a request's response time and its share (0..1)."""

    part: str
    share: float


@dataclass(frozen=True, slots=True)
class Wall:
    """A resource and the request rate at which it would bind."""

    resource: str
    ceiling_rps: float


@dataclass(frozen=True, slots=True)
class StepBound:
    """What binds at one load beyond the limit: bottlenecks move as the load grows."""

    step: int
    load: float
    unit: str
    """`requests/s` or `users`."""
    class_: BottleneckClass
    cause: str
    resource: str | None = None
    """Row of the ledger."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What binds, with status and confidence; see DESIGN §3."""

    class_: BottleneckClass
    cause: str
    status: VerdictStatus
    confidence: float
    summary: str
    dominant_time: TimePart | None = None
    location: Location = field(default_factory=Location)
    co_bottlenecks: list[str] = field(default_factory=list)
    next_wall: Wall | None = None
    evidence: list[Evidence] = field(default_factory=list)
    advice: list[Advice] = field(default_factory=list)
    would_flip_if: list[str] = field(default_factory=list)
    by_step: list[StepBound] = field(default_factory=list)
    """What binds at the limit and at each heavier load that was tried, lightest first."""
    score: float | None = None
    """What `confidence` was calibrated from (`diagnosis/confidence.py`); None where it is not a rule's."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A true defect that does not bind today."""

    kind: str
    statement: str
    value: float | None = None
    unit: str = ""
    location: Location = field(default_factory=Location)


@dataclass(frozen=True, slots=True)
class HotFrame:
    """One function's share of a profile, inclusive and self."""

    function: str
    file: str
    line: int | None
    owner: str
    """`app`, a distribution's name, `stdlib` or `native`."""
    self_share: float
    total_share: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One recorded profile. Paths are relative to the run folder."""

    phase: Phase
    pid: int
    kind: ProfileKind
    samples: int
    path: str
    """Folded stacks."""
    svg: str | None = None
    hot: list[HotFrame] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OtherHost:
    """A machine that took part: one that sent load, or the target's own."""

    name: str
    role: Literal["load", "target"]
    offset_s: float | None
    """Its monotonic clock minus ours."""
    offset_error_s: float | None
    lost: str | None
    """Why it was gone before the end."""


@dataclass(frozen=True, slots=True)
class GeneratorSummary:
    """What pressed, and what it cost: the figures by which a reader believes the rest."""

    processes: int
    """Load processes that reported, on all hosts, at most."""
    load_cpus: list[int] | None
    server_cpus: list[int] | None
    max_rps: float | None
    """Arrivals per second that it started against a server that does nothing."""
    highest_rps: float | None
    """Arrivals per second that it started in this run, at most."""
    cpu_peak: float | None
    """Busiest load process in its busiest second, as a share of one core."""
    send_lag_ms_p99: float | None
    """Worst step's."""
    scheduled: int
    unsent: int
    """Arrivals nobody was free to take."""
    imbalance: float | None
    """Requests of the busiest worker over the mean, at the sustainable load: keep-alive connections spread badly."""
    changes: list[str] = field(default_factory=list)
    """How load and server shared the machine, each time that was decided."""
    hosts: list[OtherHost] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything diagnosis concludes from a recording; a pure function of the run folder's signals."""

    validity: Validity
    capacity: Capacity
    recovery: Recovery | None
    steps: list[Step]
    ledger: list[Resource]
    time: TimeShares
    verdict: Verdict
    findings: list[Finding] = field(default_factory=list)
    soak: Soak | None = None
    """Only of a soak."""
    generator: GeneratorSummary | None = None
    stages: Staged | None = None
    """Only of a run with `--stages`."""
    ledger_check: LedgerCheck | None = None
    """None where no ceiling or no capacity is known."""
    pack: PackResult | None = None
    """Only of a run with a bundled scenario that has parts or targets."""
    questions: list[Answer] = field(default_factory=list)
    """The questions of a load test, answered."""


_JSON_NAMES = {"class_": "class", "from_": "from"}


def to_jsonable(record: Any) -> Any:
    """Turn a record into plain dicts and lists with the field names of `report.json`."""
    if hasattr(record, "__dataclass_fields__"):
        record = asdict(record)
    if isinstance(record, dict):
        return {_JSON_NAMES.get(key, key): to_jsonable(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_jsonable(value) for value in record]
    return record
