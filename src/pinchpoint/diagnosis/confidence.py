"""How sure a verdict is: ingredients with names, a score from them, and a monotone map from scores to probabilities.

The score is a sum that was made up, so by itself it means nothing but an order. `CALIBRATION` turns it into how often
verdicts of that score were right, on systems whose limit is known (`docs/accuracy.json`, fitted by
`scripts/bench/fit_confidence.py`).
"""

from bisect import bisect_right
from dataclasses import dataclass

BASE = 0.5
"""Score of a rule that holds by a hair, with nothing for it and nothing against it."""

BY_MARGIN = 0.2
"""For a deciding signal that leaves no doubt."""

BY_LEDGER = 0.15
"""The low-load demand predicts the same resource at the same rate; taken off where it predicts otherwise."""

BY_NEXT_WALL = 0.1
"""For a next wall far above, so that no other resource can be meant."""

BY_VALIDITY = 0.05
"""For a measurement without a doubt."""

FOR_DOUBT = 0.1
"""Taken off for a suspect measurement, each step beyond the limit that had to be asked, a rival and a tie."""

FOR_CONFLICT = 0.15
"""Taken off for what speaks against the verdict."""

MOST, LEAST = 0.99, 0.05

AMBIGUOUS_MOST = 0.5
"""Score above which nothing that measures disagree on may come."""

CALIBRATION: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 1.0))
"""Score -> share of such verdicts that were right; rising, straight lines in between. Identity until it is fitted."""


@dataclass(frozen=True)
class Ingredients:
    """What speaks for and against a verdict."""

    margin: float
    """How far past their thresholds the deciding signals are, 0 (just) to 1 (completely); the least of them."""
    ledger_agrees: bool
    clear_wall: bool
    """The next wall is far above the measured capacity."""
    valid: bool
    """Every gate on the measurement held."""
    asked: int = 0
    """Steps beyond the limit that had to be asked until one showed something full."""
    rivals: int = 0
    """Other classes that steps further beyond the limit showed."""
    tied: bool = False
    """Another resource binds at the same rate."""
    ambiguous: bool = False
    """Measures disagree, or the cause itself was not measured."""


def score(found: Ingredients) -> float:
    """Add the ingredients up; 0..1, an order and no probability."""
    total = BASE + BY_MARGIN * found.margin
    total += BY_LEDGER if found.ledger_agrees else -BY_LEDGER
    total += BY_NEXT_WALL if found.clear_wall else 0.0
    total += BY_VALIDITY if found.valid else -FOR_DOUBT
    total -= FOR_DOUBT * (found.asked + found.rivals + found.tied)
    if found.ambiguous:
        total = min(AMBIGUOUS_MOST, total - FOR_CONFLICT)
    return max(LEAST, min(MOST, total))


def probability(value: float, table: tuple[tuple[float, float], ...] = CALIBRATION) -> float:
    """Return how often verdicts of this score were right; beyond the table's ends, the end's."""
    scores = [knot for knot, _ in table]
    place = bisect_right(scores, value)
    if place in {0, len(table)}:
        return table[0 if place == 0 else -1][1]
    (left, low), (right, high) = table[place - 1], table[place]
    return low + (high - low) * (value - left) / (right - left)
