"""Whether a stated confidence means what it says: pure functions over verdicts that claim something."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pinchpoint.accuracy import Result

BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Edges; a bin holds its lower one. Few verdicts claim less than one half."""

LEVELS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Confidences from which on an answer might be believed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One verdict that claims something."""

    confidence: float
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Verdicts of about the same confidence."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean."""
    right: float
    """Share."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What believing only the surer verdicts leaves."""

    level: float
    coverage: float
    """Share of all runs, abstentions included, with an answer of at least this confidence."""
    n: int
    class_right: float | None
    cause_right: float | None


def claims(results: Iterable[Result]) -> list[Claim]:
    """Return confidence and truth (class and cause) of all verdicts but abstentions, which claim nothing."""
    return [
        Claim(result.confidence, result.right)
        for result in results
        if not result.abstained and result.confidence is not None
    ]


def brier(made: Sequence[Claim]) -> float | None:
    """Return the mean squared distance of confidence and truth (Brier 1950); 0 is perfect, 0.25 is a coin's."""
    return sum((claim.confidence - claim.right) ** 2 for claim in made) / len(made) if made else None


def bins(made: Iterable[Claim], edges: Sequence[float] = BINS) -> list[Bin]:
    """Sort claims into bins; empty ones are left out. The last bin holds its upper edge, too."""
    found = []
    claimed = list(made)
    for low, high in pairwise(edges):
        last = high == edges[-1]
        here = [one for one in claimed if low <= one.confidence < high or (last and one.confidence == high)]
        if here:
            mean = sum(one.confidence for one in here) / len(here)
            found.append(Bin(low, high, len(here), mean, sum(one.right for one in here) / len(here)))
    return found


def expected_error(made: Sequence[Claim], edges: Sequence[float] = BINS) -> float | None:
    """Return the expected calibration error: |right - confidence| of each bin, weighted by its claims."""
    return sum(one.n * abs(one.right - one.confidence) for one in bins(made, edges)) / len(made) if made else None


def right_from(made: Iterable[Claim], level: float) -> tuple[int, int]:
    """Return (right, all) of the claims of at least some confidence."""
    sure = [one.right for one in made if one.confidence >= level]
    return sum(sure), len(sure)


def coverage_curve(results: Sequence[Result], levels: Sequence[float] = LEVELS) -> list[Coverage]:
    """Return, for each level of confidence, how much is answered and how much of it is right."""
    curve = []
    for level in levels:
        kept = [r for r in results if not r.abstained and r.confidence is not None and r.confidence >= level]
        n = len(kept)
        curve.append(
            Coverage(
                level=level,
                coverage=n / len(results) if results else 0.0,
                n=n,
                class_right=sum(r.class_right for r in kept) / n if n else None,
                cause_right=sum(r.right for r in kept) / n if n else None,
            )
        )
    return curve
