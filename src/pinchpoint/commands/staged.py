"""`run --stages`: offer the user's load profile, watch its limits each second, record slices of it as steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pinchpoint.clientstats import client_figures
from pinchpoint.commands.plan import BASELINE_RPS, STOP_S
from pinchpoint.commands.session import Session
from pinchpoint.commands.stepper import LOOK_S, Progress, Stepper
from pinchpoint.commands.watch import Stop, Watch
from pinchpoint.errors import MeasurementError, TargetError, UsageError
from pinchpoint.measures import Phase
from pinchpoint.rows import DigestRow
from pinchpoint.seconds import GRACE_S
from pinchpoint.stress.autostop import Criterion
from pinchpoint.stress.generator import Generator
from pinchpoint.stress.ramp import Backlog, Judgement, Slo, judge
from pinchpoint.stress.stages import LoadProfile
from pinchpoint.stress.thresholds import Threshold

WARMUP_S = 2.0
BASELINE_S = 3.0
RECOVERY_S = 4.0
LEAST_OVERHEAD_S = 20.0
"""A quick boot, warm-up, calibration, baseline, recovery and the end: what a budget must hold beside the stages."""
OVERHEAD_S = 60.0
"""The same with a slow boot and a queue to drain: what a run without a budget may take."""
LONGEST_BOOT_S = 40.0
LOW_SHARE = 0.1
"""Warm-up and baseline stay this far below the profile's peak."""
LEAST_SLICE_S, MOST_SLICE_S = 2.0, 5.0
EDGE_S = 0.1
"""Rows end on whole seconds, give or take this."""
AHEAD_S = 0.3
"""The next population is announced this long before it takes force."""
Outcome = Literal["completed", "stopped", "out-of-time", "target-died"]


def stages_budget(profile: LoadProfile, asked_s: float | None) -> float:
    """Return the budget of a staged run: what was asked for, or as long as the stages need.

    Raises:
        UsageError: the stages do not fit into what was asked for.

    """
    if asked_s is None:
        return profile.seconds + OVERHEAD_S
    least_s = profile.seconds + LEAST_OVERHEAD_S
    if asked_s < least_s:
        raise UsageError(
            f"--budget {asked_s:g}s is too short: the stages take {profile.seconds:g} s, and starting, warming up and "
            f"ending about {LEAST_OVERHEAD_S:g} s; give at least {least_s:.0f}s, or leave --budget out"
        )
    return asked_s


@dataclass
class Staged:
    """Drives one session through a load profile."""

    session: Session
    profile: LoadProfile
    slo: Slo
    progress: Progress
    thresholds: tuple[Threshold, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    sleep: Callable[[float], None] = time.sleep
    after_warmup: Callable[[], None] | None = None
    """Done between warm-up and baseline, with nothing offered; see `calibrate`."""
    stop: Stop | None = None
    """Why it ended early."""
    _stepper: Stepper = field(init=False)
    _started_s: float = 0.0
    _begun_s: float = 0.0
    _segment: int = 0
    _rows: list[DigestRow] = field(default_factory=list)
    _slices: list[tuple[float, float]] = field(default_factory=list)
    _backlog: dict[float, int] = field(default_factory=dict)
    _unclaimed: int = 0
    _inflight: dict[int, int] = field(default_factory=dict)
    _lost_at_s: list[float] = field(default_factory=list)
    _populations: list[tuple[float, float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stepper = Stepper(self.session, self.slo, self.progress, self.sleep)

    def run(self, started_s: float) -> Outcome:
        """Run it; `started_s` is when the budget began to be spent.

        Raises:
            TargetError: the target died before the stages began.
            MeasurementError: the generator or the recording failed.

        """
        self._started_s = started_s
        session = self.session
        boot_s = min(LONGEST_BOOT_S, session.config.budget_s / 2)
        self.progress.phase("start the target", None, "", boot_s)
        seconds = session.start_target(boot_s)
        self.progress.note(f"target ready after {seconds:.1f} s at {session.plan.base_url}")
        session.start_generator(boot_s)
        try:
            self._hold("warmup", WARMUP_S)
            if self.after_warmup is not None:
                self.after_warmup()
            self._hold("baseline", BASELINE_S)
        except TargetError as error:
            raise TargetError(f"before the stages began, {error}") from None
        return self._measure()

    def _measure(self) -> Outcome:
        try:
            outcome = self._press()
            if self._left_s() > RECOVERY_S + STOP_S:
                self._drain()
                self._hold("recovery", min(RECOVERY_S, self._left_s() - STOP_S))
        except TargetError as error:
            self.progress.note(str(error))
            return "target-died"
        return outcome

    @property
    def _open_model(self) -> bool:
        return self._stepper.open_model

    def _left_s(self) -> float:
        return self.session.config.budget_s - (self.session.clock() - self._started_s)

    def _low(self) -> float:
        low = LOW_SHARE * self.profile.peak
        return min(BASELINE_RPS, max(low, 1.0)) if self._open_model else 1.0

    def _hold(self, phase: Phase, seconds: float) -> None:
        self._stepper.hold(phase, self._low(), seconds, patience_s=lambda: max(0.0, self._left_s() - STOP_S))

    def _drain(self) -> None:
        generator = self._generator
        generator.idle()
        if not generator.wait_drained(min(10.0, max(1.0, self._left_s() - RECOVERY_S - STOP_S))):
            self._stepper.note("requests were still in flight when the recovery began")

    @property
    def _generator(self) -> Generator:
        if self.session.generator is None:
            raise MeasurementError("the load generator was not started")
        return self.session.generator

    # --- the profile ------------------------------------------------------------------------------------------------

    def _press(self) -> Outcome:
        """Offer the profile until its end, a reason to stop, or the end of the budget."""
        generator, session = self._generator, self.session
        self._slices = self.profile.slices(LEAST_SLICE_S, MOST_SLICE_S)
        self._begin(generator)
        end_s = self._begun_s + self.profile.seconds
        watch = Watch(self._begun_s, lambda: generator.parts, self.thresholds, self.criteria, session.config.max_users)
        out_of_time = False
        try:
            while session.clock() < end_s and self.stop is None and not out_of_time:
                self._tick(generator, watch)
                self.stop = watch.look(session.clock())
                out_of_time = self._left_s() < STOP_S
        except TargetError as error:
            self._enter_slices(min(session.clock(), end_s), cut=True, died=str(error))
            raise
        end_s = min(end_s, session.clock())
        generator.idle()
        self._settle(generator, watch, end_s)
        for message in watch.news():
            self._stepper.note(message)
        if self.stop is not None:
            self._tell_stop(self.stop)
            return "stopped"
        if out_of_time:
            self._stepper.note("the budget ended before the stages did")
            return "out-of-time"
        return "completed"

    def _begin(self, generator: Generator) -> None:
        session, spacing = self.session, self.session.config.spacing
        if self._open_model:
            self._segment, self._begun_s = generator.segment(
                "rate", self.profile.seconds, curve=self.profile.curve, spacing=spacing
            )
        else:
            self._populations = self.profile.populations()
            first = self._populations.pop(0)
            self._segment, self._begun_s = generator.segment("users", first[1] - first[0], users=first[2])
        stages = [
            {
                "name": stage.name,
                "kind": stage.kind,
                "start_s": begun_s,
                "seconds": stage.seconds,
                "from": stage.start,
                "to": stage.end,
            }
            for stage, begun_s in zip(self.profile.stages, self.profile.borders, strict=False)
        ]
        spikes = [
            {"start_s": one.start_s, "end_s": one.end_s, "base": one.base, "peak": one.peak}
            for one in self.profile.spikes()
        ]
        session.event(
            "stages",
            text=self.profile.text,
            model=session.config.model,
            t_start_s=self._begun_s,
            seconds=self.profile.seconds,
            stages=stages,
            spikes=spikes,
        )

    def _tick(self, generator: Generator, watch: Watch) -> None:
        """Wait a moment, see that all live, and take in what came."""
        session = self.session
        self.sleep(LOOK_S)
        session.check()
        rows = [row for row in generator.rows() if row["t0_s"] >= self._begun_s - LOOK_S]
        self._take(rows)
        watch.feed(rows, session.sampler.latest if session.sampler is not None else None)
        self.progress.tick(rows)
        now_s = session.clock() - self._begun_s
        self._announce(generator, now_s)
        self._notice_losses(generator, now_s)
        unit = "rps" if self._open_model else "users"
        self.progress.phase("stage", self.profile.level(max(0.0, now_s)), unit, self.profile.seconds - now_s)
        self._enter_slices(session.clock() - GRACE_S)

    def _announce(self, generator: Generator, now_s: float) -> None:
        """Put the next population in force, from exactly where the last one ends."""
        if self._populations and now_s >= self._populations[0][0] - AHEAD_S:
            begin_s, end_s, users = self._populations.pop(0)
            at_s = self._begun_s + begin_s
            self._segment, _ = generator.segment("users", end_s - begin_s, users=users, at_s=at_s)

    def _notice_losses(self, generator: Generator, now_s: float) -> None:
        """Share a lost load worker's part among the others; the slice it fell into does not count."""
        said = self._stepper.losses(generator)
        if said is None:
            return
        self._lost_at_s.append(now_s)
        self._stepper.note(said)
        pieces = self.profile.rest(now_s)
        if pieces and self._open_model:
            seconds = sum(float(piece[-1]) for piece in pieces)
            self._segment, _ = generator.segment("rate", seconds, curve=pieces, spacing=self.session.config.spacing)

    def _settle(self, generator: Generator, watch: Watch, end_s: float) -> None:
        """Wait for the last rows, and judge what they complete."""
        deadline_s = self.session.clock() + GRACE_S
        while self.session.clock() < deadline_s:
            self.sleep(LOOK_S)
            self.session.check()
            rows = generator.rows()
            self._take(rows)
            watch.feed(rows, None)
            if max((row["t1_s"] for row in self._rows), default=0.0) >= end_s - LOOK_S:
                break
        if self.stop is None:
            self.stop = watch.look(self.session.clock() + GRACE_S, end_s)
        self._enter_slices(end_s, cut=True)

    def _tell_stop(self, stop: Stop) -> None:
        t_s = stop.since_s - self._begun_s
        load = self.profile.mean(t_s, t_s + 1.0)
        good_s = None if stop.last_good_s is None else stop.last_good_s - self._begun_s
        good = None if good_s is None else self.profile.mean(good_s, good_s + 1.0)
        where = f"{load:.3g} {'rps' if self._open_model else 'users'}"
        self.session.event(
            "stop",
            criterion=stop.criterion,
            message=stop.message,
            offered_rps=load if self._open_model else None,
            users=None if self._open_model else round(load),
            since_s=stop.since_s,
            at_s=stop.at_s,
            second=t_s,
            last_good_s=good_s,
            last_good_load=good,
        )
        self.progress.note(f"stopped at {where}, second {t_s:.0f}: {stop.message} ({stop.criterion})")

    # --- slices -----------------------------------------------------------------------------------------------------

    def _take(self, rows: list[DigestRow]) -> None:
        """Keep rows for their slice, and the queue at the end of each."""
        self._rows += rows
        for row in sorted(rows, key=lambda row: row["t1_s"]):
            self._unclaimed += row["scheduled"] - row["started"]
            self._inflight[row["process"]] = row["inflight"]
            self._backlog[row["t1_s"]] = self._unclaimed + sum(self._inflight.values())

    def _enter_slices(self, until_s: float, *, cut: bool = False, died: str | None = None) -> None:
        """Record the slices that ended by then; with `cut` also the one that the end of the load cut short."""
        until = until_s - self._begun_s
        while self._slices and self._slices[0][1] <= until + EDGE_S:
            self._enter(*self._slices.pop(0))
        if cut and self._slices and until - self._slices[0][0] >= LEAST_SLICE_S / 2:
            self._enter(self._slices[0][0], until, died)

    def _enter(self, begun_s: float, over_s: float, died: str | None = None) -> None:
        t0_s, t1_s = self._begun_s + begun_s, self._begun_s + over_s
        load = self.profile.mean(begun_s, over_s)
        window = client_figures(self._rows, t0_s, t1_s)
        queue = self._queue(t0_s, t1_s, window.figures.scheduled) if self._open_model else None
        judgement = judge(window, self.slo, queue) if died is None else Judgement([died], gross=True)
        lost = any(begun_s <= t_s < over_s for t_s in self._lost_at_s)
        if lost:
            judgement = Judgement(["a load worker was lost in it"], gross=False)
        phase: Phase = "void" if lost else "stage"
        if load > 0 or window.figures.started:
            self._stepper.enter(phase, load, self._segment, (t0_s, 0.0, t1_s), judgement)
            self.progress.done(phase, load, "rps" if self._open_model else "users", window, judgement)
        self._rows = [row for row in self._rows if row["t1_s"] > t1_s - 1.0]
        self._backlog = {t_s: length for t_s, length in self._backlog.items() if t_s > t1_s - 1.0}

    def _queue(self, t0_s: float, t1_s: float, scheduled: int) -> Backlog:
        def at(t_s: float) -> int:
            known = [moment for moment in self._backlog if moment <= t_s + EDGE_S]
            return self._backlog[max(known)] if known else 0

        middle_s = (t0_s + t1_s) / 2
        # What is in flight grows with a load that rises (Little), and that is no queue.
        midway, end = (self.profile.level(t_s - self._begun_s) for t_s in (middle_s, t1_s - EDGE_S))
        rise = max(1.0, end / midway) if midway > 0 else 1.0
        return Backlog(scheduled, round(at(middle_s) * rise), at(t1_s))
