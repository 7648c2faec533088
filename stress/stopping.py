"""Judge autostop criteria second by second. Pure: seconds come in, at most one sentence goes out.

Basic criteria must hold in every second of their window, `total_*` and `negative_*` over the window as a whole; none
fires before its window is full, or in a second that shows nothing wrong. A second in which load was offered and nothing
came back breaks every client criterion. A second that the generator did not report, or a signal that was not measured,
says nothing: it begins the window anew and never fires anything.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinchpoint import histograms
from pinchpoint.clientstats import ClientWindow
from pinchpoint.rows import SampleRow
from pinchpoint.seconds import Second, Seen, seconds_of
from pinchpoint.stress.autostop import Criterion
from pinchpoint.stress.signals import Signals

NET_CODES = {"timeout": ("110",), "connection": ("32", "104", "111")}
"""Kinds of failures without a status (see `failures`) -> the errnos they stand for."""
OTHER_NET = ("1",)
SUCCESS = "200"
"""What Locust counted as success; its status is not recorded."""
CONFIDENCE = 1.96
"""Standard errors by which a trend must be below 0, as Tank has it."""
FEWEST_POINTS = 3


@dataclass(frozen=True, slots=True)
class Fired:
    """A criterion that was broken."""

    criterion: str
    message: str
    since: int
    """Index of the second in which the breach began."""
    at: int
    """Index of the second in which the window was full of it."""


@dataclass(slots=True)
class _Part:
    """One second of a window."""

    index: int
    matched: float
    total: float


class Evaluator:
    """One criterion and its window."""

    def __init__(self, criterion: Criterion, max_users: int | None = None) -> None:
        """Begin with an empty window. `max_users` is what `instances(80%,…)` is a share of; None: of those there."""
        self.criterion = criterion
        self.missing = False
        """True once a signal was not to be had."""
        self._max_users = max_users
        self._window: deque[_Part] = deque(maxlen=criterion.window)
        self._run: list[int] = []

    def judge(self, second: Second, signals: Signals) -> Fired | None:
        """Take the next second in; return what it fires."""
        kind = self.criterion.kind
        if kind == "limit":
            elapsed_s = second.index + second.seconds
            message = f"the load took {self.criterion.window_s:g} s"
            return self._fired(message, second, second) if elapsed_s >= self.criterion.window_s else None
        if not second.measured:
            self._run.clear()
            self._window.clear()
            return None
        if kind.startswith(("total_", "negative_")):
            return self._whole(second)
        return self._trend(second) if kind == "http_trend" else self._basic(second, signals)

    def _basic(self, second: Second, signals: Signals) -> Fired | None:
        if not self._bad(second, signals):
            self._run.clear()
            return None
        self._run.append(second.index)
        if len(self._run) < self.criterion.window:
            return None
        return self._fired(f"{self._words()} in every second of {self.criterion.window} s", self._run[0], second)

    def _bad(self, second: Second, signals: Signals) -> bool:
        one = self.criterion
        if one.kind in {"metric_higher", "metric_lower"}:
            value = signals.read(one.signal, second)
            self.missing = self.missing or value is None
            if value is None:
                return False
            return value > one.level if one.kind == "metric_higher" else value < one.level
        if one.kind == "instances":
            return self._instances(second)
        if _silent(second):
            return True
        seen = second.seen(one.tag)
        if one.kind in {"time", "quantile"}:
            return _slow(seen, one)
        matched, total = _matched(seen, one), seen.done
        return matched > 0 and (matched / total if one.relative else matched) >= one.level

    def _instances(self, second: Second) -> bool:
        length_s = max((row["t1_s"] - row["t0_s"] for row in second.rows), default=0.0)
        busy = sum(row["inflight_s"] for row in second.rows) / length_s if length_s > 0 else 0.0
        if not self.criterion.relative:
            return busy > self.criterion.level
        most = self._max_users or second.users
        return most > 0 and busy > self.criterion.level * most

    def _whole(self, second: Second) -> Fired | None:
        one = self.criterion
        part = _part(second, one)
        self._window.append(part)
        if len(self._window) < one.window or part.matched <= 0:
            return None
        matched, total = sum(each.matched for each in self._window), sum(each.total for each in self._window)
        value = matched / total if one.relative and total else matched
        if value < one.level:
            return None
        first = next(each.index for each in self._window if each.matched > 0)
        shown = f"{value:.1%}" if one.relative else f"{value:.0f}"
        return self._fired(f"{self._words()} over {one.window} s: {shown}", first, second)

    def _trend(self, second: Second) -> Fired | None:
        """Fire when the share of arrivals answered so falls: of arrivals, because a load that is taken back is none."""
        due = second.scheduled or max(1, second.seen().done)
        part = _Part(second.index, _matched(second.seen(self.criterion.tag), self.criterion) / due, 1.0)
        self._window.append(part)
        values = [each.matched for each in self._window]
        full = len(values) == self.criterion.window and len(values) >= FEWEST_POINTS
        if not second.offered:
            self._window.clear()
        if not second.offered or not full or values[-1] >= sum(values) / len(values) or not _falls(values):
            return None
        message = f"responses matching {self.criterion.mask} per arrival fell over {self.criterion.window} s"
        return self._fired(message, self._window[0].index, second)

    def _words(self) -> str:
        one = self.criterion
        where = f" of {one.tag}" if one.tag else ""
        level = f"{one.level * 100:g} %" if one.relative else f"{one.level:g}"
        return {
            "time": f"mean response time{where} above {one.limit_ms:g} ms",
            "quantile": f"p{one.percentile:g}{where} above {one.limit_ms:g} ms",
            "http": f"responses {one.mask}{where} at {level} or more",
            "net": f"network failures {one.mask}{where} at {level} or more",
            "instances": f"more than {level} of the users busy",
            "total_time": f"responses{where} slower than {one.limit_ms:g} ms at {level} or more",
            "total_http": f"responses {one.mask}{where} at {level} or more",
            "total_net": f"network failures {one.mask}{where} at {level} or more",
            "negative_http": f"responses{where} other than {one.mask} at {level} or more",
            "negative_net": f"outcomes{where} other than net code {one.mask} at {level} or more",
            "metric_higher": f"{one.signal} above {one.level:g}",
            "metric_lower": f"{one.signal} below {one.level:g}",
        }[one.kind]

    def _fired(self, message: str, since: int | Second, second: Second) -> Fired:
        begun = since if isinstance(since, int) else since.index
        return Fired(str(self.criterion), message, begun, second.index)


def _silent(second: Second) -> bool:
    return second.offered and second.seen().done == 0


def _slow(seen: Seen, one: Criterion) -> bool:
    """Judge successful responses; a second with failures alone is slow, because a failure is never fast."""
    histogram = seen.latency
    if histogram is None or not histogram.get_total_count():
        return seen.failed > 0
    if one.kind == "time":
        return histograms.mean_us(histogram) / histograms.US_PER_MS > one.limit_ms
    return histograms.quantile_us(histogram, one.percentile / 100) / histograms.US_PER_MS > one.limit_ms


def _codes(seen: Seen, *, net: bool) -> dict[str, int]:
    """Return status -> count, or errno -> count, of all that has one."""
    found: dict[str, int] = {("0" if net else SUCCESS): seen.ok}
    for kind, count in seen.errors.items():
        status = kind.isdecimal()
        if net and status:
            found["0"] += count
        elif status and not net:
            found[kind] = found.get(kind, 0) + count
    return found


def _fits(code: str, mask: str) -> bool:
    return len(code) == len(mask) and all(one in {"x", other} for one, other in zip(mask, code, strict=True))


def _matched(seen: Seen, one: Criterion) -> int:
    """Count the responses that match the criterion's mask."""
    if one.kind.endswith("net"):
        return _net_matched(seen, one.mask)
    return sum(count for code, count in _codes(seen, net=False).items() if _fits(code, one.mask))


def _net_matched(seen: Seen, mask: str) -> int:
    if mask == "0":
        return _codes(seen, net=True)["0"] + seen.errors["failed"]
    total = 0
    for kind, count in seen.errors.items():
        if kind.isdecimal() or kind == "failed":
            continue  # an answer came: the network did its part
        codes = NET_CODES.get(kind, OTHER_NET)
        if mask == kind or not mask.strip("x") or any(_fits(code, mask) for code in codes):
            total += count
    return total


def _part(second: Second, one: Criterion) -> _Part:
    """Return how much of a second counts against a criterion over the whole window."""
    if _silent(second):
        due = float(max(1, second.scheduled, second.inflight))
        return _Part(second.index, due, due)
    seen = second.seen(one.tag)
    if one.kind == "total_time":
        above = 0 if seen.latency is None else histograms.count_above(seen.latency, one.limit_ms * histograms.US_PER_MS)
        slow = seen.failed + above
        return _Part(second.index, float(slow), float(seen.done))
    matched = _matched(seen, one)
    if one.kind.startswith("negative_"):
        matched = seen.done - matched
    return _Part(second.index, float(matched), float(seen.done))


def _falls(values: Sequence[float]) -> bool:
    """Tell whether the slope of a least-squares line is below 0 by `CONFIDENCE` standard errors."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    spread = sum((place - middle) ** 2 for place in range(count))
    slope = sum((place - middle) * (value - mean) for place, value in enumerate(values)) / spread
    rest = sum((value - mean - slope * (place - middle)) ** 2 for place, value in enumerate(values))
    error = (rest / max(1, count - 2) / spread) ** 0.5
    return bool(slope + CONFIDENCE * error < 0)


class StopRules:
    """All criteria of a run."""

    def __init__(self, criteria: Sequence[Criterion], max_users: int | None = None) -> None:
        self._criteria = tuple(criteria)
        self._max_users = max_users
        self._signals = Signals()
        self._evaluators = [Evaluator(one, max_users) for one in criteria]
        self._told: set[str] = set()

    def judge(self, second: Second) -> Fired | None:
        """Take the next second in; return the first criterion that it fires, by when its breach began."""
        self._signals.feed(second)
        fired = [found for one in self._evaluators if (found := one.judge(second, self._signals)) is not None]
        return min(fired, key=lambda found: found.since, default=None)

    def news(self) -> list[str]:
        """Return a sentence for each signal that turned out not to be measured; once."""
        found = [one.criterion.signal for one in self._evaluators if one.missing]
        fresh = [name for name in dict.fromkeys(found) if name not in self._told]
        self._told.update(fresh)
        return [f"autostop: {name} is not measured here, so its criterion cannot fire meanwhile" for name in fresh]


class StepRule:
    """One criterion as a limit on the steps of a search: a step in which it fires has failed."""

    def __init__(
        self,
        criterion: Criterion,
        max_users: int | None = None,
        samples: Callable[[], Sequence[SampleRow]] = tuple,
    ) -> None:
        """`samples` returns the collector's rows of the last while, for criteria on the server's signals."""
        self._criterion = criterion
        self._max_users = max_users
        self._samples = samples

    def breach(self, window: ClientWindow) -> str | None:
        """Say how a step breaks it; a step shorter than the criterion's window never does."""
        if not window.rows or self._criterion.kind == "limit":
            return None
        start_s = min(row["t0_s"] for row in window.rows)
        end_s = max(row["t1_s"] for row in window.rows)
        rules = StopRules([self._criterion], self._max_users)
        for second in seconds_of(window.rows, self._samples(), start_s, end_s):
            if (fired := rules.judge(second)) is not None:
                return f"autostop {fired.criterion}: {fired.message}"
        return None
