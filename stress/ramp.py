"""Which load to try next, and whether the last one broke the app. Pure: no clock, no processes.

A coarse geometric ramp from a low rate finds the first load that fails; bisection (geometric mean) then closes in. A
first failure that is not gross is repeated once: one disturbed second on a shared machine must not set the capacity.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pinchpoint.clientstats import ClientWindow
from pinchpoint.rows import DigestRow

RAMP_FACTOR = 2.0
"""Coarse ramp: doubling brackets any capacity within one octave in log2(capacity / start) steps."""

BACK_OFF_FACTOR = 4.0
"""When even the first load fails, go down faster than up: each failing step leaves a backlog behind."""

LOWEST_RATE_RPS = 0.5
"""Below this a step of a few seconds holds no requests worth judging."""

BACKLOG_SHARE = 0.05
"""A step that ends with more of its arrivals unserved, and still growing, is past the plateau (METHOD §1.3)."""

BACKLOG_FLOOR = 10
"""Fewer unserved requests are the queue of an ordinary burst."""

BACKLOG_GROWTH = 1.3
"""A slow but stable app holds rate x latency requests (Little), as many in the middle of a step as at its end."""

GROSS_BACKLOG_SHARE = 0.2
"""Above this, or with a p95 at `GROSS_LATENCY_FACTOR` times the limit, a failure needs no repetition."""

GROSS_LATENCY_FACTOR = 3.0

HALF_ROW_S = 0.1
"""Digest rows end on whole seconds, give or take this."""

MIN_FAILURES = 2
"""One failed request among a few dozen says nothing about a 1 % limit; one among none that succeeded does."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What 'sustainable' means: successful responses' p95, and failures over completed requests."""

    p95_ms: float
    max_error_rate: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """Arrivals of a step and how many of them were still unserved: waiting for a free user, or in flight."""

    scheduled: int
    midway: int
    end: int

    @property
    def grows(self) -> bool:
        """True when the step ended with a queue that is neither small nor steady."""
        floor = max(BACKLOG_SHARE * self.scheduled, BACKLOG_FLOOR)
        return self.end > floor and self.end > BACKLOG_GROWTH * self.midway

    @property
    def share(self) -> float:
        """Unserved at the end, as a share of the arrivals."""
        return self.end / self.scheduled if self.scheduled else 0.0


def backlog(rows: Sequence[DigestRow]) -> Backlog:
    """Count the backlog of one segment from all its digest rows. Exact: every segment begins with nothing in flight."""
    end_s = max((row["t1_s"] for row in rows), default=0.0)
    middle_s = (min((row["t0_s"] for row in rows), default=0.0) + end_s) / 2
    first_s = min((row["t1_s"] for row in rows), default=0.0)
    if first_s < end_s - 2 * HALF_ROW_S:
        # A step of 1.5 s has no row that ends by its middle: with nothing counted by then, any backlog seems to grow.
        middle_s = max(middle_s, first_s)
    first_half = [row for row in rows if row["t1_s"] <= middle_s + HALF_ROW_S]
    return Backlog(sum(row["scheduled"] for row in rows), _unserved(first_half), _unserved(rows))


def _unserved(rows: Sequence[DigestRow]) -> int:
    last = {row["process"]: row for row in sorted(rows, key=lambda row: row["t1_s"])}
    unclaimed = sum(row["scheduled"] - row["started"] for row in rows)
    return unclaimed + sum(row["inflight"] for row in last.values())


@dataclass(frozen=True, slots=True)
class Judgement:
    """Why a step failed, in words; empty when it passed."""

    breaches: list[str]
    gross: bool
    queued: bool = False
    """True when arrivals were left unserved, more and more of them."""

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


def judge(window: ClientWindow, slo: Slo, queue: Backlog | None) -> Judgement:
    """Hold a step against the thresholds.

    Args:
        window: the step's client figures, settling time left out.
        slo: the limits.
        queue: the whole step's backlog; None in the closed model, whose users wait for their answers.

    Returns:
        The breaches in words; no completed request in a second with load offered is a breach, never silence.

    """
    figures = window.figures
    breaches: list[str] = []
    gross = False
    if figures.empty_seconds:
        silence = f"no response for {figures.empty_seconds} s while load was offered"
        breaches.append(silence if figures.ok + figures.failed else f"{silence}: not one request completed")
        gross = True
    enough = figures.failed >= MIN_FAILURES or (figures.failed > 0 and figures.ok == 0)
    if enough and window.error_rate is not None and window.error_rate > slo.max_error_rate:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in _most_common(figures.errors))
        breaches.append(f"{window.error_rate:.1%} of responses failed (limit {slo.max_error_rate:.0%}): {kinds}")
        gross = gross or window.error_rate > slo.max_error_rate * 5
    if window.latency is not None and window.latency.p95 > slo.p95_ms:
        breaches.append(f"p95 {window.latency.p95:.0f} ms above the limit of {slo.p95_ms:.0f} ms")
        gross = gross or window.latency.p95 > slo.p95_ms * GROSS_LATENCY_FACTOR
    if queue is not None and queue.grows:
        plateau = ", and growing: goodput has reached a plateau" if not figures.empty_seconds else ""
        breaches.append(f"{queue.end} of {queue.scheduled} arrivals were still unserved at the end{plateau}")
        gross = gross or queue.share > GROSS_BACKLOG_SHARE
    return Judgement(breaches, gross, queued=queue is not None and queue.grows)


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
        return max(upper / BACK_OFF_FACTOR, LOWEST_RATE_RPS) if upper > LOWEST_RATE_RPS else None
    return None if upper <= lower * (1 + width) else math.sqrt(lower * upper)


def calmer_start(start: float, goodput_rps: float, first: Judgement) -> float:
    """Return the first load to measure, given how a first look at `start` went.

    A slow app that is offered several times its capacity would spend a short budget on emptying queues: half of what it
    served is a load it can hold. Errors that come back fast leave no queue, so they change nothing.
    """
    if first.passed or not first.gross:
        return start
    if first.queued:
        return min(start, max(goodput_rps / 2 if goodput_rps else start / BACK_OFF_FACTOR, LOWEST_RATE_RPS))
    return start


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
