"""Recordings of a checklist's runs -> its lines: each a measurement, or the reason why it was not taken. Pure.

Three runs at most: a search for the limit, of which nothing but the limit is used; a staged load (light, the expected
peak, 50 % more); a soak at the peak. What voids a run voids the lines that rest on how much load there was; statements
per request and hit rates are ratios, and stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pinchpoint.diagnosis.checklist.caches import CacheLook, cache_lines
from pinchpoint.diagnosis.checklist.database import database_lines
from pinchpoint.diagnosis.checklist.endpoints import BENCHMARKS, REQUIREMENTS, endpoint_lines
from pinchpoint.diagnosis.checklist.lines import ChecklistLine, unmeasured
from pinchpoint.diagnosis.checklist.load import (
    ERRORS,
    LOAD,
    RESOURCES,
    Limits,
    died_line,
    error_line,
    load_lines,
    resource_lines,
)
from pinchpoint.diagnosis.checklist.soak import LEAKS, NAMES, soak_lines
from pinchpoint.diagnosis.checklist.windows import Window, death_of, windows
from pinchpoint.diagnosis.steps import ladder
from pinchpoint.recording import Recording
from pinchpoint.records import Diagnosis, Validity

PEAK_SHARE = 0.6
"""Of the limit that was found, where nobody said what to expect: half as much again is then 0.9 of it."""

LOADS = ("light load", "the expected peak", "peak + 50 %")
QUERIES, CACHES = 7, 8


@dataclass(frozen=True)
class Run:
    """One recorded run and what diagnosis says of it."""

    recording: Recording
    diagnosis: Diagnosis


@dataclass(frozen=True)
class Evidence:
    """What the checklist is made of; a run that is missing comes with the reason, as a clause."""

    limits: Limits
    load: Run | None = None
    no_load: str = "the load was not offered"
    soak: Run | None = None
    no_soak: str = "no soak was run"
    methods: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Request name -> the methods that the Locust file sends under it."""
    caches: Sequence[CacheLook] = ()
    no_caches: str = "nobody looked at the app's metrics"


def checklist(evidence: Evidence) -> list[ChecklistLine]:
    """Return all lines, in the order of the items. Same recordings, same lines."""
    lines = [*_of_load(evidence), *_of_soak(evidence)]
    return sorted(lines, key=lambda line: line.item)


def held_arrivals(run: Run) -> float | None:
    """Return the highest load of a search that held, in arrivals per second as the schedule counts them."""
    best = ladder(run.diagnosis.steps).sustained
    if best is None:
        return None
    steps = [event["data"] for event in run.recording.events if event.get("kind") == "step"]
    return next((step.get("offered_rps") for step in steps if step.get("index") == best.index), None)


def invalid_because(validity: Validity) -> str | None:
    """Return why a measurement does not count, as a clause; None when it does."""
    if validity.status != "invalid":
        return None
    failed = [gate.message for gate in validity.gates if gate.status == "fail"]
    return f"the measurement does not count: {failed[0] if failed else 'a gate failed'}"


def _of_load(evidence: Evidence) -> list[ChecklistLine]:
    run = evidence.load
    found = windows(run.recording) if run is not None else []
    if run is None or not found:
        return _no_load(evidence.no_load if run is None else "the load ended before it began to count")
    # A target that died has failed, whatever its death did to the measurement.
    why_not = None if death_of(run.recording) is not None else invalid_because(run.diagnosis.validity)
    loaded = _under_load(run, found, evidence) if why_not is None else _void(why_not)
    caches = cache_lines(evidence.caches, found[0].t0_s, found[-1].t1_s, evidence.no_caches)
    return [*loaded, *database_lines(found), *caches]


def _under_load(run: Run, found: Sequence[Window], evidence: Evidence) -> list[ChecklistLine]:
    light, *heavier = found
    lines = endpoint_lines(light, evidence.methods)
    if light.died is not None:
        lines.append(died_line(LOADS[0], light.died))
    for name, window in zip(LOADS[1:], heavier, strict=False):
        lines += [*load_lines(window, name, evidence.limits), error_line(window, name, evidence.limits)]
    lines += _not_reached(run, len(found), died=any(one.died is not None for one in found))
    if heavier and heavier[0].died is None:
        settings = run.recording.settings.get("load") or {}
        lines += resource_lines(heavier[0], heavier[1] if len(heavier) > 1 else None, settings)
    else:
        lines.append(unmeasured(RESOURCES, "CPU, memory, connections", "the expected peak was not held"))
    return lines


def _not_reached(run: Run, reached: int, *, died: bool) -> list[ChecklistLine]:
    """Return lines for loads that were not held at all; the first of them is where a target died that no window saw."""
    death = death_of(run.recording)
    lines = []
    for name in LOADS[reached:]:
        if death is not None and not died:
            lines.append(died_line(name, death))
            died = True
        else:
            why = "the target had died" if death is not None else "the load ended before"
            lines.append(unmeasured(LOAD, f"Throughput at {name}", why, "requests/s"))
    return lines


def _void(why: str) -> list[ChecklistLine]:
    """Return a line for each item that rests on how much load there was."""
    return [
        unmeasured(BENCHMARKS, "Endpoints at light load", why, "ms"),
        unmeasured(REQUIREMENTS, "Endpoint latencies", why, "ms"),
        *(unmeasured(LOAD, f"Throughput at {name}", why, "requests/s") for name in LOADS[1:]),
        unmeasured(RESOURCES, "CPU, memory, connections", why),
        *(unmeasured(ERRORS, f"Errors at {name}", why, "share") for name in LOADS[1:]),
    ]


def _no_load(why: str) -> list[ChecklistLine]:
    return [
        *_void(why),
        unmeasured(QUERIES, "Statements per request (N+1)", why, "statements/request"),
        unmeasured(QUERIES, "Slow queries", why, "ms"),
        unmeasured(CACHES, "Cache hit rate", why, "share"),
    ]


def _of_soak(evidence: Evidence) -> list[ChecklistLine]:
    run = evidence.soak
    if run is None:
        return [unmeasured(LEAKS, name, evidence.no_soak) for name in NAMES]
    soak, death = run.diagnosis.soak, death_of(run.recording)
    why = invalid_because(run.diagnosis.validity) if death is None else None
    if soak is None or why is not None:
        return [unmeasured(LEAKS, name, why or "the soak ended before it began to count") for name in NAMES]
    return soak_lines(soak, death)
