"""Hold one load level: tell the generator, wait, judge by the client's figures, record. Whatever a run does is steps.

A *step* is what the recording, the diagnosis and the report are made of; see `rows.EventRow`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pinchpoint.backlog import Backlog, served_while_queued, typical_rps
from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.commands.session import Session
from pinchpoint.errors import MeasurementError, TargetError
from pinchpoint.goals import Limits, Outcome, outcome
from pinchpoint.measures import Phase
from pinchpoint.rows import DigestRow
from pinchpoint.stress.generator import Generator
from pinchpoint.stress.ramp import Judgement, Slo, Trial, backlog, judge

LOOK_S = 0.1
"""How often children are looked at while a step runs."""
ROWS_GRACE_S = 1.5
"""How long after a step its last digest may take to arrive."""
FAR_GRACE_S = 5.0
"""The same where load comes from other hosts: by then one that died in the step is known to be dead, and its share of
the load is not taken for what was offered."""
ROW_EDGE_S = 0.02
"""Clocks are read a moment apart at either end of a segment."""
LEAST_COVERAGE = 0.5
"""Share of a step that digests must cover: below it the generator, not the server, was silent."""
DRAIN_S = 10.0
"""The client's timeout: what is in flight for longer is given up."""
LEAST_DRAIN_S = 1.0
SHORT_DRAIN_S = 2.0
"""After a step that passed: its requests are within the limit of a second or so, or the app is slow by nature."""
SETTLE_SHARE = 0.25
LONGEST_SETTLE_S = 1.0
VOIDABLE = frozenset({"baseline", "ramp", "search", "overload"})
"""Phases in which a generator that is its own limit may be changed and the load tried again."""
SEVERAL = 1.1
"""Answers per arrival above which one arrival makes several requests: below, it is the edges of the step."""


class Progress(Protocol):
    """What a run tells whoever watches; see `live`."""

    def phase(self, name: str, offered: float | None, unit: str, seconds: float) -> None:
        """Announce that a phase or step begins."""

    def tick(self, rows: list[DigestRow]) -> None:
        """Take what the generator reported since the last look."""

    def done(self, name: str, offered: float | None, unit: str, window: ClientWindow, judgement: Judgement) -> None:
        """Take the result of a step."""

    def note(self, message: str) -> None:
        """Take a sentence for the user."""


@dataclass(frozen=True)
class Held:
    """What came of a step."""

    load: float
    window: ClientWindow
    judgement: Judgement
    drained: bool
    """False when requests were still in flight when the patience for them was over."""
    seconds: float
    """How long it was held, without draining."""
    outcome: Outcome
    """The same step under the search's goals."""
    forwarding_rps: float | None = None
    """Arrivals served per second while their queue grew; None when it did not."""
    void: str | None = None
    """Why the figures count for nothing: a load worker was lost meanwhile, or the generator had to be changed."""

    @property
    def trial(self) -> Trial:
        """The outcome alone."""
        return Trial(self.load, self.judgement.passed, self.judgement.gross)

    @property
    def silent(self) -> bool:
        """True when nothing was completed and the requests are still in flight."""
        return not self.drained and self.window.figures.ok + self.window.figures.failed == 0


@dataclass
class Stepper:
    """Holds load levels on a running session, one after the other."""

    session: Session
    slo: Slo
    progress: Progress
    sleep: Callable[[float], None] = time.sleep
    voids: Callable[[Held], str | None] = lambda _held: None
    """Asked before a step is recorded; a reason makes it void. See `escalation`."""
    _segment: int = 0
    _step: int = 0
    _rows: list[DigestRow] = field(default_factory=list)
    _far: bool = False
    """Some load comes from other hosts."""
    _losses_told: int = 0
    _noted: set[str] = field(default_factory=set)

    @property
    def open_model(self) -> bool:
        """True when arrivals per second are offered, False when users are."""
        return self.session.config.model == "rate"

    def hold(
        self,
        phase: Phase,
        load: float,
        seconds: float,
        *,
        patience_s: Callable[[], float | None],
        meanwhile: Callable[[], list[str]] | None = None,
    ) -> Held:
        """Hold a load level, judge it and record it.

        Args:
            phase: what the step is for.
            load: arrivals per second, or users.
            seconds: how long.
            patience_s: asked after a step that failed: how long its requests may take to be answered or given up, at
                most; None when nothing follows that they could disturb.
            meanwhile: done while the load is on; returns sentences for the user. It may outlast the step.

        Raises:
            TargetError: the target died; the step is recorded.
            MeasurementError: the generator or the recording failed.

        """
        generator = self.session.generator
        if generator is None:
            raise MeasurementError("the load generator was not started")
        self.progress.phase(phase, load, self._unit, seconds)
        t_start_s = self._offer(generator, load, seconds)
        t_end_s = t_start_s + seconds  # the load ends by itself then, whatever a profiler still has to write
        settle_s = min(SETTLE_SHARE * seconds, LONGEST_SETTLE_S)
        try:
            rows = self._watched(generator, t_end_s, seconds, meanwhile)
        except TargetError as error:
            self._record(phase, load, (t_start_s, settle_s, self.session.clock()), Judgement([str(error)], gross=True))
            raise
        held = self._judged(load, seconds, rows, client_figures(rows, t_start_s + settle_s, t_end_s))
        held = replace(held, void=self.losses(generator) or (self.voids(held) if phase in VOIDABLE else None))
        self._close(phase, held, (t_start_s, settle_s, t_end_s))
        return replace(held, drained=self._drained(generator, held, patience_s(), f"{load:.3g} {self._unit}"))

    @property
    def _unit(self) -> str:
        return "rps" if self.open_model else "users"

    def _offer(self, generator: Generator, load: float, seconds: float) -> float:
        """Put a load level in force; return when it begins."""
        try:
            if self.open_model:
                self._segment, t_start_s = generator.segment(
                    "rate", seconds, rate_rps=load, spacing=self.session.config.spacing
                )
            else:
                self._segment, t_start_s = generator.segment("users", seconds, users=round(load))
        except MeasurementError as error:
            raise self._silence(str(error)) from error
        return t_start_s

    def _watched(
        self, generator: Generator, t_end_s: float, seconds: float, meanwhile: Callable[[], list[str]] | None
    ) -> list[DigestRow]:
        """Wait for the end of a load level, with something to do meanwhile; return its rows."""
        for message in meanwhile() if meanwhile is not None else ():
            self.note(message)
        self._wait_until(t_end_s)
        generator.idle()
        return self._rows_of_segment(generator, seconds)

    def _close(self, phase: Phase, held: Held, times: tuple[float, float, float]) -> None:
        """Record a step and show it, as one that does not count where it is void; `times` as in `enter`."""
        judgement = held.judgement
        if held.void is not None:
            phase, judgement = "void", Judgement([held.void], gross=False)
            self.note(f"the step at {held.load:.3g} {self._unit} does not count: {held.void}")
        self._record(phase, held.load, times, judgement)
        self.progress.done(phase, held.load, self._unit, held.window, judgement)

    def _judged(self, load: float, seconds: float, rows: list[DigestRow], window: ClientWindow) -> Held:
        queue = backlog(rows) if self.open_model else Backlog(0, 0, 0)  # users wait for their answers: no queue
        judgement = judge(window, self.slo, queue if self.open_model else None)
        found = outcome(rows, queue, Limits(self.slo.p95_ms, self.slo.max_error_rate))
        served = typical_rps(served_while_queued(rows)) if self.open_model else None
        rate = None if served is None else served / _requests_per_arrival(rows, queue)
        return Held(load, window, judgement, drained=True, seconds=seconds, outcome=found, forwarding_rps=rate)

    def losses(self, generator: Generator) -> str | None:
        """Record the remote load workers that were lost since the last look; say what happened, None for nothing."""
        fresh = generator.lost[self._losses_told :]
        self._losses_told += len(fresh)
        for loss in fresh:
            self.session.event(
                "worker-lost", process=loss.process, name=loss.name, message=loss.message, segment=loss.segment
            )
        return "; ".join(loss.message for loss in fresh) or None

    def enter(
        self, phase: Phase, load: float, segment: int, times: tuple[float, float, float], judgement: Judgement
    ) -> None:
        """Record a step that was not held: a slice of a longer segment; `times` are start, settling time and end."""
        self._segment = segment
        self._record(phase, load, times, judgement)

    def note(self, message: str) -> None:
        """Record a sentence and tell it to the user; once."""
        if message in self._noted:
            return
        self._noted.add(message)
        self.session.event("note", message=message)
        self.progress.note(message)

    def _drained(self, generator: Generator, held: Held, patience_s: float | None, load: str) -> bool:
        """Wait until a step's requests are answered or given up, as long as what follows leaves time for.

        Also after a step that passed: what it left in flight, up to a second's work, would fail the next one.
        """
        if patience_s is None or (not self.open_model and held.judgement.passed):
            return True  # nothing follows that could be disturbed, or users that will wait for their answers anyway
        asked_s = self.session.clock()
        longest_s = SHORT_DRAIN_S if held.judgement.passed else DRAIN_S
        if generator.wait_drained(min(longest_s, max(patience_s, LEAST_DRAIN_S))):
            return True
        if held.judgement.passed:
            return True  # a slow app that keeps up: its queue is what it always is
        self.note(f"after {load}, requests were still in flight {self.session.clock() - asked_s:.0f} s later")
        return False

    def _wait_until(self, deadline_s: float) -> None:
        while (left_s := deadline_s - self.session.clock()) > 0:
            self.sleep(min(LOOK_S, left_s))
            self._look()

    def _look(self) -> None:
        self.session.check()
        if self.session.generator is not None:
            rows = self.session.generator.rows()
            self._rows.extend(rows)
            self._far = self._far or any("host" in row for row in rows)
            self.progress.tick(rows)

    def _rows_of_segment(self, generator: Generator, seconds: float) -> list[DigestRow]:
        """Wait until the digests of the segment in force cover its length, and return them.

        Raises:
            MeasurementError: most of it is missing after the grace: the generator, not the server, was silent.

        """
        asked_s = self.session.clock()
        lost = len(generator.lost)
        while True:
            self._look()
            rows = [row for row in self._rows if row["segment"] == self._segment]
            covered_s = sum(row["t1_s"] - row["t0_s"] for row in rows) / max(1, generator.parts)
            late_s = asked_s + (FAR_GRACE_S if self._far and len(generator.lost) == lost else ROWS_GRACE_S)
            if covered_s >= seconds - ROW_EDGE_S or self.session.clock() >= late_s:
                break
            self.sleep(LOOK_S / 4)
        if covered_s < LEAST_COVERAGE * seconds:
            raise self._silence(
                f"the load generator was silent for most of {seconds:.1f} s; see generator-0.log in the run folder"
            )
        self._rows.clear()
        return rows

    def _silence(self, message: str) -> MeasurementError:
        """Record that the generator is not heard any more, for the report to name it; return the error to raise."""
        self.session.event("generator-silent", message=message)
        return MeasurementError(message)

    def _record(self, phase: Phase, load: float, times: tuple[float, float, float], judgement: Judgement) -> None:
        t_start_s, settle_s, t_end_s = times
        self.session.event(
            "step",
            index=self._step,
            phase=phase,
            model=self.session.config.model,
            segment=self._segment,
            offered_rps=load if self.open_model else None,
            users=None if self.open_model else round(load),
            t_start_s=t_start_s,
            t_end_s=t_end_s,
            settle_s=settle_s,
            passed=judgement.passed,
            breaches=judgement.breaches,
            gross=judgement.gross,
        )
        self._step += 1


def _requests_per_arrival(rows: Sequence[DigestRow], queue: Backlog) -> float:
    """Return how many requests an arrival makes, as far as one step can tell; 1 unless clearly more."""
    answered = sum(entry["ok"] + entry["failed"] for row in rows for entry in row["names"].values())
    finished = queue.scheduled - queue.end
    return answered / finished if finished > 0 and answered > SEVERAL * finished else 1.0
