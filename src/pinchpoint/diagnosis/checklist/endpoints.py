"""Endpoint latencies at light load against the table of requirements. Pure.

The table is the one that was asked for; an endpoint of any app finds its row by its path and its methods: health
checks, the root and authentication by their names; of all others those that read are held to the limits of a list, and
those that write to the limits of a creation.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pinchpoint import units
from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.diagnosis.checklist.lines import ChecklistLine, Status, unmeasured, worst
from pinchpoint.diagnosis.checklist.windows import Window
from pinchpoint.measures import EndpointFigures, Latency

BENCHMARKS, REQUIREMENTS = 1, 2
FEWEST = 5
"""Answers below which a mean is none."""

READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of the table: `Target (mean)` and `Acceptable (max)`."""

    kind: str
    mean_ms: float
    max_ms: float

    @property
    def shown(self) -> str:
        """In words."""
        return f"< {units.ms(self.mean_ms)} mean, < {units.ms(self.max_ms)} max"


HEALTH = Requirement("health check", 10.0, 50.0)
ROOT = Requirement("root endpoint", 20.0, 100.0)
AUTHENTICATION = Requirement("authentication", 100.0, 500.0)
LISTING = Requirement("list operations", 200.0, 1000.0)
CREATION = Requirement("create operations", 500.0, 2000.0)

_METHOD = re.compile(r"(GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE)\s+", re.IGNORECASE)
_ALIVE = r"health|healthz|healthcheck|health-check|livez|readyz|alive|ready|ping"
_HEALTH = re.compile(rf"(?:^|/)(?:{_ALIVE})/?$", re.IGNORECASE)
_LOGIN = r"login|logout|sign-?in|sign-?up|register|token|auth|oauth2?|sessions?"
_AUTHENTICATION = re.compile(rf"(?:^|/)(?:{_LOGIN})(?:/|$)", re.IGNORECASE)
_PLACE = re.compile(r"\{[^/{}]*\}|\[[^/\[\]]*\]|<[^/<>]*>|(?<=/):\w+|(?<=/)\d+(?=/|$)")


def requirement(name: str, methods: frozenset[str]) -> tuple[Requirement, str]:
    """Return the row of an endpoint, and why it is that one; `methods` are those that its name stands for."""
    path, said = _parts(name)
    known = methods or said
    if _HEALTH.search(path):
        return HEALTH, "by its name"
    if path in {"", "/"} and name.strip():
        return ROOT, "by its path"
    if _AUTHENTICATION.search(path):
        return AUTHENTICATION, "by its name"
    if not known:
        return CREATION, "its method is not known"
    return (LISTING if known <= READS else CREATION), " and ".join(sorted(known))


def served_methods(name: str, routes: Iterable[str]) -> frozenset[str]:
    """Return the methods of the server's routes (`GET /items/{id}`) that have the path of a request name."""
    wanted = _shape(_parts(name)[0])
    pairs = [route.partition(" ") for route in routes]
    return frozenset(method for method, _, path in pairs if path.startswith("/") and _shape(path) == wanted)


def _parts(name: str) -> tuple[str, frozenset[str]]:
    """Return the path of a request name, and the method where the name begins with one."""
    match = _METHOD.match(name.strip())
    rest = name.strip()[match.end() :] if match else name.strip()
    methods = frozenset({match[1].upper()}) if match else frozenset[str]()
    try:
        parts = urlsplit(rest)
    except ValueError:
        return rest, methods
    return (parts.path or "/" if parts.netloc else parts.path), methods


def _shape(path: str) -> str:
    return _PLACE.sub("{}", path).rstrip("/") or "/"


def endpoint_lines(light: Window, methods: Mapping[str, frozenset[str]]) -> list[ChecklistLine]:
    """Return the benchmark's line and one for each endpoint that was asked at light load."""
    asked = [one for one in light.client.figures.endpoints if not one.name.startswith(SETUP_PREFIX)]
    routes = [route.name for route in light.server.routes]
    lines = [_benchmark(light, asked)]
    for one in asked:
        known = methods.get(one.name) or served_methods(one.name, routes)
        lines.append(_endpoint(one, *requirement(one.name, known), light))
    return lines


def _benchmark(light: Window, asked: Sequence[EndpointFigures]) -> ChecklistLine:
    measured = [one for one in asked if one.mean_ms is not None and one.ok]
    answered = sum(one.ok for one in measured)
    name = "Endpoints at light load"
    if not measured:
        return unmeasured(BENCHMARKS, name, "nothing was answered at light load", "ms")
    mean_ms = sum((one.mean_ms or 0.0) * one.ok for one in measured) / answered
    count = len(measured)
    return ChecklistLine(
        item=BENCHMARKS,
        name=name,
        status="ok",
        value=mean_ms,
        unit="ms",
        limit=None,
        shown=f"{units.ms(mean_ms)} mean over {count} endpoint{'s' if count > 1 else ''}",
        limit_shown="",
        how=f"{units.count(answered)} answers in {units.seconds(light.seconds)} at {units.rps(light.offered_rps)} "
        "(arrivals, open model), timed by the clients",
    )


def _endpoint(one: EndpointFigures, row: Requirement, why: str, light: Window) -> ChecklistLine:
    at = f"at {units.rps(light.offered_rps)}"
    latency, mean_ms = one.latency_ms, one.mean_ms
    if latency is None or mean_ms is None or one.ok < FEWEST:
        return _too_few(one, row, at)
    failed_too = f"; {units.count(one.failed)} more failed" if one.failed else ""
    status = worst(_status(mean_ms, latency, row), "attention" if one.failed else "ok")
    return ChecklistLine(
        item=REQUIREMENTS,
        name=one.name,
        status=status,
        value=mean_ms,
        unit="ms",
        limit=row.mean_ms,
        shown=f"{units.ms(mean_ms)} mean, {units.ms(latency.max)} max{failed_too}",
        limit_shown=row.shown,
        how=f"{units.count(one.ok)} answers {at}, timed by the clients; held to the row {row.kind!r}: {why}",
        todo="" if status == "ok" else _todo(mean_ms, latency, row, one.failed),
    )


def _too_few(one: EndpointFigures, row: Requirement, at: str) -> ChecklistLine:
    if one.failed >= FEWEST and not one.ok:
        return ChecklistLine(
            item=REQUIREMENTS,
            name=one.name,
            status="failed",
            value=None,
            unit="ms",
            limit=row.mean_ms,
            shown=f"none of {units.count(one.failed)} answered well",
            limit_shown=row.shown,
            how=f"{units.count(one.failed)} requests {at}: {_kinds(one)}",
            todo="Look at the app's log: this endpoint fails without any load.",
        )
    why = f"only {units.count(one.ok)} good answers {at}, and a mean needs {FEWEST}"
    return unmeasured(REQUIREMENTS, one.name, why, "ms", "Give a longer --budget, or press it more often.")


def _kinds(one: EndpointFigures) -> str:
    return ", ".join(f"{kind} ({units.count(count)})" for kind, count in one.errors.items())


def _status(mean_ms: float, latency: Latency, row: Requirement) -> Status:
    """Judge by the mean, and by the maximum unless that is one answer in a hundred: a machine has its moments."""
    if mean_ms >= row.mean_ms or latency.p99 >= row.max_ms:
        return "failed"
    return "attention" if latency.max >= row.max_ms else "ok"


def _todo(mean_ms: float, latency: Latency, row: Requirement, failed: int) -> str:
    if mean_ms >= row.mean_ms:
        return "Slow without load: profile it (`pinchpoint run --get PATH` names the function), look at its statements."
    if latency.max >= row.max_ms:
        return "The mean is fine and single answers are not: look for cold caches, garbage collection, a blocked loop."
    return f"{units.count(failed)} requests failed at light load: look at the app's log."
