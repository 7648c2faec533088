"""Numbers become text in one place."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint import units

WRITERS = (units.number, units.count, units.ms, units.seconds, units.rps, units.percent, units.cores, units.size)


@pytest.mark.parametrize(
    ("write", "value", "expected"),
    [
        (units.number, 0.0, "0"),
        (units.number, 0.0123456, "0.0123"),
        (units.number, 9.996, "10"),
        (units.number, 99.96, "100"),
        (units.number, 12.34, "12.3"),
        (units.number, 1234.5, "1,230"),
        (units.number, -0.5, "-0.5"),
        (units.count, 12345, "12,345"),
        (units.ms, 0.4567, "0.457 ms"),
        (units.ms, 999.4, "999 ms"),
        (units.ms, 999.6, "1 s"),
        (units.ms, 2345.0, "2.35 s"),
        (units.seconds, 0.25, "0.25 s"),
        (units.seconds, 59.4, "59.4 s"),
        (units.seconds, 60, "1 min"),
        (units.seconds, 90, "1 min 30 s"),
        (units.seconds, 3599.8, "1 h"),
        (units.seconds, 7500, "2 h 5 min"),
        (units.seconds, 273_600, "3 d 4 h"),
        (units.rps, 97.64, "97.6/s"),
        (units.percent, 0.0123, "1.23 %"),
        (units.percent, 1.0, "100 %"),
        (units.cores, 1.0, "1 core"),
        (units.cores, 1.504, "1.5 cores"),
        (units.size, 512, "512 B"),
        (units.size, 65_536, "64 KiB"),
        (units.size, 1_048_575, "1 MiB"),
        (units.size, 1.61e9, "1.5 GiB"),
        (units.size, 3.3e12, "3 TiB"),
    ],
)
def test_a_number_is_written_at_three_significant_digits(
    write: Callable[[float | None], str], value: float, expected: str
) -> None:
    """Each unit has one way to be written."""
    assert write(value) == expected


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_was_not_measured_reads_not_available(write: Callable[[float | None], str], value: float | None) -> None:
    """A missing sample never turns into 0."""
    assert write(value) == "n/a"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.12, "share", "12 %"),
        (4.0, "connections", "4 connections"),
        (65_536.0, "bytes/request", "64 KiB/request"),
        (None, "connections", "n/a"),
        (3.0, "", "3"),
        (98.0, "requests/s", "98/s"),
    ],
)
def test_a_quantity_is_written_in_the_unit_its_record_names(value: float | None, unit: str, expected: str) -> None:
    """Known units get their own writer, others stand after the number."""
    assert units.quantity(value, unit) == expected


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_a_written_number_is_within_half_of_the_third_digit(value: float) -> None:
    """Rounding loses less than half a unit of the third digit."""
    written = float(units.number(value).replace(",", ""))

    assert abs(written - value) <= 0.005 * value + 1e-12


@pytest.mark.parametrize(
    ("value", "one", "two"),
    [(None, "n/a", "n/a"), (0.0, "0.0", "0.00"), (0.0803, "0.1", "0.08"), (21.04, "21.0", "21.04")],
)
def test_columns_that_scatter_around_zero_have_fixed_decimals(value: float | None, one: str, two: str) -> None:
    """Three significant digits of a hundredth of a core are noise."""
    assert (units.tenths(value), units.hundredths(value)) == (one, two)
