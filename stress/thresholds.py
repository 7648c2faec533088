"""k6's thresholds: `p(95)<500`, `http_req_failed:rate<1%,abortOnFail,delayAbortEval=10s`, per endpoint too. Pure.

Judged over everything since the load began, as k6 does. Two differences, on purpose: durations are those of successful
requests, counted from the scheduled arrival (a failure is never fast), and a load that got no answer at all crosses.
"""

import json
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pinchpoint import histograms
from pinchpoint.clientstats import ClientWindow
from pinchpoint.seconds import Seen, Total, seen_in
from pinchpoint.stress.grammar import Scanner, plain, seconds_text

DURATION, FAILED, REQUESTS, DROPPED = "http_req_duration", "http_req_failed", "http_reqs", "dropped_iterations"
AGGREGATES: dict[str, tuple[str, ...]] = {
    DURATION: ("avg", "min", "max", "med", "p"),
    FAILED: ("rate",),
    REQUESTS: ("count", "rate"),
    DROPPED: ("count", "rate"),
}
_DEFAULT_METRIC = {**dict.fromkeys(AGGREGATES[DURATION], DURATION), "rate": FAILED}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "===": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
FEWEST_FAILURES = 2
"""One failed request among a few dozen says nothing about a share of 1 %: an abort waits for a second one."""
_JSON_KEYS = frozenset({"threshold", "abortOnFail", "delayAbortEval"})


@dataclass(frozen=True, slots=True)
class Threshold:
    """One of them."""

    metric: str
    endpoint: str | None
    aggregate: Literal["avg", "min", "max", "med", "p", "rate", "count"]
    percentile: float | None
    op: str
    limit: float
    """Milliseconds, a share, a count, or a count per second."""
    abort: bool = False
    """End the run when it is crossed."""
    delay_s: float = 0.0
    """Of the load, before which it ends nothing."""

    def __str__(self) -> str:
        """Return it in one spelling; reading that gives the same threshold."""
        options = ",abortOnFail" if self.abort else ""
        options += f",delayAbortEval={seconds_text(self.delay_s)}" if self.delay_s else ""
        return f"{self.condition}{options}"

    @property
    def condition(self) -> str:
        """What must hold, without options."""
        where = f"{{name:{self.endpoint}}}" if self.endpoint is not None else ""
        usual = _DEFAULT_METRIC.get(self.aggregate) == self.metric and not where
        head = "" if usual else f"{self.metric}{where}:"
        aggregate = f"p({plain(self.percentile)})" if self.percentile is not None else self.aggregate
        return f"{head}{aggregate}{self.op}{plain(self.limit)}"

    def holds(self, observed: float) -> bool:
        """Tell whether a value is within the limit."""
        return OPERATORS[self.op](observed, self.limit)

    def observed(self, total: Total) -> float | None:
        """Return the value of a window; None when there is none to judge."""
        seen = total.all if self.endpoint is None else total.named.get(self.endpoint, Seen())
        if self.metric == DURATION:
            return self._duration_ms(seen)
        if self.metric == FAILED:
            return seen.failed / seen.done if seen.done else None
        count = seen.done if self.metric == REQUESTS else total.unsent
        if self.aggregate == "count":
            return float(count)
        return count / total.seconds if total.seconds > 0 else None

    def crossed(self, total: Total) -> bool | None:
        """Tell whether a window crosses it; None when nothing can be said.

        Load that nothing came back of crosses a limit on durations or failures: silence is no success.
        """
        value = self.observed(total)
        if value is not None:
            return not self.holds(value)
        silent = total.offered and total.all.done == 0 and total.seconds > 0
        return True if silent or (self.metric == DURATION and self._only_failed(total)) else None

    def breach(self, window: ClientWindow) -> str | None:
        """Say how a step of a search crosses it; None when it does not. Throughput is judged at the end, not here."""
        if self.metric in {REQUESTS, DROPPED}:
            return None
        total = Total(seconds=window.covered_s, all=seen_in(window.rows))
        if self.endpoint is not None:
            total.named[self.endpoint] = seen_in(window.rows, self.endpoint)
        value = self.observed(total)
        if value is None:
            return f"{self.condition}: nothing succeeded" if self.crossed(total) else None
        if self.holds(value) or (self.metric == FAILED and self._chance(total)):
            return None
        return f"{self.condition} is crossed: {self.show(value)}"

    def show(self, value: float | None) -> str:
        """Write an observed value in the metric's unit."""
        if value is None:
            return "no answer at all"
        if self.metric == DURATION:
            return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"  # noqa: PLR2004 - ms in a second
        return f"{value:.3g}" if self.metric != FAILED else f"{value:.2%}"

    def _chance(self, total: Total) -> bool:
        seen = total.all if self.endpoint is None else total.named.get(self.endpoint, Seen())
        return seen.failed < FEWEST_FAILURES and seen.ok > 0

    def _only_failed(self, total: Total) -> bool:
        seen = total.all if self.endpoint is None else total.named.get(self.endpoint, Seen())
        return seen.failed > 0 and seen.ok == 0

    def _duration_ms(self, seen: Seen) -> float | None:
        histogram = seen.latency
        if histogram is None or not histogram.get_total_count():
            return None
        if self.aggregate == "avg":
            return histograms.mean_us(histogram) / histograms.US_PER_MS
        shares = {"min": 0.0, "med": 0.5, "max": 1.0}
        share = shares.get(self.aggregate, (self.percentile or 0.0) / 100)
        return histograms.quantile_us(histogram, share) / histograms.US_PER_MS


def parse_threshold(text: str, what: str = "--threshold") -> Threshold:
    """Read one threshold, as text or as k6's JSON object.

    Raises:
        UsageError: it makes no sense; the message points at the character.

    """
    if text.lstrip().startswith("{"):
        return _from_json(text, what)
    scanner = Scanner(text, what)
    threshold = _condition(scanner)
    while scanner.accept(","):
        threshold = _option(scanner, threshold)
    if not scanner.ended:
        scanner.fail(f"{text[scanner.at]!r} is unexpected: options follow a comma, as in p(95)<500,abortOnFail")
    return threshold


def _condition(scanner: Scanner) -> Threshold:
    start = scanner.at
    word = scanner.word()
    if word is None:
        scanner.fail("a threshold is like p(95)<500, rate<0.01 or http_reqs:rate>100")
    metric, endpoint = None, None
    if word in AGGREGATES:
        metric, endpoint = word, _endpoint(scanner, word)
        scanner.expect(":", f"a colon and one of {', '.join(AGGREGATES[word])} must follow {word}")
        start = scanner.at
        word = scanner.word()
    elif scanner.peek(":") or scanner.peek("{"):
        scanner.fail(f"there is no metric {word}; known: {', '.join(AGGREGATES)}", start)
    metric = metric or _DEFAULT_METRIC.get(word or "")
    if metric is None:
        hint = f"{word} needs its metric: http_reqs:count" if word == "count" else _known_aggregates(word)
        scanner.fail(hint, start)
    if word not in AGGREGATES[metric]:
        scanner.fail(f"{metric} has no {word or 'such figure'}; it has {', '.join(AGGREGATES[metric])}", start)
    percentile = _percentile(scanner) if word == "p" else None
    op = scanner.accept(*OPERATORS)
    if op is None:
        scanner.fail("one of < <= > >= == != must stand here")
    limit = _limit(scanner, metric)
    return Threshold(metric, endpoint, word, percentile, "==" if op == "===" else op, limit)  # type: ignore[arg-type]


def _known_aggregates(word: str | None) -> str:
    return f"there is no {word}; known: avg, min, max, med, p(N), rate, or METRIC: before one of its own"


def _endpoint(scanner: Scanner, metric: str) -> str | None:
    start = scanner.at
    if not scanner.accept("{"):
        return None
    if metric == DROPPED:
        scanner.fail("an arrival that was dropped has no endpoint", start)
    scanner.expect("name", "only the tag `name` is known, as in {name:GET /items}")
    scanner.expect(":", "a colon must follow `name`, as in {name:GET /items}")
    place = scanner.at
    name = scanner.until("}", "the closing brace of {name:...} is missing")
    if not name:
        scanner.fail("an endpoint's name must stand here", place)
    return name


def _percentile(scanner: Scanner) -> float:
    scanner.expect("(", "p needs its number, as in p(95)")
    place = scanner.at
    value = scanner.number("the percentile")
    if value > 100:  # noqa: PLR2004 - percent
        scanner.fail("a percentile lies between 0 and 100", place)
    scanner.expect(")", "a closing parenthesis must follow the percentile")
    return value


def _limit(scanner: Scanner, metric: str) -> float:
    place = scanner.at
    value = scanner.number("the limit")
    if metric == DURATION:
        unit = scanner.accept("ms", "s")
        return value * 1000 if unit == "s" else value
    if metric == FAILED:
        value = value / 100 if scanner.accept("%") else value
        if value > 1:
            scanner.fail("a share lies between 0 and 1 (or 0% and 100%)", place)
    return value


def _option(scanner: Scanner, threshold: Threshold) -> Threshold:
    start = scanner.at
    word = scanner.word()
    if word == "abortOnFail":
        return replace(threshold, abort=True)
    if word != "delayAbortEval":
        scanner.fail("the options are abortOnFail and delayAbortEval=10s", start)
    scanner.expect("=", "delayAbortEval needs its duration, as in delayAbortEval=10s")
    return replace(threshold, delay_s=scanner.duration("delayAbortEval", bare="ms"))


def _from_json(text: str, what: str) -> Threshold:
    scanner = Scanner(text, what)
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        scanner.fail(f"not JSON: {error.msg}", error.pos)
    except (ValueError, RecursionError):
        scanner.fail("not JSON that makes sense")
    for key in value:
        if key not in _JSON_KEYS:
            scanner.fail(f"there is no key {key!r}; known: {', '.join(sorted(_JSON_KEYS))}", max(0, text.find(key)))
    if not isinstance(value.get("threshold"), str):
        scanner.fail('the object needs a text "threshold", such as "p(95)<500"')
    threshold = parse_threshold(value["threshold"], what) if not value["threshold"].lstrip().startswith("{") else None
    if threshold is None:
        scanner.fail("a threshold is a text inside the object", max(0, text.find("threshold")))
    abort, delay = value.get("abortOnFail", threshold.abort), value.get("delayAbortEval")
    if not isinstance(abort, bool):
        scanner.fail("abortOnFail is true or false", max(0, text.find("abortOnFail")))
    if delay is None:
        return replace(threshold, abort=abort)
    words = Scanner(str(delay), f"{what}: delayAbortEval")
    delay_s = words.duration("the duration", bare="ms")
    words.end("a duration is like 10s")
    return replace(threshold, abort=abort, delay_s=delay_s)


def replaced_limits(
    thresholds: Sequence[Threshold], p95_ms: float, max_error_rate: float
) -> tuple[float | None, float | None, list[Threshold]]:
    """Return the p95 limit, the error limit and the thresholds that are more than one of these two.

    A threshold on durations replaces the default p95 limit, one on failures the default error limit.
    """
    p95: float | None = None if any(one.metric == DURATION for one in thresholds) else p95_ms
    errors: float | None = None if any(one.metric == FAILED for one in thresholds) else max_error_rate
    rest = []
    for one in thresholds:
        plain_limit = one.endpoint is None and one.op in {"<", "<="}
        if plain_limit and one.metric == DURATION and one.percentile == 95:  # noqa: PLR2004 - p95
            p95 = one.limit if p95 is None else min(p95, one.limit)
        elif plain_limit and one.metric == FAILED:
            errors = one.limit if errors is None else min(errors, one.limit)
        else:
            rest.append(one)
    return p95, errors, rest


def unlimited(value: float | None) -> float:
    """Return a limit that nothing breaks for None."""
    return math.inf if value is None else value
