"""What decided: a signal held against a threshold; and the same, said the other way round (`would_flip_if`)."""

from dataclasses import dataclass

from pinchpoint.diagnosis.words import ms, significant


@dataclass(frozen=True)
class Bound:
    """One signal that a rule rests on, and the threshold that it passed."""

    what: str
    """The signal in words, as the subject of a sentence in the singular."""
    value: float | None
    threshold: float
    unit: str = "share"
    """`share`, `ratio`, `ms`, or a noun in the plural (`requests`)."""
    under: bool = False
    """The value had to lie under the threshold; else above it."""

    def flips(self) -> str:
        """Say what the signal would have to be for the rule not to hold."""
        side = "at least" if self.under else "below"
        seen = f" (it was {_shown(self.value, self.unit)})" if self.value is not None else ""
        return f"{self.what} was {side} {_shown(self.threshold, self.unit)}{seen}"


def above(what: str, value: float | None, threshold: float, unit: str = "share") -> Bound:
    """Return a bound that was passed upward."""
    return Bound(what, value, threshold, unit)


def under(what: str, value: float | None, threshold: float, unit: str = "share") -> Bound:
    """Return a bound that the signal stayed under."""
    return Bound(what, value, threshold, unit, under=True)


def _shown(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.0%}"
    if unit == "ratio":
        return f"{value:.2f} times"
    if unit == "ms":
        return ms(value)
    return f"{significant(value)} {unit}"
