"""What the app asks of its databases: statements per request on each route (N+1), and how long one takes. Pure."""

from collections.abc import Sequence

from pinchpoint import units
from pinchpoint.diagnosis.checklist.endpoints import CREATION, LISTING
from pinchpoint.diagnosis.checklist.lines import ChecklistLine, Status, graded, unmeasured, worst
from pinchpoint.diagnosis.checklist.windows import Window
from pinchpoint.diagnosis.findings import MANY_CALLS
from pinchpoint.diagnosis.probe_tables import DATABASE
from pinchpoint.measures import PeerFigures

QUERIES = 7
PAGE_OF_ROWS = 21.0
"""Statements per request that only a loop makes: one for a page of twenty rows, and one for each of them."""

SLOW_MS = LISTING.mean_ms / 2
"""Mean of a statement that takes half of what a list may take altogether."""

VERY_SLOW_MS = LISTING.mean_ms
"""And all of it."""

FEWEST_COUNTED = 5
"""Requests of a route whose statements were counted, below which their mean says nothing."""

ROUTES_SHOWN = 3
N_PLUS_ONE, SLOW = "Statements per request (N+1)", "Slow queries"
NO_DATABASE = "no database was seen: the app has none, its driver is not one the probe knows, or there is no probe"


def database_lines(seen: Sequence[Window]) -> list[ChecklistLine]:
    """Return both lines, over all loads; the lightest comes first."""
    return [_statements(seen), _slow(seen)]


def _statements(seen: Sequence[Window]) -> ChecklistLine:
    routes = _by_route(seen)
    if not routes:
        return _overall(seen)
    (name, (mean, counted)), *_ = routes
    told = "; ".join(f"{route} {units.number(value)}" for route, (value, _) in routes[:ROUTES_SHOWN])
    others = f"; fewer on {len(routes) - ROUTES_SHOWN} more" if len(routes) > ROUTES_SHOWN else ""
    return _many(mean, f"{told}{others}", f"counted inside {units.count(counted)} requests of {name}", name)


def _by_route(seen: Sequence[Window]) -> list[tuple[str, tuple[float, float]]]:
    """Return route -> (mean statements, requests counted) over all loads, the most statements first."""
    sums: dict[str, tuple[float, float]] = {}
    for window in seen:
        for route in window.server.routes:
            if route.db_calls_per_request is not None:
                calls, counted = sums.get(route.name, (0.0, 0.0))
                sums[route.name] = (calls + route.db_calls_per_request * route.counted, counted + route.counted)
    found = [(name, (calls / counted, counted)) for name, (calls, counted) in sums.items() if counted >= FEWEST_COUNTED]
    return sorted(found, key=lambda one: (-one[1][0], one[0]))


def _overall(seen: Sequence[Window]) -> ChecklistLine:
    """Where routes cannot be told apart (gevent): the mean over all requests, which hides a bad one among good ones."""
    means = [one.server.db_calls_per_request for one in seen if one.server.db_calls_per_request is not None]
    if not means:
        return unmeasured(QUERIES, N_PLUS_ONE, NO_DATABASE, "statements/request")
    how = "over all requests together, because they were not counted by route: a bad route hides among the others"
    return _many(means[0], f"{units.number(means[0])} on average", how, "the app")


def _many(mean: float, shown: str, how: str, where: str) -> ChecklistLine:
    status = graded(mean, MANY_CALLS, PAGE_OF_ROWS)
    return ChecklistLine(
        item=QUERIES,
        name=N_PLUS_ONE,
        status=status,
        value=mean,
        unit="statements/request",
        limit=MANY_CALLS,
        shown=shown,
        limit_shown=f"< {units.number(MANY_CALLS)}; from {units.number(PAGE_OF_ROWS)} on a loop makes them",
        how=how,
        todo=""
        if status == "ok"
        else f"{where} asks again for each row of another statement: join them, or load them at once (selectinload).",
    )


def _slow(seen: Sequence[Window]) -> ChecklistLine:
    heaviest = next((one for one in reversed(seen) if _databases(one)), None)
    if heaviest is None:
        return unmeasured(QUERIES, SLOW, NO_DATABASE, "ms")
    slowest = max(_databases(heaviest), key=lambda one: one.call_ms or 0.0)
    value = slowest.call_ms or 0.0
    errors = sum(peer.errors for window in seen for peer in _databases(window))
    failing: Status = "attention" if errors else "ok"
    status = worst(graded(value, SLOW_MS, VERY_SLOW_MS), failing)
    return ChecklistLine(
        item=QUERIES,
        name=SLOW,
        status=status,
        value=value,
        unit="ms",
        limit=SLOW_MS,
        shown=f"{units.ms(value)} a statement{_at_light_load(seen, heaviest, slowest)}"
        + (f"; {units.count(errors)} failed" if errors else ""),
        limit_shown=f"< {units.ms(SLOW_MS)} mean, acceptable < {units.ms(VERY_SLOW_MS)}",
        how=f"{slowest.name.removeprefix(DATABASE)}: mean of {units.count(slowest.calls_rps * heaviest.seconds)} calls "
        f"at {units.rps(heaviest.offered_rps)}, as the app waits for them; a rare slow one hides in a mean",
        todo="" if status == "ok" else _todo(value, errors),
    )


def _at_light_load(seen: Sequence[Window], heaviest: Window, slowest: PeerFigures) -> str:
    before = [one.call_ms for one in _databases(seen[0]) if one.name == slowest.name]
    if seen[0] is heaviest or not before:
        return ""
    return f" ({units.ms(before[0])} at light load)"


def _databases(window: Window) -> list[PeerFigures]:
    return [one for one in window.server.calls if one.name.startswith(DATABASE) and one.call_ms is not None]


def _todo(value: float, errors: float) -> str:
    if value < SLOW_MS:
        return f"{units.count(errors)} statements failed: look at the app's log."
    return f"Explain the statements of the slow endpoints; a create may take {units.ms(CREATION.mean_ms)} in all."
