"""How an offered load runs over time: a sequence of pieces, each with its exact integral and its inverse. Pure.

A rate is in arrivals per second, time in seconds from the start of the curve (or piece). The integral of the rate is
the expected number of arrivals so far; its inverse says when arrival `k` is due. As messages carry it, a piece is
`["line", start_rps, end_rps, seconds]` or `["sine", mean_rps, amplitude_rps, period_s, seconds]`.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate
from typing import Any, Protocol, Self

ROUNDS = 100
"""Bisection alone would end within 60: each round halves the bracket, and a double has 53 bits."""


class Piece(Protocol):
    """A stretch of a curve."""

    @property
    def seconds(self) -> float:
        """How long it is."""

    def rate_rps(self, t_s: float) -> float:
        """Return the rate `t_s` seconds after the start."""

    def integral(self, t_s: float) -> float:
        """Return the expected arrivals within the first `t_s` seconds."""

    def reached_s(self, arrivals: float) -> float:
        """Return the seconds after which the integral reaches `arrivals`, a number within it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line; constant when both ends are the same."""

    start_rps: float
    end_rps: float
    seconds: float

    def __post_init__(self) -> None:
        """Refuse what has no schedule.

        Raises:
            ValueError: a negative or endless rate, or a duration that is not positive.

        """
        _check(self, self.start_rps, self.end_rps, self.seconds)

    def rate_rps(self, t_s: float) -> float:
        """Return the rate `t_s` seconds after the start."""
        return self.start_rps + (self.end_rps - self.start_rps) * t_s / self.seconds

    def integral(self, t_s: float) -> float:
        """Return the expected arrivals within the first `t_s` seconds."""
        return (self.start_rps + self.rate_rps(t_s)) / 2 * t_s

    def reached_s(self, arrivals: float) -> float:
        """Return the root of `start t + slope t² / 2 = arrivals`, in the form that stays exact as slope goes to 0."""
        if self.start_rps == self.end_rps:
            return min(arrivals / self.start_rps, self.seconds) if self.start_rps else 0.0
        slope = (self.end_rps - self.start_rps) / self.seconds
        divisor = self.start_rps + math.sqrt(max(0.0, self.start_rps**2 + 2 * slope * arrivals))
        return min(2 * arrivals / divisor, self.seconds) if divisor else 0.0


@dataclass(frozen=True, slots=True)
class Sine:
    """`mean + amplitude sin(2 pi t / period)`: it begins at the mean and rises."""

    mean_rps: float
    amplitude_rps: float
    period_s: float
    seconds: float

    def __post_init__(self) -> None:
        """Refuse what has no schedule.

        Raises:
            ValueError: a negative or endless rate, an amplitude above the mean, or a time that is not positive.

        """
        _check(self, self.mean_rps - self.amplitude_rps, self.amplitude_rps, self.seconds)
        _check(self, self.mean_rps, self.amplitude_rps, self.period_s)

    def rate_rps(self, t_s: float) -> float:
        """Return the rate `t_s` seconds after the start."""
        return max(0.0, self.mean_rps + self.amplitude_rps * math.sin(math.tau * t_s / self.period_s))

    def integral(self, t_s: float) -> float:
        """Return `mean t + amplitude period / 2 pi (1 - cos(2 pi t / period))`.

        Written with `1 - cos x = 2 sin²(x / 2)`, which keeps its digits where x is small.
        """
        swing = 2 * math.sin(math.pi * t_s / self.period_s) ** 2
        return self.mean_rps * t_s + self.amplitude_rps * self.period_s / math.tau * swing

    def reached_s(self, arrivals: float) -> float:
        """Return the root by Newton's method, kept within a bracket that shrinks (the integral never falls)."""
        if self.mean_rps == 0:
            return 0.0
        # The swing of the integral above `mean t` is at most amplitude x period / pi.
        lag_s = self.amplitude_rps * self.period_s / math.pi / self.mean_rps
        low_s = max(0.0, arrivals / self.mean_rps - lag_s)
        high_s = min(self.seconds, arrivals / self.mean_rps)
        t_s = high_s
        for _ in range(ROUNDS):
            excess = self.integral(t_s) - arrivals
            if excess > 0:
                high_s = t_s
            else:
                low_s = t_s
            rate = self.rate_rps(t_s)
            step_s = excess / rate if rate else math.inf
            following_s = t_s - step_s
            if not low_s <= following_s <= high_s:
                following_s = (low_s + high_s) / 2
            if abs(following_s - t_s) <= math.ulp(t_s):
                return following_s
            t_s = following_s
        return t_s


class Curve:
    """A whole load level: pieces one after the other."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        """Join pieces.

        Raises:
            ValueError: there is none.

        """
        self.pieces: tuple[Piece, ...] = tuple(pieces)
        if not self.pieces:
            message = "no schedule without a piece"
            raise ValueError(message)
        self._ends_s = list(accumulate(piece.seconds for piece in self.pieces))
        self._totals = list(accumulate(piece.integral(piece.seconds) for piece in self.pieces))
        self.seconds: float = self._ends_s[-1]
        self.total: float = self._totals[-1]
        """Expected arrivals of the whole curve."""

    def __eq__(self, other: object) -> bool:
        """Two curves of the same pieces are the same."""
        return isinstance(other, Curve) and self.pieces == other.pieces

    def __hash__(self) -> int:
        """Hash the pieces."""
        return hash(self.pieces)

    def __repr__(self) -> str:
        """Name the pieces."""
        return f"Curve({list(self.pieces)})"

    @property
    def peak_rps(self) -> float:
        """An upper bound of the rate, reached unless a sine is cut short."""
        return max(_peak(piece) for piece in self.pieces)

    def rate_rps(self, t_s: float) -> float:
        """Return the rate at an instant; where two pieces meet that of the later one, outside the curve 0."""
        if not 0 <= t_s <= self.seconds:
            return 0.0
        index = next((index for index, end_s in enumerate(self._ends_s) if t_s < end_s), len(self.pieces) - 1)
        return self.pieces[index].rate_rps(t_s - (self._ends_s[index - 1] if index else 0.0))

    def integral(self, t_s: float) -> float:
        """Return the expected arrivals within the first `t_s` seconds."""
        index = bisect_left(self._ends_s, t_s)
        if index == len(self.pieces):
            return self.total
        start_s, before = self._start(index)
        return before + self.pieces[index].integral(max(0.0, t_s - start_s))

    def reached_s(self, arrivals: float) -> float:
        """Return the seconds after which the integral reaches `arrivals`; infinite when it never does."""
        if arrivals > self.total or self.total == 0:
            return math.inf
        index = bisect_left(self._totals, arrivals)
        start_s, before = self._start(index)
        return start_s + self.pieces[index].reached_s(max(0.0, arrivals - before))

    def message(self) -> list[list[Any]]:
        """Return the pieces as plain JSON."""
        return [[_NAMES[type(piece)], *astuple(piece)] for piece in self.pieces]  # type: ignore[call-overload]

    @classmethod
    def from_message(cls, pieces: Sequence[Sequence[Any]]) -> Self:
        """Read what `message` wrote.

        Raises:
            ValueError: a piece of an unknown kind, or one without a schedule.

        """
        try:
            return cls(_KINDS[name](*map(float, numbers)) for name, *numbers in pieces)
        except (KeyError, TypeError) as error:
            message = f"no schedule in {pieces}: {error}"
            raise ValueError(message) from error

    def _start(self, index: int) -> tuple[float, float]:
        """Return when a piece starts, and the integral by then."""
        return (self._ends_s[index - 1], self._totals[index - 1]) if index else (0.0, 0.0)


_KINDS: dict[str, Any] = {"line": Line, "sine": Sine}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _peak(piece: Piece) -> float:
    if isinstance(piece, Sine):
        return piece.mean_rps + piece.amplitude_rps
    return max(piece.rate_rps(0.0), piece.rate_rps(piece.seconds))


def _check(piece: object, *numbers: float) -> None:
    """Refuse numbers (the last one a time) that make no schedule."""
    if not all(math.isfinite(number) for number in numbers) or min(numbers) < 0 or numbers[-1] == 0:
        message = f"no schedule in {piece}: rates must not be negative, times must be positive"
        raise ValueError(message)


# --- builders -------------------------------------------------------------------------------------------------------


def constant(rate_rps: float, seconds: float) -> Curve:
    """Offer the same rate all the time."""
    return Curve([Line(rate_rps, rate_rps, seconds)])


def ramp(start_rps: float, end_rps: float, seconds: float) -> Curve:
    """Offer a rate that grows or falls in a straight line."""
    return Curve([Line(start_rps, end_rps, seconds)])


def steps(low_rps: float, high_rps: float, step_rps: float, step_seconds: float) -> Curve:
    """Offer `low`, `low + step`, ... up to `high`, which is the last whatever the step; each for `step_seconds`.

    Raises:
        ValueError: the step is not positive, or high lies below low.

    """
    if not (step_rps > 0 and high_rps >= low_rps and math.isfinite(high_rps)):
        message = f"no schedule in steps of {step_rps} from {low_rps} to {high_rps} requests/s"
        raise ValueError(message)
    whole = math.floor((high_rps - low_rps) / step_rps + 1e-9)
    rates = [low_rps + step_rps * index for index in range(whole + 1)]
    if high_rps - rates[-1] > step_rps * 1e-6:
        rates.append(high_rps)
    return Curve(Line(rate, rate, step_seconds) for rate in rates)


def spike(base_rps: float, peak_rps: float, before_s: float, at_s: float, after_s: float) -> Curve:
    """Offer `base` for `before_s`, all at once `peak` for `at_s`, and `base` again for `after_s` seconds."""
    levels = ((base_rps, before_s), (peak_rps, at_s), (base_rps, after_s))
    return Curve(Line(rate, rate, seconds) for rate, seconds in levels if seconds != 0)


def sine(mean_rps: float, amplitude_rps: float, period_s: float, seconds: float) -> Curve:
    """Offer a rate that swings by `amplitude` around `mean`."""
    return Curve([Sine(mean_rps, amplitude_rps, period_s, seconds)])
