"""What requests wait for, by endpoint: bars and tables for the outputs, and the one line that is news."""

from __future__ import annotations

from typing import Any

from pinchpoint import units
from pinchpoint.report.inside import Table

WHAT = (
    "About ten times a second the probe looks where the requests of an event loop wait, and counts. Shares are of the "
    "time a request does not run: running code, and what a thread does for a request, cannot be seen here; the CPU and "
    "wall profiles show that."
)
MIN_MET = 20
"""Requests met waiting, below which shares of an endpoint are not shown: chance moves them by a fifth."""
MIN_MET_IN_ALL = 50
MIN_SHARE = 0.03
"""Kinds below it on both sides go into "anything else"."""
MOST_ENDPOINTS = 8
MOST_PLACES = 8
COLOURS = 9
REST = "anything else"
NEWS = 0.5
SIDES = (("low", "low load"), ("limit", "at the limit"))
KINDS = {"ready": "its turn on the loop", "other": "something else of the app's", "client": "the client"}

_BEFORE_THE_CPU = frozenset(
    {"ready", "thread", "thread token", "connection pool", "HTTP connection pool", "database", "lock"}
)
"""Where requests queue while the CPU or the loop is full: whoever holds these waits for it (METHOD §4.4)."""
_EXPECTED: dict[str, frozenset[str]] = {
    "db-pool": frozenset({"connection pool"}),
    "slow-query": frozenset({"database", "connection pool", "thread"}),
    "sqlite-writer": frozenset({"database", "connection pool", "thread"}),
    "db-row": frozenset({"database", "connection pool", "thread"}),
    "downstream": frozenset({"downstream", "HTTP connection pool"}),
    "http-pool": frozenset({"HTTP connection pool"}),
    "threadpool": frozenset({"thread token", "thread"}),
    "admission-limit": frozenset({"lock"}),
    "python-lock": frozenset({"lock"}),
    "file-lock": frozenset({"lock", "thread"}),
}
"""Cause -> what requests wait for because of it: no news."""
_SILENT = frozenset({"none", "generator", "memory"})

Report = dict[str, Any]


def bars(report: Report) -> list[dict[str, Any]]:
    """Return one endpoint an entry: its name and, for each side, title, how many requests were met, and the parts."""
    awaits = report.get("awaits")
    if not awaits:
        return []
    colours = {kind: index % COLOURS for index, kind in enumerate([*_kinds(awaits), REST])}
    return [
        {
            "name": endpoint,
            "sides": [
                {
                    "title": title,
                    "met": awaits[f"met_{side}"][endpoint],
                    "parts": [
                        {"name": name_of(kind), "share": share, "colour": colours.get(kind, colours[REST])}
                        for kind, share in _gathered(awaits, endpoint, side).items()
                    ],
                }
                for side, title in SIDES
                if _enough(awaits, endpoint, side)
            ],
        }
        for endpoint in _endpoints(awaits)
    ]


def tables(report: Report) -> list[Table]:
    """Return the tables that hold anything: what each endpoint waits for, and where in the app."""
    awaits = report.get("awaits")
    if not awaits:
        return []
    made = [_by_endpoint(awaits), _by_place(awaits)]
    return [table for table in made if table.rows]


def legend(report: Report) -> list[dict[str, Any]]:
    """Return the kinds of waiting in the bars, each once, with its colour."""
    parts = [part for one in bars(report) for side in one["sides"] for part in side["parts"]]
    known = {part["name"]: part["colour"] for part in parts}
    return [{"name": name, "colour": colour} for name, colour in sorted(known.items(), key=lambda one: one[1])]


def news(report: Report) -> str | None:
    """Say what most requests wait for at the limit, when the verdict does not say it already."""
    awaits, verdict = report.get("awaits"), report["verdict"]
    if not awaits or verdict["class"] in _SILENT or sum(awaits["met_limit"].values()) < MIN_MET_IN_ALL:
        return None
    kind, share = next(iter(_overall(awaits, "limit").items()), ("", 0.0))
    known = _BEFORE_THE_CPU if verdict["class"] in {"cpu", "blocking"} else _EXPECTED.get(verdict["cause"], frozenset())
    place = next((_place(one) for one in awaits["places"] if one["kind"] == kind), "")
    if share < NEWS or kind in known or (verdict["class"] == "undetermined" and place in verdict["summary"]):
        return None
    where = f", in {place}" if place else ""
    return f"{name_of(kind)}: {_whole(share)} of the time they do not run{where}"


def _whole(share: float) -> str:
    """Return a share in whole percents: finer than the samples are it would only look exact."""
    return units.percent(round(share, 2))


def name_of(kind: str) -> str:
    """Return a kind of waiting in words."""
    return KINDS.get(kind, kind)


def _overall(awaits: dict[str, Any], side: str) -> dict[str, float]:
    met = awaits[f"met_{side}"]
    total = sum(met.values())
    sums: dict[str, float] = {}
    for endpoint, shares in awaits[side].items():
        for kind, share in shares.items():
            sums[kind] = sums.get(kind, 0.0) + share * met.get(endpoint, 0) / max(total, 1)
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def _kinds(awaits: dict[str, Any]) -> list[str]:
    """Return the kinds, largest at the limit first."""
    return list({**_overall(awaits, "limit"), **_overall(awaits, "low")})


def _enough(awaits: dict[str, Any], endpoint: str, side: str) -> bool:
    return bool(awaits[f"met_{side}"].get(endpoint, 0) >= MIN_MET)


def _endpoints(awaits: dict[str, Any]) -> list[str]:
    names = list({**awaits["limit"], **awaits["low"]})
    return [name for name in names if any(_enough(awaits, name, side) for side, _ in SIDES)][:MOST_ENDPOINTS]


def _gathered(awaits: dict[str, Any], endpoint: str, side: str) -> dict[str, float]:
    """Return an endpoint's shares on one side, in the order of `_kinds`; small ones together, last."""
    shares = awaits[side].get(endpoint, {})
    both = [awaits[one].get(endpoint, {}) for one, _ in SIDES if _enough(awaits, endpoint, one)]
    large = [kind for kind in _kinds(awaits) if any(one.get(kind, 0.0) >= MIN_SHARE for one in both)]
    found = {kind: shares[kind] for kind in large if shares.get(kind)}
    rest = sum(shares.values()) - sum(found.values())
    return {**found, REST: rest} if rest > 0.5 / max(awaits[f"met_{side}"].get(endpoint, 1), 1) else found


def _by_endpoint(awaits: dict[str, Any]) -> Table:
    rows = []
    for endpoint in _endpoints(awaits):
        sides = [_gathered(awaits, endpoint, side) if _enough(awaits, endpoint, side) else None for side, _ in SIDES]
        kinds = dict.fromkeys(kind for kind in [*_kinds(awaits), REST] if any(kind in (one or {}) for one in sides))
        for index, kind in enumerate(kinds):
            shown = [units.NOT_MEASURED if one is None else _whole(one.get(kind, 0.0)) for one in sides]
            rows.append((endpoint if index == 0 else "", name_of(kind), *shown))
    met = {side: sum(awaits[f"met_{side}"].values()) for side, _ in SIDES}
    note = f"Requests met waiting: {met['low']:,} at low load, {met['limit']:,} at the limit."
    if any(row[-1] == units.NOT_MEASURED or row[-2] == units.NOT_MEASURED for row in rows):
        note += f" {units.NOT_MEASURED}: fewer than {MIN_MET} were met there."
    return Table("By endpoint", ("Endpoint", "Waits for", "Low load", "At the limit"), rows, note)


def _by_place(awaits: dict[str, Any]) -> Table:
    if sum(awaits["met_limit"].values()) < MIN_MET:
        return Table("", (), ())
    rows = [
        (_place(one) or f"(no code of the app) {one['endpoint']}", name_of(one["kind"]), _whole(one["share"]))
        for one in awaits["places"][:MOST_PLACES]
        if one["share"] >= MIN_SHARE
    ]
    note = "The app's innermost function that waits; shares of all requests' waiting."
    return Table("Where in the app, at the limit", ("Where", "Waits for", "Share"), rows, note)


def _place(place: dict[str, Any]) -> str:
    if place["function"] is None:
        return ""
    line = "" if place["line"] is None else f":{place['line']}"
    return f"{place['function']} ({place['file']}{line})"
