"""Yandex.Tank's autostop criteria: what ends a load early, in its words. Parsed here; `stopping` judges them. Pure.

Client criteria take an endpoint (Locust's request name) as a last value. `metric_higher` and `metric_lower` watch the
server's signals (see `signals`); a host before the signal, as in Tank, is accepted and ignored: one server is watched.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pinchpoint.stress.grammar import Scanner, plain, seconds_text
from pinchpoint.stress.signals import NAMES, known

Kind = Literal[
    "time", "http", "net", "quantile", "instances", "limit", "total_time", "total_http", "total_net",
    "negative_http", "negative_net", "http_trend", "metric_higher", "metric_lower",
]  # fmt: skip
CLIENT_KINDS = frozenset(
    {"time", "http", "net", "quantile", "total_time", "total_http", "total_net", "negative_http", "negative_net"}
) | {"http_trend"}
NET_WORDS = ("timeout", "connection")
STATUS_LENGTH = 3
_SIZES = {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "KB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of them. Only the fields of its kind count."""

    kind: Kind
    window_s: float
    """How long it must hold; of `limit` the longest time of the load."""
    level: float = 0.0
    """A share (0..1) if `relative`, else a count; a signal's value."""
    relative: bool = False
    mask: str = ""
    """`5xx`, `404`; for the net `xx`, an errno, `timeout`, `connection`."""
    limit_ms: float = 0.0
    percentile: float = 0.0
    signal: str = ""
    host: str = ""
    tag: str | None = None

    @property
    def window(self) -> int:
        """Whole seconds it must hold, at least one."""
        return max(1, math.ceil(round(self.window_s, 6)))

    def __str__(self) -> str:
        """Return it in one spelling; reading that gives the same criterion."""
        values = [_WRITERS[name](self) for name in _SHAPES[self.kind]]
        if self.host:
            values.insert(0, self.host)
        if self.tag is not None:
            values.append(self.tag)
        return f"{self.kind}({','.join(values)})"


def _ms_text(criterion: Criterion) -> str:
    return f"{plain(criterion.limit_ms)}ms"


def _level_text(criterion: Criterion) -> str:
    return plain_percent(criterion.level) if criterion.relative else plain(criterion.level)


def plain_percent(share: float) -> str:
    """Write a share as a percentage; reading it gives the same share."""
    for digits in range(18):
        text = f"{share * 100:.{digits}f}"
        if float(text) / 100 == share:
            return f"{text}%"
    return f"{plain(share * 100)}%"


_WRITERS: dict[str, Callable[[Criterion], str]] = {
    "ms": _ms_text,
    "window": lambda one: seconds_text(one.window_s),
    "status": lambda one: one.mask,
    "errno": lambda one: one.mask,
    "level": _level_text,
    "share": _level_text,
    "percentile": lambda one: plain(one.percentile),
    "signal": lambda one: one.signal,
    "value": lambda one: plain(one.level),
}
_SHAPES: dict[str, tuple[str, ...]] = {
    "time": ("ms", "window"),
    "http": ("status", "level", "window"),
    "net": ("errno", "level", "window"),
    "quantile": ("percentile", "ms", "window"),
    "instances": ("level", "window"),
    "limit": ("window",),
    "total_time": ("ms", "share", "window"),
    "total_http": ("status", "level", "window"),
    "total_net": ("errno", "level", "window"),
    "negative_http": ("status", "level", "window"),
    "negative_net": ("errno", "level", "window"),
    "http_trend": ("status", "window"),
    "metric_higher": ("signal", "value", "window"),
    "metric_lower": ("signal", "value", "window"),
}
EXAMPLES = {
    "time": "time(1s,10s)",
    "http": "http(5xx,10%,10s)",
    "net": "net(xx,1,30s)",
    "quantile": "quantile(95,100ms,10s)",
    "instances": "instances(80%,30s)",
    "limit": "limit(1m)",
    "total_time": "total_time(300ms,70%,3s)",
    "total_http": "total_http(5xx,10%,10s)",
    "total_net": "total_net(xx,10%,10s)",
    "negative_http": "negative_http(2xx,10%,10s)",
    "negative_net": "negative_net(0,10%,10s)",
    "http_trend": "http_trend(2xx,10s)",
    "metric_higher": "metric_higher(loop_busy,0.95,10s)",
    "metric_lower": "metric_lower(inflight,1,10s)",
}


def parse_criterion(text: str, what: str = "--autostop") -> Criterion:
    """Read one criterion.

    Raises:
        UsageError: it makes no sense; the message points at the character.

    """
    scanner = Scanner(text, what)
    start = scanner.at
    kind = scanner.word()
    if kind is None or kind not in _SHAPES:
        scanner.fail(f"there is no criterion {kind or ''!r}; known: {', '.join(_SHAPES)}", start)
    scanner.expect("(", f"an opening parenthesis must follow, as in {EXAMPLES[kind]}")
    found: dict[str, object] = {}
    if kind.startswith("metric_"):
        _host(scanner, found)
    for number, name in enumerate(_SHAPES[kind]):
        if number:
            scanner.expect(",", f"{kind} takes {len(_SHAPES[kind])} values, as in {EXAMPLES[kind]}")
        _READERS[name](scanner, found)
    if scanner.accept(","):
        if kind not in CLIENT_KINDS:
            scanner.fail(f"{kind} takes no endpoint")
        place = scanner.at
        found["tag"] = scanner.until(")", "the closing parenthesis is missing")
        if not found["tag"]:
            scanner.fail("an endpoint's name must stand here", place)
    else:
        scanner.expect(")", f"a closing parenthesis must stand here, as in {EXAMPLES[kind]}")
    scanner.end("one criterion each: repeat --autostop for another one")
    return Criterion(kind=kind, **found)  # type: ignore[arg-type]


def _host(scanner: Scanner, found: dict[str, object]) -> None:
    """Take the host of Tank's form, where two commas stand before the value."""
    start = scanner.at
    first = scanner.text[start:].split(",")
    if len(first) > 3:  # noqa: PLR2004 - host, signal, value, seconds
        found["host"] = scanner.until(",", "the host's comma is missing")
        if not found["host"]:
            scanner.fail("a host must stand here", start)


def _ms(scanner: Scanner, found: dict[str, object]) -> None:
    found["limit_ms"] = round(scanner.duration("the time", bare="ms") * 1000, 6)


def _window(scanner: Scanner, found: dict[str, object]) -> None:
    start = scanner.at
    seconds = scanner.duration("the window", bare="s")
    if seconds <= 0:
        scanner.fail("the window must be longer than 0 s", start)
    found["window_s"] = seconds


def _status(scanner: Scanner, found: dict[str, object]) -> None:
    start, mask = scanner.at, _mask(scanner)
    if len(mask) != STATUS_LENGTH:
        scanner.fail("a status has three digits, x stands for any: 5xx, 404", start)
    found["mask"] = mask


def _errno(scanner: Scanner, found: dict[str, object]) -> None:
    start = scanner.at
    for word in NET_WORDS:
        if scanner.accept(word):
            found["mask"] = word
            return
    mask = _mask(scanner)
    if not 1 <= len(mask) <= STATUS_LENGTH:
        scanner.fail("a net code is xx (any), an errno such as 110, `timeout` or `connection`", start)
    found["mask"] = mask


def _mask(scanner: Scanner) -> str:
    start = scanner.at
    while not scanner.ended and scanner.text[scanner.at] in "0123456789xX":
        scanner.at += 1
    mask = scanner.text[start : scanner.at].lower()
    scanner.accept(" ")  # blanks before the comma
    return mask


def _level(scanner: Scanner, found: dict[str, object]) -> None:
    start = scanner.at
    value = scanner.number("the level")
    relative = scanner.accept("%") is not None
    if value <= 0 or (relative and value > 100):  # noqa: PLR2004 - percent
        scanner.fail("a level is a count above 0, or a share up to 100%", start)
    found["level"], found["relative"] = (value / 100, True) if relative else (value, False)


def _share(scanner: Scanner, found: dict[str, object]) -> None:
    _level(scanner, found)
    if not found["relative"]:
        scanner.fail("a percent sign must follow: it is a share of the responses")


def _percentile(scanner: Scanner, found: dict[str, object]) -> None:
    start = scanner.at
    value = scanner.number("the percentile")
    if not 0 < value <= 100:  # noqa: PLR2004 - percent
        scanner.fail("a percentile lies between 0 and 100", start)
    found["percentile"] = value


def _signal(scanner: Scanner, found: dict[str, object]) -> None:
    start = scanner.at
    comma = scanner.text.find(",", start)
    name = scanner.text[start : comma if comma >= 0 else None].strip()
    if not known(name):
        scanner.fail(f"there is no signal {name[:40]!r}; known: {', '.join(NAMES)}, pool_waiting:NAME", start)
    scanner.at = start + len(name)
    scanner.accept(" ")
    found["signal"] = name


def _value(scanner: Scanner, found: dict[str, object]) -> None:
    value = scanner.number("the value", most=1e15)
    if scanner.accept("%"):
        value /= 100
    elif (unit := scanner.accept(*_SIZES)) is not None:
        value *= _SIZES[unit]
    found["level"] = value


_READERS: dict[str, Callable[[Scanner, dict[str, object]], None]] = {
    "ms": _ms,
    "window": _window,
    "status": _status,
    "errno": _errno,
    "level": _level,
    "share": _share,
    "percentile": _percentile,
    "signal": _signal,
    "value": _value,
}
