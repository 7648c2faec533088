"""Whether a load broke the app, where to begin, and the populations of the closed model. Pure: no clock, no processes.

Which load to try next in the open model is `search`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pinchpoint import histograms
from pinchpoint.backlog import Backlog, backlog
from pinchpoint.clientstats import ClientWindow, overdue
from pinchpoint.goals import P95_LOSS
from pinchpoint.seconds import seen_in

__all__ = [
    "Backlog",
    "Judgement",
    "Slo",
    "Threshold",
    "Trial",
    "backlog",
    "bracket",
    "calmer_start",
    "judge",
    "next_users",
]

RAMP_FACTOR = 2.0
"""Coarse ramp: doubling brackets any capacity within one octave in log2(capacity / start) steps."""

BACK_OFF_FACTOR = 4.0
"""When even the first load fails, go down faster than up: each failing step leaves a backlog behind."""

LOWEST_RATE_RPS = 0.5
"""Below this a step of a few seconds holds no requests worth judging."""

GROSS_BACKLOG_SHARE = 0.2
"""With more arrivals lost in a growing queue, or a p95 at `GROSS_LATENCY_FACTOR` times the limit, a failure needs no
repetition."""

GROSS_LATENCY_FACTOR = 3.0

GROSS_EMPTY_S = 2
"""One silent second may be somebody else's."""

MIN_FAILURES = 2
"""One failed request among a few dozen says nothing about a 1 % limit; one among none that succeeded does."""


class Threshold(Protocol):
    """A limit of the user's own; see `thresholds`."""

    def breach(self, window: ClientWindow) -> str | None:
        """Say how the window breaks it; None when it does not."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What 'sustainable' means: successful responses' p95, failures over completed requests, the user's own limits."""

    p95_ms: float
    max_error_rate: float
    thresholds: tuple[Threshold, ...] = ()


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
    queued = queue is not None and queue.grows
    undisturbed = queue is None or not queue.disturbed
    found = [
        _silence(window, undisturbed=undisturbed),
        _failures(window, slo),
        _slowness(window, slo, undisturbed=undisturbed),
    ]
    if queue is not None and queued:
        plateau = ", and growing: goodput has reached a plateau" if not window.figures.empty_seconds else ""
        text = f"{queue.end} of {queue.scheduled} arrivals were still unserved at the end{plateau}"
        found.append((text, queue.clear or (queue.growth is None and queue.lost > GROSS_BACKLOG_SHARE)))
    found += [(said, False) for limit in slo.thresholds if (said := limit.breach(window)) is not None]
    breaches = [each for each in found if each is not None]
    return Judgement([text for text, _ in breaches], any(gross for _, gross in breaches), queued)


def _silence(window: ClientWindow, *, undisturbed: bool) -> tuple[str, bool] | None:
    figures = window.figures
    if not figures.empty_seconds:
        return None
    silence = f"no response for {figures.empty_seconds} s while load was offered"
    answered = figures.ok + figures.failed
    gross = undisturbed and (figures.empty_seconds >= GROSS_EMPTY_S or not answered)
    return silence if answered else f"{silence}: not one request completed", gross


def _failures(window: ClientWindow, slo: Slo) -> tuple[str, bool] | None:
    figures = window.figures
    enough = figures.failed >= MIN_FAILURES or (figures.failed > 0 and figures.ok == 0)
    if not enough or window.error_rate is None or window.error_rate <= slo.max_error_rate:
        return None
    kinds = ", ".join(f"{count} x {kind}" for kind, count in _most_common(figures.errors))
    text = f"{window.error_rate:.1%} of responses failed (limit {slo.max_error_rate:.0%}): {kinds}"
    return text, window.error_rate > slo.max_error_rate * 5


def _slowness(window: ClientWindow, slo: Slo, *, undisturbed: bool) -> tuple[str, bool] | None:
    if window.latency is None:
        return None
    if window.latency.p95 <= slo.p95_ms:
        return _lateness(window, slo)
    text = f"p95 {window.latency.p95:.0f} ms above the limit of {slo.p95_ms:.0f} ms"
    # One second in which everything stood still makes a short step's p95 whatever the server can do.
    return text, undisturbed and window.latency.p95 > slo.p95_ms * GROSS_LATENCY_FACTOR


def _lateness(window: ClientWindow, slo: Slo) -> tuple[str, bool] | None:
    """The 95th percentile with the arrivals that are late already, and unanswered: they will be among the slow."""
    late = overdue(window.rows, slo.p95_ms)
    if late < MIN_FAILURES:
        return None
    answered = seen_in(window.rows).latency
    slow = late + (0 if answered is None else histograms.count_above(answered, slo.p95_ms * histograms.US_PER_MS))
    share = slow / (late + window.figures.ok)
    if share <= P95_LOSS:
        return None
    text = f"{share:.0%} of arrivals slower than the limit of {slo.p95_ms:.0f} ms, {late} of them unanswered at the end"
    return text, False


def _most_common(errors: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(errors.items(), key=lambda item: -item[1])[:3]


def bracket(trials: Sequence[Trial]) -> tuple[float | None, float | None]:
    """Return (largest load that passed, smallest larger load that failed and was not cleared by a repetition)."""
    passed = [trial.load for trial in trials if trial.passed]
    lower = max(passed) if passed else None
    failed = [trial.load for trial in trials if not trial.passed and (lower is None or trial.load > lower)]
    return lower, (min(failed) if failed else None)


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


def next_users(trials: Sequence[Trial], *, steps: Sequence[int], highest: int) -> int | None:
    """Return the next population of the closed model: the given steps, then doubling, until one fails."""
    if trials and not trials[-1].passed:
        return None
    if len(trials) < len(steps):
        return steps[len(trials)]
    following = int(trials[-1].load * RAMP_FACTOR)
    return following if following <= highest else None
