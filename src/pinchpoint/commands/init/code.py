"""Recipes and JSON values as Python source, laid out as a formatter would."""

import string
from collections.abc import Sequence
from typing import Any

from pinchpoint.stress.openapi.recipes import (
    LETTERS,
    Choice,
    Code,
    Const,
    Formatted,
    Joined,
    Many,
    OneOf,
    Real,
    Recipe,
    Record,
    Repeated,
    Row,
    Text,
    Whole,
)

INDENT = "    "
FLAT = 72
"""Characters up to which a list stays on one line; with its surroundings that is below 120."""

FORMAT_CODE = {
    "date-time": 'time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())',
    "date": 'time.strftime("%Y-%m-%d")',
    "time": 'time.strftime("%H:%M:%SZ", time.gmtime())',
    "duration": 'f"PT{random.randint(1, 59)}M"',
    "email": 'f"{text(10, 10)}@example.com"',
    "uuid": "str(uuid.uuid4())",
    "uri": 'f"https://example.com/{text(8, 8)}"',
    "hostname": 'f"{text(8, 8)}.example.com"',
    "ipv4": 'f"192.0.2.{random.randint(1, 254)}"',
    "ipv6": 'f"2001:db8::{random.randint(1, 65_535):x}"',
    "byte": "base64.b64encode(text(12, 12).encode()).decode()",
    "password": 'text(10, 10) + "A1!"',
    "pointer": 'f"/{text(8, 8)}"',
}
"""Kinds of `recipes.FORMATS` -> an expression of the written file."""
_ALPHABETS = (
    (string.ascii_letters, "string.ascii_letters"),
    (string.ascii_lowercase, "string.ascii_lowercase"),
    (string.ascii_uppercase, "string.ascii_uppercase"),
    (string.digits, "string.digits"),
)


def quoted(text: str) -> str:
    """Return a literal of a text, in double quotes where they need no more escapes."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in plain else plain


def literal(value: Any, depth: int = 0) -> str:
    """Return a literal of a JSON value; objects get a line for each field, `depth` steps further in."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return _dictionary([(name, literal(one, depth + 1)) for name, one in value.items()], depth)
    if isinstance(value, list | tuple):
        return listed([literal(one) for one in value], [literal(one, depth + 1) for one in value], depth)
    return repr(value)


def expression(recipe: Recipe, depth: int = 0) -> str:  # noqa: C901, PLR0911 - a case each
    """Return a Python expression whose values are those of the recipe."""
    match recipe:
        case Const(value):
            return literal(value, depth)
        case Choice(values):
            return _chosen([literal(one) for one in values], [literal(one, depth + 2) for one in values], depth)
        case Code(text):
            return text
        case Whole(first, last, step):
            if first == last:
                return repr(first)
            bounds = f"{first}, {last}" if step == 1 else f"{first}, {last + 1}, {step}"
            return f"random.randint({bounds})" if step == 1 else f"random.randrange({bounds})"
        case Real(first, last, times, per):
            scaled = f" * {times}" if times != 1 else ""
            return f"random.randint({first}, {last}){scaled} / {per}"
        case Row(items):
            return listed([expression(one) for one in items], [expression(one, depth + 1) for one in items], depth)
        case Many():
            return _many(recipe, depth)
        case Record(fields):
            return _dictionary([(name, expression(one, depth + 1)) for name, one in fields], depth)
        case OneOf(options):
            return _chosen([expression(one) for one in options], [expression(one, depth + 2) for one in options], depth)
        case _:
            return _text(recipe)


def _text(recipe: Text | Formatted | Joined | Repeated) -> str:
    match recipe:
        case Text(shortest, longest, letters):
            return f"text({shortest}, {longest}{'' if letters == LETTERS else f', {_alphabet(letters)}'})"
        case Formatted(kind):
            return FORMAT_CODE[kind]
        case Joined(parts):
            return " + ".join(expression(one) for one in parts)
        case Repeated(part, least, most):
            return f'"".join({expression(part)} for _ in range({_count(least, most)}))'


def _alphabet(letters: str) -> str:
    """Name the characters by the constants of `string`, as far as they are made of those."""
    left, parts = letters, []
    for characters, name in _ALPHABETS:
        if set(characters) <= set(left):
            parts.append(name)
            left = "".join(one for one in left if one not in characters)
    return " + ".join([*parts, *([quoted(left)] if left else [])])


def _count(least: int, most: int) -> str:
    return str(least) if least == most else f"random.randint({least}, {most})"


def _many(recipe: Many, depth: int) -> str:
    count = _count(recipe.least, recipe.most)
    if recipe.unique:
        return f"distinct(lambda: {expression(recipe.item, depth)}, {count})"
    flat, within = expression(recipe.item), expression(recipe.item, depth + 1)
    if "\n" not in flat and len(flat) <= FLAT:
        return f"[{flat} for _ in range({count})]"
    inner, outer = INDENT * (depth + 1), INDENT * depth
    return f"[\n{inner}{within}\n{inner}for _ in range({count})\n{outer}]"


def _chosen(flat: Sequence[str], deep: Sequence[str], depth: int) -> str:
    """`deep` are the options laid out two steps further in."""
    if _is_flat(flat):
        return f"random.choice([{', '.join(flat)}])"
    inner, outer = INDENT * (depth + 1), INDENT * depth
    return f"random.choice(\n{inner}{listed(flat, deep, depth + 1)}\n{outer})"


def listed(flat: Sequence[str], deep: Sequence[str], depth: int) -> str:
    """Return a list of expressions: on one line, or with a line for each, `deep` being laid out one step further in."""
    if _is_flat(flat):
        return f"[{', '.join(flat)}]"
    inner = INDENT * (depth + 1)
    return "[\n" + "".join(f"{inner}{one},\n" for one in deep) + f"{INDENT * depth}]"


def _is_flat(parts: Sequence[str]) -> bool:
    return not any("\n" in one for one in parts) and sum(len(one) + 2 for one in parts) <= FLAT


def _dictionary(fields: Sequence[tuple[str, str]], depth: int) -> str:
    if not fields:
        return "{}"
    inner = INDENT * (depth + 1)
    return "{\n" + "".join(f"{inner}{quoted(name)}: {value},\n" for name, value in fields) + f"{INDENT * depth}}}"
