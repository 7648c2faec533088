"""The live run: warm up, baseline, ramp to failure, close in, overload, recover, profile. Concludes nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

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
from pinchpoint.commands.stepper import Held, Progress, Stepper
from pinchpoint.errors import TargetError
from pinchpoint.measures import Phase
from pinchpoint.stress.ramp import Slo, Trial, bracket, calmer_start, next_rate, next_users

FEWEST_ARRIVALS = 12
"""At a very low rate a step is held longer, up to `SLOWEST_FACTOR` times, so that it holds this many."""
SLOWEST_FACTOR = 3.0
MOST_USERS = 5_000
Outcome = Literal["failure-found", "out-of-time", "highest-load", "target-died"]


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
    _stepper: Stepper = field(init=False)
    _trials: list[Trial] = field(default_factory=list)
    _started_s: float = 0.0
    _start_rps: float = BASELINE_RPS
    _last: Held | None = None

    def __post_init__(self) -> None:
        self._stepper = Stepper(self.session, self.slo, self.progress, self.sleep)

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
            if self._last is not None:
                self._start_rps = calmer_start(BASELINE_RPS, self._last.window.goodput_rps, self._last.judgement)
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
        return self._stepper.open_model

    def _left_s(self) -> float:
        return self.plan.budget_s - (self.session.clock() - self._started_s)

    # --- the search -------------------------------------------------------------------------------------------------

    def _search(self) -> Outcome:
        while True:
            if self._last is not None and self._last.silent:
                self._stepper.note("the target answers nothing any more, so no further load was tried")
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
                self._stepper.note("the budget for the search is spent; a longer --budget narrows the bracket")
                if upper is None and self._start_rps < BASELINE_RPS:
                    self._stepper.note(
                        f"the warm-up at {BASELINE_RPS:.0f} rps broke; a longer --budget finds the load between"
                    )
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

    def _after_search(self) -> None:
        lower, upper = bracket(self._trials)
        limit = lower if upper is None else upper
        needed_s = self.plan.overload_s + (self._kept_s("overload") or 0.0)
        if upper is not None and self._open_model and self._left_s() < needed_s:
            self._stepper.note("no time left for an overload step; a longer --budget has room for it")
        elif upper is not None and self._open_model and not self._drained:
            self._stepper.note("no overload step: the target is still busy with what it was given before")
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
        profile, seconds = self.profile, self.plan.profile_s
        if profile is None:
            return
        self._hold(
            phase, load, seconds, lambda: profile(self.session, phase, round(seconds - PROFILER_START_S), cpu_share)
        )

    @property
    def _drained(self) -> bool:
        return self._last is None or self._last.drained

    def _hold(
        self, phase: Phase, load: float, seconds: float, meanwhile: Callable[[], list[str]] | None = None
    ) -> Trial:
        def patience_s() -> float | None:
            kept_s = self._kept_s(phase)
            return None if kept_s is None else self._left_s() - kept_s

        self._last = self._stepper.hold(phase, load, seconds, patience_s=patience_s, meanwhile=meanwhile)
        return self._last.trial

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
