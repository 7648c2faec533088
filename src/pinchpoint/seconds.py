"""Whole seconds of what all load processes saw together, with exact merged histograms, beside the collector's figures.

A digest row belongs to the second that holds its midpoint; rows are cut on whole seconds of a load level, so that is
the second it covers. A second is finished when every load process has reported past its end, or after a grace.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram

from pinchpoint import histograms
from pinchpoint.clientstats import EMPTY_INFLIGHT_SHARE, EMPTY_ROW_S, SETUP_PREFIX, ClientWindow, client_figures
from pinchpoint.rows import DigestRow, SampleRow

SECOND_S = 1.0
GRACE_S = 1.5
"""How long after a second's end the slowest load process's row may take."""
EDGE_S = 0.25
"""A row that ends this much before the end of a second covers it: clocks and timers are not exact."""


@dataclass(slots=True)
class Seen:
    """Requests answered or given up, of one name or of all; histograms in microseconds, of successful ones."""

    ok: int = 0
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latency: HdrHistogram | None = None

    @property
    def done(self) -> int:
        """All of them."""
        return self.ok + self.failed

    def add(self, other: "Seen") -> None:
        """Count another one's requests too."""
        self.ok += other.ok
        self.failed += other.failed
        self.errors.update(other.errors)
        if other.latency is not None:
            if self.latency is None:
                self.latency = histograms.new()
            self.latency.add(other.latency)


def seen_in(rows: Iterable[DigestRow], name: str | None = None) -> Seen:
    """Fold rows: one request name, or all of them but what users did before their first arrival."""
    entries = [
        entry
        for row in rows
        for known, entry in row["names"].items()
        if (known == name if name is not None else not known.startswith(SETUP_PREFIX))
    ]
    errors: Counter[str] = Counter()
    for entry in entries:
        errors.update(entry["errors"])
    return Seen(
        ok=sum(entry["ok"] for entry in entries),
        failed=sum(entry["failed"] for entry in entries),
        errors=errors,
        latency=histograms.merge(entry["latency_ok"] for entry in entries),
    )


@dataclass(frozen=True, slots=True)
class Second:
    """One second. `rows` is empty when no load process reported: not measured, which is no silence of the server."""

    index: int
    """Whole seconds since the clock of the load began."""
    t_s: float
    """Its start, on the recording's clock."""
    seconds: float
    """1, or less for the last one of a load."""
    rows: tuple[DigestRow, ...]
    backlog: int
    """Arrivals unserved at its end: waiting for a free user, or in flight."""
    samples: tuple[SampleRow, ...] = ()
    """The collector's rows of this second, as many as were looked at."""
    before: SampleRow | None = None
    """The collector's last row before it: counters need two."""

    @property
    def measured(self) -> bool:
        """True when the load processes said something about it."""
        return bool(self.rows)

    @property
    def offered(self) -> bool:
        """True when load was on: arrivals were due, or requests were in flight most of the time."""
        length_s = sum(row["t1_s"] - row["t0_s"] for row in self.rows)
        if length_s < EMPTY_ROW_S:
            return False
        due = sum(row["scheduled"] for row in self.rows)
        return due > 0 or sum(row["inflight_s"] for row in self.rows) >= EMPTY_INFLIGHT_SHARE * length_s

    @property
    def scheduled(self) -> int:
        """Arrivals that became due."""
        return sum(row["scheduled"] for row in self.rows)

    @property
    def inflight(self) -> int:
        """Requests in flight at its end."""
        return sum(row["inflight"] for row in self.rows)

    @property
    def users(self) -> int:
        """Users that ran."""
        return sum(row["users"] for row in self.rows)

    def seen(self, name: str | None = None) -> Seen:
        """What came back."""
        return seen_in(self.rows, name)

    def window(self) -> ClientWindow:
        """Return the client's figures."""
        return client_figures(self.rows, float("-inf"), float("inf"))


class Seconds:
    """Folds rows of all load processes into seconds, in order, as they become whole."""

    def __init__(self, start_s: float, workers: Callable[[], int], grace_s: float = GRACE_S) -> None:
        """Begin at `start_s` of the recording's clock; `workers` tells how many load processes are in force now."""
        self._start_s = start_s
        self._workers = workers
        self._grace_s = grace_s
        self._rows: dict[int, list[DigestRow]] = {}
        self._covered_s: dict[int, float] = {}
        self._samples: list[SampleRow] = []
        self._next = 0
        self._unclaimed = 0

    def feed(self, rows: Iterable[DigestRow], samples: Iterable[SampleRow] = ()) -> None:
        """Take what came in; rows from before the start, or of seconds already given out, are too late."""
        for row in rows:
            index = int(((row["t0_s"] + row["t1_s"]) / 2 - self._start_s) // SECOND_S)
            if index >= self._next:
                self._rows.setdefault(index, []).append(row)
            self._covered_s[row["process"]] = max(self._covered_s.get(row["process"], 0.0), row["t1_s"])
        self._samples += samples

    def take(self, now_s: float, end_s: float | None = None) -> list[Second]:
        """Return the seconds that are whole by now; with `end_s`, the load's end, also the last one, cut short."""
        found: list[Second] = []
        while True:
            start_s = self._start_s + self._next * SECOND_S
            last_s = start_s + SECOND_S if end_s is None else min(start_s + SECOND_S, end_s)
            if last_s <= start_s + EDGE_S or not self._whole(last_s, now_s):
                return found
            found.append(self._give_out(start_s, last_s))

    def _whole(self, last_s: float, now_s: float) -> bool:
        if now_s < last_s:
            return False
        covering = sum(1 for t_s in self._covered_s.values() if t_s >= last_s - EDGE_S)
        return covering >= self._workers() or now_s >= last_s + self._grace_s

    def _give_out(self, start_s: float, last_s: float) -> Second:
        rows = self._rows.pop(self._next, [])
        self._unclaimed += sum(row["scheduled"] - row["started"] for row in rows)
        ends = {row["process"]: row for row in sorted(rows, key=lambda row: row["t1_s"])}
        before, samples = self._sampled(start_s, last_s)
        second = Second(
            index=self._next,
            t_s=start_s,
            seconds=last_s - start_s,
            rows=tuple(rows),
            backlog=self._unclaimed + sum(row["inflight"] for row in ends.values()),
            samples=samples,
            before=before,
        )
        self._next += 1
        return second

    def _sampled(self, start_s: float, last_s: float) -> tuple[SampleRow | None, tuple[SampleRow, ...]]:
        older = [row for row in self._samples if row["t_s"] <= start_s]
        inside = tuple(row for row in self._samples if start_s < row["t_s"] <= last_s)
        self._samples = [*(inside or older)[-1:], *(row for row in self._samples if row["t_s"] > last_s)]
        return (older[-1] if older else None), inside


def seconds_of(rows: Sequence[DigestRow], samples: Sequence[SampleRow], start_s: float, end_s: float) -> list[Second]:
    """Fold a recorded stretch at once; nothing is awaited any more."""
    folder = Seconds(start_s, lambda: 0)
    folder.feed(rows, samples)
    return folder.take(float("inf"), end_s)


@dataclass(slots=True)
class Total:
    """What limits are judged by, over many seconds."""

    seconds: float = 0.0
    offered: bool = False
    unsent: int = 0
    all: Seen = field(default_factory=Seen)
    named: dict[str, Seen] = field(default_factory=dict)

    def add(self, second: Second, names: Iterable[str]) -> None:
        """Count a second too; `names` are the endpoints to count apart."""
        if not second.measured:
            return
        self.seconds += second.seconds
        self.offered = self.offered or second.offered
        self.unsent += sum(row["unsent"] for row in second.rows)
        self.all.add(second.seen())
        for name in names:
            self.named.setdefault(name, Seen()).add(second.seen(name))
