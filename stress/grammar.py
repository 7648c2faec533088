"""Read the short texts of `--stages`, `--threshold` and `--autostop`, with errors that point at the character."""

import math
import re
from decimal import Decimal
from typing import NoReturn

from pinchpoint.errors import UsageError

_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNIT = re.compile(r"ms|[hms](?![A-Za-z])")
UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
DIGITS = "0123456789"
LONGEST_S = 7 * 86_400.0
HIGHEST = 1e9
"""No rate, population or limit is larger; it keeps sums finite."""


class Scanner:
    """A text and a place in it. `what` names the option in errors."""

    def __init__(self, text: str, what: str) -> None:
        self.text = text
        self.at = 0
        self._what = what
        self._skip()

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        """Refuse the text, pointing at `at` (default: here).

        Raises:
            UsageError: the sentence, the text on one line, and a caret under the character.

        """
        place = min(self.at if at is None else at, len(self.text))
        # One character each, so that the caret keeps its column.
        shown = "".join(one if one.isprintable() else " " for one in self.text)
        raise UsageError(f"{self._what}: {message}\n  {shown}\n  {' ' * place}^")

    @property
    def ended(self) -> bool:
        """True when nothing is left."""
        return self.at >= len(self.text)

    def peek(self, literal: str) -> bool:
        """Tell whether this comes next."""
        return self.text.startswith(literal, self.at)

    def accept(self, *literals: str) -> str | None:
        """Take the first of these that comes next; None when none does."""
        for literal in literals:
            if self.peek(literal):
                self.at += len(literal)
                self._skip()
                return literal
        return None

    def expect(self, literal: str, message: str) -> None:
        """Take this, or refuse the text."""
        if self.accept(literal) is None:
            self.fail(message)

    def word(self) -> str | None:
        """Take a name; None when there is none here."""
        return self._take(_WORD)

    def number(self, what: str, *, most: float = HIGHEST) -> float:
        """Take a plain number; `what` says in an error which one is missing."""
        start = self.at
        text = self._take(_NUMBER)
        if text is None:
            self.fail(f"{what} must be a number here")
        value = float(text)
        if value > most:
            self.fail(f"{what} {text} is too large", start)
        return value

    def whole(self, what: str) -> int:
        """Take a whole number."""
        start = self.at
        value = self.number(what)
        if value != int(value):
            self.fail(f"{what} must be a whole number", start)
        return int(value)

    def duration(self, what: str, *, bare: str | None = None) -> float:
        """Take `500ms`, `10s`, `1m30s` or `2h`; return seconds. `bare` is the unit of a number without one."""
        start, total_s, smallest = self.at, 0.0, math.inf
        while smallest == math.inf or (not self.ended and self.text[self.at] in DIGITS):
            value = self.number(what)
            unit = self._take(_UNIT)
            if unit is None:
                if bare is None or smallest < math.inf:
                    self.fail(f"{what} needs a unit here: ms, s, m or h")
                return self._length(value * UNITS_S[bare], what, start)
            if UNITS_S[unit] >= smallest:
                self.fail(f"{what}: larger units come first, as in 1m30s", self.at - len(unit))
            smallest = UNITS_S[unit]
            total_s += value * smallest
        return self._length(total_s, what, start)

    def until(self, closing: str, message: str) -> str:
        """Take everything up to the closing character that stands outside inner braces and parentheses."""
        start, place = self.at, self._closing(closing)
        if place is None:
            self.fail(message, len(self.text))
        self.at = place + 1
        self._skip()
        return self.text[start:place].strip()

    def _closing(self, closing: str) -> int | None:
        depth = 0
        for place in range(self.at, len(self.text)):
            one = self.text[place]
            if depth == 0 and one == closing:
                return place
            depth += (one in "{(") - (one in "})")
        return None

    def end(self, message: str) -> None:
        """Refuse what is left over."""
        if not self.ended:
            self.fail(message)

    def _length(self, seconds: float, what: str, start: int) -> float:
        if seconds > LONGEST_S:
            self.fail(f"{what} is longer than 7 days", start)
        return seconds

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        self._skip()
        return match[0]

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at


def plain(value: float) -> str:
    """Write a number so that reading it gives the same number, and never with an exponent."""
    text = format(Decimal(repr(float(value))), "f")
    return text.removesuffix(".0")


def seconds_text(seconds: float) -> str:
    """Write a duration so that reading it gives the same one: `90s`, `0.25s`."""
    return f"{plain(seconds)}s"
