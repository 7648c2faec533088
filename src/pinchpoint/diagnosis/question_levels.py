"""What the questions of a load test are answered from: the loads of a run, each with all of its trials."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pinchpoint import units
from pinchpoint.answer_records import Answer, AnswerName, Figure
from pinchpoint.diagnosis import stage_steps
from pinchpoint.diagnosis.compare.levels import middle
from pinchpoint.diagnosis.steps import LOAD_PHASES, load_of
from pinchpoint.goals import MIN_FAILED, P95_LOSS
from pinchpoint.measures import Step
from pinchpoint.records import Diagnosis
from pinchpoint.statistics import wilson

ERRORS = 0.01
"""The share of failed requests that is asked about, whatever limit the run itself has."""

KINDS_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that does not know its question yet."""

    text: str
    value: float | None
    unit: str
    measured: bool
    figures: list[Figure] = field(default_factory=list)

    def to(self, name: AnswerName, question: str) -> Answer:
        """Return the answer to this question."""
        return Answer(name, question, self.text, self.value, self.unit, self.measured, self.figures)


def answered(text: str, value: float | None, unit: str, figures: Sequence[Figure] = ()) -> Found:
    """Return an answer that was measured; `value` is None where what was asked for was met at no load tried."""
    return Found(text, value, unit, measured=True, figures=list(figures))


def not_measured(why: str, flag: str) -> Found:
    """Return that there is none, with the reason and what would measure it."""
    return Found(f"Not measured: {why}; {flag} would tell.", None, "", measured=False)


@dataclass(frozen=True, slots=True)
class Level:
    """One load, all of its trials together."""

    load: float
    steps: tuple[Step, ...]

    @property
    def done(self) -> int:
        """Requests that were answered, well or not."""
        return sum(step.client.ok + step.client.failed for step in self.steps)

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return sum(step.client.failed for step in self.steps)

    @property
    def error_rate(self) -> float | None:
        """Failed over answered."""
        return self.failed / self.done if self.done else None

    @property
    def silent(self) -> bool:
        """True when load was offered and not one request completed."""
        return self.done == 0 and any(step.client.scheduled or step.users for step in self.steps)

    @property
    def fails(self) -> bool:
        """True when more than 1 % fail beyond chance (Wilson's interval lies above it), or nothing completes."""
        if self.silent:
            return True
        return self.failed >= MIN_FAILED and wilson(self.failed, self.done)[0] > ERRORS

    @property
    def p95_ms(self) -> float | None:
        """Median over the trials."""
        return middle(step.latency_ms.p95 for step in self.steps if step.latency_ms is not None)

    @property
    def never_answered(self) -> float | None:
        """Share of the arrivals that neither succeeded nor failed: they were still waiting when the step ended."""
        known = [step.client.losses["breaking"] for step in self.steps if "breaking" in step.client.losses]
        lost = middle(known)
        return None if lost is None else max(0.0, lost - (self.error_rate or 0.0))

    @property
    def worst_errors(self) -> list[tuple[str, int]]:
        """Kinds of errors with their counts, most frequent first."""
        total: Counter[str] = Counter()
        for step in self.steps:
            total.update(step.client.errors)
        return sorted(total.items(), key=lambda item: (-item[1], item[0]))[:KINDS_SHOWN]

    def slow(self, limit_ms: float) -> bool:
        """Tell whether answers take longer than allowed, in most of the trials: one of two that held, held."""
        return self.silent or 2 * sum(_slow(step, limit_ms) for step in self.steps) > len(self.steps)


def _slow(step: Step, limit_ms: float) -> bool:
    """Tell whether more than one arrival in twenty was too slow; in a queue that grows most of them wait unseen.

    `losses` counts arrivals that were late when the step ended, and failures, which are no matter of latency.
    """
    if step.latency_ms is not None and step.latency_ms.p95 > limit_ms:
        return True
    return step.client.losses.get("slo", 0.0) - (step.error_rate or 0.0) > P95_LOSS


@dataclass(frozen=True, slots=True)
class Asked:
    """What every answer may look at."""

    diagnosis: Diagnosis
    levels: tuple[Level, ...]
    """Lightest first; the overload is one of them."""
    closed: bool
    """The load is users, not arrivals."""
    limit_ms: float | None
    """On the p95."""
    mode: str
    """`search`, `stages` or `soak`."""
    thresholds: tuple[str, ...] = ()
    """The user's own."""

    @property
    def unit(self) -> str:
        """Of a load."""
        return "users" if self.closed else "requests/s"

    @property
    def sustained(self) -> Step | None:
        """The last step that held the load whose latency the capacity tells."""
        capacity = self.diagnosis.capacity
        load = capacity.sustainable_users if self.closed else capacity.lower_bound_rps
        held = [step for level in self.levels if level.load == load for step in level.steps if step.passed]
        return max(held, key=lambda step: step.index, default=None)

    def load_text(self, load: float | None) -> str:
        """Write a load."""
        return f"{units.number(load)} users" if self.closed else units.rps(load)


def asked_of(diagnosis: Diagnosis, settings: Mapping[str, Any]) -> Asked:
    """Fold the steps of a diagnosis by load; `settings` are the recording's."""
    load, slo = settings.get("load") or {}, settings.get("slo") or {}
    steps = [step for step in diagnosis.steps if step.phase in LOAD_PHASES or step.phase == "soak"]
    steps += stage_steps.counted(diagnosis.steps)
    loads = sorted({load_of(step) for step in steps} - {0.0})
    mode = "soak" if diagnosis.soak is not None else "stages" if diagnosis.stages is not None else "search"
    return Asked(
        diagnosis=diagnosis,
        levels=tuple(Level(one, tuple(step for step in steps if load_of(step) == one)) for one in loads),
        closed=any(step.model == "users" for step in diagnosis.steps),
        limit_ms=slo.get("p95_ms"),
        mode=mode,
        thresholds=tuple(str(one) for one in load.get("thresholds") or ()),
    )
