"""Which value of a knob to choose, and what the choice rests on: pure rules over the runs of a sweep.

The smallest value wins whose sustainable rate is not clearly below the best one. Values that were not measured, and
runs that are not valid, say nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pinchpoint.scaling import Interval, Noise, Ratio, mean_rate, pooled_noise, rate_interval, ratio
from pinchpoint.statistics import SEED

Value = int | float | str
Side = Literal["above", "below", "level"]

REAL_CHANGE = 0.03
"""A change is real when the 95 % interval of the ratio lies outside 1 +- 3 % (METHOD §1.8)."""
TIE = 0.05
"""With one run each there is no interval; runs scatter by up to this much. A limit found as closely counts as exact."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One value of the knob and the sustainable rates of its valid runs, requests/s, all above 0."""

    value: Value
    rates: tuple[float, ...]
    reached: bool = True
    """False when some run ended before the app's limit: the rate is then a lower bound."""
    resolution: float = 1.0
    """How far above its rate the limit of a run may lie, as a ratio >= 1, mean over the runs."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What one value brings over another."""

    start: Value
    end: Value
    ratio: float
    ci: Interval | None
    """95 %, noise and resolution together; None where nothing was run twice and the limits were found closely."""
    coarse: bool
    """The limit of one side was found only coarsely."""
    side: Side
    """Whether `end` is clearly above or below `start`, or level with it as far as the noise allows to say."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The value to choose."""

    value: Value
    rate: float
    ci: Interval | None
    best: Value
    """The value with the highest rate, which need not stand out of the noise."""
    still_rises: bool
    """The value chosen is the largest one, and clearly above the one before: nothing says that it is enough."""
    reason: str
    """One sentence: the gain that the choice rests on, and what more would bring."""


class Comparison:
    """Compares values of one sweep; the noise is that of all of its repeats."""

    def __init__(self, measured: Sequence[Measured], seed: int = SEED) -> None:
        self.values = [one for one in measured if one.rates]
        self.noise: Noise | None = pooled_noise({one.value: one.rates for one in self.values})
        self._seed = seed

    def gain(self, start: Measured, end: Measured) -> Gain:
        """Return what `end` brings over `start`."""
        found = ratio(end.rates, start.rates, self.noise, self._seed)
        coarse = max(start.resolution, end.resolution) > 1 + TIE
        if coarse or found.ci is not None:
            # Runs that try the same loads agree by that alone: the limit of each may lie anywhere up to what broke.
            low, high = found.ci or (found.value, found.value)
            found = Ratio(found.value, (low / start.resolution, high * end.resolution))
        return Gain(start.value, end.value, found.value, found.ci, coarse, self._side(found, start, end))

    @staticmethod
    def _side(found: Ratio, start: Measured, end: Measured) -> Side:
        low, high = found.ci or (found.value, found.value)
        margin = REAL_CHANGE if found.ci is not None else TIE
        if low > 1 + margin and start.reached:
            return "above"
        # A rate that is a lower bound may be as high as any other.
        return "below" if high < 1 - margin and end.reached else "level"

    def interval(self, one: Measured) -> Interval | None:
        """Return the 95 % interval of a value's rate: noise, and how closely the limit was found."""
        interval = rate_interval(one.rates, self.noise, self._seed)
        if not one.rates or (interval is None and one.resolution <= 1 + TIE):
            return None
        low, high = interval or (mean_rate(one.rates),) * 2
        return low, high * one.resolution


def choose(measured: Sequence[Measured], name: Callable[[Value], str] = str, seed: int = SEED) -> Choice | None:
    """Choose a value; None when no run was valid.

    Numbers are taken by size, names in the order given, so that what stands first is kept when nothing beats it.
    `name` says how a value is called: `3 workers`.
    """
    comparison = Comparison(measured, seed)
    values = in_order(comparison.values)
    if not values:
        return None
    best = max(values, key=lambda one: mean_rate(one.rates))
    chosen = next(one for one in values if one is best or comparison.gain(best, one).side != "below")
    index = values.index(chosen)
    before = comparison.gain(values[index - 1], chosen) if index else None
    ordered = not isinstance(chosen.value, str)
    still_rises = ordered and len(values) > 1 and chosen is values[-1] and before is not None and before.side == "above"
    after = [comparison.gain(chosen, one) for one in values[index + 1 :]]
    parts = [_over(before)] if before is not None else []
    parts += [_says(gain) for i, gain in enumerate(after) if i == 0 or gain.end == best.value or not ordered]
    if still_rises:
        parts.append("the curve still rises there: larger values were not tried")
    if len(values) == 1:
        parts.append("the only value with a valid run" if len(measured) > 1 else "the only value tried")
    return Choice(
        value=chosen.value,
        rate=mean_rate(chosen.rates),
        ci=comparison.interval(chosen),
        best=best.value,
        still_rises=still_rises,
        reason=f"{name(chosen.value)}: {'; '.join(parts)}",
    )


def gains(measured: Sequence[Measured], seed: int = SEED) -> list[Gain]:
    """Return what each value brings over the one before it."""
    comparison = Comparison(measured, seed)
    values = in_order(comparison.values)
    return [comparison.gain(one, two) for one, two in pairwise(values)]


def in_order(values: Sequence[Measured]) -> list[Measured]:
    """Return numbers by size; where one is a name, all in the order given."""
    if any(isinstance(one.value, str) for one in values):
        return list(values)
    return sorted(values, key=lambda one: float(one.value))


def change(gain: Gain) -> str:
    """Write a ratio as a change: `+48 % [41, 55]`, `-2 %`."""
    text = f"{_percent(gain.ratio):+d} %"
    return text if gain.ci is None else f"{text} [{_percent(gain.ci[0])}, {_percent(gain.ci[1])}]"


def _percent(share: float) -> int:
    return round((share - 1) * 100)


def _over(gain: Gain) -> str:
    words = "" if gain.side == "above" else ", which does not stand out of the noise by itself"
    return f"{change(gain)} over {gain.start}{words}"


def _says(gain: Gain) -> str:
    if gain.side == "below":
        return f"{gain.end} loses ({change(gain)})"
    if gain.side == "above":
        return f"{gain.end} brings {change(gain)}"
    if gain.coarse:
        return f"{gain.end} cannot be told from it ({change(gain)}): the runs were too short to find the limits closely"
    if gain.ci is not None and gain.ci[0] > 1:
        return f"{gain.end} adds too little to matter ({change(gain)})"
    return f"{gain.end} adds nothing that stands out of the noise ({change(gain)})"
