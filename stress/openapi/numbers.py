"""Recipes for integers and numbers between bounds, and multiples of something. Exact: bounds are taken as fractions."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from pinchpoint.stress.openapi.recipes import Const, Real, Recipe, Whole
from pinchpoint.stress.openapi.schemas import NoExampleError

SPAN = 1000
"""Between the bound that is given and the one that is not."""
_STEPS = 10
"""Multiples that the span holds at least."""
_DIGITS = (2, 4, 6, 9, 12)
"""Decimal places to try; the first with a number between the bounds is taken."""
_LARGEST = Fraction(10**12)
"""A float holds two decimal places up to here."""


def whole_recipe(schema: Mapping[str, Any]) -> Recipe:
    """Return a recipe for a schema of type `integer`.

    Raises:
        NoExampleError: no integer is between the bounds.

    """
    step = _unit(schema).numerator if "multipleOf" in schema else 1
    low, high = _bounds(schema, step)
    first, last = math.ceil(low / step) * step, math.floor(high / step) * step
    first += step if _excluded(schema, "exclusiveMinimum", first) else 0
    last -= step if _excluded(schema, "exclusiveMaximum", last) else 0
    if first > last:
        raise NoExampleError("no integer is between its bounds")
    return Const(first) if first == last else Whole(first, last, step)


def real_recipe(schema: Mapping[str, Any]) -> Recipe:
    """Return a recipe for a schema of type `number`.

    Multiples are whole numbers where that is possible: then no validator's rounding can refuse them.

    Raises:
        NoExampleError: no number of at most twelve decimal places is between the bounds.

    """
    if "multipleOf" in schema:
        unit = _unit(schema)
        grids = [(unit.numerator, 1), (unit.numerator, unit.denominator)]
    else:
        grids = [(1, 10**digits) for digits in _DIGITS]
    low, high = _bounds(schema, grids[0][0])
    low, high = max(low, -_LARGEST), min(high, _LARGEST)
    for times, per in grids:
        grid = Fraction(times, per)
        first, last = math.ceil(low / grid), math.floor(high / grid)
        first += 1 if _excluded(schema, "exclusiveMinimum", first * grid) else 0
        last -= 1 if _excluded(schema, "exclusiveMaximum", last * grid) else 0
        if first <= last:
            return _real(first, last, times, per)
    raise NoExampleError("no number is between its bounds")


def _real(first: int, last: int, times: int, per: int) -> Recipe:
    if per == 1:
        return Whole(first * times, last * times, times)
    return Const(first * times / per) if first == last else Real(first, last, times, per)


def _fraction(value: Any) -> Fraction:
    """Return the decimal number that was meant, not the binary one nearest to it.

    Raises:
        NoExampleError: it is no number.

    """
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise NoExampleError(f"{value!r} is no number") from None


def _unit(schema: Mapping[str, Any]) -> Fraction:
    unit = _fraction(schema["multipleOf"])
    if unit <= 0:
        raise NoExampleError(f"multipleOf {unit} is not above 0")
    return unit


def _bounds(schema: Mapping[str, Any], step: int) -> tuple[Fraction, Fraction]:
    """Return the lowest and the highest value to try; both may be excluded. Without bounds: 1 and 1000."""
    lows = [_fraction(schema[key]) for key in ("minimum", "exclusiveMinimum") if schema.get(key) is not None]
    highs = [_fraction(schema[key]) for key in ("maximum", "exclusiveMaximum") if schema.get(key) is not None]
    span = max(SPAN, _STEPS * step)
    if lows:
        low = max(lows)
        return low, min(highs) if highs else low + span
    if highs:
        high = min(highs)
        above = high > step or (high == step and "exclusiveMaximum" not in schema)
        return Fraction(step) if above else high - span, high
    return Fraction(1), Fraction(span)


def _excluded(schema: Mapping[str, Any], key: str, value: Fraction | int) -> bool:
    return schema.get(key) is not None and _fraction(schema[key]) == value
