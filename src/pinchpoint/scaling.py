"""How throughput grows with a knob such as the number of workers, from a few noisy runs of each value.

Two laws are fitted and the better one is named: the universal scalability law (Gunther, arXiv:0808.1431; METHOD §1.5),
where every further worker brings less, and the lower of two ceilings, where it brings all it can until something shared
is full. Pure functions; anything random takes a seed. Nothing here says anything about values that were not measured.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pinchpoint.statistics import INTERVAL_PERCENT, REACHED_MARGIN, RESAMPLES, SEED

Floats = npt.NDArray[np.float64]
Runs = Mapping[float, Sequence[float]]
"""Value of the knob -> rates of its runs, requests/s."""
Interval = tuple[float, float]
Law = Literal["usl", "ceilings"]

FEWEST_VALUES = 3
"""The law has three coefficients."""
PEAK_MARGIN = 1.5
"""The peak N* is reported when the runs go 1.5 times as far: in simulation N* was right from there on, and off by a
factor of 1,000 from less (METHOD §1.5)."""
COARSE = "the limits were found only coarsely"
SMALLEST_ERROR = 1e-3
"""No two runs agree better than 0.1 %: below that, one law fitting closer than another means nothing."""
_NORMAL_975 = 1.959964


@dataclass(frozen=True, slots=True)
class Usl:
    """`X(N) = g N / (1 + s (N-1) + k N (N-1))`."""

    g: float
    """X(1), requests/s."""
    s: float
    """Contention, 0..1: the share of the work that only one can do at a time."""
    k: float
    """Coherency, >= 0: what each pays to each other one."""

    def rate(self, n: float) -> float:
        """Return X(N) in requests/s."""
        return self.g * n / (1 + self.s * (n - 1) + self.k * n * (n - 1))

    @property
    def peak(self) -> float:
        """N* = sqrt((1-s)/k), where X is largest; infinite without coherency cost."""
        return math.sqrt((1 - self.s) / self.k) if self.k > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Ceilings:
    """`X(N) = min(a N, c)`."""

    a: float
    """Requests/s of each; infinite when even the smallest value meets the ceiling."""
    c: float
    """The shared ceiling, requests/s; infinite when none of the values meets it."""

    def rate(self, n: float) -> float:
        """Return X(N) in requests/s."""
        return min(self.a * n, self.c)


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the runs say about the shape of the curve."""

    law: Law | None
    """The one that fits better; None: too few values for any."""
    usl: Usl | None = None
    ceilings: Ceilings | None = None
    ci: Mapping[str, Interval] = field(default_factory=dict)
    """`g`, `s`, `k`: 95 % intervals by bootstrap over repeats; empty where no value was run twice."""
    aicc: Mapping[str, float] = field(default_factory=dict)
    """By law, smaller is better; empty where there are too few runs for the criterion."""
    n_star: float | None = None
    n_range: Interval | None = None
    """The smallest and the largest value measured."""
    warnings: tuple[str, ...] = ()

    def predict(self, n: float) -> float | None:
        """Return the fitted rate inside the measured range, None outside it."""
        if self.law is None or self.n_range is None or not self.n_range[0] <= n <= self.n_range[1]:
            return None
        model = self.usl if self.law == "usl" else self.ceilings
        return model.rate(n) if model is not None else None


@dataclass(frozen=True, slots=True)
class Noise:
    """Scatter between runs of the same value, pooled over all values: three repeats alone say little about it."""

    residuals: Floats
    """Deviations of ln(rate) from their value's mean, each scaled by sqrt(R / (R-1)) to the size of an error."""
    freedom: int

    @property
    def widening(self) -> float:
        """Student's t over the normal quantile: what an interval from so few repeats must be wider by."""
        return t_quantile(self.freedom) / _NORMAL_975


@dataclass(frozen=True, slots=True)
class Ratio:
    """One rate over another; the interval is None where nothing was run twice."""

    value: float
    ci: Interval | None


def fit_scaling(runs: Runs, seed: int = SEED, *, exact: bool = True) -> Scaling:
    """Fit both laws and say which one is better, by the corrected Akaike criterion (AICc) of relative residuals.

    AICc asks whether the third coefficient of the USL earns its place, which a plain sum of squares cannot (it always
    prefers more coefficients); it needs six runs. With fewer the USL is shown and the warnings say so. Rates that are
    not above 0 are left out. `exact` is False where limits were found only coarsely: runs that try the same loads then
    agree by that alone, so their scatter says nothing about the coefficients.
    """
    clean = {n: sorted(x for x in rates if x > 0) for n, rates in sorted(runs.items()) if n > 0}
    clean = {n: rates for n, rates in clean.items() if rates}
    if len(clean) < FEWEST_VALUES:
        return Scaling(None, warnings=(f"{len(clean)} values are too few for a scaling law; it needs {FEWEST_VALUES}",))
    n, x = _points(clean)
    usl, ceilings = fit_usl(n, x), fit_ceilings(n, x)
    aicc = {
        name: value
        for name, value in (("usl", _aicc(n, x, usl, 3)), ("ceilings", _aicc(n, x, ceilings, 2)))
        if value is not None
    }
    law: Law = "ceilings" if len(aicc) > 1 and aicc["ceilings"] <= aicc["usl"] else "usl"
    noise = pooled_noise(clean) if exact else None
    ci = _usl_intervals(clean, usl, noise, seed) if noise is not None else {}
    n_star, warnings = _peak(usl, ci, max(clean)) if law == "usl" else (None, ())
    return Scaling(
        law,
        usl,
        ceilings,
        ci,
        aicc,
        n_star,
        (min(clean), max(clean)),
        (*_warnings(clean, aicc, noise, exact=exact), *warnings),
    )


NEXT_TO_NOTHING = 1e-9
"""Of the coherency term: what is left of the others where they vanish, far below what any rate is measured to."""


def fit_usl(n: Floats, x: Floats) -> Usl:
    """Fit by least squares of the relative error of N/X, which is linear in 1/g, s/g and k/g.

    With `N/X = d + b N + e N(N-1)`, where g = 1/(d+b), s = b/(d+b) and k = e/(d+b), the bounds s in [0, 1] and k >= 0
    are just d, b, e >= 0. So the problem is convex: its one minimum is found exactly, zeros included, which neither
    starting points nor logarithms of coefficients can promise.
    """
    columns = np.column_stack([np.ones_like(n), n, n * (n - 1)])
    d, b, e = _non_negative(columns * (x / n)[:, None])
    total = d + b
    if total <= 0:  # coherency alone: no such server, but the formula has a limit, which must stay finite
        total = NEXT_TO_NOTHING * e
    return Usl(g=float(1 / total), s=float(b / total), k=float(e / total))


def _non_negative(columns: Floats) -> Floats:
    """Return the non-negative weights under which the columns add up nearest to 1: the best of all subsets."""
    scale = np.linalg.norm(columns, axis=0)
    scaled = columns / scale
    ones = np.ones(len(columns))
    best, best_error = np.zeros(columns.shape[1]), math.inf
    for size in range(columns.shape[1], 0, -1):
        for chosen in itertools.combinations(range(columns.shape[1]), size):
            weights = np.linalg.lstsq(scaled[:, chosen], ones, rcond=None)[0]
            error = float(np.sum((scaled[:, chosen] @ weights - 1) ** 2))
            if weights.min() >= 0 and error < best_error - 1e-15:
                best, best_error = np.zeros(columns.shape[1]), error
                best[list(chosen)] = weights
        if size == columns.shape[1] and math.isfinite(best_error):
            break  # no bound is touched, so no subset can fit better
    return np.asarray(best / scale, dtype=np.float64)


def fit_ceilings(n: Floats, x: Floats) -> Ceilings:
    """Fit by least squares of the relative error of X, exactly: the corner lies between two values, or at one."""
    candidates = [Ceilings(_level(n / x), math.inf), Ceilings(math.inf, _level(1 / x))]
    for corner in np.unique(n):
        rising = n <= corner
        slope = _level(np.minimum(n, corner) / x)
        candidates.append(Ceilings(slope, slope * float(corner)))
        if rising.any() and not rising.all():
            candidates.append(Ceilings(_level((n / x)[rising]), _level(1 / x[~rising])))
    errors = [_error(n, x, one) for one in candidates]
    least = min(errors)
    best = next(one for one, error in zip(candidates, errors, strict=True) if error <= least + 1e-15)
    # A ceiling that bends only the last value by a hair was not seen; nor was a slope where even the first one is bent.
    if best.c >= REACHED_MARGIN * best.a * float(n.max()):
        return candidates[0]
    return Ceilings(math.inf, best.c) if best.a * float(n.min()) >= best.c else best


def _level(unit: Floats) -> float:
    """Return the factor that brings `factor * unit` nearest to 1."""
    return float(unit.sum() / np.sum(unit**2))


def _error(n: Floats, x: Floats, model: Usl | Ceilings) -> float:
    fitted = np.array([model.rate(float(one)) for one in n])
    return float(np.sum((fitted / x - 1) ** 2))


def _aicc(n: Floats, x: Floats, model: Usl | Ceilings, coefficients: int) -> float | None:
    """Corrected Akaike criterion of a least-squares fit (Burnham and Anderson 2002, §2.4); the variance counts too."""
    count, free = len(n), coefficients + 1
    if count - free - 1 <= 0:
        return None
    variance = max(_error(n, x, model) / count, SMALLEST_ERROR**2)
    return count * math.log(variance) + 2 * free + 2 * free * (free + 1) / (count - free - 1)


def _points(runs: Runs) -> tuple[Floats, Floats]:
    pairs = [(n, x) for n, rates in runs.items() for x in rates]
    n, x = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    return n, x


def _usl_intervals(runs: Runs, usl: Usl, noise: Noise, seed: int) -> dict[str, Interval]:
    rng = np.random.default_rng(seed)
    n, _ = _points(runs)
    centres = np.concatenate([np.full(len(rates), np.log(rates).mean()) for rates in runs.values()])
    fits = []
    for _ in range(RESAMPLES // 2):
        one = fit_usl(n, np.exp(centres + rng.choice(noise.residuals, len(n))))
        fits.append((one.g, one.s, one.k))
    limits = {"g": (0.0, math.inf), "s": (0.0, 1.0), "k": (0.0, math.inf)}
    intervals = {}
    for index, (name, (least, most)) in enumerate(limits.items()):
        value = getattr(usl, name)
        low, high = _widened(value, [fit[index] for fit in fits], noise)
        intervals[name] = (max(least, low), min(most, high))
    return intervals


def _widened(value: float, draws: Sequence[float] | Floats, noise: Noise) -> Interval:
    low, high = (float(edge) for edge in np.percentile(draws, INTERVAL_PERCENT))
    return value - max(0.0, value - low) * noise.widening, value + max(0.0, high - value) * noise.widening


def _peak(usl: Usl, ci: Mapping[str, Interval], largest: float) -> tuple[float | None, tuple[str, ...]]:
    """Return N* where METHOD §1.5 allows it, else why not."""
    if math.isinf(usl.peak):
        return None, ()
    if "k" not in ci:
        return None, ("no peak is named: nothing tells coherency from noise",)
    if ci["k"][0] <= 0:
        return None, ("no peak is named: the coherency coefficient may as well be 0",)
    if largest < PEAK_MARGIN * usl.peak:
        return None, (f"no peak is named: it would need runs up to {PEAK_MARGIN:g} times as far",)
    return usl.peak, ()


def _warnings(runs: Runs, aicc: Mapping[str, float], noise: Noise | None, *, exact: bool) -> tuple[str, ...]:
    said = []
    if len(runs) == FEWEST_VALUES:
        said.append("three values are the fewest that a law can be fitted to: it retells them, and proves nothing")
    if len(aicc) < 2:  # noqa: PLR2004 - both laws
        said.append("too few runs to tell which law fits better; the USL is shown")
    if noise is None:
        said.append("the coefficients have no intervals: " + ("no value was run twice" if exact else COARSE))
    return tuple(said)


def pooled_noise(runs: Mapping[Any, Sequence[float]]) -> Noise | None:
    """Pool the scatter of all values that were run more than once; None where there is none. Rates must be above 0."""
    residuals: list[float] = []
    freedom = 0
    for rates in runs.values():
        if len(rates) > 1:
            logs = np.log(np.sort(np.asarray(rates, dtype=np.float64)))
            residuals.extend((logs - logs.mean()) * math.sqrt(len(rates) / (len(rates) - 1)))
            freedom += len(rates) - 1
    return Noise(np.sort(residuals), freedom) if freedom else None


def mean_rate(rates: Sequence[float]) -> float:
    """Return the geometric mean: ratios of such means are the means of ratios. Rates must be above 0."""
    return math.exp(sum(math.log(one) for one in sorted(rates)) / len(rates))


def rate_interval(rates: Sequence[float], noise: Noise | None, seed: int = SEED) -> Interval | None:
    """Return the 95 % interval of `mean_rate`, by bootstrap of the pooled noise; None without any repeat."""
    if noise is None or not rates:
        return None
    draws = np.random.default_rng(seed).choice(noise.residuals, (RESAMPLES, len(rates))).mean(axis=1)
    low, high = _widened(0.0, draws, noise)
    centre = mean_rate(rates)
    return centre * math.exp(low), centre * math.exp(high)


def ratio(above: Sequence[float], below: Sequence[float], noise: Noise | None, seed: int = SEED) -> Ratio:
    """Return mean rate over mean rate with its 95 % interval, by bootstrap over runs (METHOD §1.8).

    Two or three repeats resampled by themselves give intervals that are far too narrow. So the noise is that of all
    values, and Student's t widens what comes from few repeats. Rates must be above 0.
    """
    value = mean_rate(above) / mean_rate(below)
    if noise is None:
        return Ratio(value, None)
    rng = np.random.default_rng(seed)
    draws = rng.choice(noise.residuals, (RESAMPLES, len(above))).mean(axis=1)
    draws -= rng.choice(noise.residuals, (RESAMPLES, len(below))).mean(axis=1)
    low, high = _widened(0.0, draws, noise)
    return Ratio(value, (value * math.exp(low), value * math.exp(high)))


def t_quantile(freedom: int) -> float:
    """Return Student's t at 97.5 %: exact for 1 and 2 degrees of freedom, else Abramowitz and Stegun 26.7.5."""
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:  # noqa: PLR2004 - the closed form
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, v = _NORMAL_975, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )
