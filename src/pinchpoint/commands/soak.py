"""`pinchpoint soak`: a steady load for long, half of it, and none, in slices that are steps like any other.

Two loads and a rest are what tells a leak from a cache and from growth with time (METHOD §5.7).
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from pinchpoint.clientstats import client_figures
from pinchpoint.commands.config import SoakAsk
from pinchpoint.commands.plan import BASELINE_RPS, HIGHEST_RATE_RPS
from pinchpoint.commands.session import Session
from pinchpoint.commands.stepper import DRAIN_S, LEAST_COVERAGE, LOOK_S, ROWS_GRACE_S, Held, Progress, Stepper
from pinchpoint.commands.watch import LoadStop
from pinchpoint.errors import MeasurementError, TargetError
from pinchpoint.measures import Phase
from pinchpoint.rows import DigestRow
from pinchpoint.stress.generator import Generator
from pinchpoint.stress.ramp import Judgement, Slo, judge

FULL_SHARE, HALF_SHARE = 0.6, 0.3
"""Of the soak's time at the load, and at half of it; the rest is without load."""

SHORTEST_SLICE_S = 2.0
MOST_SLICES = 200
TOLD_SLICES = 20
"""Lines on the terminal; a slice that breaks a threshold after one that held is told besides."""

WARMUP_S = 3.0
SEARCH_STEP_S = 2.5
BISECTIONS = 3
LEAST_RPS = 1.0
Outcome = Literal["soaked", "stopped"]


def slice_seconds(seconds: float) -> float:
    """Return how long a slice of a soak lasts: whole seconds, as digest rows do."""
    return float(max(SHORTEST_SLICE_S, math.ceil(seconds / MOST_SLICES)))


def slices(loads: list[tuple[float, float]], start_s: float, slice_s: float) -> Iterator[tuple[float, float, float]]:
    """Cut loads (arrivals per second, seconds) into slices (load, start, end), none shorter than two seconds."""
    at_s = start_s
    for load, seconds in loads:
        end_s = at_s + seconds
        while at_s < end_s:
            until_s = min(at_s + slice_s, end_s)
            if end_s - until_s < SHORTEST_SLICE_S:
                until_s = end_s
            yield load, at_s, until_s
            at_s = until_s


def _loads(rate_rps: float) -> tuple[tuple[float, float], ...]:
    return (FULL_SHARE, rate_rps), (HALF_SHARE, rate_rps / 2)


def _whole(seconds: float) -> float:
    """Digest rows are cut at whole seconds of a segment."""
    return float(max(1, round(seconds)))


@dataclass
class Soaker:
    """Drives one session through a soak."""

    session: Session
    ask: SoakAsk
    slo: Slo
    progress: Progress
    boot_s: float
    stop: LoadStop | None = None
    """Asked with the new rows of every look under load; a sentence ends it."""
    sleep: Callable[[float], None] = time.sleep
    _stepper: Stepper = field(init=False)
    _rows: list[DigestRow] = field(default_factory=list)
    _stopped: str | None = None
    _told_s: float = -math.inf
    _held: bool = True
    _losses: int = 0

    def __post_init__(self) -> None:
        self._stepper = Stepper(self.session, self.slo, self.progress, self.sleep)

    def run(self) -> Outcome:
        """Boot, warm up, find the rate unless it was given, and soak.

        Raises:
            TargetError: the target died; what was measured until then is recorded.
            MeasurementError: the generator or the recording failed.

        """
        session = self.session
        self.progress.phase("start the target", None, "", self.boot_s)
        seconds = session.start_target(self.boot_s)
        self.progress.note(f"target ready after {seconds:.1f} s at {session.plan.base_url}")
        session.start_generator(self.boot_s)
        self._hold("warmup", self.ask.rate_rps or BASELINE_RPS, WARMUP_S)
        rate_rps = self.ask.rate_rps or self._search()
        self._press([(load, _whole(share * self.ask.seconds)) for share, load in _loads(rate_rps)])
        if self._stopped is not None:
            return "stopped"
        self._rest((1 - FULL_SHARE - HALF_SHARE) * self.ask.seconds)
        return "soaked"

    # --- which rate -------------------------------------------------------------------------------------------------

    def _hold(self, phase: Phase, load: float, seconds: float) -> Held:
        return self._stepper.hold(phase, load, seconds, patience_s=lambda: DRAIN_S)

    def _search(self) -> float:
        """Return the asked share of the highest rate that held: doubled until one breaks, then halved between.

        Raises:
            MeasurementError: none held.

        """
        lower, load, phase = 0.0, BASELINE_RPS, "baseline"
        upper: float | None = None
        while upper is None and load <= HIGHEST_RATE_RPS:
            if self._hold("baseline" if phase == "baseline" else "ramp", load, SEARCH_STEP_S).judgement.passed:
                lower, load, phase = load, load * 2, "ramp"
            elif lower == 0.0 and load > LEAST_RPS:
                load /= 2
            else:
                upper = load
        for _ in range(BISECTIONS if upper is not None and lower else 0):
            middle = math.sqrt(lower * (upper or lower))
            if self._hold("search", middle, SEARCH_STEP_S).judgement.passed:
                lower = middle
            else:
                upper = middle
        if lower == 0.0:
            raise MeasurementError("no rate was found that the target holds; give one with --rate")
        rate_rps = max(LEAST_RPS, self.ask.share * lower)
        self._stepper.note(f"soaking at {rate_rps:.3g}/s: {self.ask.share:.0%} of the {lower:.3g}/s that held")
        return rate_rps

    # --- the soak itself --------------------------------------------------------------------------------------------

    def _press(self, loads: list[tuple[float, float]]) -> None:
        """Hold the loads (arrivals per second, seconds) one after the other without a break; record them in slices."""
        generator, seconds = self._generator, sum(lasts_s for _, lasts_s in loads)
        curve = [["line", load, load, lasts_s] for load, lasts_s in loads]
        segment, start_s = generator.segment("rate", seconds, curve=curve, spacing=self.session.config.spacing)
        self._rows.clear()
        for load, t0_s, t1_s in slices(loads, start_s, slice_seconds(self.ask.seconds)):
            self.progress.phase("soak", load, "rps", start_s + seconds - t0_s)
            try:
                self._wait(t1_s, segment)
            except TargetError as error:
                died = Judgement([str(error)], gross=True)
                self._stepper.enter("soak", load, segment, (t0_s, 0.0, self.session.clock()), died)
                raise
            self._slice(load, segment, t0_s, t1_s)
            if self._stopped is not None:
                self._tell_stop(load, start_s)
                break
        generator.idle()
        generator.wait_drained(DRAIN_S)

    def _tell_stop(self, load: float, start_s: float) -> None:
        stop = self.stop.stop if self.stop is not None else None
        since_s = stop.since_s if stop is not None else self.session.clock()
        good_s = stop.last_good_s if stop is not None else None
        self.session.event(
            "stop",
            criterion=stop.criterion if stop is not None else "soak",
            message=stop.message if stop is not None else self._stopped,
            offered_rps=load,
            users=None,
            since_s=since_s,
            at_s=stop.at_s if stop is not None else since_s,
            second=since_s - start_s,
            last_good_s=None if good_s is None else good_s - start_s,
            last_good_load=load,
        )
        self.progress.note(f"stopped at {load:.3g}/s, second {since_s - start_s:.0f}: {self._stopped}")

    @property
    def _generator(self) -> Generator:
        if self.session.generator is None:
            raise MeasurementError("the load generator was not started")
        return self.session.generator

    def _wait(self, until_s: float, segment: int) -> None:
        """Wait until a slice is over and the rows that it needs have come, or there is a reason to stop."""
        while (left_s := until_s - self.session.clock()) > 0 and self._stopped is None:
            self.sleep(min(LOOK_S, left_s))
            self._watch()
        deadline_s = self.session.clock() + ROWS_GRACE_S
        while not self._covered(until_s, segment) and self.session.clock() < deadline_s and self._stopped is None:
            self.sleep(LOOK_S / 2)
            self._watch()

    def _watch(self) -> None:
        rows = self._look()
        if self.stop is not None:
            self._stopped = self._stopped or self.stop(rows)

    def _covered(self, until_s: float, segment: int) -> bool:
        last: dict[int, float] = {}
        for row in self._rows:
            if row["segment"] == segment:
                last[row["process"]] = max(row["t1_s"], last.get(row["process"], 0.0))
        return len(last) >= self._generator.parts and min(last.values(), default=0.0) >= until_s - LOOK_S

    def _look(self) -> list[DigestRow]:
        self.session.check()
        rows = self._generator.rows()
        self._rows.extend(rows)
        self.progress.tick(rows)
        for loss in self._generator.lost[self._losses :]:
            self._losses += 1
            self.session.event(
                "worker-lost", process=loss.process, name=loss.name, message=loss.message, segment=loss.segment
            )
            self.progress.note(loss.message)
        return rows

    def _slice(self, load: float, segment: int, t0_s: float, t1_s: float) -> None:
        t1_s = t1_s if self._stopped is None else min(t1_s, self.session.clock())
        rows = [row for row in self._rows if row["segment"] == segment]
        window = client_figures(rows, t0_s, t1_s)
        if self._stopped is None and window.covered_s < LEAST_COVERAGE * (t1_s - t0_s):
            raise MeasurementError(f"the load generator was silent for most of {t1_s - t0_s:.1f} s of the soak")
        # A queue that grows over a slice of a long load shows in latency; what a burst leaves is the next slice's.
        judgement = judge(window, self.slo, None)
        self._stepper.enter("soak", load, segment, (t0_s, 0.0, t1_s), judgement)
        fresh = self._held and not judgement.passed
        if fresh or t1_s - self._told_s >= self.ask.seconds / TOLD_SLICES:
            self._told_s = t1_s
            self.progress.done("soak", load, "rps", window, judgement)
        self._held = judgement.passed
        self._rows = [row for row in self._rows if row["t1_s"] > t1_s - LOOK_S]

    def _rest(self, seconds: float) -> None:
        """Offer nothing, and go on watching."""
        self.progress.phase("soak, no load", 0.0, "rps", seconds)
        start_s = self.session.clock()
        slices = max(1, round(seconds / slice_seconds(self.ask.seconds)))
        for number in range(slices):
            t0_s, t1_s = (start_s + seconds * (number + edge) / slices for edge in (0, 1))
            while (left_s := t1_s - self.session.clock()) > 0:
                self.sleep(min(LOOK_S, left_s))
                self._look()
            self._stepper.enter("soak", 0.0, 0, (t0_s, 0.0, t1_s), Judgement([], gross=False))
