"""Confidence against truth as a small SVG: a dot for each bin, the larger the more verdicts it holds."""

from collections.abc import Sequence
from math import sqrt

from pinchpoint.calibration import Bin
from pinchpoint.statistics import wilson

SIZE, EDGE = 360, 48
INK, GRID, DOT = "#555", "#ccc", "#0072b2"
"""The blue of Okabe and Ito, which every eye tells from grey."""
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def reliability(bins: Sequence[Bin]) -> str:
    """Return the picture; confidence to the right, share of right verdicts upwards, whiskers are Wilson intervals."""
    side = SIZE + 2 * EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" font-family="sans-serif" font-size="12">',
        f'<rect width="{side}" height="{side}" fill="white"/>',
        _line(0, 0, 1, 1, GRID, dashes=True),
    ]
    for tick in TICKS:
        parts += [_line(tick, 0, tick, 1, GRID), _line(0, tick, 1, tick, GRID)]
        parts += [_text(_x(tick), side - EDGE + 16, f"{tick:g}"), _text(EDGE - 18, _y(tick) + 4, f"{tick:g}")]
    most = max((one.n for one in bins), default=1)
    for one in bins:
        low, high = wilson(round(one.right * one.n), one.n)
        radius = 4 + 12 * sqrt(one.n / most)
        parts.append(_line(one.confidence, low, one.confidence, high, DOT))
        parts.append(
            f'<circle cx="{_x(one.confidence):.1f}" cy="{_y(one.right):.1f}" r="{radius:.1f}" fill="{DOT}" '
            f'fill-opacity="0.6"><title>{one.n} verdicts</title></circle>'
        )
    parts.append(_text(side / 2, side - 12, "confidence"))
    parts.append(f'<g transform="rotate(-90)">{_text(-side / 2, 14, "share of right verdicts")}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _x(value: float) -> float:
    return EDGE + value * SIZE


def _y(value: float) -> float:
    return EDGE + (1 - value) * SIZE


def _line(x0: float, y0: float, x1: float, y1: float, ink: str, *, dashes: bool = False) -> str:
    ends = f'x1="{_x(x0):.1f}" y1="{_y(y0):.1f}" x2="{_x(x1):.1f}" y2="{_y(y1):.1f}"'
    return f'<line {ends} stroke="{ink}"{" stroke-dasharray=" + chr(34) + "4" + chr(34) if dashes else ""}/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{INK}">{text}</text>'
