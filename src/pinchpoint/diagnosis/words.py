"""Numbers as they stand in sentences of a verdict: three significant digits, a unit, `n/a` when not measured."""


def significant(value: float) -> str:
    """Format with three significant digits and no exponent."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    decimals = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3  # noqa: PLR2004
    return f"{value:,.{decimals}f}"


def ms(value: float | None) -> str:
    """Format milliseconds."""
    return "n/a" if value is None else f"{significant(value)} ms"


def rps(value: float | None) -> str:
    """Format requests per second."""
    return "n/a" if value is None else f"{significant(value)}/s"


def counted(number: float | None, noun: str) -> str:
    """Format a count with its noun: `1 core`, `2 cores`, `1.5 cores`; an unknown number of them: `cores`."""
    if number is None:
        return f"{noun}s"
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def duration(seconds: float | None) -> str:
    """Format seconds, or minutes from two on."""
    if seconds is None:
        return "n/a"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def size(value: float | None) -> str:
    """Format bytes in kB, MB or GB."""
    if value is None:
        return "n/a"
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= limit:
            return f"{significant(value / limit)} {unit}"
    return f"{value:.0f} B"
