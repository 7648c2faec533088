"""Small statistics for few, noisy points: plateau fit, robust slope, utilisation ceiling, Wilson interval.

Pure functions; anything random takes a seed, so the same numbers give the same answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SEED = 20130
"""Any constant will do; a fixed one makes every interval repeatable."""

RESAMPLES = 400
"""Bootstrap resamples: the 2.5 % and 97.5 % points then rest on ten resamples each."""

PAIRS_AT_ONCE = 500_000
"""Pairs of points whose slopes are held in memory at once: 4 MB."""

INTERVAL_PERCENT = (2.5, 97.5)

REACHED_MARGIN = 0.97
"""A plateau at 97 % of the highest load or above may just be the end of the ramp (METHOD §1.3)."""

EXPONENT_BOUNDS = (0.5, 1.0)
"""CPU demand per request falls with load, so U grows slower than X (exponent < 1); DESIGN §6 measured 0.67 to 0.85.
Above 1 would be contention, which a ceiling from unsaturated steps must not extrapolate."""

FIT_WEIGHT_POWER = 2.0
"""Weight of a step in the utilisation fit is U to this power: the steps nearest to saturation say most about it."""

SINGLE_POINT_MARGIN = 0.3
"""Relative half-width given to a ceiling that rests on one step only."""


STEADY_LEAST = 8
"""Fewer seconds than this have no trend that chance does not explain."""

STEADY_CUT = 0.4
"""A warm-up that takes more of the window than this leaves too little of it."""

STEADY_DRIFT = 0.1
"""A trend by less than this over the window changes no figure that matters."""


@dataclass(frozen=True, slots=True)
class Plateau:
    """Fit of X = min(load, C)."""

    capacity: float
    low: float
    high: float
    reached: bool
    """False when the plateau is not clearly below the highest load tried."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval and the number of points it rests on."""

    value: float
    low: float
    high: float
    n: int


def plateau(loads: Sequence[float], goodputs: Sequence[float], seed: int = SEED) -> Plateau | None:
    """Fit `X = min(load, C)` by least squares over the points up to the largest goodput (METHOD §1.3).

    Points beyond the largest goodput are left out because a collapse would drag C down. None for fewer than 2 points.
    """
    order = np.argsort(np.asarray(loads, dtype=float), kind="stable")
    load = np.asarray(loads, dtype=float)[order]
    goodput = np.asarray(goodputs, dtype=float)[order]
    if len(load) < 2:  # noqa: PLR2004 - one point has no plateau
        return None
    last = int(np.argmax(goodput)) + 1
    capacity = _broken_stick(load[:last], goodput[:last])
    rng = np.random.default_rng(seed)
    fits = []
    for _ in range(RESAMPLES // 4):
        chosen = np.sort(rng.integers(0, last, last))
        fits.append(_broken_stick(load[chosen], goodput[chosen]))
    low, high = (float(value) for value in np.percentile(fits, INTERVAL_PERCENT))
    return Plateau(
        capacity=capacity,
        low=min(low, capacity),
        high=max(high, capacity),
        reached=capacity < REACHED_MARGIN * float(load[-1]),
    )


def _broken_stick(load: Floats, goodput: Floats) -> float:
    """Return the C that minimises the squared error of min(load, C): exact, segment by segment."""
    edges = np.concatenate(([0.0], load))
    best, best_error = float(load[-1]), math.inf
    for index in range(len(load)):
        above = goodput[index:]
        candidate = float(np.clip(above.mean(), edges[index], edges[index + 1]))
        error = float(np.sum((goodput - np.minimum(load, candidate)) ** 2))
        if error < best_error - 1e-12:
            best, best_error = candidate, error
    return best


def mser(values: Sequence[float], batch: int = 5) -> int | None:
    """Return how many leading values to drop so that the rest is steady; None when there are too few to tell.

    MSER-5 (White 1997; METHOD §1.7): of the batch means, drop the d that minimise the squared standard error of the
    mean of the rest. A minimum at half of the series says that the series is too short: its length is returned.
    """
    means = [float(np.mean(values[k : k + batch])) for k in range(0, len(values) - batch + 1, batch)]
    if len(means) < 4:  # noqa: PLR2004 - fewer have no halves to compare
        return None
    half = len(means) // 2
    errors = [float(np.var(means[d:])) / (len(means) - d) for d in range(half + 1)]
    best = int(np.argmin(errors))
    return len(values) if best == half and half > 0 and errors[0] > 0 else best * batch


def is_steady(values: Sequence[float], seed: int = SEED) -> bool | None:
    """Tell whether a series of about a value per second is steady; None for fewer than `STEADY_LEAST` of them.

    MSER alone lets one constant drift in five pass, so the slope must be within its error of 0 as well (METHOD §1.7):
    a change of more than `STEADY_DRIFT` over the window whose interval excludes 0 is none of chance.
    """
    if len(values) < STEADY_LEAST:
        return None
    cut = mser(values, batch=max(1, min(5, len(values) // 4)))
    if cut is None or cut > STEADY_CUT * len(values):
        return False
    slope = theil_sen(range(len(values)), values, seed)
    level = float(np.mean(values))
    if slope is None or level <= 0:
        return slope is not None
    drifts = (slope.low > 0 or slope.high < 0) and abs(slope.value) * len(values) > STEADY_DRIFT * level
    return not drifts


def theil_sen(xs: Sequence[float], ys: Sequence[float], seed: int = SEED) -> Estimate | None:
    """Median of all pairwise slopes, with a bootstrap interval over points. None when x has fewer than 3 values."""
    x, y = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    if len(np.unique(x)) < 3:  # noqa: PLR2004 - two points have a slope but no error
        return None
    first, second = np.triu_indices(len(x), 1)
    rise, run = y[second] - y[first], x[second] - x[first]
    usable = run != 0
    value = float(np.median(rise[usable] / run[usable]))
    rng = np.random.default_rng(seed)
    slopes = _resampled_slopes(x, y, rng)
    low, high = (float(edge) for edge in np.nanpercentile(slopes, INTERVAL_PERCENT))
    return Estimate(value, min(low, value), max(high, value), len(x))


def _resampled_slopes(x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Return the median slopes of `RESAMPLES // 2` draws of as many points, several draws at a time; NaN for one."""
    first, second = np.triu_indices(len(x), 1)
    at_once = max(1, PAIRS_AT_ONCE // len(first))
    found = []
    for start in range(0, RESAMPLES // 2, at_once):
        chosen = rng.integers(0, len(x), (min(at_once, RESAMPLES // 2 - start), len(x)))
        run = x[chosen][:, second] - x[chosen][:, first]
        rise = y[chosen][:, second] - y[chosen][:, first]
        slopes = np.divide(rise, run, out=np.full_like(run, np.nan), where=run != 0)
        slopes.sort(axis=1)  # NaN, of a point drawn twice, comes last
        known = np.count_nonzero(run, axis=1)
        each = np.arange(len(chosen))
        middle = (slopes[each, np.maximum(known - 1, 0) // 2] + slopes[each, known // 2]) / 2
        found.append(middle)
    return np.concatenate(found)


def utilisation_ceiling(rates: Sequence[float], utilisations: Sequence[float], seed: int = SEED) -> Estimate | None:
    """Throughput at which utilisation reaches 1, from unsaturated steps.

    Fits `U = a * X**b` with b in `EXPONENT_BOUNDS` by weighted least squares of the logarithms and solves for U = 1.
    The demand per request of a real server falls as load rises (DESIGN §6), so a straight line from low load would
    underestimate the ceiling by up to 3 times.

    Returns:
        The ceiling in the unit of `rates` with a bootstrap interval over steps; None when no step has X > 0 and U > 0.

    """
    pairs = [(x, u) for x, u in zip(rates, utilisations, strict=True) if x > 0 and u > 0]
    if not pairs:
        return None
    x, u = (np.log(np.asarray(column, dtype=float)) for column in zip(*pairs, strict=True))
    value = _ceiling(x, u)
    rng = np.random.default_rng(seed)
    fits = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(0, len(x), len(x))
        fits.append(_ceiling(x[chosen], u[chosen]))
    low, high = (float(edge) for edge in np.percentile(fits, INTERVAL_PERCENT))
    # Extrapolation is uncertain by the distance it spans: a step at U = 0.2 says little about U = 1.
    slack = SINGLE_POINT_MARGIN * (1.0 - min(1.0, math.exp(float(u.max()))))
    return Estimate(value, min(low, value * (1 - slack)), max(high, value * (1 + slack)), len(pairs))


def _ceiling(log_x: Floats, log_u: Floats) -> float:
    weights = np.exp(log_u) ** FIT_WEIGHT_POWER
    weights = weights / weights.sum()
    mean_x, mean_u = float(np.sum(weights * log_x)), float(np.sum(weights * log_u))
    spread = float(np.sum(weights * (log_x - mean_x) ** 2))
    slope = float(np.sum(weights * (log_x - mean_x) * (log_u - mean_u))) / spread if spread > 1e-9 else 1.0  # noqa: PLR2004
    slope = min(max(slope, EXPONENT_BOUNDS[0]), EXPONENT_BOUNDS[1])
    return math.exp(min(mean_x - mean_u / slope, 700.0))


def ratio_estimate(numerators: Sequence[float], denominators: Sequence[float], seed: int = SEED) -> Estimate | None:
    """Sum of numerators over sum of denominators with a bootstrap interval over pairs; None when there is nothing."""
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if len(top) == 0 or bottom.sum() <= 0:
        return None
    value = float(top.sum() / bottom.sum())
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(top), (RESAMPLES, len(top)))
    sums = bottom[chosen].sum(axis=1)
    fits = top[chosen].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = (float(edge) for edge in np.percentile(fits, INTERVAL_PERCENT))
    return Estimate(value, min(low, value), max(high, value), len(top))


def wilson(successes: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927); (0, 1) when nothing was tried.

    Raises:
        ValueError: successes are negative or exceed the trials.

    """
    if not 0 <= successes <= trials:
        message = f"{successes} successes of {trials} trials"
        raise ValueError(message)
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high
