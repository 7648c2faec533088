"""Which load to try next, and whether the last one broke the app. Pure: no clock, no processes.

A coarse geometric ramp from a low rate finds the first load that fails; bisection (geometric mean) then closes in. A
first failure that is not gross is repeated once: one disturbed second on a shared machine must not set the capacity.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pinchpoint.clientstats import ClientWindow

RAMP_FACTOR = 2.0
"""Coarse ramp: doubling brackets any capacity within one octave in log2(capacity / start) steps."""

BACK_OFF_FACTOR = 4.0
"""When even the first load fails, go down faster than up: each failing step leaves a backlog behind."""

LOWEST_RATE_RPS = 0.5
"""Below this a step of a few seconds holds no requests worth judging."""

PLATEAU_SHARE = 0.95
"""Goodput below this share of the arrivals, in a steady step, is a plateau (METHOD §1.3)."""

PLATEAU_SIGMAS = 3.0
"""Arrivals and completions of a short step differ by chance (Poisson: sigma = sqrt(arrivals)) without any backlog."""

GROSS_PLATEAU_SHARE = 0.8
"""Below this, or with a p95 at `GROSS_LATENCY_FACTOR` times the limit, a failure needs no repetition."""

GROSS_LATENCY_FACTOR = 3.0

MIN_FAILURES = 2
"""One failed request among a few dozen says nothing about a 1 % limit."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What 'sustainable' means: successful responses' p95, and failures over completed requests."""

    p95_ms: float
    max_error_rate: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """Why a step failed, in words; empty when it passed."""

    breaches: list[str]
    gross: bool

    @property
    def passed(self) -> bool:
        """True when no threshold was broken."""
        return not self.breaches


@dataclass(frozen=True, slots=True)
class Trial:
    """One load tried (requests per second, or users) and its outcome."""

    load: float
    passed: bool
    gross: bool = False


def judge(window: ClientWindow, slo: Slo, *, open_model: bool) -> Judgement:
    """Hold a step against the thresholds.

    Args:
        window: the step's client figures, settling time left out.
        slo: the limits.
        open_model: True when arrivals followed a schedule, so that goodput can fall short of it.

    Returns:
        The breaches in words; no completed request in a second with load offered is a breach, never silence.

    """
    figures = window.figures
    breaches: list[str] = []
    gross = False
    if figures.empty_seconds:
        breaches.append(f"no response for {figures.empty_seconds} s while load was offered")
        gross = True
    completed = figures.ok + figures.failed
    if figures.failed >= MIN_FAILURES and window.error_rate is not None and window.error_rate > slo.max_error_rate:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in _most_common(figures.errors))
        breaches.append(f"{window.error_rate:.1%} of responses failed (limit {slo.max_error_rate:.0%}): {kinds}")
        gross = gross or window.error_rate > slo.max_error_rate * 5
    if window.latency is not None and window.latency.p95 > slo.p95_ms:
        breaches.append(f"p95 {window.latency.p95:.0f} ms above the limit of {slo.p95_ms:.0f} ms")
        gross = gross or window.latency.p95 > slo.p95_ms * GROSS_LATENCY_FACTOR
    if open_model and figures.scheduled:
        # An arrival may make several requests, so that requests alone could hide arrivals that nobody took.
        served = min(completed, figures.started)
        shortfall = figures.scheduled - served
        if shortfall > max((1 - PLATEAU_SHARE) * figures.scheduled, PLATEAU_SIGMAS * math.sqrt(figures.scheduled)):
            breaches.append(f"only {served} of {figures.scheduled} arrivals were served: goodput has reached a plateau")
            gross = gross or served < GROSS_PLATEAU_SHARE * figures.scheduled
    return Judgement(breaches, gross)


def _most_common(errors: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(errors.items(), key=lambda item: -item[1])[:3]


def bracket(trials: Sequence[Trial]) -> tuple[float | None, float | None]:
    """Return (largest load that passed, smallest larger load that failed and was not cleared by a repetition)."""
    passed = [trial.load for trial in trials if trial.passed]
    lower = max(passed) if passed else None
    failed = [trial.load for trial in trials if not trial.passed and (lower is None or trial.load > lower)]
    return lower, (min(failed) if failed else None)


def next_rate(trials: Sequence[Trial], *, start: float, highest: float, width: float) -> float | None:
    """Return the next load to try, or None when the capacity is bracketed within `width` (relative) or out of reach.

    Args:
        trials: what was tried so far, in order.
        start: the first load.
        highest: never go above this; passing it ends the search with the capacity not reached.
        width: relative width at which to stop, e.g. 0.05.

    """
    if not trials:
        return start
    last = trials[-1]
    if _deserves_repetition(trials):
        return last.load
    lower, upper = bracket(trials)
    if upper is None:
        return None if last.load >= highest else min(last.load * RAMP_FACTOR, highest)
    if lower is None:
        lowest = upper / BACK_OFF_FACTOR
        return lowest if lowest >= LOWEST_RATE_RPS else None
    return None if upper <= lower * (1 + width) else math.sqrt(lower * upper)


def _deserves_repetition(trials: Sequence[Trial]) -> bool:
    last = trials[-1]
    if last.passed or last.gross:
        return False
    return sum(1 for trial in trials if trial.load == last.load) == 1


def next_users(trials: Sequence[Trial], *, steps: Sequence[int], highest: int) -> int | None:
    """Return the next population of the closed model: the given steps, then doubling, until one fails."""
    if trials and not trials[-1].passed:
        return None
    if len(trials) < len(steps):
        return steps[len(trials)]
    following = int(trials[-1].load * RAMP_FACTOR)
    return following if following <= highest else None
