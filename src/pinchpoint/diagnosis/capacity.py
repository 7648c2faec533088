"""The numbers that are often mixed up (METHOD §1.1): sustainable, plateau, breaking load; and the recovery."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.diagnosis.goal_figures import goal_figures, goal_trials
from pinchpoint.diagnosis.plateaus import Saturation, collapse_ratio, saturation
from pinchpoint.diagnosis.steps import LOAD_PHASES, Ladder, load_of
from pinchpoint.goals import Limits
from pinchpoint.measures import Latency, Step
from pinchpoint.records import Capacity, GoalFigures, Recovery, SloResult
from pinchpoint.rows import DigestRow

KNEE_RATIO = 2.0
"""Advisory knee: twice the median latency at low load (R/S = 2; METHOD §1.4 says there is no canonical one)."""

FLAT_GAIN = 0.1
"""Users model: the population grew by at least half and goodput by less than this: a plateau."""

AGREEING = 2
"""Steps that served the same while a queue stood: a plateau, whatever happened to a lighter one."""

RECOVERED_RATIO = 2.0
"""Recovered: p90 latency back to twice the baseline's at most, within the error limit."""

RECOVERED_SLACK_MS = 5.0
"""A fast app's latency wobbles by milliseconds; that is no after-effect."""

WINDOW_S = 1.0


def capacity(
    steps: Sequence[Step],
    sorted_out: Ladder,
    slo_p95_ms: float | None,
    slo_errors: float | None,
    rows: Mapping[int, Sequence[DigestRow]] | None = None,
) -> Capacity:
    """Fold the ladder into the capacity figures; rates in successful requests per second.

    Args:
        steps: all steps of the run.
        sorted_out: the same, sorted out.
        slo_p95_ms: the user's limit on latency.
        slo_errors: the user's limit on failures.
        rows: step index -> the digest rows of its segment (`steps.rows_by_step`), for the open model.

    """
    segments = rows or {}
    open_model = any(step.model == "rate" for step in steps)
    level = _plateau(steps, sorted_out, segments, open_model=open_model)
    goals = _goals(steps, segments, Limits(slo_p95_ms, slo_errors), level)
    slo = next((goal for goal in goals if goal.name == "slo"), None)
    best, broke = _bounds(sorted_out, slo)
    sustainable = slo.throughput_rps if slo is not None and slo.throughput_rps is not None else _sustainable(best)
    plateau_rps = None if level is None else _at_least(level.capacity, sustainable)
    return replace(
        _at_bounds(sorted_out, best, broke, sustainable, plateau_rps),
        slo=_slo(best, slo_p95_ms, slo_errors),
        sustainable_ci_rps=slo.ci_rps if slo is not None else None,
        saturation_ci_rps=None if level is None else level.ci,
        collapse_ratio=collapse_ratio(steps, segments, plateau_rps) if open_model else None,
        goals=goals,
    )


def _plateau(
    steps: Sequence[Step], sorted_out: Ladder, segments: Mapping[int, Sequence[DigestRow]], *, open_model: bool
) -> Saturation | None:
    """Return the plateau, if it can be believed."""
    level = _saturation(steps, segments, open_model=open_model)
    # A step that a heavier one outdid shows no plateau, but a disturbance; unless others agree on one.
    if sorted_out.contradicted and (level is None or level.trials < AGREEING or sorted_out.overload_held):
        return None
    return level


def _goals(
    steps: Sequence[Step], segments: Mapping[int, Sequence[DigestRow]], limits: Limits, level: Saturation | None
) -> list[GoalFigures]:
    trials = goal_trials(steps, segments, limits)
    # A load profile of the user's own searches for no goal: its baseline alone would be the only trial.
    if any(step.phase == "stage" for step in steps):
        return []
    return [goal_figures(each, level) for each in trials]


def _at_bounds(
    sorted_out: Ladder, best: Step | None, broke: Step | None, sustainable: float | None, plateau_rps: float | None
) -> Capacity:
    """Return what the ladder says alone, and the steps at its bounds: the best that held and the one that broke."""
    return Capacity(
        sustainable_rps=sustainable,
        lower_bound_rps=best.offered_rps if best else None,
        upper_bound_rps=broke.offered_rps if broke else None,
        saturation_rps=plateau_rps,
        breaking_rps=_breaking_rate(broke),
        breaking_reason=_reason(broke),
        knee_rps=_knee(sorted_out),
        reached=sorted_out.reached,
        latency_at_sustainable_ms=best.latency_ms if best else None,
        error_rate=best.error_rate if best else None,
        sustainable_users=best.users if best else None,
        breaking_users=broke.users if broke else None,
    )


def _bounds(sorted_out: Ladder, slo: GoalFigures | None) -> tuple[Step | None, Step | None]:
    """Return the steps at the bounds: those of the goal where there are such, else the ladder's."""
    best, broke = sorted_out.sustained, sorted_out.failed[0] if sorted_out.failed else None
    if slo is not None:
        best = _last([step for step in sorted_out.passed if load_of(step) == slo.lower_rps]) or best
        broke = _last([step for step in sorted_out.failed if load_of(step) == slo.upper_rps]) or broke
    return best, broke


def _last(steps: Sequence[Step]) -> Step | None:
    return max(steps, key=lambda step: step.index, default=None)


def _sustainable(best: Step | None) -> float | None:
    """Return the goodput, but no more than was asked for: a window's completions may include earlier arrivals."""
    if best is None:
        return None
    return best.goodput_rps if best.offered_rps is None else min(best.goodput_rps, best.offered_rps)


def _at_least(plateau_rps: float | None, sustainable_rps: float | None) -> float | None:
    """Return the plateau, which no fit may put below what was sustained."""
    return plateau_rps if plateau_rps is None or sustainable_rps is None else max(plateau_rps, sustainable_rps)


def _breaking_rate(broke: Step | None) -> float | None:
    if broke is None:
        return None
    return broke.offered_rps if broke.offered_rps is not None else broke.started_rps


def _reason(broke: Step | None) -> str | None:
    if broke is None:
        return None
    if broke.breaches:
        return "; ".join(broke.breaches)
    return "a threshold was broken"


def _saturation(
    steps: Sequence[Step], rows: Mapping[int, Sequence[DigestRow]], *, open_model: bool
) -> Saturation | None:
    if open_model:
        return saturation(steps, rows)
    counted = [step for step in steps if step.phase in LOAD_PHASES]
    counted.sort(key=load_of)
    for index, (lighter, heavier) in enumerate(pairwise(counted)):
        grew = load_of(heavier) >= 1.5 * load_of(lighter)
        # Of all that is heavier: one flat pair with more goodput beyond it was a bad second, and no plateau.
        most = max(step.goodput_rps for step in counted[index + 1 :])
        if grew and most < (1 + FLAT_GAIN) * lighter.goodput_rps:
            return Saturation(max(step.goodput_rps for step in counted), None)
    return None


def _knee(sorted_out: Ladder) -> float | None:
    low = sorted_out.low.latency_ms if sorted_out.low is not None else None
    if low is None:
        return None
    for step in [*sorted_out.passed, *sorted_out.failed]:
        if step.latency_ms is not None and step.latency_ms.p50 >= KNEE_RATIO * low.p50:
            return step.offered_rps
    return None


def _slo(best: Step | None, p95_ms: float | None, errors: float | None) -> list[SloResult]:
    """Judge the thresholds at the sustainable step; what was not observed there is not judged at all."""
    if best is None:
        return []
    results = []
    if p95_ms is not None and best.latency_ms is not None:
        observed = best.latency_ms.p95
        results.append(SloResult(f"p(95)<{p95_ms:g}", observed <= p95_ms, observed))
    if errors is not None and best.error_rate is not None:
        results.append(SloResult(f"error_rate<{errors:g}", best.error_rate <= errors, best.error_rate))
    return results


def recovery(
    steps: Sequence[Step], sorted_out: Ladder, digests: Sequence[DigestRow], slo_errors: float | None
) -> Recovery | None:
    """Say whether the app came back after the overload; None when no recovery step was run."""
    after = [step for step in steps if step.phase == "recovery"]
    low = sorted_out.low
    if not after or low is None:
        return None
    last = after[-1]
    back = _is_back(_typical_ms(last.latency_ms), last.error_rate, low, slo_errors)
    pressed = LOAD_PHASES | {"stage"}
    stressed = [step.t_end_s for step in steps if step.phase in pressed and step.t_end_s <= after[0].t_start_s]
    first = _first_good(after, digests, low, slo_errors)
    return Recovery(
        recovered=back or first is not None,
        seconds=None if first is None or not stressed else max(0.0, first - max(stressed)),
        latency_ratio=_ratio(_typical_ms(last.latency_ms), _typical_ms(low.latency_ms)),
        memory_ratio=_ratio(last.server.pss_bytes, low.server.pss_bytes),
    )


def _first_good(
    after: Sequence[Step], digests: Sequence[DigestRow], low: Step, slo_errors: float | None
) -> float | None:
    """Return the start of the first second of recovery that looks like the baseline."""
    for step in after:
        second = step.t_start_s
        while second < step.t_end_s:
            rows = [row for row in digests if second - WINDOW_S <= row["t0_s"] < second + WINDOW_S]
            window: ClientWindow = client_figures(rows, second, second + WINDOW_S)
            if _is_back(_typical_ms(window.latency), window.error_rate, low, slo_errors):
                return second
            second += WINDOW_S
    return None


def _typical_ms(latency: Latency | None) -> float | None:
    """Return the p90: with cheap and dear endpoints mixed, the median of a few dozen requests jumps between them."""
    return latency.p90 if latency is not None else None


def _is_back(typical_ms: float | None, error_rate: float | None, low: Step, slo_errors: float | None) -> bool:
    before_ms = _typical_ms(low.latency_ms)
    if typical_ms is None or before_ms is None:
        return False
    calm = typical_ms <= RECOVERED_RATIO * before_ms + RECOVERED_SLACK_MS
    return calm and (slo_errors is None or (error_rate or 0.0) <= slo_errors)


def _ratio(now: float | None, then: float | None) -> float | None:
    return None if now is None or not then else now / then
