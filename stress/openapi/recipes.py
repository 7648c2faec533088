"""What a generated value is made of: drawn here with a seed, and written as Python by `commands/init/code.py`.

A recipe knows nothing of JSON Schema; `schema_examples` makes recipes of schemas.
"""

import base64
import random
import string
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LETTERS = string.ascii_lowercase
UNIQUE_TRIES = 100
"""Draws for a list without repetition before it stays shorter than wished."""


@dataclass(frozen=True, slots=True)
class Const:
    """Always this JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several JSON values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer: `first`, `first + step` and so on, `last` at most; both are multiples of `step` away."""

    first: int
    last: int
    step: int = 1


@dataclass(frozen=True, slots=True)
class Real:
    """A number: an integer between `first` and `last`, times `times`, divided by `per`."""

    first: int
    last: int
    times: int = 1
    per: int = 100


@dataclass(frozen=True, slots=True)
class Text:
    """Characters out of `letters`, `shortest` to `longest` of them."""

    shortest: int
    longest: int
    letters: str = LETTERS


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text in one of `FORMATS`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Texts one after the other."""

    parts: "tuple[Recipe, ...]"


@dataclass(frozen=True, slots=True)
class Repeated:
    """A text drawn anew `least` to `most` times, one after the other."""

    part: "Recipe"
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Row:
    """A list with one value of each recipe."""

    items: "tuple[Recipe, ...]"


@dataclass(frozen=True, slots=True)
class Many:
    """A list of `least` to `most` values of one recipe; none twice where `unique`."""

    item: "Recipe"
    least: int
    most: int
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """An object."""

    fields: "tuple[tuple[str, Recipe], ...]"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several recipes."""

    options: "tuple[Recipe, ...]"


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression of the written file, and a value that it may have."""

    text: str
    sample: Any


Recipe = Const | Choice | Whole | Real | Text | Formatted | Joined | Repeated | Row | Many | Record | OneOf | Code


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(LETTERS, k=count))


def _day(rng: random.Random) -> str:
    return f"{rng.randint(2020, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z"


# Names under example.com and addresses of 192.0.2.0/24 and 2001:db8::/32 belong to nobody: RFC 2606, 5737 and 3849.
FORMATS: Mapping[str, Callable[[random.Random], str]] = {
    "date-time": lambda rng: f"{_day(rng)}T{_clock(rng)}",
    "date": _day,
    "time": _clock,
    "duration": lambda rng: f"PT{rng.randint(1, 59)}M",
    "email": lambda rng: f"{_letters(rng, 10)}@example.com",
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "uri": lambda rng: f"https://example.com/{_letters(rng, 8)}",
    "hostname": lambda rng: f"{_letters(rng, 8)}.example.com",
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(1, 65_535):x}",
    "byte": lambda rng: base64.b64encode(_letters(rng, 12).encode()).decode(),
    "password": lambda rng: f"{_letters(rng, 10)}A1!",
    "pointer": lambda rng: f"/{_letters(rng, 8)}",
}
"""Kinds of text; a password has letters of both cases, a digit and a sign, which most rules for passwords ask for."""


def draw(recipe: Recipe, rng: random.Random) -> Any:  # noqa: PLR0911 - a case each
    """Return one value; the same for the same seed."""
    match recipe:
        case Const(value) | Code(_, value):
            return value
        case Choice(values):
            return rng.choice(values)
        case Whole(first, last, step):
            return rng.randrange(first, last + 1, step)
        case Real(first, last, times, per):
            return rng.randint(first, last) * times / per
        case Row(items):
            return [draw(one, rng) for one in items]
        case Many():
            return _many(recipe, rng)
        case Record(fields):
            return {name: draw(one, rng) for name, one in fields}
        case OneOf(options):
            return draw(rng.choice(options), rng)
        case _:
            return _text(recipe, rng)


def _text(recipe: Text | Formatted | Joined | Repeated, rng: random.Random) -> str:
    match recipe:
        case Text(shortest, longest, letters):
            return "".join(rng.choices(letters, k=rng.randint(shortest, longest)))
        case Formatted(kind):
            return FORMATS[kind](rng)
        case Joined(parts):
            return "".join(draw(one, rng) for one in parts)
        case Repeated(part, least, most):
            return "".join(draw(part, rng) for _ in range(rng.randint(least, most)))


def _many(recipe: Many, rng: random.Random) -> list[Any]:
    count = rng.randint(recipe.least, recipe.most)
    if not recipe.unique:
        return [draw(recipe.item, rng) for _ in range(count)]
    found: list[Any] = []
    for _ in range(UNIQUE_TRIES):
        if len(found) == count:
            break
        value = draw(recipe.item, rng)
        if value not in found:
            found.append(value)
    return found
