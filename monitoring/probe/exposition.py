"""The numbers of a folder of pages as Prometheus metrics: text format 0.0.4, or OpenMetrics 1.0.

Standard library only: it also runs inside the app, whose `/metrics` can then answer for all its workers. Importing it
starts nothing. Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and the OpenMetrics 1.0 text.

A figure that is unavailable has no sample: 0 is a measurement. Counters of processes that ended stand as they were
last, so that sums over `pid` do not fall when a worker is replaced; gauges end with their process.
"""

from __future__ import annotations

import time
from typing import Callable, Iterable, Mapping, Sequence

from .snapshots import Snapshot, Snapshots

COUNTER, GAUGE = "counter", "gauge"
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_TOTAL = "_total"
_WHOLE_BELOW = 1e15
"""Whole numbers below this are exact in a double, and are written without a fraction."""
THREADPOOL = "threadpool anyio"
"""The gate that anyio's limiter is, beside those of the gates table."""


class Metric:
    """One metric: where its figures are on a page, and what they mean.

    `table` is a table of the page, or empty for the page's fields; `columns` maps a column to the labels it adds.
    """

    def __init__(
        self, name: str, table: str, columns: str | Mapping[str, Mapping[str, str]], text: str, kind: str = ""
    ) -> None:
        self.name = name
        self.table = table
        self.columns = {columns: {}} if isinstance(columns, str) else columns
        self.help = text
        self.kind = kind or (COUNTER if name.endswith(_TOTAL) else GAUGE)


class Family:
    """One metric and its samples. Samples with the same labels are summed: a name twice would void the whole scrape."""

    def __init__(self, name: str, text: str, kind: str = "") -> None:
        self.name = name
        self.help = text
        self.kind = kind or (COUNTER if name.endswith(_TOTAL) else GAUGE)
        self.samples: dict[tuple[tuple[str, str], ...], float] = {}

    def add(self, value: float | None, **labels: object) -> None:
        """Add one sample; None and NaN mean that there is none."""
        if value is not None and value == value:  # noqa: PLR0124 - NaN is not itself
            key = tuple((name, str(text)) for name, text in labels.items())
            self.samples[key] = self.samples.get(key, 0) + value


_STATUS = {"responses_4xx": {"status": "4xx"}, "responses_5xx": {"status": "5xx"}}
METRICS = (
    Metric("pinchpoint_requests_started_total", "", "requests_started", "Requests that reached the app."),
    Metric("pinchpoint_requests_total", "", "requests_done", "Requests answered."),
    Metric("pinchpoint_error_responses_total", "", _STATUS, "Requests answered with an error, by status class."),
    Metric("pinchpoint_requests_inflight", "", "inflight", "Requests inside the app."),
    Metric("pinchpoint_requests_inflight_seconds_total", "", "inflight_s", "Integral of the requests inside the app."),
    Metric("pinchpoint_service_seconds_total", "", "service_s", "Time from entry to exit of answered requests."),
    Metric(
        "pinchpoint_queue_seconds_total",
        "",
        "queue_s",
        "Time from accepted or parsed by the server to the app's entry.",
    ),
    Metric(
        "pinchpoint_queued_requests_total", "", "queue_n", "Requests whose time in the server's queue was measured."
    ),
    Metric("pinchpoint_handler_cpu_seconds_total", "", "handler_cpu_s", "CPU of the serving threads inside the app."),
    Metric("pinchpoint_handler_seconds_total", "", "handler_wall_s", "Time of the serving threads inside the app."),
    Metric("pinchpoint_loop_busy_seconds_total", "", "loop_busy_s", "Time the event loop was not waiting for events."),
    Metric("pinchpoint_loop_lag_seconds_total", "", "loop_lag_s", "Lateness of the event loop's heartbeats."),
    Metric("pinchpoint_loop_heartbeats_total", "", "loop_lag_n", "Heartbeats of the event loop."),
    Metric("pinchpoint_loop_lag_max_seconds", "", "loop_lag_max_s", "Worst lateness of the event loop, newest second."),
    Metric("pinchpoint_sqlite_busy_total", "", "sqlite_busy_n", "SQLite calls that met a locked database."),
    Metric(
        "pinchpoint_sqlite_busy_seconds_total", "", "sqlite_busy_s", "Time SQLite calls waited for a locked database."
    ),
    Metric("pinchpoint_route_requests_total", "routes", "done", "Requests answered, by route."),
    Metric("pinchpoint_route_error_responses_total", "routes", _STATUS, "Requests answered with an error, by route."),
    Metric("pinchpoint_route_service_seconds_total", "routes", "service_s", "Time from entry to exit, by route."),
    Metric("pinchpoint_gate_size", "gates", "size", "How many it admits at a time: connections, tokens, threads."),
    Metric("pinchpoint_gate_busy", "gates", "busy", "How many are inside."),
    Metric("pinchpoint_gate_waiting", "gates", "waiting", "How many wait to be admitted."),
    Metric("pinchpoint_gate_busy_seconds_total", "gates", "busy_s", "Integral of those inside."),
    Metric("pinchpoint_gate_waiting_seconds_total", "gates", "waiting_s", "Integral of those waiting."),
    Metric("pinchpoint_gate_wait_seconds_total", "gates", "wait_s", "Time waited by those that were admitted."),
    Metric("pinchpoint_gate_hold_seconds_total", "gates", "hold_s", "Time held by those that came back."),
    Metric("pinchpoint_gate_taken_total", "gates", "taken", "How often one was admitted."),
    Metric("pinchpoint_gate_timeouts_total", "gates", "timeouts", "How often one gave up waiting."),
    Metric("pinchpoint_gate_opened_total", "gates", "opened", "Connections opened."),
    Metric("pinchpoint_gate_open_seconds_total", "gates", "open_s", "Time spent opening connections."),
    Metric("pinchpoint_calls_total", "calls", "calls", "Calls to databases and other services."),
    Metric("pinchpoint_call_errors_total", "calls", "errors", "Calls that failed."),
    Metric("pinchpoint_call_seconds_total", "calls", "seconds", "Time in calls that ended, as the caller saw it."),
    Metric("pinchpoint_calls_active", "calls", "active", "Calls in progress."),
    Metric("pinchpoint_calls_active_seconds_total", "calls", "active_s", "Integral of the calls in progress."),
    Metric("pinchpoint_probe_hook_up", "hooks", "state", "1: this hook of the probe works; 0: it switched itself off."),
)
PROCESSES = ("pinchpoint_processes", "Living processes that the probe is in and that serve.")
PAGE_AGE = ("pinchpoint_page_age_seconds", "Time since the probe last published; it grows when a worker is stopped.")
_ROW_LABELS = {"routes": ("method", "route"), "gates": ("kind", "name"), "calls": ("kind", "name"), "hooks": ("hook",)}


def families(snapshots: Sequence[Snapshot], now_s: float) -> list[Family]:
    """Return the metrics of some processes at `now_s` (time.monotonic()), those without a sample included."""
    processes, age = Family(*PROCESSES), Family(*PAGE_AGE)
    processes.add(sum(snapshot.alive for snapshot in snapshots))
    for snapshot in snapshots:
        if snapshot.alive:
            age.add(max(0.0, now_s - snapshot.published_s), pid=snapshot.pid)
    return [processes, age, *(_family(metric, snapshots) for metric in METRICS)]


def _family(metric: Metric, snapshots: Iterable[Snapshot]) -> Family:
    family = Family(metric.name, metric.help, metric.kind)
    for snapshot in snapshots:
        if metric.kind == GAUGE and not snapshot.alive:
            continue
        for name, figures in _rows(metric.table, snapshot):
            labels = _row_labels(metric.table, name)
            for column, more in metric.columns.items():
                family.add(figures.get(column), pid=snapshot.pid, **labels, **more)
    return family


def _rows(table: str, snapshot: Snapshot) -> Iterable[tuple[str, Mapping[str, float]]]:
    if not table:
        return [("", snapshot.fields)]
    rows = list(snapshot.tables.get(table, {}).items())
    if table == "gates" and "tokens_total" in snapshot.fields:
        rows.append((THREADPOOL, _tokens(snapshot.fields)))
    return rows


def _tokens(fields: Mapping[str, float]) -> dict[str, float]:
    """Return anyio's limiter as a row of the gates table."""
    figures = {name[len("tokens_") :]: value for name, value in fields.items() if name.startswith("tokens_")}
    figures["size"] = figures.pop("total")
    return figures


def _row_labels(table: str, name: str) -> dict[str, str]:
    names = _ROW_LABELS.get(table, ())
    if len(names) < 2:  # noqa: PLR2004 - one label takes the whole name
        return dict.fromkeys(names, name)
    first, blank, rest = name.partition(" ")
    return dict(zip(names, (first, rest) if blank else ("", name)))


def render(found: Iterable[Family], openmetrics: bool = False) -> str:
    """Return the exposition of all families that have samples."""
    lines: list[str] = []
    for family in found:
        if family.samples:
            lines += _lines(family, openmetrics)
    if openmetrics:
        lines.append("# EOF")
    return "".join([line + "\n" for line in lines])


def _lines(family: Family, openmetrics: bool) -> Iterable[str]:
    name = family.name
    # OpenMetrics names a counter without the suffix that its samples carry.
    named = name[: -len(_TOTAL)] if openmetrics and family.kind == COUNTER else name
    yield "# HELP %s %s" % (named, _escape_help(family.help, openmetrics))
    yield "# TYPE %s %s" % (named, family.kind)
    for labels, value in family.samples.items():
        pairs = ",".join(['%s="%s"' % (key, escape(text)) for key, text in labels])
        yield "%s%s %s" % (name, "{%s}" % pairs if pairs else "", number(value))


def escape(text: str) -> str:
    r"""Return a label's value with `\`, `"` and line feeds escaped."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escape_help(text: str, openmetrics: bool) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if openmetrics else text


def number(value: float) -> str:
    """Return a number as both formats read it."""
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < _WHOLE_BELOW else repr(float(value))


def wants_openmetrics(accept: str) -> bool:
    """Say whether a scraper's Accept header asks for OpenMetrics."""
    return "application/openmetrics-text" in accept


class Exposition:
    """The metrics of one folder of pages. Any thread may ask."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.monotonic, tidy: bool = False) -> None:
        self.snapshots = Snapshots(folder, clock, tidy=tidy)
        self._clock = clock

    def families(self) -> list[Family]:
        """Return the metrics as of now."""
        found = self.snapshots.read()
        return families(found, self._clock())

    def text(self) -> str:
        """Return the text format 0.0.4 of them."""
        return render(self.families())
