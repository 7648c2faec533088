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
from pinchpoint.goals import Limits, three_goals
from pinchpoint.measures import Phase
from pinchpoint.stress.ramp import Slo, Trial, bracket, calmer_start, next_users
from pinchpoint.stress.search import OVERHEAD_S, Ask, Measured, Search

FEWEST_ARRIVALS = 12
"""At a very low rate a step is held longer, up to `SLOWEST_FACTOR` times, so that it holds this many."""
SLOWEST_FACTOR = 3.0
MOST_USERS = 5_000
NEAR = 0.9
"""A forwarding rate so far below a load that held comes from a collapse, or from a disturbed step."""
MOST_SLICES = 4
SHORTEST_SLICE_S = 4.0
"""A warm-up long enough is held in slices of at least this, and ends when it has nothing left to warm."""
ALIKE = 1.2
"""p90 of one slice over the next one's: above, the app is still getting faster."""
DRIFT_SHARE = 0.7
"""Of the limit, at most: the load that is held again at the end, to see whether the app is still the one it was."""
MOST_VOIDS = 4
"""A load that was voided this often is not tried again."""
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
    voids: Callable[[Held], str | None] | None = None
    """Asked after every step that sets capacity: why it counts for nothing, because the generator was its own limit and
    has been changed; see `escalation`. The same load is then tried again."""
    after_warmup: Callable[[], None] | None = None
    """Done while the target rests after the warm-up; see `calibrate`."""
    _stepper: Stepper = field(init=False)
    _search: Search = field(init=False)
    _trials: list[Trial] = field(default_factory=list)
    _measured: list[Measured] = field(default_factory=list)
    _started_s: float = 0.0
    _start_rps: float = BASELINE_RPS
    _last: Held | None = None

    def __post_init__(self) -> None:
        self._stepper = Stepper(self.session, self.slo, self.progress, self.sleep)
        if self.voids is not None:
            self._stepper.voids = self.voids
        limits = Limits(self.slo.p95_ms, self.slo.max_error_rate)
        dwell_s = self.session.config.dwell_s
        trial_s = self.plan.trial_s if dwell_s is None else dwell_s
        goals = three_goals(limits, trial_s, self.plan.sum_s if dwell_s is None else dwell_s, SEARCH_WIDTH)
        ramp_s = self.plan.ramp_s if dwell_s is None else dwell_s
        self._search = Search(goals, ramp_s, self._start_rps, HIGHEST_RATE_RPS, dwell_s)

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
            self._warm_up()
            if self.after_warmup is not None:
                self.after_warmup()
            if self._last is not None:
                self._start_rps = calmer_start(BASELINE_RPS, self._last.window.goodput_rps, self._last.judgement)
                self._search.start = self._start_rps
            self._count(self._baseline())
        except TargetError as error:
            raise TargetError(f"before a baseline was measured, {error}") from None
        return self._measure()

    def _warm_up(self) -> None:
        """Hold the low load until two slices in a row look alike, for the phase's whole time at most."""
        slices = min(MOST_SLICES, max(1, int(self.plan.warmup_s / SHORTEST_SLICE_S)))
        before = None
        for _ in range(slices):
            self._hold("warmup", self._low_load(), self.plan.warmup_s / slices)
            latency = self._last.window.latency if self._last is not None else None
            if latency is not None and before is not None and before <= latency.p90 * ALIKE:
                return
            before = None if latency is None else latency.p90
        if slices > 1:
            self._stepper.note("the app was still getting faster when the warm-up's time was over")

    def _baseline(self) -> Held:
        """Hold the low load; twice for a slow app that was still busy with what clients of the warm-up gave up on."""
        low = self._low_load()
        seconds = self._long_enough(self.plan.baseline_s, low)
        held = self._hold("baseline", low, seconds)
        again = not held.judgement.passed and self._open_model and low < BASELINE_RPS
        if held.void is not None or (again and self._left_s() > seconds + self.plan.reserve_s):
            held = self._hold("baseline", low, seconds)
        return held

    def _count(self, held: Held) -> None:
        """Let a step set the capacity."""
        self._trials.append(held.trial)
        self._measured.append(
            Measured(
                load=held.load,
                seconds=held.seconds,
                passed=held.judgement.passed,
                gross=held.judgement.gross,
                outcome=held.outcome,
                queued=held.judgement.queued,
                forwarding_rps=held.forwarding_rps,
            )
        )

    def _measure(self) -> Outcome:
        try:
            outcome = self._find()
            while self._after_search():
                outcome = self._find()
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

    def _find(self) -> Outcome:
        voids = 0
        while True:
            if self._last is not None and self._last.silent:
                self._stepper.note("the target answers nothing any more, so no further load was tried")
                return "failure-found"
            ask = self._next()
            upper = self._bounds()[1]
            if ask is None:
                self._hold_again()
                return self._why(upper)
            held = self._hold(ask.phase, ask.load, ask.seconds)
            if held.void is None:
                self._count(held)
                continue
            voids += 1
            if voids > MOST_VOIDS:
                self._stepper.note("the load generator was disturbed again and again; the search ends here")
                return "out-of-time" if upper is None else "failure-found"

    def _hold_again(self) -> None:
        """Try an early load once more where time is left: what a run changed in the app is a drift (METHOD §1.2)."""
        lower = self._bounds()[0]
        if not self._open_model or lower is None or self._search.stopped != "width":
            return
        early = [each for each in self._measured if each.passed and each.load <= DRIFT_SHARE * lower]
        if not early:
            return
        load = max(each.load for each in early)
        seconds = self._search.seconds(load, self._search.ramp_s)
        if self._left_s() - self.plan.reserve_s >= seconds + OVERHEAD_S:
            held = self._hold("search", load, seconds)
            if held.void is None:
                self._count(held)

    def _next(self) -> Ask | None:
        upper = self._bounds()[1]
        # Finding the limit comes before pressing beyond it: until it is found, overload's time is the ramp's.
        left_s = self._left_s() - self.plan.reserve_s + (self.plan.overload_s if upper is None else 0.0)
        if self._open_model:
            return self._search.next(self._measured, left_s)
        # The baseline already held the first step's population.
        users = next_users(self._trials, steps=self.session.config.users, highest=MOST_USERS)
        seconds = self.session.config.dwell_s or self.plan.trial_s
        self._search.stopped = "highest" if users is None else "time" if seconds + OVERHEAD_S > left_s else ""
        return Ask(float(users), seconds, "ramp", "slo") if users is not None and not self._search.stopped else None

    def _bounds(self) -> tuple[float | None, float | None]:
        return self._search.bounds(self._measured) if self._open_model else bracket(self._trials)

    def _why(self, upper: float | None) -> Outcome:
        """Tell why the search ended, and what it makes of the run."""
        if self._search.stopped != "time":
            return "failure-found" if upper is not None else "highest-load"
        slo = next(result for result in self._search.results(self._measured) if result.goal.name == "slo")
        settled = slo.lower is not None and slo.upper is not None and slo.upper <= slo.lower * (1 + slo.goal.width)
        if settled:
            self._stepper.note("no time left to narrow the strict and the breaking goal; a longer --budget has room")
        else:
            self._stepper.note("the budget for the search is spent; a longer --budget narrows the bracket")
        if upper is None and self._start_rps < BASELINE_RPS:
            self._stepper.note(f"the warm-up at {BASELINE_RPS:.0f} rps broke; a longer --budget finds the load between")
        return "out-of-time" if upper is None else "failure-found"

    def _long_enough(self, seconds: float, load: float) -> float:
        """Hold a step of very few arrivals a while longer."""
        if not self._open_model or self.session.config.dwell_s is not None:
            return seconds
        return max(seconds, min(FEWEST_ARRIVALS / load, seconds * SLOWEST_FACTOR))

    def _after_search(self) -> bool:
        """Press beyond the limit, let it recover, profile; True when the overload held, so that the search goes on."""
        if not self.plan.overload_s and self.profile is None:
            return False
        lower, upper = self._bounds()
        if upper is not None and self._open_model and self._overload_held(lower, upper):
            return True
        if upper is not None:
            self._hold("recovery", self._low_load(), self.plan.recovery_s)
        limit = lower if upper is None else upper
        if self.profile is not None and limit is not None:
            low = max(limit * LOW_PROFILE_FACTOR, 1.0)
            near = max((lower or limit) * LIMIT_PROFILE_FACTOR, 1.0) if lower is not None else limit
            self._profiled("profile-baseline", low, LOW_PROFILE_FACTOR)
            self._profiled("profile-limit", near, 1.0)
        return False

    def _overload_held(self, lower: float | None, upper: float) -> bool:
        """Hold 1.5 times the capacity; True when that is answered and there is time to search above it."""
        needed_s = self.plan.overload_s + (self._kept_s("overload") or 0.0)
        if self._left_s() < needed_s:
            self._stepper.note("no time left for an overload step; a longer --budget has room for it")
        elif not self._drained:
            self._stepper.note("no overload step: the target is still busy with what it was given before")
        else:
            load = OVERLOAD_FACTOR * self._capacity(lower, upper)
            held = self._hold("overload", load, self._long_enough(self.plan.overload_s, load))
            if held.void is None and held.judgement.passed and load > upper:
                self._count(held)
                return self._left_s() - self.plan.reserve_s >= self._search.ramp_s
        return False

    def _capacity(self, lower: float | None, upper: float) -> float:
        """Return about where goodput levels off: what was served while a queue grew, unless a lighter load did better.

        A limit that is not a queue's (errors, latency) has no such rate; there the load that broke stands for it.
        """
        guess = self._search.guess(self._measured)
        return upper if guess is None or (lower is not None and guess < NEAR * lower) else guess

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
    ) -> Held:
        def patience_s() -> float | None:
            kept_s = self._kept_s(phase)
            return None if kept_s is None else self._left_s() - kept_s

        self._last = self._stepper.hold(phase, load, seconds, patience_s=patience_s, meanwhile=meanwhile)
        return self._last

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
