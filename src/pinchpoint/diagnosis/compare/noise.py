"""Whether a figure of two runs differs by more than noise: the interval of their ratio, and what it allows to say.

Pure, and the same whichever run comes first: what is above one way round is below the other, by the reciprocal ratio.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pinchpoint.diagnosis.sweeps import TIE
from pinchpoint.scaling import t_quantile

Trend = Literal["above", "below", "level", "unknown"]

MARGIN = TIE
"""Run-to-run scatter that no single run shows. METHOD §1.8 asks for twice the noise of a run against itself; with one
run each nobody knows that, so it is taken as in a sweep without repeats. The band is 1/(1+MARGIN) to 1+MARGIN, not
1 +- MARGIN, so that swapping the runs swaps the answer."""

FEWEST_PAIRS = 3
"""Loads measured in both runs, below which their scatter is not known."""

FEW_PAIRS_SCATTER = 0.3
"""What the ratio of two p95 scatters by where one load says all: that of 200 exponential response times has a standard
error of sqrt(p (1-p) / n) / f(x) = 10 %, the ratio of two 14 %, and 28 % are two of these."""


@dataclass(frozen=True, slots=True)
class Between:
    """A figure of one run, and the interval that it may lie in; `high` is infinite where nothing bounds it."""

    value: float | None
    low: float = 0.0
    high: float = math.inf

    @classmethod
    def around(cls, value: float, low: float, high: float) -> "Between":
        """Return a figure whose interval holds it."""
        return cls(value, min(low, value), max(high, value))


UNKNOWN = Between(None)


@dataclass(frozen=True, slots=True)
class Change:
    """One figure over another."""

    ratio: float | None
    """After over before; None where one of them has no value."""
    low: float
    high: float
    """95 % interval; 0 and infinity where a run says no more than "at least" or "less than"."""
    side: Trend
    """Whether `after` is above or below `before` by more than noise; `level` within it, `unknown` where none can tell.
    """

    def worse_than(self, tolerance: float) -> bool:
        """Tell whether it fell by more than noise, and by more than is tolerated; a share."""
        fell_to = self.high if self.ratio is None else self.ratio
        return self.side == "below" and fell_to < 1 - tolerance

    def higher_than(self, tolerance: float) -> bool:
        """Tell whether it rose by more than noise, and by more than is tolerated; a share."""
        rose_to = self.low if self.ratio is None else self.ratio
        return self.side == "above" and rose_to > 1 + tolerance


NOT_COMPARED = Change(None, 0.0, math.inf, "unknown")


def change(before: Between, after: Between) -> Change:
    """Return the ratio of two figures with independent intervals.

    The distances of each interval's ends, as logarithms, are added as squares: the method of variance estimates
    recovery (Zou and Donner 2008, Statistics in Medicine 27:1693), which needs the intervals and nothing else. Where a
    run has no value its ends alone are compared: "less than 20/s" against 98/s is a ratio below 0.2.
    """
    if not before.value or not after.value:
        return _judged(None, _log(after.low) - _log(before.high), _log(after.high) - _log(before.low))
    middle = _log(after.value) - _log(before.value)
    down = math.hypot(_log(after.value) - _log(after.low), _log(before.high) - _log(before.value))
    up = math.hypot(_log(after.high) - _log(after.value), _log(before.value) - _log(before.low))
    return _judged(after.value / before.value, middle - down, middle + up)


def paired(before: Sequence[float], after: Sequence[float], slack: float = 0.0) -> Change:
    """Compare a figure at the same loads of two runs: the mean of the logarithms of the ratios, Student's interval.

    The load is what is repeated, not the request (METHOD §1.8).

    Args:
        before: the figure at each load, all above 0.
        after: the same of the other run, in the same order.
        slack: a median difference up to this is none; the unit of the figure.

    """
    if not before:
        return NOT_COMPARED
    logs = [_log(two) - _log(one) for one, two in zip(before, after, strict=True)]
    middle = math.fsum(logs) / len(logs)
    if len(logs) < FEWEST_PAIRS:
        spread = math.log1p(FEW_PAIRS_SCATTER)
    else:
        error = math.sqrt(math.fsum((one - middle) ** 2 for one in logs) / (len(logs) - 1) / len(logs))
        spread = t_quantile(len(logs) - 1) * error
    found = _judged(_exp(middle), middle - spread, middle + spread)
    apart = statistics.median(abs(two - one) for one, two in zip(before, after, strict=True))
    return Change(found.ratio, found.low, found.high, "level") if apart <= slack else found


def _judged(ratio: float | None, low: float, high: float) -> Change:
    """Judge an interval of logarithms, which the swapped runs have with the other sign, bit for bit."""
    side: Trend = "level"
    if math.isnan(low) or math.isnan(high):
        low, high = -math.inf, math.inf
    if low > math.log1p(MARGIN):
        side = "above"
    elif high < -math.log1p(MARGIN):
        side = "below"
    elif math.isinf(low) or math.isinf(high):
        side = "unknown"
    return Change(ratio, _exp(low), _exp(high), side)


def _log(value: float) -> float:
    """Return the logarithm; minus infinity of 0, which is an open end."""
    return math.log(value) if value > 0 else -math.inf


def _exp(value: float) -> float:
    return value if value == math.inf else math.exp(min(value, 700.0))
