"""The queue that a load leaves behind, second by second, and what was served while it stood.

Every segment begins with nothing in flight, so arrivals minus answers since its start is exactly the queue, with no
window to choose.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pinchpoint import histograms
from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.rows import DigestRow

ROW_EDGE_S = 0.1
"""Digest rows end on whole seconds, give or take this."""

SHORTEST_ROW_S = 0.25
"""A shorter row says too little about a rate."""

FLOOR = 10
"""Fewer unserved requests are the queue of an ordinary burst."""

GROWTH_SHARE = 0.02
"""A queue that grows by more than this share of the arrivals will break any limit in the end."""

BURST_FACTOR = 1.0
"""Arrivals at exactly the capacity leave a queue of more than x behind with probability exp(-2 x² / n) (the supremum of
a Brownian bridge over n arrivals): at x = sqrt(n) that is 14 %, and 1 % at a load 3 % lower with 2,000 arrivals."""

UNKNOWN_SHARE = 0.05
"""Where no moment after the first answers is left to compare with, only a large queue counts ..."""

UNKNOWN_GROWTH = 1.3
"""... that is also growing: a slow app holds rate x latency requests (Little), in the middle as at the end."""

SETTLED = 1.5
"""The queue has its working level once requests of this many typical latencies ago have been answered."""

WAVERING = 1.5
"""Standard deviations by which the requests in progress may differ between two moments without any queue."""

CLEAR = 2.0
"""A queue that grew by this many times what is noticed is no burst's: exp(-8) by the same formula."""

EVEN = 0.3
"""Growth in the typical second over the mean: below, it came in one go, as behind a server that stood still."""

STALLED = 0.6
"""Answers in a second over those in its neighbours: below, somebody else had the machine, or everything stood still."""

BETTER = 0.75
"""Quantile of the seconds' answers that is the rule of a step."""

LEFT_SHARE = 0.25
"""Of a second's arrivals, left unanswered at its end: a part of that second was lost, if no queue grew before."""

FILLING = 0.25
"""Of the first second: with a working level that takes longer to fill, its growth says nothing."""

FEWEST_EVEN = 3
"""Seconds without a stall that show whether a queue grew evenly; fewer, beside a stall, do not."""

HIDDEN_S = 0.25
"""What chance adds to the time lost in stalls; nothing is known of shorter ones."""

OUTLIER = 3.0
"""Standard deviations (from the median absolute deviation, and at least by chance) outside which a second is left out
of a plateau."""

MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True)
class Second:
    """About one second of a segment, all load processes together."""

    t1_s: float
    """From the start of the segment."""
    seconds: float
    scheduled: int
    ok: int
    answered: int
    unserved: int
    """At its end: waiting for a free user, or in flight."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Arrivals of a step and how many of them were still unserved: waiting for a free user, or in flight."""

    scheduled: int
    midway: int
    end: int
    growth: float | None = field(default=None, compare=False)
    """From the lowest level after the first answers to the end, without seconds in which the server stood still; None
    when the step is too short to have such a level."""
    grown_in: int = field(default=0, compare=False)
    """Arrivals in that time."""
    level: int = field(default=0, compare=False)
    """That lowest level: requests in progress, whose number wavers by its square root."""
    slope_rps: float | None = field(default=None, compare=False)
    stalls: int = field(default=0, compare=False)
    """Seconds in which far fewer answers came than in their neighbours."""
    even: bool = field(default=True, compare=False)
    """It grew as much in a typical second as in the fastest: not in one go."""
    explained: float = field(default=0.0, compare=False)
    """Arrivals in the time that was lost to stalls."""
    lost_s: int = field(default=0, compare=False)
    """That time, in whole seconds."""
    risen: float = field(default=0.0, compare=False)
    """Growth over the whole step, beyond what a working level holds and without the stalls."""

    @property
    def grows(self) -> bool:
        """True when the step ended with a queue that is neither small nor steady."""
        if self.growth is None:
            floor = max(UNKNOWN_SHARE * self.scheduled, FLOOR)
            return self.end > floor and self.end > UNKNOWN_GROWTH * self.midway
        return self.growth > self.noticed or self.clear

    @property
    def disturbed(self) -> bool:
        """True when something other than the load explains the queue: the server stood still for a while."""
        return self.stalls > 0 or (self.grows and not self.even)

    @property
    def clear(self) -> bool:
        """True when it grew second after second, or more than stalls explain, and far more than bursts do."""
        if self.growth is None:
            return False
        if not self.even and not self.stalls:
            return False
        beyond = self.growth if self.even else self.end - self.level - self.explained
        return beyond > CLEAR * self.noticed

    @property
    def spared(self) -> bool:
        """True when, but for its stalls, no queue grew at all."""
        return self.stalls > 0 and max(self.risen, self.growth or 0.0) <= self.noticed

    @property
    def noticed(self) -> float:
        """Growth that bursts alone hardly ever leave behind."""
        bursts = max(GROWTH_SHARE * self.grown_in, math.sqrt(BURST_FACTOR * self.grown_in), FLOOR)
        return bursts + WAVERING * math.sqrt(max(0, self.level))

    @property
    def share(self) -> float:
        """Unserved at the end, as a share of the arrivals."""
        return self.end / self.scheduled if self.scheduled else 0.0

    @property
    def lost(self) -> float:
        """Share of the arrivals that came to a queue which only grew, and would have waited forever; 0..1."""
        if not self.scheduled or not self.grows:
            return 0.0  # in the users model nothing is scheduled
        excess = self.end if self.growth is None else min(self.growth, self.end)
        return min(1.0, excess / (self.scheduled if self.growth is None else max(self.grown_in, 1)))


def seconds_of(rows: Sequence[DigestRow]) -> list[Second]:
    """Fold one segment's digest rows into the seconds since its start; the rows of a process stand in time order."""
    if not rows:
        return []
    start_s = min(row["t0_s"] for row in rows)
    ends = sorted({_slot(row, start_s) for row in rows})
    found: list[Second] = []
    unclaimed: int = 0
    inflight: dict[int, int] = {}
    for slot in ends:
        there = [row for row in rows if _slot(row, start_s) == slot]
        unclaimed += sum(row["scheduled"] - row["started"] for row in there)
        for row in sorted(there, key=lambda row: row["t1_s"]):
            inflight[row["process"]] = row["inflight"]
        served = [entry for row in there for name, entry in row["names"].items() if not name.startswith(SETUP_PREFIX)]
        ok = sum(entry["ok"] for entry in served)
        found.append(
            Second(
                t1_s=max(row["t1_s"] for row in there) - start_s,
                seconds=max(row["t1_s"] for row in there) - min(row["t0_s"] for row in there),
                scheduled=sum(row["scheduled"] for row in there),
                ok=ok,
                answered=ok + sum(entry["failed"] for entry in served),
                unserved=unclaimed + sum(inflight.values()),
            )
        )
    return found


def _slot(row: DigestRow, start_s: float) -> int:
    """Rows of several processes that end about the same time belong together."""
    return round((row["t1_s"] - start_s) / (2 * ROW_EDGE_S))


def backlog(rows: Sequence[DigestRow]) -> Backlog:
    """Count the backlog of one segment from all its digest rows."""
    found = seconds_of(rows)
    if not found:
        return Backlog(0, 0, 0)
    # A step of 1.5 s has no row that ends by its middle: with nothing counted by then, any backlog seems to grow.
    middle_s = max(found[-1].t1_s / 2, found[0].t1_s if len(found) > 1 else 0.0)
    first_half = [second for second in found if second.t1_s <= middle_s + ROW_EDGE_S]
    settled_s = _settled_s(rows)
    stood_still = stalls(found, settled_s)
    moves = {k: move for k, move in _moves(found, settled_s).items() if k not in stood_still}
    growth, grown_in, even = _growth(found, settled_s, moves)
    even = even and (not stood_still or len(moves) >= FEWEST_EVEN)
    lost_s = math.ceil(sum(stood_still.values()) - HIDDEN_S) if stood_still else 0
    settled = [second for second in found if second.t1_s >= settled_s - ROW_EDGE_S]
    return Backlog(
        scheduled=sum(second.scheduled for second in found),
        midway=first_half[-1].unserved if first_half else 0,
        end=found[-1].unserved,
        growth=growth,
        grown_in=grown_in,
        level=min((second.unserved for second in settled), default=0) if growth is not None else 0,
        slope_rps=_slope(settled),
        stalls=len(stood_still),
        even=even,
        explained=lost_s * _rate(found),
        lost_s=lost_s,
        risen=sum(moves.values()),
    )


def _settled_s(rows: Sequence[DigestRow]) -> float:
    """Return when the queue had its working level, in seconds from the start of the segment."""
    entries = [entry for row in rows for name, entry in row["names"].items() if not name.startswith(SETUP_PREFIX)]
    answered = histograms.merge(entry["service_ok"] for entry in entries)
    if answered is None:
        return 0.0
    # A low quantile: the latency that the app began with, before a queue that grows made it worse.
    return SETTLED * histograms.quantile_us(answered, 0.1) / (1000 * histograms.US_PER_MS)


def _moves(found: Sequence[Second], settled_s: float) -> dict[int, float]:
    """Return how much the queue grew in each second, without what fills the working level in the first."""
    before, moves = _rate(found) * settled_s, {}
    for k, second in enumerate(found):
        moves[k] = second.unserved - before if k else max(0.0, second.unserved - before)
        before = second.unserved
    if settled_s > found[0].seconds * FILLING:
        del moves[0]
    return moves


def _rate(found: Sequence[Second]) -> float:
    return sum(second.scheduled for second in found) / sum(second.seconds for second in found)


def _growth(found: Sequence[Second], settled_s: float, moves: Mapping[int, float]) -> tuple[float | None, int, bool]:
    """Return the growth since the lowest level after `settled_s`, the arrivals meanwhile, and whether it was even."""
    settled = [k for k, second in enumerate(found[:-1]) if second.t1_s >= settled_s - ROW_EDGE_S]
    if not settled:
        return None, 0, True
    lowest = min(settled, key=lambda k: found[k].unserved)
    even = not moves or statistics.median_low(moves.values()) * len(moves) >= EVEN * sum(moves.values())
    grown = sum(move for k, move in moves.items() if k > lowest)
    return grown, sum(second.scheduled for second in found[lowest + 1 :]), even


def stalls(found: Sequence[Second], settled_s: float = 0.0) -> dict[int, float]:
    """Return the seconds in which far fewer answers came than could have: index -> seconds lost.

    Fewer than in the better seconds, and than there was to answer. Where no queue grows otherwise, also those at whose
    end a share of their arrivals is left.
    """
    rates = sorted(second.answered / second.seconds for second in found if second.seconds >= SHORTEST_ROW_S)
    if not rates:
        return {}
    # Half of a short step may be stolen; and a queue that grows makes no second slower than the one before.
    typical = rates[math.ceil(BETTER * (len(rates) - 1))]
    moves = _moves(found, settled_s)
    calm = bool(moves) and statistics.median_low(moves.values()) <= GROWTH_SHARE * _rate(found)
    stood_still, waiting = {}, -_rate(found) * settled_s
    for k, second in enumerate(found):
        demand = waiting + second.scheduled
        there = min(typical * second.seconds, demand)
        slow = second.answered < STALLED * there
        left = calm and moves.get(k, 0.0) > LEFT_SHARE * second.scheduled + math.sqrt(second.scheduled)
        asked = demand if left else there
        if second.seconds >= SHORTEST_ROW_S and (slow or left) and asked > 0:
            stood_still[k] = second.seconds * max(0.0, 1 - second.answered / asked)
        waiting = second.unserved
    return stood_still


def _slope(found: Sequence[Second]) -> float | None:
    """Least squares slope of the backlog, in requests per second; None for fewer than three moments."""
    if len(found) < 3:  # noqa: PLR2004 - a line through two points fits always
        return None
    times, levels = [second.t1_s for second in found], [float(second.unserved) for second in found]
    return statistics.linear_regression(times, levels).slope


def served_while_queued(rows: Sequence[DigestRow]) -> list[tuple[int, float]]:
    """Return (successes, seconds) of each second that a growing queue stood through: what the server can do, no more.

    Empty when the queue did not grow, or only at the end.
    """
    queue = backlog(rows)
    if not queue.grows:
        return []
    found = seconds_of(rows)
    settled_s = _settled_s(rows)
    level = max(queue.noticed / 2, FLOOR)
    full = [
        second
        for before, second in pairwise(found)
        if second.seconds >= SHORTEST_ROW_S and before.unserved >= level and before.t1_s >= settled_s - ROW_EDGE_S
    ]
    # With a queue all through, only a disturbance makes one second so much worse than another, chance left aside.
    top = max((second.answered / second.seconds for second in full), default=0.0)
    least = STALLED * top - math.sqrt(top)
    return [(second.ok, second.seconds) for second in full if second.answered / second.seconds >= least]


def typical_rps(served: Sequence[tuple[int, float]]) -> float | None:
    """Return the rate of the seconds that agree with most of them; None when there are none.

    Seconds that somebody else took from the server (and the burst after them) are outliers, not its capacity.
    """
    if not served:
        return None
    rates = [count / seconds for count, seconds in served]
    middle = statistics.median(rates)
    spread = MAD_TO_SD * statistics.median(abs(rate - middle) for rate in rates)
    # Counted answers scatter by chance; the scatter of a handful of seconds may come out as none at all.
    chance = math.sqrt(max(middle, 1.0)) / 2
    kept = [
        pair for pair, rate in zip(served, rates, strict=True) if abs(rate - middle) <= OUTLIER * max(spread, chance)
    ]
    seconds = sum(pair[1] for pair in kept)
    return sum(pair[0] for pair in kept) / seconds if seconds else middle
