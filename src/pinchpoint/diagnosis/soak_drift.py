"""Signals that change while the load does not: throughput, latency, CPU per request, descriptors, threads."""

from collections.abc import Callable, Sequence

from pinchpoint.diagnosis.soak_signals import Look, Served, longest_stretch
from pinchpoint.diagnosis.trend import binned, trend
from pinchpoint.measures import Step
from pinchpoint.soak_records import Drift, Slope, Trend

LEAST_CHANGE = 0.05
"""Over the judged part, of the signal's level: less is no news, however sure."""

LEAST_COUNT = 3.0
"""Descriptors and threads: fewer more or less come and go."""

LEAST_SHARE = 0.01
"""Errors, as a share of all answers."""

BIN_S = 2.0
MOST_BINS = 100
PER = 1000.0
MS_PER_S = 1000.0


def cpu_ms_per_request(step: Step) -> float | None:
    """Return the target's CPU per completed request; None where either was not measured."""
    seconds = step.t_end_s - step.t_start_s - step.settle_s
    done = step.client.ok + step.client.failed
    if step.server.cpu_cores is None or done == 0:
        return None
    return MS_PER_S * step.server.cpu_cores * seconds / done


_OF_STEPS: tuple[tuple[str, str, float, Callable[[Step], float | None]], ...] = (
    ("throughput", "1/s", 0.0, lambda step: step.goodput_rps),
    ("p95 latency", "ms", 0.0, lambda step: step.latency_ms.p95 if step.latency_ms is not None else None),
    ("errors", "share", LEAST_SHARE, lambda step: step.error_rate),
    ("CPU per request", "ms", 0.0, cpu_ms_per_request),
)
_OF_LOOKS: tuple[tuple[str, str, float, Callable[[Look], float | None]], ...] = (
    ("open descriptors", "", LEAST_COUNT, lambda look: look.fds),
    ("threads", "", LEAST_COUNT, lambda look: look.threads),
)


def drifts(slices: Sequence[Step], found: Sequence[Look], served: Served) -> list[Drift]:
    """Return how each signal moved over the slices of one load, its warm-up left out; slopes are over requests."""
    if not slices:
        return []
    made = []
    for name, unit, least, read in _OF_STEPS:
        pairs = [((one.t_start_s + one.t_end_s) / 2, value) for one in slices if (value := read(one)) is not None]
        made.append(_drift(name, unit, least, pairs, served))
    within = [one for one in found if slices[0].t_start_s <= one.t_s <= slices[-1].t_end_s]
    same = longest_stretch(within)
    for name, unit, least, look in _OF_LOOKS:
        pairs = [(one.t_s, value) for one in same if (value := look(one)) is not None]
        seconds = pairs[-1][0] - pairs[0][0] if pairs else 0.0
        times, values = binned(
            [t for t, _ in pairs], [v for _, v in pairs], int(max(1, min(MOST_BINS, seconds / BIN_S)))
        )
        made.append(_drift(name, unit, least, list(zip(times, values, strict=True)), served))
    return made


def _drift(name: str, unit: str, least: float, pairs: Sequence[tuple[float, float]], served: Served) -> Drift:
    if not pairs:
        return Drift(name, unit, None, None, None, "unknown")
    requests = [served.until(t_s) for t_s, _ in pairs]
    fitted = trend(requests, [value for _, value in pairs])
    if fitted is None:
        return Drift(name, unit, pairs[0][1], pairs[-1][1], None, "unknown")
    slope, height = fitted
    start, end = (height + slope.value * at for at in (requests[0], requests[-1]))
    per_thousand = Slope(slope.value * PER, slope.low * PER, slope.high * PER)
    return Drift(name, unit, start, end, per_thousand, _trend(slope, start, end, least))


def _trend(slope: Slope, start: float, end: float, least: float) -> Trend:
    if abs(end - start) < max(LEAST_CHANGE * abs(start), least):
        return "steady"
    return "grows" if slope.low > 0 else "falls" if slope.high < 0 else "steady"
