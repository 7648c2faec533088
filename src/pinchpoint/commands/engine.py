"""The live run: warm up, baseline, ramp to failure, close in, overload, recover, profile. Records, concludes nothing.

Every load level is a *step*: told to the generator, held, judged by the client's figures, written to the recording.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.commands.plan import (
    BASELINE_RPS,
    HIGHEST_RATE_RPS,
    LIMIT_PROFILE_FACTOR,
    LOW_PROFILE_FACTOR,
    OVERLOAD_FACTOR,
    PROFILER_START_S,
    SEARCH_WIDTH,
    STOP_S,
    Plan,
)
from pinchpoint.commands.session import Session
from pinchpoint.errors import MeasurementError, TargetError
from pinchpoint.measures import Phase
from pinchpoint.rows import DigestRow
from pinchpoint.stress.generator import Generator
from pinchpoint.stress.ramp import (
    Judgement,
    Slo,
    Trial,
    backlog,
    bracket,
    calmer_start,
    judge,
    next_rate,
    next_users,
)

LOOK_S = 0.1
"""How often the engine looks at its children while a step runs."""
ROWS_GRACE_S = 1.5
"""How long after a step its last digest may take to arrive."""
ROW_EDGE_S = 0.02
"""Clocks are read a moment apart at either end of a segment."""
LEAST_COVERAGE = 0.5
"""Share of a step that digests must cover: below it the generator, not the server, was silent."""
DRAIN_S = 10.0
"""The client's timeout: what is in flight for longer is given up."""
LEAST_DRAIN_S = 1.0
FEWEST_ARRIVALS = 12
"""At a very low rate a step is held longer, up to `SLOWEST_FACTOR` times, so that it holds this many."""
SLOWEST_FACTOR = 3.0
MOST_USERS = 5_000
SETTLE_SHARE = 0.25
LONGEST_SETTLE_S = 1.0
Outcome = Literal["failure-found", "out-of-time", "highest-load", "target-died"]


class Progress(Protocol):
    """What the engine tells whoever watches; see `live`."""

    def phase(self, name: str, offered: float | None, unit: str, seconds: float) -> None:
        """Announce that a phase or step begins."""

    def tick(self, rows: list[DigestRow]) -> None:
        """Take what the generator reported since the last look."""

    def done(self, name: str, offered: float | None, unit: str, window: ClientWindow, judgement: Judgement) -> None:
        """Take the result of a step."""

    def note(self, message: str) -> None:
        """Take a sentence for the user."""


@dataclass
class Engine:
    """Drives one session through the phases of a plan."""

    session: Session
    plan: Plan
    slo: Slo
    progress: Progress
    profile: Callable[[Session, Phase, float, float], list[str]] | None
    """(session, phase, seconds, expected CPU share) -> sentences about what could not be profiled."""
    sleep: Callable[[float], None] = time.sleep
    _segment: int = 0
    _step: int = 0
    _rows: list[DigestRow] = field(default_factory=list)
    _trials: list[Trial] = field(default_factory=list)
    _noted: set[str] = field(default_factory=set)
    _started_s: float = 0.0
    _start_rps: float = BASELINE_RPS
    _seen: tuple[ClientWindow, Judgement] | None = None
    """What came of the last step."""
    _stuck: bool = False
    """Requests of the last step were still in flight when the patience for them was over."""

    def run(self, started_s: float) -> Outcome:
        """Run all phases; `started_s` is when the budget began to be spent.

        Raises:
            TargetError: the target died before a baseline was measured.
            MeasurementError: the generator or the recording failed.

        """
        self._started_s = started_s
        session = self.session
        self.progress.phase("start the target", None, "", self.plan.boot_s)
        seconds = session.start_target(self.plan.boot_s)
        self.progress.note(f"target ready after {seconds:.1f} s at {session.plan.base_url}")
        session.start_generator(self.plan.boot_s)
        try:
            self._hold("warmup", self._low_load(), self.plan.warmup_s)
            if self._seen is not None:
                self._start_rps = calmer_start(BASELINE_RPS, self._seen[0].goodput_rps, self._seen[1])
            self._trials.append(self._baseline())
        except TargetError as error:
            raise TargetError(f"before a baseline was measured, {error}") from None
        return self._measure()

    def _baseline(self) -> Trial:
        """Hold the low load; twice for a slow app that was still busy with what clients of the warm-up gave up on."""
        low = self._low_load()
        seconds = self._long_enough(self.plan.baseline_s, low)
        trial = self._hold("baseline", low, seconds)
        again = not trial.passed and self._open_model and low < BASELINE_RPS
        if again and self._left_s() > seconds + self.plan.reserve_s:
            trial = self._hold("baseline", low, seconds)
        return trial

    def _measure(self) -> Outcome:
        try:
            outcome = self._search()
            self._after_search()
        except TargetError as error:
            self.progress.note(str(error))
            return "target-died"
        return outcome

    def _low_load(self) -> float:
        return self._start_rps if self._open_model else float(self.session.config.users[0])

    @property
    def _open_model(self) -> bool:
        return self.session.config.model == "rate"

    def _left_s(self) -> float:
        return self.plan.budget_s - (self.session.clock() - self._started_s)

    # --- the search -------------------------------------------------------------------------------------------------

    def _search(self) -> Outcome:
        while True:
            if self._silent:
                self._note("the target answers nothing any more, so no further load was tried")
                return "failure-found"
            load = self._next_load()
            lower, upper = bracket(self._trials)
            if load is None:
                return "failure-found" if upper is not None else "highest-load"
            phase: Phase = "ramp" if upper is None or lower is None else "search"
            seconds = self._long_enough(self._step_seconds(phase), load)
            # Finding the limit comes before pressing beyond it: until it is found, overload's time is the ramp's.
            reserve_s = self.plan.reserve_s - (self.plan.overload_s if upper is None else 0.0)
            if self._left_s() < seconds + reserve_s:
                self._note("the budget for the search is spent; a longer --budget narrows the bracket")
                if upper is None and self._start_rps < BASELINE_RPS:
                    self._note(f"the warm-up at {BASELINE_RPS:.0f} rps broke; a longer --budget finds the load between")
                return "out-of-time" if upper is None else "failure-found"
            self._trials.append(self._hold(phase, load, seconds))

    def _next_load(self) -> float | None:
        if self._open_model:
            return next_rate(self._trials, start=self._start_rps, highest=HIGHEST_RATE_RPS, width=SEARCH_WIDTH)
        # The baseline already held the first step's population.
        return next_users(self._trials, steps=self.session.config.users, highest=MOST_USERS)

    def _step_seconds(self, phase: Phase) -> float:
        if self.session.config.dwell_s is not None:
            return self.session.config.dwell_s
        return self.plan.ramp_s if phase == "ramp" and self._open_model else self.plan.trial_s

    def _long_enough(self, seconds: float, load: float) -> float:
        """Hold a step of very few arrivals a while longer."""
        if not self._open_model or self.session.config.dwell_s is not None:
            return seconds
        return max(seconds, min(FEWEST_ARRIVALS / load, seconds * SLOWEST_FACTOR))

    @property
    def _silent(self) -> bool:
        """True when the last step completed nothing and its requests are still in flight."""
        figures = self._seen[0].figures if self._seen is not None else None
        return self._stuck and figures is not None and figures.ok + figures.failed == 0

    def _after_search(self) -> None:
        lower, upper = bracket(self._trials)
        limit = lower if upper is None else upper
        needed_s = self.plan.overload_s + (self._kept_s("overload") or 0.0)
        if upper is not None and self._open_model and self._left_s() < needed_s:
            self._note("no time left for an overload step; a longer --budget has room for it")
        elif upper is not None and self._open_model and self._stuck:
            self._note("no overload step: the target is still busy with what it was given before")
        elif upper is not None and self._open_model:
            self._hold("overload", upper * OVERLOAD_FACTOR, self.plan.overload_s)
        if upper is not None:
            self._hold("recovery", self._low_load(), self.plan.recovery_s)
        if self.profile is not None and limit is not None:
            low = max(limit * LOW_PROFILE_FACTOR, 1.0)
            near = max((lower or limit) * LIMIT_PROFILE_FACTOR, 1.0) if lower is not None else limit
            self._profiled("profile-baseline", low, LOW_PROFILE_FACTOR)
            self._profiled("profile-limit", near, 1.0)

    def _profiled(self, phase: Phase, load: float, cpu_share: float) -> None:
        if self._left_s() < self.plan.profile_s + 1.0:
            self.progress.note(f"no time left for {phase}; a longer --budget has room for it")
            return
        self._hold(phase, load, self.plan.profile_s, profile_share=cpu_share)

    # --- one step ---------------------------------------------------------------------------------------------------

    def _hold(self, phase: Phase, load: float, seconds: float, profile_share: float | None = None) -> Trial:
        session, unit = self.session, "rps" if self._open_model else "users"
        generator = session.generator
        if generator is None:
            raise MeasurementError("the load generator was not started")
        self.progress.phase(phase, load, unit, seconds)
        if self._open_model:
            self._segment, t_start_s = generator.segment("rate", seconds, rate_rps=load)
        else:
            self._segment, t_start_s = generator.segment("users", seconds, users=round(load))
        settle_s = min(SETTLE_SHARE * seconds, LONGEST_SETTLE_S)
        try:
            if profile_share is not None and self.profile is not None:
                for message in self.profile(session, phase, round(seconds - PROFILER_START_S), profile_share):
                    self._note(message)
            self._wait_until(t_start_s + seconds)
            t_end_s = t_start_s + seconds  # the load ended by itself then, whatever a profiler still had to write
            generator.idle()
            rows = self._rows_of_segment(seconds)
        except TargetError as error:
            died = Judgement([str(error)], gross=True)
            self._record(phase, load, (t_start_s, settle_s, session.clock()), died)
            raise
        window = client_figures(rows, t_start_s + settle_s, t_end_s)
        judgement = judge(window, self.slo, backlog(rows) if self._open_model else None)
        self._record(phase, load, (t_start_s, settle_s, t_end_s), judgement)
        self.progress.done(phase, load, unit, window, judgement)
        self._seen = (window, judgement)
        self._stuck = not judgement.passed and not self._drained(generator, phase, f"{load:.3g} {unit}")
        return Trial(load, judgement.passed, judgement.gross)

    def _drained(self, generator: Generator, phase: Phase, load: str) -> bool:
        """Wait until a failed step's requests are answered or given up, as long as what follows leaves time for."""
        kept_s = self._kept_s(phase)
        if kept_s is None:
            return True  # nothing follows that could be disturbed
        asked_s = self.session.clock()
        if generator.wait_drained(min(DRAIN_S, max(self._left_s() - kept_s, LEAST_DRAIN_S))):
            return True
        self._note(f"after {load}, requests were still in flight {self.session.clock() - asked_s:.0f} s later")
        return False

    def _kept_s(self, phase: Phase) -> float | None:
        """Return the time that the steps after this one need; None when there are none."""
        profiles_s = 2 * self.plan.profile_s if self.profile is not None else 0.0
        following = {
            "overload": self.plan.recovery_s + profiles_s + STOP_S,
            "recovery": profiles_s + STOP_S if profiles_s else None,
            "profile-baseline": self.plan.profile_s + STOP_S,
            "profile-limit": None,
        }
        return following.get(phase, self.plan.reserve_s)

    def _note(self, message: str) -> None:
        if message in self._noted:
            return
        self._noted.add(message)
        self.session.event("note", message=message)
        self.progress.note(message)

    def _wait_until(self, deadline_s: float) -> None:
        while (left_s := deadline_s - self.session.clock()) > 0:
            self.sleep(min(LOOK_S, left_s))
            self._look()

    def _look(self) -> None:
        self.session.check()
        if self.session.generator is not None:
            rows = self.session.generator.rows()
            self._rows.extend(rows)
            self.progress.tick(rows)

    def _rows_of_segment(self, seconds: float) -> list[DigestRow]:
        """Wait until the digests of the segment in force cover its length, and return them.

        Raises:
            MeasurementError: most of it is missing after the grace: the generator, not the server, was silent.

        """
        deadline_s = self.session.clock() + ROWS_GRACE_S
        while True:
            self._look()
            rows = [row for row in self._rows if row["segment"] == self._segment]
            covered_s = sum(row["t1_s"] - row["t0_s"] for row in rows) / self.session.config.processes
            if covered_s >= seconds - ROW_EDGE_S or self.session.clock() >= deadline_s:
                break
            self.sleep(LOOK_S / 4)
        if covered_s < LEAST_COVERAGE * seconds:
            raise MeasurementError(
                f"the load generator was silent for most of {seconds:.1f} s; see generator-0.log in the run folder"
            )
        self._rows.clear()
        return rows

    def _record(self, phase: Phase, load: float, times: tuple[float, float, float], judgement: Judgement) -> None:
        t_start_s, settle_s, t_end_s = times
        self.session.event(
            "step",
            index=self._step,
            phase=phase,
            model=self.session.config.model,
            segment=self._segment,
            offered_rps=load if self._open_model else None,
            users=None if self._open_model else round(load),
            t_start_s=t_start_s,
            t_end_s=t_end_s,
            settle_s=settle_s,
            passed=judgement.passed,
            breaches=judgement.breaches,
        )
        self._step += 1
