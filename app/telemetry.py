"""`/metrics`, lean: one histogram whose label children are looked up once.

The instrumentator's defaults (four metrics, labels resolved on each request) keep 0.75 of the throughput of an app that
does nothing; this keeps about 0.91 of it (DESIGN §6).
"""

import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import Info

from .cache import Counters

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PROBE = "_pinchpoint_probe"
"""The name under which a probe, if one was injected into this process, is loaded."""


def add_metrics(app: FastAPI) -> None:
    """Count and time each request by method, route and status class, count what caches do; serve it at `/metrics`.

    With several workers (PROMETHEUS_MULTIPROC_DIR set before prometheus_client is imported) `/metrics` of any worker
    answers for all: counters are summed over living and dead workers, gauges over the living. Under a probe it shows
    the probe's numbers of all workers beside them.
    """
    # A registry of its own: two apps in one process must not clash over names.
    registry = CollectorRegistry()
    histogram = Histogram(
        "http_request_duration_seconds",
        "Time from the first byte of a request seen to the last byte of its response sent.",
        ("method", "handler", "status"),
        buckets=BUCKETS_S,
        registry=registry,
    )
    alive = Gauge("app_workers", "Worker processes alive.", multiprocess_mode="livesum", registry=registry)
    # Set by whoever serves, not at import: a preloading master is no worker.
    app.state.on_serving = lambda: alive.set(1)
    app.state.cache_counters = _cache_counters(registry)
    instrumentator = Instrumentator(excluded_handlers=["^/metrics$"], registry=registry)
    instrumentator.add(_observer(histogram)).instrument(app)
    app.add_api_route("/metrics", _endpoint(registry), include_in_schema=False)


def _cache_counters(registry: CollectorRegistry) -> Callable[[str], Counters]:
    """Return what gives a cache its counters. A cache that nobody has asked yet has none: not measured, not 0."""
    hits = Counter("app_cache_hits", "Lookups answered from a cache.", ("cache",), registry=registry)
    misses = Counter("app_cache_misses", "Lookups that a cache could not answer.", ("cache",), registry=registry)
    return lambda name: Counters(hit=hits.labels(name).inc, miss=misses.labels(name).inc)


def _endpoint(registry: CollectorRegistry) -> Callable[[], Response]:
    # In the threadpool, like the instrumentator's own: with many workers it reads many files.
    def metrics() -> Response:
        return Response(_own_text(registry) + _probe_text(), media_type=TEXT_TYPE)

    return metrics


def _own_text(registry: CollectorRegistry) -> str:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry).decode()


def _probe_text() -> str:
    """Return what the probe knows of all workers; nothing without a probe, or when it fails."""
    folder = os.environ.get("PINCHPOINT_PROBE_DIR")
    if folder is None or _PROBE not in sys.modules:
        return ""
    try:
        text: str = _exposition(folder).text()
    except Exception:  # noqa: BLE001 - a probe of another version must not take the app's own metrics away
        return ""
    return text


@cache
def _exposition(folder: str) -> Any:
    return importlib.import_module(f"{_PROBE}.exposition").Exposition(folder)


def _observer(histogram: Histogram) -> Callable[[Info], None]:
    children: dict[tuple[str, str, str], Histogram] = {}

    def observe(info: Info) -> None:
        labels = (info.method, info.modified_handler, info.modified_status)
        child = children.get(labels)
        if child is None:
            # Bounded: untemplated paths share the handler "none"; an unknown method is the only open label.
            child = children[labels] = histogram.labels(*labels)
        child.observe(info.modified_duration)

    return observe
