"""Recipes for texts: by format, by pattern, by length, and by what the name of a field promises."""

import importlib
import random
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

from pinchpoint.stress.openapi.recipes import (
    LETTERS,
    Choice,
    Const,
    Formatted,
    Joined,
    OneOf,
    Recipe,
    Repeated,
    Text,
    draw,
)
from pinchpoint.stress.openapi.schemas import NoExampleError

# Private, and the only parser of the language there is in the standard library; tests hold what is used of it.
_PARSER: Any = importlib.import_module("re._parser")
_MAXREPEAT: Any = importlib.import_module("re._constants").MAXREPEAT

SHORT, LONG = 8, 16
"""Letters of a text of free length: enough to be hardly ever drawn twice."""
SPREAD = 8
"""More repetitions than the least that a pattern without an end gets."""
TRIALS = 60
"""Draws that must all fit before a recipe is believed."""
SAMPLES = 20
"""Texts that stand for a pattern of which not every draw fits."""
_LONGEST_SPREAD = 256
_SEED = 7
_WIDEST = 200
"""Characters of a range that are kept: one such as `\\u0000-\\uffff` names them all."""
_WORDS = string.ascii_letters + string.digits + "_"
_UNIVERSE = _WORDS + " -.,:;!?@#%&*()/+="
_SETS = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": _WORDS,
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
    "CATEGORY_NOT_WORD": " -.,:;!?",
    "CATEGORY_NOT_SPACE": _WORDS,
}
_ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("date-time", "datetime"), "date-time"),
    **{name: name for name in ("date", "time", "duration", "ipv4", "ipv6", "byte", "password", "hostname")},
    **dict.fromkeys(("email", "idn-email", "name-email"), "email"),
    **dict.fromkeys(("uuid", "guid", "uuid4"), "uuid"),
    **dict.fromkeys(("uri", "url", "iri", "uri-reference", "iri-reference", "http-url"), "uri"),
    "idn-hostname": "hostname",
    "ipvanyaddress": "ipv4",
    "base64": "byte",
    "json-pointer": "pointer",
}
"""Formats as documents have them -> kinds of `recipes.FORMATS`. Others count for nothing, as the standard says."""
_PROMISES = (
    (re.compile(r"(?:^|[_-])e?mail$|Email$", re.IGNORECASE), "email"),
    (re.compile(r"(?:^|[_-])(?:url|uri|website|homepage)$|Ur[il]$", re.IGNORECASE), "uri"),
    (re.compile(r"^(?:\w*[_-])?(?:password|passwd|passphrase)\d?$|Password$", re.IGNORECASE), "password"),
)
"""Names of fields that want more than letters, whatever their schema says."""


def string_recipe(schema: Mapping[str, Any], name: str = "") -> Recipe:
    """Return a recipe for a text that meets a schema of type `string`.

    `name` is the field's; it decides where the schema is silent.

    Raises:
        NoExampleError: nothing that fits was found.

    """
    shortest, longest = int(schema.get("minLength", 0)), schema.get("maxLength")
    if longest is not None and longest < shortest:
        raise NoExampleError(f"minLength {shortest} is above maxLength {longest}")
    pattern = schema.get("pattern")
    matches = _matcher(pattern, shortest, longest)
    for kind in _kinds(schema, name):
        if _always(Formatted(kind), matches):
            return Formatted(kind)
    low = max(shortest, min(SHORT, longest if longest is not None else SHORT))
    high = max(low, LONG) if longest is None else min(longest, max(low, LONG))
    plain = Text(low, high)
    if pattern is None or _always(plain, matches):
        return plain
    return _by_pattern(str(pattern), shortest, longest)


def _kinds(schema: Mapping[str, Any], name: str) -> Iterator[str]:
    for word in map(str, (schema.get("format"), schema.get("contentEncoding"))):
        if word in _ALIASES:
            yield _ALIASES[word]
    if "format" not in schema:
        yield from (kind for promise, kind in _PROMISES if promise.search(name))


class _Matcher:
    """Whether a text has the length and the pattern that are asked for."""

    def __init__(self, pattern: re.Pattern[str] | None, shortest: int, longest: int | None) -> None:
        self._pattern, self._shortest, self._longest = pattern, shortest, longest

    def __call__(self, text: str) -> bool:
        if len(text) < self._shortest or (self._longest is not None and len(text) > self._longest):
            return False
        return self._pattern is None or self._pattern.search(text) is not None


def _matcher(pattern: object, shortest: int, longest: int | None) -> _Matcher:
    try:
        return _Matcher(None if pattern is None else re.compile(str(pattern)), shortest, longest)
    except (re.error, OverflowError) as error:
        raise NoExampleError(f"the pattern {pattern} is not one that Python knows ({error})") from None


def _drawn(recipe: Recipe) -> list[str]:
    rng = random.Random(_SEED)  # noqa: S311 - examples, not secrets
    return [draw(recipe, rng) for _ in range(TRIALS)]


def _always(recipe: Recipe, matches: _Matcher) -> bool:
    return all(matches(text) for text in _drawn(recipe))


def _by_pattern(pattern: str, shortest: int, longest: int | None) -> Recipe:
    """Turn a pattern into a recipe; where not all it makes fits (lengths, lookaheads), into texts that do."""
    matches = _matcher(pattern, shortest, longest)
    tree = _PARSER.parse(pattern)
    fitting: dict[str, None] = {}
    reach = shortest if longest is None else longest
    for spread in dict.fromkeys((SPREAD, min(shortest, _LONGEST_SPREAD), min(reach, _LONGEST_SPREAD), 1, 0)):
        recipe = _simple(_joined(tree, spread))
        if _always(recipe, matches):
            return recipe
        fitting.update(dict.fromkeys(text for text in _drawn(recipe) if matches(text)))
    if not fitting:
        raise NoExampleError(f"no text was found for the pattern {pattern}")
    return Choice(tuple(fitting)[:SAMPLES])


def _joined(tree: Any, spread: int) -> Joined:
    return Joined(tuple(_part(operator.name, argument, spread) for operator, argument in tree))


def _part(operator: str, argument: Any, spread: int) -> Recipe:  # noqa: PLR0911 - a case each
    """Translate one element of a parsed pattern. What asserts without taking characters is left to the check."""
    match operator:
        case "LITERAL":
            return Const(chr(argument))
        case "NOT_LITERAL":
            return Text(1, 1, _without(chr(argument)))
        case "ANY" | "ANY_ALL":
            return Text(1, 1)
        case "IN":
            return Text(1, 1, _characters(argument))
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, tree = argument
            return _repeated(least, most, tree, spread)
        case "SUBPATTERN":
            return _joined(argument[-1], spread)
        case "ATOMIC_GROUP":
            return _joined(argument, spread)
        case "BRANCH":
            return OneOf(tuple(_simple(_joined(one, spread)) for one in argument[1]))
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return Const("")
    raise NoExampleError(f"a pattern with {operator.lower()} is beyond what is made up here")


def _repeated(least: int, most: Any, tree: Any, spread: int) -> Recipe:
    highest = least + spread if most is _MAXREPEAT else min(int(most), max(least, spread))
    part = _simple(_joined(tree, spread))
    if isinstance(part, Text) and part.shortest == part.longest == 1:
        return Text(least, highest, part.letters)
    return Repeated(part, least, highest)


def _characters(items: Any) -> str:
    """Return the characters of a class such as `[a-z_]`."""
    found, negated = "", False
    for operator, argument in items:
        match operator.name:
            case "NEGATE":
                negated = True
            case "LITERAL":
                found += chr(argument)
            case "RANGE":
                found += _range(*argument)
            case "CATEGORY":
                found += _SETS.get(argument.name, "")
    letters = _without(found) if negated else "".join(dict.fromkeys(found))
    if not letters:
        raise NoExampleError("a pattern with an unusual class of characters is beyond what is made up here")
    return letters


def _range(first: int, last: int) -> str:
    """Return the characters of a range; of a wide one those that are printed everywhere."""
    plain = "".join(character for character in _UNIVERSE if first <= ord(character) <= last)
    if last - first > _WIDEST and plain:
        return plain
    return "".join(map(chr, range(first, min(last, first + _WIDEST) + 1)))


def _without(letters: str) -> str:
    return "".join(character for character in LETTERS + string.digits if character not in letters) or "".join(
        character for character in _UNIVERSE if character not in letters
    )


def _flattened(recipe: Recipe) -> Iterator[Recipe]:
    if isinstance(recipe, Joined):
        for part in recipe.parts:
            yield from _flattened(part)
    elif recipe != Const(""):
        yield recipe


def _simple(recipe: Joined) -> Recipe:
    """Return the same without lists in lists, neighbouring constants, and a list of one."""
    parts: list[Recipe] = []
    for one in _flattened(recipe):
        last = parts[-1] if parts else None
        if isinstance(one, Const) and isinstance(last, Const):
            parts[-1] = Const(last.value + one.value)
        else:
            parts.append(one)
    if not parts:
        return Const("")
    return parts[0] if len(parts) == 1 else Joined(tuple(parts))
