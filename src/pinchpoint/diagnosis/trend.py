"""Does a noisy, autocorrelated series rise? Theil-Sen slope, its interval by moving blocks of residuals.

Points of a time series are no independent draws: Mann-Kendall calls 65 % of strongly autocorrelated flat series a trend
(METHOD §5.7). Resampling the residuals in blocks keeps their memory (Künsch 1989).
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pinchpoint.soak_records import Slope
from pinchpoint.statistics import INTERVAL_PERCENT, SEED

Floats = npt.NDArray[np.float64]

MIN_POINTS = 8
"""Fewer say nothing about their own scatter."""

RESAMPLES = 200
BLOCK_OF_DECORRELATION = 5.0
"""Block length over the decorrelation time (METHOD §1.8)."""

MOST_BLOCK_SHARE = 0.34
"""Longer blocks than a third of the series leave too few to draw from."""

MOST_CORRELATION = 0.95
Z_95 = 1.96


def trend(xs: Sequence[float], ys: Sequence[float], seed: int = SEED) -> tuple[Slope, float] | None:
    """Return the slope with its 95 % interval, and the line's height at x = 0; None for fewer than `MIN_POINTS` points.

    The interval is the wider one of the slope under resampled residuals and of a line with AR(1) errors.
    """
    x, y = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    if len(x) < MIN_POINTS or float(np.ptp(x)) == 0.0:
        return None
    first, second = np.triu_indices(len(x), 1)
    run = x[second] - x[first]
    usable = run != 0
    first, second, run = first[usable], second[usable], run[usable]

    def slope_of(values: Floats) -> float:
        return float(np.median((values[second] - values[first]) / run))

    value = slope_of(y)
    height = float(np.median(y - value * x))
    fitted = height + value * x
    residuals = y - fitted
    correlation = _correlation(residuals)
    block = _block(correlation, len(x))
    draw = np.random.default_rng(seed)
    slopes = [slope_of(fitted + _resampled(residuals, block, draw)) for _ in range(RESAMPLES)]
    low, high = (float(edge) for edge in np.percentile(slopes, INTERVAL_PERCENT))
    half = _half_width(x, residuals, correlation)
    return Slope(value, min(low, value - half), max(high, value + half)), height


def _correlation(residuals: Floats) -> float:
    """Return the lag-1 correlation, without its bias towards 0 in short series (Kendall 1954)."""
    centred = residuals - residuals.mean()
    power = float(np.sum(centred**2))
    found = float(np.sum(centred[1:] * centred[:-1])) / power if power > 0 else 0.0
    return min(max(found + (1 + 3 * found) / len(residuals), 0.0), MOST_CORRELATION)


def _half_width(x: Floats, residuals: Floats, correlation: float) -> float:
    """Return the half-width of the interval of a straight line with AR(1) errors: few long blocks give too little."""
    spread = math.sqrt(float(np.sum((x - x.mean()) ** 2)))
    error = math.sqrt(float(np.sum(residuals**2)) / max(1, len(x) - 2)) / spread
    return Z_95 * error * math.sqrt((1 + correlation) / (1 - correlation))


def _block(correlation: float, points: int) -> int:
    """Return the block length: five decorrelation times of an AR(1) series."""
    decorrelation = -1.0 / math.log(correlation) if correlation > 0 else 0.0
    return int(min(max(2.0, BLOCK_OF_DECORRELATION * decorrelation), max(2.0, MOST_BLOCK_SHARE * points)))


def _resampled(residuals: Floats, block: int, draw: np.random.Generator) -> Floats:
    """Draw blocks with replacement, wrapping around the end, until the series is as long as it was."""
    count = math.ceil(len(residuals) / block)
    starts = draw.integers(0, len(residuals), count)
    indices = (starts[:, None] + np.arange(block)[None, :]).ravel()[: len(residuals)] % len(residuals)
    return np.asarray(residuals[indices], dtype=np.float64)


def binned(times: Sequence[float], values: Sequence[float], bins: int) -> tuple[list[float], list[float]]:
    """Return the mean time and value of each of `bins` equal stretches of time that holds any value."""
    t, v = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if len(t) == 0:
        return [], []
    width = float(np.ptp(t)) / bins or 1.0
    index = np.minimum(((t - t.min()) / width).astype(int), bins - 1)
    held = sorted(set(index.tolist()))
    return [float(t[index == one].mean()) for one in held], [float(v[index == one].mean()) for one in held]
