"""The only place that turns numbers into text: three significant digits, and `n/a` for what was not measured."""

import math

NOT_MEASURED = "n/a"
DIGITS = 3
_KIB = 1024.0
_NEXT_UNIT_FROM = 1000.0
"""1,023 KiB needs a fourth digit, so the next unit starts here: 0.999 MiB."""
_MS_PER_S = 1000.0
_S_PER_MIN = 60.0
_S_PER_H = 3600.0
_S_PER_DAY = 86_400.0
_SHOWN_AS_ABOUT_ZERO = 1e-9


def number(value: float | None) -> str:
    """Return a plain number at three significant digits, thousands separated: `0.0123`, `12.3`, `1,230`."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if abs(value) < _SHOWN_AS_ABOUT_ZERO:
        return "0"
    rounded = float(f"{value:.{DIGITS}g}")
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{rounded:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def tenths(value: float | None) -> str:
    """Return one decimal, for a column of small counts that scatter around 0: `0.1`, `21.0`."""
    return NOT_MEASURED if value is None or not math.isfinite(value) else f"{value:,.1f}"


def hundredths(value: float | None) -> str:
    """Return two decimals, for a column of shares of a core: `0.08`, `1.00`."""
    return NOT_MEASURED if value is None or not math.isfinite(value) else f"{value:,.2f}"


def count(value: float | None) -> str:
    """Return a whole number in full, thousands separated."""
    return NOT_MEASURED if value is None or not math.isfinite(value) else f"{value:,.0f}"


def ms(value: float | None) -> str:
    """Return milliseconds as `0.5 ms`, `12.3 ms`, or seconds from one second on."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if abs(float(f"{value:.{DIGITS}g}")) >= _MS_PER_S:
        return seconds(value / _MS_PER_S)
    return f"{number(value)} ms"


def seconds(value: float | None) -> str:
    """Return seconds in the unit that reads best: `0.25 s`, `1 min 30 s`, `2 h 5 min`, `3 d 4 h`."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if abs(value) < _S_PER_MIN:
        return f"{number(value)} s"
    sign = "-" if value < 0 else ""
    size = abs(value)
    if size < _S_PER_H - 0.5:
        return sign + _two(size, _S_PER_MIN, "min", 1.0, "s")
    if size < _S_PER_DAY - _S_PER_MIN / 2:
        return sign + _two(size, _S_PER_H, "h", _S_PER_MIN, "min")
    return sign + _two(size, _S_PER_DAY, "d", _S_PER_H, "h")


def rps(value: float | None) -> str:
    """Return requests per second."""
    return NOT_MEASURED if value is None or not math.isfinite(value) else f"{number(value)}/s"


def percent(value: float | None) -> str:
    """Return a share (0..1) as a percentage."""
    return NOT_MEASURED if value is None or not math.isfinite(value) else f"{number(value * 100)} %"


def cores(value: float | None) -> str:
    """Return CPU time per wall time in cores."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    text = number(value)
    return f"{text} core" if text == "1" else f"{text} cores"


def size(value: float | None) -> str:
    """Return bytes in binary units: `512 B`, `64 KiB`, `1.5 GiB`."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(float(f"{amount:.{DIGITS}g}")) < _NEXT_UNIT_FROM:
            return f"{number(amount)} {unit}"
        amount /= _KIB
    return f"{number(amount)} TiB"


_WRITERS = {
    "ms": ms,
    "s": seconds,
    "share": percent,
    "ratio": number,
    "bytes": size,
    "cores": cores,
    "rps": rps,
    "1/s": rps,
    "req/s": rps,
    "requests/s": rps,
}


def quantity(value: float | None, unit: str) -> str:
    """Return a value in the unit that a record names; an unknown unit is written after the number."""
    writer = _WRITERS.get(unit)
    if writer is not None:
        return writer(value)
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if unit.startswith("bytes/"):
        return f"{size(value)}{unit.removeprefix('bytes')}"
    return f"{number(value)} {unit}".rstrip()


def _two(size_s: float, big: float, big_name: str, small: float, small_name: str) -> str:
    whole, rest = divmod(round(size_s / small), round(big / small))
    return f"{whole} {big_name} {rest} {small_name}" if rest else f"{whole} {big_name}"


milliseconds, rate, bytes_ = ms, rps, size
