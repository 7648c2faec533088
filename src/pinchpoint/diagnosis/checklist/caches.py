"""Hit rates of an app's caches, from the counters that its own `/metrics` shows. Pure; no counters, no figure.

Read are figures whose name has `cache` in it and ends in hits or misses (`app_cache_hits_total`), and those with a
label that says which (`cache_requests_total{result="hit"}`). pinchpoint's own metrics are left out, and so are ratios:
one since the start says nothing about a load.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pinchpoint import units
from pinchpoint.diagnosis.checklist.lines import ChecklistLine, unmeasured

CACHES = 8
TITLE = "Cache hit rate"
GOOD_RATE = 0.8
"""What monitoring guides ask of Redis: below, keys are evicted, expire too soon, or were never there."""

FEWEST_LOOKUPS = 20
OURS = "pinchpoint_"
_SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>[^\s#]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_NAMED = re.compile(r"(?P<cache>.*cache.*?)_?(?P<what>hits?|miss(?:es)?)(?:_total|_count)?", re.IGNORECASE)
_WHICH = re.compile(r"(?P<what>hit|miss)(?:s|es)?", re.IGNORECASE)
_SUFFIX = re.compile(r"_(?:requests|lookups|operations|gets)?_?(?:total|count)$")
_CACHE_NAMES = ("cache", "cache_name", "name")

Counts = Mapping[str, tuple[float, float]]
"""Cache -> (hits, misses) since the app started."""


@dataclass(frozen=True)
class CacheLook:
    """What `/metrics` said at one moment of the recording's clock."""

    t_s: float
    counts: Counts = field(default_factory=dict)


def caches_in(text: str) -> dict[str, tuple[float, float]]:
    """Return the caches that an exposition (text format 0.0.4, or OpenMetrics) has both or either counter of."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        if (one := _counter(line)) is not None:
            cache, which, value = one
            found.setdefault(cache, [0.0, 0.0])[which] += value
    return {cache: (hits, misses) for cache, (hits, misses) in found.items()}


def _counter(line: str) -> tuple[str, int, float] | None:
    """Return (cache, 0 for hits or 1 for misses, value) of a sample; None for any other line."""
    sample = _SAMPLE.match(line)
    if sample is None or "cache" not in sample["name"].lower() or sample["name"].startswith(OURS):
        return None
    labels = dict(_LABEL.findall(sample["labels"] or ""))
    named = _NAMED.fullmatch(sample["name"])
    if named is not None:
        cache, what = named["cache"], named["what"]
    else:
        which = next((match for value in labels.values() if (match := _WHICH.fullmatch(value))), None)
        if which is None:
            return None
        cache, what = _SUFFIX.sub("", sample["name"]), which["what"]
    try:
        value = float(sample["value"])
    except ValueError:
        return None
    label = next((labels[key] for key in _CACHE_NAMES if labels.get(key)), "")
    base = cache.strip("_")
    return f"{base}[{label}]" if label else base, int(what.lower().startswith("m")), value


def cache_lines(looks: Sequence[CacheLook], t0_s: float, t1_s: float, why_none: str) -> list[ChecklistLine]:
    """Return a line for each cache, between two times; one line that says why where there is none."""
    inside = [one for one in looks if t0_s <= one.t_s <= t1_s and one.counts]
    names = sorted({name for one in inside for name in one.counts})
    if not names:
        return [unmeasured(CACHES, TITLE, why_none, "share", "Count hits and misses in `/metrics`.")]
    return [_cache(name, [one.counts[name] for one in inside if name in one.counts]) for name in names]


def _cache(name: str, counts: Sequence[tuple[float, float]]) -> ChecklistLine:
    title = f"{TITLE}: {name}"
    if any(after[0] < before[0] or after[1] < before[1] for before, after in pairwise(counts)):
        why = "its counters went back: each worker answers for itself, or one was replaced"
        return unmeasured(CACHES, title, why, "share", "Let `/metrics` answer for all workers at once.")
    hits, misses = (counts[-1][which] - counts[0][which] for which in (0, 1))
    if hits + misses < FEWEST_LOOKUPS:
        why = f"only {units.count(hits + misses)} lookups under load, and a rate needs {FEWEST_LOOKUPS}"
        return unmeasured(CACHES, title, why, "share")
    rate = hits / (hits + misses)
    good = rate >= GOOD_RATE
    return ChecklistLine(
        item=CACHES,
        name=title,
        status="ok" if good else "attention",
        value=rate,
        unit="share",
        limit=GOOD_RATE,
        shown=f"{units.percent(rate)} of {units.count(hits + misses)} lookups",
        limit_shown=f"at least {units.percent(GOOD_RATE)}",
        how="growth of the app's own counters in `/metrics` under the peak and beyond",
        todo="" if good else "Too small, too short-lived, or keyed by what never comes again: look at size and TTL.",
    )
