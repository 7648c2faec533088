"""A report in the shape of the data that k6 hands to `handleSummary`, so that what reads the one reads the other.

The shape is k6's (`summarizeMetricsToObject` in its js/summary.go): `metrics`, each with `type`, `contains`, `values`
and, where there are any, `thresholds`; `root_group`, `options` and `state`. Two things are ours. Durations are those of
successful requests, from the scheduled arrival on, as everywhere here: `http_req_duration` and its submetric
`{expected_response:true}` are the same. And `pinchpoint` says what the figures cover, which k6's readers skip.

What was not measured is left out, as k6 leaves out a metric without samples: never a zero in its place.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from pinchpoint import histograms
from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.report.build import finite
from pinchpoint.seconds import Seen, seen_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hdrh.histogram import HdrHistogram

    from pinchpoint.packs import Part
    from pinchpoint.rows import DigestRow

Report = dict[str, Any]
Metric = dict[str, Any]

DURATION, FAILED, REQUESTS, DROPPED = "http_req_duration", "http_req_failed", "http_reqs", "dropped_iterations"
EXPECTED = f"{DURATION}{{expected_response:true}}"
TREND_STATS = {"avg": None, "min": 0.0, "med": 0.5, "max": 1.0, "p(90)": 0.90, "p(95)": 0.95, "p(99)": 0.99}
"""k6's names -> the share of the values at or below; None for the mean."""

WHOLE = {"stage": "the whole load of stages", "soak": "the whole soak"}
"""Slices of one load that belong together."""
SEARCHED = ("baseline", "ramp", "search")

_KINDS = {
    DURATION: ("trend", "time"),
    FAILED: ("rate", "default"),
    REQUESTS: ("counter", "default"),
    DROPPED: ("counter", "default"),
}
_CONDITION = re.compile(
    rf"(?:(?P<metric>{'|'.join(_KINDS)})(?P<tag>\{{name:.*\}})?:)?"
    r"(?P<text>(?P<figure>avg|min|max|med|rate|count|p\([0-9.]+\))(?P<op>[<>=!]+)(?P<limit>[0-9.e+-]+))"
)
"""A threshold as `stress.thresholds` spells it: with its metric, or with a figure that says which."""


def k6_summary(report: Report, digests: Sequence[DigestRow], parts: Sequence[Part] = ()) -> dict[str, Any]:
    """Return the data; milliseconds, seconds, bytes and shares as k6 has them.

    Args:
        report: `report.json`.
        digests: the recorded rows of the same run: a report holds no histogram of a whole load.
        parts: of the run's pack; each becomes a `scenario`, with its limits as thresholds.

    """
    covers, windows = covered(report)
    rows = [row for row in digests if _inside(row, windows)]
    seconds = sum(end_s - start_s for start_s, end_s in windows)
    metrics = _metrics(rows, seconds, open_model=report["run"]["load"].get("model") == "rate")
    for name in sorted({name for row in rows for name in row["names"] if not name.startswith(SETUP_PREFIX)}):
        metrics |= _requests(seen_in(rows, name), seconds, f"{{name:{name}}}")
    for part in parts:
        metrics |= _scenario(part, rows, seconds, report["run"].get("slo") or {})
    _add_thresholds(metrics, report["capacity"].get("slo") or [])
    summary = {
        "root_group": _root_group(),
        "options": {"summaryTrendStats": list(TREND_STATS), "summaryTimeUnit": "", "noColor": False},
        "state": {"isStdOutTTY": False, "isStdErrTTY": False, "testRunDurationMs": seconds * 1000},
        "metrics": metrics,
        "pinchpoint": {
            "run": report["run"]["id"],
            "covers": covers,
            "verdict": report["verdict"].get("summary"),
            "validity": report["validity"]["status"],
        },
    }
    return dict(finite(summary))


def covered(report: Report) -> tuple[str, list[tuple[float, float]]]:
    """Return what the figures cover, in words and as clock times.

    A load of stages or a soak as a whole; of a search the step that the sustainable rate rests on, else all its steps.
    """
    steps = report["steps"]
    for phase, words in WHOLE.items():
        if whole := [_times(step) for step in steps if step["phase"] == phase]:
            return words, whole
    searched = [step for step in steps if step["phase"] in SEARCHED]
    held, rate = [step for step in searched if step["passed"]], report["capacity"]["sustainable_rps"]
    if held and rate is not None:
        best = min(held, key=lambda step: abs(step["goodput_rps"] - rate))
        start_s, end_s = _times(best)
        return f"the sustainable load (step {best['index']})", [(start_s + best["settle_s"], end_s)]
    return "all steps of the search; none held", [_times(step) for step in searched]


def _times(step: dict[str, Any]) -> tuple[float, float]:
    return step["t_start_s"], step["t_end_s"]


def _inside(row: DigestRow, windows: Iterable[tuple[float, float]]) -> bool:
    middle_s = (row["t0_s"] + row["t1_s"]) / 2
    return any(start_s <= middle_s < end_s for start_s, end_s in windows)


# --- metrics --------------------------------------------------------------------------------------------------------


def _metrics(rows: Sequence[DigestRow], seconds: float, *, open_model: bool) -> dict[str, Metric]:
    """Return what is about the whole load."""
    if not rows:
        return {}
    seen = seen_in(rows)
    metrics = _requests(seen, seconds)
    if seen.latency is not None:
        metrics[EXPECTED] = _trend(seen.latency)
    metrics["iterations"] = _counter(sum(row["started"] for row in rows), seconds)
    if open_model:
        metrics[DROPPED] = _counter(sum(row["unsent"] for row in rows), seconds)
    # Of bodies; k6 counts headers as well.
    received = sum(
        entry["bytes"] for row in rows for name, entry in row["names"].items() if not name.startswith(SETUP_PREFIX)
    )
    metrics["data_received"] = _counter(received, seconds, "data")
    users = _users(rows)
    peak = max(users)
    metrics["vus"] = _gauge(users[-1], min(users), peak)
    metrics["vus_max"] = _gauge(peak, peak, peak)
    return metrics


def _requests(seen: Seen, seconds: float, tag: str = "") -> dict[str, Metric]:
    """Return the three metrics of some requests; `tag` makes them submetrics."""
    metrics = {REQUESTS + tag: _counter(seen.done, seconds)}
    if seen.done:
        # k6 calls a true sample `passes`, and what is true here is that the request failed.
        values = {"rate": seen.failed / seen.done, "passes": seen.failed, "fails": seen.ok}
        metrics[FAILED + tag] = {"type": "rate", "contains": "default", "values": values}
    if seen.latency is not None:
        metrics[DURATION + tag] = _trend(seen.latency)
    return metrics


def _trend(latency: HdrHistogram) -> Metric:
    values = {
        name: histograms.mean_ms(latency)
        if share is None
        else histograms.quantile_us(latency, share) / histograms.US_PER_MS
        for name, share in TREND_STATS.items()
    }
    return {"type": "trend", "contains": "time", "values": values}


def _counter(count: float, seconds: float, contains: str = "default") -> Metric:
    rate = count / seconds if seconds > 0 else 0.0
    return {"type": "counter", "contains": contains, "values": {"count": count, "rate": rate}}


def _gauge(value: int, least: int, most: int) -> Metric:
    return {"type": "gauge", "contains": "default", "values": {"value": value, "min": least, "max": most}}


def _users(rows: Sequence[DigestRow]) -> list[int]:
    """Return the users of all load processes together, each time that one of them reported."""
    processes = {row["process"] for row in rows}
    latest: dict[int, int] = {}
    sums = []
    for row in sorted(rows, key=lambda row: row["t1_s"]):
        latest[row["process"]] = row["users"]
        if len(latest) == len(processes):
            sums.append(sum(latest.values()))
    return sums


def _scenario(part: Part, rows: Sequence[DigestRow], seconds: float, slo: dict[str, Any]) -> dict[str, Metric]:
    """Return a part's submetrics; its limits, else the run's, are their thresholds."""
    seen = Seen()
    for endpoint in part.endpoints:
        seen.add(seen_in(rows, endpoint))
    tag = f"{{scenario:{part.name}}}"
    metrics = _requests(seen, seconds, tag)
    slow_ms = slo.get("p95_ms") if part.p95_ms is None else part.p95_ms
    errors = slo.get("max_error_rate") if part.max_error_rate is None else part.max_error_rate
    if slow_ms is not None:
        _add_default(metrics, DURATION + tag, "p(95)", slow_ms)
    if errors is not None:
        _add_default(metrics, FAILED + tag, "rate", errors)
    return metrics


# --- thresholds -----------------------------------------------------------------------------------------------------


def _add_thresholds(metrics: dict[str, Metric], judged: Iterable[dict[str, Any]]) -> None:
    """Put the run's thresholds where k6 has them: with their metric.

    The user's own were judged over what the figures cover. A default was judged step by step, so it is held against the
    figures again.
    """
    for one in judged:
        found = _CONDITION.fullmatch(str(one["threshold"]).removeprefix("error_"))
        if found is None:
            continue
        usual = FAILED if found["figure"] == "rate" else DURATION
        name = (found["metric"] or usual) + (found["tag"] or "")
        if one.get("asked"):
            _put(metrics, name, found["text"], ok=bool(one["ok"]))
        else:
            _add_default(metrics, name, found["figure"], float(found["limit"]))


def _add_default(metrics: dict[str, Metric], name: str, figure: str, limit: float) -> None:
    """Hold a figure against a limit that it may reach; what was not measured does not hold it."""
    value = metrics.get(name, {}).get("values", {}).get(figure)
    _put(metrics, name, f"{figure}<{limit:g}", ok=value is not None and value <= limit)


def _put(metrics: dict[str, Metric], name: str, condition: str, *, ok: bool) -> None:
    """Add a threshold; its metric stands even without samples, or a limit that was crossed by silence would be lost."""
    kind, contains = _KINDS[name.partition("{")[0]]
    metric = metrics.setdefault(name, {"type": kind, "contains": contains, "values": {}})
    metric.setdefault("thresholds", {})[condition] = {"ok": ok}


def _root_group() -> dict[str, Any]:
    """Return the group that every k6 script has; its id is the MD5 of its path, as k6 makes it."""
    name = hashlib.md5(b"", usedforsecurity=False).hexdigest()
    return {"name": "", "path": "", "id": name, "groups": [], "checks": []}
