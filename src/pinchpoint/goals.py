"""The three goals of a search, and what one step makes of each: losses over the arrivals that were *intended*.

Arrivals that the generator itself failed to send are never losses of the server: they make a step void or invalid.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pinchpoint import histograms
from pinchpoint.backlog import Backlog
from pinchpoint.clientstats import SETUP_PREFIX, overdue
from pinchpoint.rows import DigestRow, NameRow
from pinchpoint.trials import Goal, Trial

STRICT_LOSS, BREAKING_LOSS = 0.001, 0.10
P95_LOSS = 0.05
"""A limit on the 95th percentile lets one request in twenty be slower."""

COARSE_WIDTH = 0.05
"""The strict and the breaking goal are there to see the shape of the end; the user's own deserves the time."""

MARGINAL_WEIGHT = 0.45
"""A miss that is not gross is not quite half a proof: a second one settles it, a hit clears it (`trials.classify`)."""

DISTURBED_WEIGHT = 0.16
"""A miss of a step in which the server stood still for a second: four of them settle that it does so by itself."""

SPARED_WEIGHT = 0.5
"""A step that would have held but for such a second: it holds until a clear miss or the majority says otherwise."""

MIN_FAILED = 2
"""One failed request says nothing."""

UNHURRIED = 0.1
"""Quantile of the latencies that a stall leaves alone."""

GROSS_FACTOR = 2.0
"""A loss of this many times what the goal allows is no chance."""

GROSS_EXTRA = 3
"""Requests above what the goal allows that make its miss certain: one slow request in 400 is 0.25 %."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The user's limits behind `slo`; None: none given."""

    p95_ms: float | None
    max_error_rate: float | None

    @property
    def slow_ms(self) -> float:
        """Return what counts as too slow; infinite without a limit on latency."""
        return math.inf if self.p95_ms is None else self.p95_ms


def three_goals(limits: Limits, trial_s: float, sum_s: float, width: float) -> tuple[Goal, Goal, Goal]:
    """Return (strict, slo, breaking), all with trials of the same length."""
    limited = math.isfinite(limits.slow_ms)
    slow = f" or slower than {limits.slow_ms:g} ms" if limited else ""
    errors = limits.max_error_rate
    parts = [f"p95 at most {limits.slow_ms:g} ms"] if limited else []
    if errors is not None and errors < 1:
        parts.append(f"at most {errors:.3g} of the responses failed".replace("0.01 of", "1 % of"))
    parts.append("no growing queue")
    return (
        Goal("strict", f"at most 0.1 % of arrivals failed{slow}", STRICT_LOSS, trial_s, sum_s, COARSE_WIDTH),
        Goal("slo", ", ".join(parts), P95_LOSS if limited else (errors or 0.0), trial_s, sum_s, width),
        Goal(
            "breaking", "at most 10 % of arrivals failed or never answered", BREAKING_LOSS, trial_s, sum_s, COARSE_WIDTH
        ),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step under every goal."""

    losses: dict[str, float]
    """Goal -> share of the arrivals that missed it; 0..1."""
    forwarded: float
    """Share of the arrivals that were answered without failure, or would have been."""
    arrivals: int
    disturbed: bool = False
    """The server stood still for a second, or the queue came in one go."""
    spared: bool = False
    """Nothing else was wrong: without the seconds in which it stood still, the load would have held."""


def outcome(rows: Sequence[DigestRow], queue: Backlog, limits: Limits) -> Outcome:
    """Judge one whole segment, whose digest rows these are.

    A queue that grows is lost as far as it grew; a steady one is being served. Shares of answers stand for shares of
    arrivals: an arrival may make several requests.
    """
    entries = [entry for row in rows for name, entry in row["names"].items() if not name.startswith(SETUP_PREFIX)]
    ok, failed = sum(entry["ok"] for entry in entries), sum(entry["failed"] for entry in entries)
    answered = ok + failed
    if not answered:
        lost = 1.0 if queue.grows else 0.0
        return Outcome(dict.fromkeys(("strict", "slo", "breaking"), lost), 1.0 - lost, queue.scheduled, queue.disturbed)
    slow = late = 0
    if math.isfinite(limits.slow_ms) and ok:
        merged = histograms.merge(entry["latency_ok"] for entry in entries)
        slow = 0 if merged is None else histograms.count_above(merged, limits.slow_ms * histograms.US_PER_MS)
        # Those of a queue that only grows are lost in it already.
        late = max(0, overdue(rows, limits.slow_ms) - math.ceil(queue.lost * queue.scheduled))
    kept = 1.0 - queue.lost
    forwarded = kept * (1.0 - failed / answered)
    in_time = kept * (1.0 - min(1.0, (failed + slow + late) / (answered + late)))
    losses = {"strict": 1.0 - in_time, "slo": 1.0 - in_time, "breaking": 1.0 - forwarded}
    return Outcome(losses, forwarded, queue.scheduled, queue.disturbed, _spared(entries, queue, limits))


def _spared(entries: Sequence[NameRow], queue: Backlog, limits: Limits) -> bool:
    """Tell whether the stalls explain everything: no answer failed, and nobody waited longer than they took."""
    if not queue.spared or sum(entry["failed"] for entry in entries) >= MIN_FAILED:
        return False
    answered = histograms.merge(entry["latency_ok"] for entry in entries)
    if answered is None or not math.isfinite(limits.slow_ms):
        return answered is not None
    if histograms.quantile_us(answered, UNHURRIED) > limits.slow_ms * histograms.US_PER_MS:
        return False  # slow by nature
    longest_ms = histograms.quantile_us(answered, 1 - P95_LOSS) / histograms.US_PER_MS
    return longest_ms <= limits.slow_ms + queue.lost_s * 1000


def trial(goal: Goal, load: float, seconds: float, found: Outcome, *, passed: bool, gross: bool) -> Trial:
    """Return what a step counts for one goal; `passed` and `gross` are the user's own limits' (`slo`)."""
    lost = found.losses.get(goal.name, 0.0)
    if goal.name == "slo":
        missed, certain, lost = not passed, gross, 1.0 - found.forwarded
    else:
        missed = lost > goal.loss_ratio
        clear = max(GROSS_FACTOR * goal.loss_ratio, goal.loss_ratio + GROSS_EXTRA / max(1, found.arrivals))
        certain = lost > clear and not found.disturbed
    weight = 1.0
    if missed and not certain:
        weight = DISTURBED_WEIGHT if found.disturbed else MARGINAL_WEIGHT
    spared = SPARED_WEIGHT if missed and not certain and found.spared else None
    return Trial(load, seconds, missed, min(1.0, max(0.0, lost)), weight, spared)


def limits_of(slo: Mapping[str, float | None]) -> Limits:
    """Read the limits from a recording's settings (`run.json`, `slo`)."""
    return Limits(slo.get("p95_ms"), slo.get("max_error_rate"))
