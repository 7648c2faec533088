"""Digest rows -> what the failures of a pack's parts mean, in sentences: ids that clash, races, errors that pass. Pure.

Only the kinds of failures count (`rows.NameRow.errors`), how they go with the load, and what the requests are called;
never which scenario it was, or how it was set.

A 409 (Conflict, RFC 9110 §15.5.10) has two causes that ask for opposite cures. Where clients bring ids that are taken,
it comes at any load; where they race for one thing, there must be somebody to race with, so its share grows with the
load. Where the figures do not tell, the request's name does: an order or a booking claims what exists.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pinchpoint import units
from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.packs import Part
from pinchpoint.records import Finding, Location
from pinchpoint.rows import DigestRow

CONFLICT = "409"
PASSING = frozenset({"408", "425", "429", "502", "503", "504", "timeout", "connection"})
"""Kinds that the same request may survive a moment later: RFC 9110 §15.5.9 and §15.6.3 to 5, RFC 8470, RFC 6585."""

FEWEST, LEAST_SHARE = 2, 0.001
"""Failures of one kind that are worth a sentence, and their least share of the requests."""

LIGHT, HEAVY = 1 / 3, 2 / 3
"""Seconds with at most, and at least, this share of the highest load."""
SIGNIFICANT = 0.01
"""Chance below which a share that is smaller at light load is none."""
FEWEST_LIGHT = 5
"""Conflicts at light load that are no exception."""
USERS, ARRIVALS = "users", "requests/s"
SHORTEST_S = 0.2
"""Of a second at the edge of a load that says how high the load was."""

CLAIMS = frozenset(
    {
        "bid",
        "booking",
        "buy",
        "checkout",
        "claim",
        "order",
        "pay",
        "payment",
        "purchase",
        "redeem",
        "redemption",
        "reservation",
        "reserve",
        "seat",
        "transfer",
        "withdraw",
        "withdrawal",
    }
)
"""Words for requests of which one client at most can succeed."""

OWN_IDS = (
    "give each client ids of its own (UUIDs, or a range), or let the database number them; the same request again "
    "cannot succeed"
)
CHOOSE_AGAIN = "let clients choose again after a 409; the same request again cannot succeed"
RETRY = "retry with growing, random pauses and a limit, honour Retry-After, and give every POST an idempotency key"
MOSTLY = 0.5

Found = tuple[int, Finding]
"""How many requests it is about, and what it says."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One second of one part."""

    load: float | None
    """Arrivals per second, or users; None where the second was too short to tell."""
    ok: int
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Answered or given up."""
        return self.ok + self.errors.total()


@dataclass(frozen=True, slots=True)
class Contrast:
    """How often requests were refused at light and at heavy load."""

    light: tuple[int, int]
    """(refused, all)."""
    heavy: tuple[int, int]
    light_to: float
    """Load up to which seconds are light; arrivals per second, or users."""
    heavy_from: float
    unit: str

    @property
    def grows(self) -> bool:
        """True when the share at heavy load is higher, and by more than chance."""
        return chance_of_so_few(*self.light, *self.heavy) < SIGNIFICANT

    @property
    def flat(self) -> bool:
        """True when it came often enough at light load, and no less than at heavy load."""
        return self.light[0] >= FEWEST_LIGHT and not self.grows

    def __str__(self) -> str:
        """Return the figures."""
        light_to, heavy_from = self.light_to, self.heavy_from
        if self.unit == USERS:
            light_to, heavy_from = math.floor(light_to), math.ceil(heavy_from)
        return (
            f"{_of(*self.light)} at light load (up to {units.number(light_to)} {self.unit}), "
            f"{_of(*self.heavy)} at heavy load ({units.number(heavy_from)} {self.unit} and more)"
        )


def request_findings(rows: Sequence[DigestRow], parts: Sequence[Part] = ()) -> list[Finding]:
    """List what the failures of each part mean, the most frequent first; without parts, of each request name.

    Args:
        rows: of the load that is judged. Conflicts are told apart best where it holds light and heavy seconds.
        parts: of the pack.

    """
    groups: list[tuple[str, tuple[str, ...]]] = [(part.name, part.endpoints) for part in parts]
    unit = ARRIVALS if any(row["scheduled"] for row in rows) else USERS
    found: list[Found] = []
    for name, endpoints in groups or [(name, (name,)) for name in _names(rows)]:
        seconds = moments(rows, endpoints)
        made = (_conflicts(name, endpoints, seconds, unit), _passing(name, endpoints, seconds))
        found += [each for each in made if each is not None]
    return [finding for _, finding in sorted(found, key=lambda pair: -pair[0])]


def moments(rows: Sequence[DigestRow], endpoints: Iterable[str]) -> list[Moment]:
    """Fold the rows of all load processes into seconds of some request names, in time order."""
    wanted = frozenset(endpoints)
    of_users = not any(row["scheduled"] for row in rows)
    start_s = min((row["t0_s"] for row in rows), default=0.0)
    seconds: dict[int, list[DigestRow]] = {}
    for row in rows:
        seconds.setdefault(math.floor((row["t0_s"] + row["t1_s"]) / 2 - start_s), []).append(row)
    return [_moment(seconds[index], wanted, of_users) for index in sorted(seconds)]


def _moment(rows: Sequence[DigestRow], wanted: frozenset[str], of_users: bool) -> Moment:
    entries = [entry for row in rows for name, entry in row["names"].items() if name in wanted]
    errors: Counter[str] = Counter()
    for entry in entries:
        errors.update(entry["errors"])
    return Moment(_load(rows, of_users), sum(entry["ok"] for entry in entries), errors)


def _load(rows: Sequence[DigestRow], of_users: bool) -> float | None:
    length_s: dict[int, float] = {}
    users: dict[int, int] = {}
    for row in rows:
        process = row["process"]
        length_s[process] = length_s.get(process, 0.0) + row["t1_s"] - row["t0_s"]
        users[process] = max(users.get(process, 0), row["users"])
    longest_s = max(length_s.values())
    if longest_s < SHORTEST_S:
        return None
    return float(sum(users.values())) if of_users else sum(row["scheduled"] for row in rows) / longest_s


def _names(rows: Iterable[DigestRow]) -> list[str]:
    return sorted({name for row in rows for name in row["names"] if not name.startswith(SETUP_PREFIX)})


# --- conflicts ------------------------------------------------------------------------------------------------------


def _conflicts(name: str, endpoints: Sequence[str], seconds: Sequence[Moment], unit: str) -> Found | None:
    refused, done = _count(seconds, lambda kind: kind == CONFLICT), sum(second.done for second in seconds)
    if not _matters(refused, done):
        return None
    seen = contrast(seconds, unit)
    claim = claimed((name, *endpoints))
    race, why = _cause(seen, claim)
    meaning = "clients wanted the same thing at the same time (a race)" if race else "the ids they bring are taken"
    text = (
        f"{name}: {_of(refused, done)} requests were refused with 409 Conflict: {meaning}; {why}. "
        f"{_sentence(CHOOSE_AGAIN if race else OWN_IDS)}"
    )
    where = Location(endpoint=endpoints[0] if endpoints else None)
    return refused, Finding("race" if race else "id-conflict", text, refused / done, "share", where)


def _cause(seen: Contrast | None, claim: str | None) -> tuple[bool, str]:
    """Tell whether it is a race, and by what."""
    if seen is not None and seen.grows:
        return True, f"its share grows with the load: {seen}"
    if seen is not None and seen.flat:
        return False, f"it needs nobody to race with: {seen}"
    figures = "one load alone cannot tell" if seen is None else f"too few to tell by: {seen}"
    if claim is not None:
        return True, f"the request claims something ({claim}); {figures}"
    return False, f"the request claims nothing that exists, by its name; {figures}"


def contrast(seconds: Sequence[Moment], unit: str) -> Contrast | None:
    """Hold light seconds against heavy ones; None when there are none of either."""
    known = [(second.load, second) for second in seconds if second.load is not None]
    peak = max((load for load, _ in known), default=0.0)
    light = [second for load, second in known if load <= LIGHT * peak]
    heavy = [second for load, second in known if load >= HEAVY * peak]
    sides = [
        (_count(side, lambda kind: kind == CONFLICT), sum(second.done for second in side)) for side in (light, heavy)
    ]
    if peak <= 0 or not all(done for _, done in sides):
        return None
    return Contrast(sides[0], sides[1], LIGHT * peak, HEAVY * peak, unit)


def chance_of_so_few(light_hits: int, light_all: int, heavy_hits: int, heavy_all: int) -> float:
    """Return how likely at most `light_hits` of all hits fall on the light side if the load makes no difference.

    Fisher's exact test, one-sided: the hypergeometric distribution's lower tail.
    """
    hits = light_hits + heavy_hits
    whole = _log_choose(light_all + heavy_all, hits)
    tail = (
        math.exp(_log_choose(light_all, count) + _log_choose(heavy_all, hits - count) - whole)
        for count in range(max(0, hits - heavy_all), light_hits + 1)
    )
    return min(1.0, math.fsum(tail))


def _log_choose(number: int, of_them: int) -> float:
    return math.lgamma(number + 1) - math.lgamma(of_them + 1) - math.lgamma(number - of_them + 1)


def claimed(texts: Iterable[str]) -> str | None:
    """Return the first word of some names that says that a request claims what exists; None when none does."""
    words = (word for text in texts for word in re.findall("[a-z]+", text.lower()))
    return next((word for word in words if word in CLAIMS or word.removesuffix("s") in CLAIMS), None)


# --- errors that pass -----------------------------------------------------------------------------------------------


def _passing(name: str, endpoints: Sequence[str], seconds: Sequence[Moment]) -> Found | None:
    failed, done = _count(seconds, PASSING.__contains__), sum(second.done for second in seconds)
    if not _matters(failed, done):
        return None
    kinds: Counter[str] = Counter()
    for second in seconds:
        kinds.update({kind: count for kind, count in second.errors.items() if kind in PASSING})
    listed = ", ".join(f"{kind} ({units.count(count)})" for kind, count in sorted(kinds.items(), key=_most_first))
    beside = _count([second for second in seconds if second.ok], PASSING.__contains__) / failed
    text = f"{name}: {_of(failed, done)} requests failed in a way that may pass: {listed}; {_outlook(beside)}"
    where = Location(endpoint=endpoints[0] if endpoints else None)
    return failed, Finding("retriable", text, failed / done, "share", where)


def _outlook(beside: float) -> str:
    """Say what a retry would have met: `beside` is the share of failures with a success in the same second."""
    seen = f"{units.percent(beside)} of them in seconds in which others like it succeeded"
    if beside >= MOSTLY:
        return f"{seen}, so a retry would have cured most. {_sentence(RETRY)}"
    return f"only {seen}, so a retry at once would mostly have failed too, and have added load. {_sentence(RETRY)}"


# --- words ----------------------------------------------------------------------------------------------------------


def _count(seconds: Iterable[Moment], fits: Callable[[str], bool]) -> int:
    return sum(count for second in seconds for kind, count in second.errors.items() if fits(kind))


def _matters(failed: int, done: int) -> bool:
    return failed >= FEWEST and failed >= LEAST_SHARE * done


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _of(part: int, whole: int) -> str:
    return f"{units.percent(part / whole)} of {units.count(whole)}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
