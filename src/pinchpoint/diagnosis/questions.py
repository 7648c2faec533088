"""The questions of a load test, each answered by name from a diagnosis. Pure; what was not measured says so.

They are those that a plan for performance and stress tests begins with: which response time at which load, how much
it sustains, where errors and where waiting begin, CPU and memory beyond the limit, and whether it comes back.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pinchpoint import units
from pinchpoint.answer_records import Answer, AnswerName, Figure
from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.diagnosis.question_levels import ERRORS, Asked, Found, Level, answered, asked_of, not_measured
from pinchpoint.diagnosis.question_stress import recovery, stress
from pinchpoint.measures import EndpointFigures, Step
from pinchpoint.records import Diagnosis

LONGER = "a longer --budget"


def answers(diagnosis: Diagnosis, settings: Mapping[str, Any]) -> list[Answer]:
    """Answer all six, in this order; `settings` are the recording's (`load` and `slo` of `run.json`)."""
    asked = asked_of(diagnosis, settings)
    return [_one(asked, name, question, answer) for name, question, answer in QUESTIONS]


Answering = Callable[[Asked], Found]


def _one(asked: Asked, name: AnswerName, question: str, answer: Answering) -> Answer:
    """Answer one; of an invalid measurement, and of none, nothing is said."""
    if asked.diagnosis.validity.status == "invalid":
        failed = [gate.message for gate in asked.diagnosis.validity.gates if gate.status == "fail"]
        why = f"the measurement is invalid ({failed[0] if failed else 'a gate failed'})"
        found = not_measured(why, "a run without that fault")
    elif not asked.levels:
        found = not_measured("the run ended before its first load step did", LONGER)
    else:
        found = answer(asked)
    return found.to(name, question)


# --- performance -----------------------------------------------------------------------------------------------------


def response_time(asked: Asked) -> Found:
    """Answer: which response time, at how many users or requests per second."""
    capacity = asked.diagnosis.capacity
    latency, step = capacity.latency_at_sustainable_ms, asked.sustained
    load = capacity.sustainable_users if asked.closed else capacity.lower_bound_rps
    if latency is None or load is None:
        return _none_held(asked)
    at = f"{asked.load_text(load)}{_in_flight(asked, step)}"
    text = f"p95 {units.ms(latency.p95)} at {at}{_within(asked, latency.p95)}"
    mean = _mean_ms(step)
    average = f"average {units.ms(mean)}, " if mean is not None else ""
    text += f"; {average}p50 {units.ms(latency.p50)}, p99 {units.ms(latency.p99)}.{_slowest(step)}{_by_load(asked)}"
    figures = [Figure("p50", latency.p50, "ms"), Figure("p95", latency.p95, "ms"), Figure("p99", latency.p99, "ms")]
    figures += [Figure("average", mean, "ms")] if mean is not None else []
    return answered(text, latency.p95, "ms", figures)


def _none_held(asked: Asked) -> Found:
    if asked.sustained is not None or not asked.diagnosis.capacity.reached:
        return not_measured("no successful answer was seen at a load that held", LONGER)
    lightest = asked.levels[0]
    seen = f": p95 {units.ms(lightest.p95_ms)} there" if lightest.p95_ms is not None else ""
    told = f"even the lightest load tried, {asked.load_text(lightest.load)}, broke a limit{seen}"
    return answered(f"None that is acceptable: {told}.", None, "ms")


def _in_flight(asked: Asked, step: Step | None) -> str:
    """Say how many requests were in progress: what a rate means in users who wait for nothing else (Little's law)."""
    mean = step.client.inflight_mean if step is not None else None
    return "" if asked.closed or mean is None else f" ({units.number(mean)} requests in flight)"


def _within(asked: Asked, p95_ms: float) -> str:
    if asked.limit_ms is None:
        return ""
    return f", {'within' if p95_ms <= asked.limit_ms else 'above'} the limit of {units.ms(asked.limit_ms)}"


def _mean_ms(step: Step | None) -> float | None:
    """Return the mean over all endpoints, by their requests; None where one of them has none."""
    means = [(one.mean_ms, one.ok) for one in _endpoints(step) if one.ok]
    known = [(mean, ok) for mean, ok in means if mean is not None]
    if not known or len(known) < len(means):
        return None
    return sum(mean * ok for mean, ok in known) / sum(ok for _, ok in known)


def _endpoints(step: Step | None) -> list[EndpointFigures]:
    """Return the endpoints of a step without setup requests."""
    found = step.client.endpoints if step is not None else []
    return [one for one in found if not one.name.startswith(SETUP_PREFIX)]


def _slowest(step: Step | None) -> str:
    known = [(one.latency_ms.p95, one.name) for one in _endpoints(step) if one.latency_ms is not None]
    if len(known) < 2:  # noqa: PLR2004 - the slowest of one is no news
        return ""
    p95_ms, name = max(known)
    return f" Slowest of {len(known)} endpoints: {name}, p95 {units.ms(p95_ms)}."


def _by_load(asked: Asked) -> str:
    """Tell the p95 at each number of users; of rates the table of steps tells it."""
    known = [level for level in asked.levels if level.p95_ms is not None]
    if not asked.closed or len(known) < 2:  # noqa: PLR2004 - one is told already
        return ""
    told = ", ".join(f"{units.ms(level.p95_ms)} at {units.number(level.load)}" for level in known)
    return f" By number of users: {told}."


def highest_rate(asked: Asked) -> Found:
    """Answer: the largest rate that holds every limit."""
    capacity = asked.diagnosis.capacity
    value = capacity.sustainable_rps
    if value is None:
        if not capacity.reached:
            return not_measured("no load was held long enough", LONGER)
        text = f"None: even the lightest load tried, {asked.load_text(asked.levels[0].load)}, broke a limit"
        return answered(f"{text} ({capacity.breaking_reason or 'see the steps'}).", None, "requests/s")
    interval = capacity.sustainable_ci_rps
    around = f" (95 % interval {units.number(interval[0])} to {units.number(interval[1])})" if interval else ""
    users = f", with {capacity.sustainable_users} users" if capacity.sustainable_users is not None else ""
    rate = f"{units.rps(value)}{around}{users}"
    if not capacity.reached:
        text = f"At least {rate}: every load that was tried held, so the limit lies higher; {LONGER} goes there."
    else:
        text = f"{rate}, with every limit held."
        if capacity.saturation_rps is not None:
            text += f" Goodput levels off at {units.rps(capacity.saturation_rps)}, however much is asked."
    return answered(text, value, "requests/s")


# --- stress ----------------------------------------------------------------------------------------------------------


def errors_from(asked: Asked) -> Found:
    """Answer: the lightest load at which more than 1 % of the responses fail, beyond chance."""
    first = next((level for level in asked.levels if level.fails), None)
    if first is None:
        return answered(_no_errors(asked), None, asked.unit)
    below = [level for level in asked.levels if level.load < first.load and not level.fails]
    before = f"; {units.percent(below[-1].error_rate)} at {asked.load_text(below[-1].load)}" if below else ""
    at = _from(asked, first, below)
    if first.done == 0:
        return answered(f"{at}: no request completed there{before}.", first.load, asked.unit)
    kinds = ", ".join(f"{count} x {kind}" for kind, count in first.worst_errors)
    failed = f"{units.percent(first.error_rate)} of the responses failed there{f' ({kinds})' if kinds else ''}"
    rate = Figure("error rate there", first.error_rate, "share")
    return answered(f"{at}: {failed}{before}.", first.load, asked.unit, [rate])


def _from(asked: Asked, first: Level, below: Sequence[Level]) -> str:
    load = asked.load_text(first.load)
    return f"From {load} on" if below else f"Already at {load}, the lightest load tried"


def _no_errors(asked: Asked) -> str:
    """Say that no load failed; and when that is only because requests waited instead."""
    heaviest = asked.levels[-1]
    most = max((level.error_rate or 0.0 for level in asked.levels), default=0.0)
    failed = f"at most {units.percent(most)} of the responses failed"
    text = f"At no load tried, up to {asked.load_text(heaviest.load)}: {failed}"
    if most > ERRORS:
        text += ", which is within chance of 1 %"
    waiting = heaviest.never_answered or 0.0
    if waiting > ERRORS:
        text += f"; but {units.percent(waiting)} of what was asked there was never answered in time, without an error"
    return f"{text}."


def slow_from(asked: Asked) -> Found:
    """Answer: the lightest load whose p95, with those still waiting counted, is above the limit."""
    if asked.limit_ms is None:
        own = ", ".join(asked.thresholds)
        why = f"this run has no limit on p95{f' (its thresholds: {own})' if own else ''}"
        return not_measured(why, "--threshold 'p(95)<500'")
    limit = units.ms(asked.limit_ms)
    first = next((level for level in asked.levels if level.slow(asked.limit_ms)), None)
    knee = asked.diagnosis.capacity.knee_rps
    bend = f" It bends from {units.rps(knee)} on, where the median has doubled." if knee is not None else ""
    if first is None:
        known = [level.p95_ms for level in asked.levels if level.p95_ms is not None]
        most = f": p95 was {units.ms(max(known))} at most, against {limit}" if known else ""
        text = f"At no load tried, up to {asked.load_text(asked.levels[-1].load)}{most}."
        return answered(text + bend, None, asked.unit)
    below = [level for level in asked.levels if level.load < first.load and not level.slow(asked.limit_ms)]
    before = f"; {units.ms(below[-1].p95_ms)} at {asked.load_text(below[-1].load)}" if below else ""
    at = _from(asked, first, below)
    if first.p95_ms is None:
        seen = "nothing was answered there"
    elif first.p95_ms > asked.limit_ms:
        seen = f"p95 {units.ms(first.p95_ms)} there, against {limit}"
    else:
        seen = f"more than 1 in 20 waited longer than {limit} there, those still waiting counted"
    return answered(f"{at}: {seen}{before}.{bend}", first.load, asked.unit, [Figure("p95 there", first.p95_ms, "ms")])


QUESTIONS: tuple[tuple[AnswerName, str, Answering], ...] = (
    ("response-time", "Which response time is acceptable, and at how many users or requests/s?", response_time),
    ("highest-rate", "What is the highest rate that it sustains?", highest_rate),
    ("errors-from", "From which load on do more than 1 % of the requests fail?", errors_from),
    ("slow-from", "From which load on is the response time unacceptable?", slow_from),
    ("under-stress", "What do CPU and memory do under extreme stress?", stress),
    ("recovery", "Does it recover after the stress?", recovery),
)
