"""A recording of `--stages` -> its load second by second, thresholds per stage, spikes and their recovery."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pinchpoint import histograms
from pinchpoint.diagnosis.capacity import RECOVERED_RATIO, RECOVERED_SLACK_MS
from pinchpoint.diagnosis.steps import ladder, slo_of
from pinchpoint.measures import Step
from pinchpoint.recording import Recording
from pinchpoint.records import Capacity, Diagnosis, SloResult
from pinchpoint.seconds import Second, Seen, Total, seconds_of
from pinchpoint.staged_records import LimitResult, SpikeResult, Staged, StagePoint, StageResult, StopResult

BEFORE_S = 10
"""Seconds before a spike whose latency is the level to come back to."""
TYPICAL = 0.9
"""The share that stands for a second's latency, as in the recovery after an overload."""
SPARE_ERRORS = 0.01


class Limit(Protocol):
    """A threshold of the user's."""

    @property
    def condition(self) -> str:
        """What must hold."""

    @property
    def endpoint(self) -> str | None:
        """Request name it is about; None: all."""

    @property
    def metric(self) -> str:
        """What it is about."""

    def observed(self, total: Total) -> float | None:
        """Return the value of a window."""

    def crossed(self, total: Total) -> bool | None:
        """Tell whether a window crosses it; None when nothing can be said."""

    def holds(self, observed: float) -> bool:
        """Tell whether a value is within the limit."""

    def show(self, value: float | None) -> str:
        """Write a value."""


def staged(recording: Recording, limits: Sequence[Limit], slo_errors: float | None) -> Staged | None:
    """Return what a run with stages says; None for any other run."""
    begin = next((event["data"] for event in recording.events if event.get("kind") == "stages"), None)
    if begin is None or not {"t_start_s", "seconds", "stages", "text", "model"} <= begin.keys():
        return None
    start_s, end_s = begin["t_start_s"], end_of(recording, begin)
    rows = [row for row in recording.digests if (row["t0_s"] + row["t1_s"]) / 2 >= start_s]
    seconds = seconds_of(rows, (), start_s, end_s)
    names = {one.endpoint for one in limits if one.endpoint is not None}
    return Staged(
        profile=begin["text"],
        model=begin["model"],
        seconds=begin["seconds"],
        series=[_point(second, begin) for second in seconds],
        stages=[_stage(one, seconds, limits, names) for one in _reached(begin, end_s)],
        limits=_judged(_total(seconds, names), limits),
        spikes=[_spike(one, following, seconds, slo_errors) for one, following in _spikes(begin)],
        stop=_stop(recording, start_s),
    )


def judged(diagnosis: Diagnosis, recording: Recording, limits: Sequence[Limit]) -> Diagnosis:
    """Return the diagnosis with the user's thresholds and stages in it."""
    _, slo_errors = slo_of(recording.settings)
    stages = staged(recording, limits, slo_errors)
    best = ladder(diagnosis.steps).sustained
    return replace(diagnosis, stages=stages, capacity=asked(diagnosis.capacity, limits, stages, best, recording))


def crossings(mode: str | None, diagnosis: Diagnosis, recording: Recording) -> tuple[str, ...]:
    """Say which of the user's limits failed the run. In a search most of them say what is sustainable; none fails it.

    What was asked of the throughput does: the app must sustain it.
    """
    failed = [one for one in diagnosis.capacity.slo if one.asked and not one.ok]
    if mode in {None, "search"}:
        failed = [one for one in failed if one.threshold.startswith("http_reqs")]
    said = [f"threshold {one.threshold} was crossed" for one in failed]
    stops = [event["data"] for event in recording.events if event.get("kind") == "stop"]
    return (*said, *(f"stopped early: {data.get('message')} ({data.get('criterion')})" for data in stops))


def asked(
    capacity: Capacity, limits: Sequence[Limit], stages: Staged | None, best: Step | None, recording: Recording
) -> Capacity:
    """Return the capacity with the user's thresholds judged: over the whole load of stages, else at the sustained step.

    A threshold on throughput is held against the sustainable rate in a search.
    """
    if not limits:
        return capacity
    if stages is not None:
        results = [
            SloResult(one.threshold, bool(one.ok), one.observed, asked=True)
            for one in stages.limits
            if one.ok is not None
        ]
    else:
        results = _at_best(capacity, limits, best, recording)
    texts = {one.condition for one in limits}
    kept = [one for one in capacity.slo if not one.asked and one.threshold not in texts and not _same(one, results)]
    return replace(capacity, slo=[*results, *kept])


def _same(one: SloResult, results: Sequence[SloResult]) -> bool:
    """Tell whether a default's line repeats what a threshold of the user says (`error_rate<` is ours)."""
    return any(other.threshold.replace("rate<", "error_rate<") == one.threshold for other in results)


def _at_best(capacity: Capacity, limits: Sequence[Limit], best: Step | None, recording: Recording) -> list[SloResult]:
    total = Total()
    if best is not None:
        t0_s, t1_s = best.t_start_s + best.settle_s, best.t_end_s
        rows = [row for row in recording.digests if t0_s <= (row["t0_s"] + row["t1_s"]) / 2 < t1_s]
        names = {one.endpoint for one in limits if one.endpoint is not None}
        total = _total(seconds_of(rows, (), t0_s, t1_s), names)
    results = []
    for one in limits:
        throughput = one.metric == "http_reqs" and one.endpoint is None and ":rate" in one.condition
        value = capacity.sustainable_rps if throughput else one.observed(total)
        if value is not None:
            results.append(SloResult(one.condition, one.holds(value), value, asked=True))
    return results


def end_of(recording: Recording, begin: Mapping[str, Any]) -> float:
    """Return when the stages ended: as asked, or when they were stopped, or with the recording."""
    end_s = float(begin["t_start_s"] + begin["seconds"])
    ends = [event["data"]["t_end_s"] for event in recording.events if _is_slice(event)]
    return min(end_s, max(ends)) if ends else min(end_s, max((row["t1_s"] for row in recording.digests), default=end_s))


def _is_slice(event: Any) -> bool:
    return event.get("kind") == "step" and event["data"].get("phase") in {"stage", "void"}


def _level(begin: dict[str, Any], t_s: float) -> float | None:
    """Return the load asked for at a time; a wave's mean (its course is in what was scheduled)."""
    found = None
    for stage in begin["stages"]:
        begun_s, length_s = stage["start_s"], stage["seconds"]
        if begun_s <= t_s < begun_s + length_s:
            wave = stage.get("kind") == "sine"
            share = 0.5 if wave else (t_s - begun_s) / length_s
            found = stage["from"] + (stage["to"] - stage["from"]) * share
    return found


def _point(second: Second, begin: dict[str, Any]) -> StagePoint:
    t_s = second.t_s - begin["t_start_s"]
    level, users = _level(begin, t_s + second.seconds / 2), begin["model"] == "users"
    if not second.measured:
        return StagePoint(t_s, None if users else level, level if users else None)
    window = second.window()
    latency = window.latency
    return StagePoint(
        t_s=t_s,
        offered_rps=None if users else second.scheduled / second.seconds,
        users=float(second.users) if users else None,
        started_rps=window.started_rps,
        goodput_rps=window.goodput_rps,
        error_rate=window.error_rate,
        p50_ms=latency.p50 if latency else None,
        p95_ms=latency.p95 if latency else None,
        p99_ms=latency.p99 if latency else None,
        unsent=second.backlog - second.inflight if not users else 0,
        inflight=window.figures.inflight_mean,
    )


def _total(seconds: Sequence[Second], names: set[str]) -> Total:
    total = Total()
    for second in seconds:
        total.add(second, names)
    return total


def _judged(total: Total, limits: Sequence[Limit]) -> list[LimitResult]:
    results = []
    for one in limits:
        value, crossed = one.observed(total), one.crossed(total)
        results.append(LimitResult(one.condition, None if crossed is None else not crossed, value, one.show(value)))
    return results


def _reached(begin: dict[str, Any], end_s: float) -> Iterator[tuple[dict[str, Any], float, float]]:
    """Yield the stages that began, with when they began and ended."""
    last_s = end_s - begin["t_start_s"]
    for stage in begin["stages"]:
        begun_s = stage["start_s"]
        if stage["seconds"] > 0 and begun_s < last_s:
            yield stage, begun_s, min(last_s, begun_s + stage["seconds"])


def _stage(
    one: tuple[dict[str, Any], float, float], seconds: Sequence[Second], limits: Sequence[Limit], names: set[str]
) -> StageResult:
    stage, begun_s, ended_s = one
    inside = [second for second in seconds if begun_s <= second.index + second.seconds / 2 < ended_s]
    total = _total(inside, names)
    seen = total.all
    return StageResult(
        name=stage["name"],
        start_s=begun_s,
        end_s=ended_s,
        from_=stage["from"],
        to=stage["to"],
        requests=seen.done,
        error_rate=seen.failed / seen.done if seen.done else None,
        p95_ms=_quantile_ms(seen, 0.95),
        goodput_rps=seen.ok / total.seconds if total.seconds > 0 else None,
        limits=_judged(total, limits),
    )


def _quantile_ms(seen: Seen, share: float) -> float | None:
    if seen.latency is None or not seen.latency.get_total_count():
        return None
    return histograms.quantile_us(seen.latency, share) / histograms.US_PER_MS


def _spikes(begin: dict[str, Any]) -> list[tuple[dict[str, Any], float]]:
    """Return each spike, and when the load rises again after it (or ends)."""
    found = sorted(begin.get("spikes") or [], key=lambda one: (one["start_s"], one["end_s"]))
    starts = [*(one["start_s"] for one in found[1:]), float(begin["seconds"])]
    return [(one, max(start_s, one["end_s"])) for one, start_s in zip(found, starts, strict=False)]


def _spike(one: dict[str, Any], following_s: float, seconds: Sequence[Second], slo_errors: float | None) -> SpikeResult:
    start_s, end_s = one["start_s"], one["end_s"]
    before = _total([each for each in seconds if start_s - BEFORE_S <= each.index < start_s - 0.5], set()).all
    before_ms = _quantile_ms(before, TYPICAL)
    peak = _total([each for each in seconds if start_s <= each.index < end_s], set()).all
    recovery_s = None if before_ms is None else _recovery_s(seconds, end_s, following_s, before_ms, before, slo_errors)
    after = [each for each in seconds if each.index >= end_s]
    recovered = True if recovery_s is not None else (False if before_ms is not None and after else None)
    return SpikeResult(
        start_s=start_s,
        end_s=end_s,
        base=one["base"],
        peak=one["peak"],
        before_ms=before_ms,
        peak_error_rate=peak.failed / peak.done if peak.done else None,
        recovered=recovered,
        recovery_s=recovery_s,
    )


def _recovery_s(
    seconds: Sequence[Second],
    end_s: float,
    following_s: float,
    before_ms: float,
    before: Seen,
    slo_errors: float | None,
) -> float | None:
    """Return when the first second looked like before: p90 at most twice as long, errors within the limit."""
    spare = slo_errors if slo_errors is not None else SPARE_ERRORS
    most_errors = max(before.failed / before.done if before.done else 0.0, spare)
    for second in seconds:
        if not end_s <= second.index + 1e-6 or second.index >= following_s or not second.measured:
            continue
        seen = second.seen()
        typical_ms = _quantile_ms(seen, TYPICAL)
        calm = typical_ms is not None and typical_ms <= RECOVERED_RATIO * before_ms + RECOVERED_SLACK_MS
        if calm and seen.failed <= most_errors * seen.done:
            return max(0.0, second.index - end_s)
    return None


def _stop(recording: Recording, start_s: float) -> StopResult | None:
    data = next((event["data"] for event in recording.events if event.get("kind") == "stop"), None)
    if data is None or not {"criterion", "message", "second", "at_s"} <= data.keys():
        return None
    return StopResult(
        criterion=data["criterion"],
        message=data["message"],
        second_s=data["second"],
        at_s=data["at_s"] - start_s,
        offered_rps=data.get("offered_rps"),
        users=data.get("users"),
        last_good_s=data.get("last_good_s"),
        last_good_load=data.get("last_good_load"),
    )
