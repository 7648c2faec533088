"""Watch a load second by second: `abortOnFail` thresholds and autostop criteria, and the point of imbalance."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pinchpoint.clientstats import ClientWindow
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.stepper import Progress
from pinchpoint.rows import DigestRow, SampleRow
from pinchpoint.seconds import Second, Seconds, Total
from pinchpoint.stress.autostop import Criterion
from pinchpoint.stress.ramp import Judgement
from pinchpoint.stress.stopping import StopRules
from pinchpoint.stress.thresholds import FAILED, FEWEST_FAILURES, Threshold

KEPT_ROWS = 1200
"""Two minutes of the collector's ten a second."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a load ends early."""

    criterion: str
    message: str
    since_s: float
    """When the breach began, on the recording's clock: the point of imbalance."""
    at_s: float
    """The end of the second that decided."""
    last_good_s: float | None
    """Start of the last second before it; None when it began with the load."""


class Watch:
    """Folds what comes in into whole seconds and judges each once."""

    def __init__(
        self,
        start_s: float,
        workers: Callable[[], int],
        thresholds: Sequence[Threshold] = (),
        criteria: Sequence[Criterion] = (),
        max_users: int | None = None,
    ) -> None:
        """Begin at `start_s` of the recording's clock; `workers` tells how many load processes are in force."""
        self._start_s = start_s
        self._folder = Seconds(start_s, workers)
        self._rules = StopRules(criteria, max_users)
        self._aborting = [one for one in thresholds if one.abort]
        self._names = [one.endpoint for one in self._aborting if one.endpoint is not None]
        self._total = Total()
        self._crossed_at: dict[Threshold, int] = {}
        self._sample_s = 0.0
        self.last: Second | None = None
        """The newest whole second."""

    def feed(self, rows: Iterable[DigestRow], sample: SampleRow | None) -> None:
        """Take new digest rows, and the collector's newest row."""
        fresh = [] if sample is None or sample["t_s"] <= self._sample_s else [sample]
        self._sample_s = fresh[0]["t_s"] if fresh else self._sample_s
        self._folder.feed(rows, fresh)

    def look(self, now_s: float, end_s: float | None = None) -> Stop | None:
        """Judge the seconds that are whole by now; return the first reason to stop."""
        for second in self._folder.take(now_s, end_s):
            self.last = second
            stop = self._threshold(second)
            fired = self._rules.judge(second)
            if fired is not None and (stop is None or self._at(fired.since) <= stop.since_s):
                stop = self._stop(fired.criterion, fired.message, fired.since, second)
            if stop is not None:
                return stop
        return None

    def news(self) -> list[str]:
        """Return sentences for the user, each once."""
        return self._rules.news()

    def _threshold(self, second: Second) -> Stop | None:
        self._total.add(second, self._names)
        for one in self._aborting:
            if not one.crossed(self._total) or (one.metric == FAILED and self._total.all.failed < FEWEST_FAILURES):
                self._crossed_at.pop(one, None)
                continue
            since = self._crossed_at.setdefault(one, second.index)
            if second.index + second.seconds >= one.delay_s:
                value = one.show(one.observed(self._total))
                return self._stop(str(one), f"{one.condition} is crossed: {value} since the load began", since, second)
        return None

    def _stop(self, criterion: str, message: str, since: int, second: Second) -> Stop:
        last_good_s = self._at(since - 1) if since > 0 else None
        return Stop(criterion, message, self._at(since), second.t_s + second.seconds, last_good_s)

    def _at(self, index: int) -> float:
        return self._start_s + index


class KeptSamples:
    """A progress that hands everything on, and keeps the collector's rows of the last minutes for who judges steps."""

    def __init__(self, progress: Progress, latest: Callable[[], SampleRow | None]) -> None:
        self._progress = progress
        self._latest = latest
        self._rows: deque[SampleRow] = deque(maxlen=KEPT_ROWS)

    def rows(self) -> list[SampleRow]:
        """Return the collector's rows, oldest first."""
        return list(self._rows)

    def phase(self, name: str, offered: float | None, unit: str, seconds: float) -> None:
        """Hand it on."""
        self._progress.phase(name, offered, unit, seconds)

    def tick(self, rows: list[DigestRow]) -> None:
        """Hand it on, and look at the collector."""
        row = self._latest()
        if row is not None and (not self._rows or row["t_s"] > self._rows[-1]["t_s"]):
            self._rows.append(row)
        self._progress.tick(rows)

    def done(self, name: str, offered: float | None, unit: str, window: ClientWindow, judgement: Judgement) -> None:
        """Hand it on."""
        self._progress.done(name, offered, unit, window, judgement)

    def note(self, message: str) -> None:
        """Hand it on."""
        self._progress.note(message)


class LoadStop:
    """Says when a long load must end: `abortOnFail` and autostop. Its clock begins with the first row."""

    def __init__(
        self, config: RunConfig, clock: Callable[[], float], samples: Callable[[], Sequence[SampleRow]]
    ) -> None:
        self._config = config
        self._clock = clock
        self._samples = samples
        self._watch: Watch | None = None
        self.stop: Stop | None = None
        """What it said, in full."""

    def __call__(self, rows: list[DigestRow]) -> str | None:
        """Take new rows; return a sentence once the load must end."""
        if self._watch is None:
            if not rows:
                return None
            config = self._config
            start_s = min(row["t0_s"] for row in rows)
            workers = config.processes + config.expect_workers
            self._watch = Watch(start_s, lambda: workers, config.thresholds, config.autostop, config.max_users)
        samples = self._samples()
        self._watch.feed(rows, samples[-1] if samples else None)
        self.stop = self.stop or self._watch.look(self._clock())
        return None if self.stop is None else f"{self.stop.message} ({self.stop.criterion})"
