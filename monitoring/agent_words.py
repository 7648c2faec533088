"""What an agent and a run say to each other, and how times of one clock become times of the other.

Every message is a JSON object with a `kind`. From the run: `begin` (port), `explain` (pids), `end`. From the agent:
`hello`, `busy` (message), `target` (facts), `sample` (row), `await` (row), `exit` (code, gone, message), `note`
(message), `health` (dropped, queued, cpu_s, error), `bye` (message), `ended` (dropped). Pings go both ways
(`links.answer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinchpoint.links import Offset
    from pinchpoint.rows import AwaitRow, SampleRow

PROTOCOL = 1
DEFAULT_PORT = 5558
DRIFT = 100e-6
"""Two quartz clocks run apart by at most about so much: twice the 50 ppm that PC oscillators are allowed to miss."""


class ClockTrack:
    """The best estimate of how far the agent's clock is ahead of ours, from offsets measured again and again.

    A measurement's error grows with its age by `DRIFT`. A new one replaces it as soon as its own error is smaller: so
    the estimate never jumps by more than both errors, and rows stay in order. One that contradicts it replaces it, too:
    a clock was held up (a machine that slept), and what is true now counts.
    """

    def __init__(self, first: Offset, now_s: float) -> None:
        self._first = self._best = first
        self._first_s = self._best_s = self._now_s = now_s

    @property
    def offset_s(self) -> float:
        """Seconds that the agent's clock is ahead of ours."""
        return self._best.seconds

    @property
    def error_s(self) -> float:
        """Bound of the estimate's error when it was last measured."""
        return self._aged_s(self._now_s)

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the agent's clock runs, in millionths; None while that is less than can be told."""
        seconds = self._best_s - self._first_s
        apart_s = self._best.seconds - self._first.seconds
        if seconds <= 0 or abs(apart_s) <= self._best.error_s + self._first.error_s:
            return None
        return apart_s / seconds * 1e6

    def update(self, offset: Offset, now_s: float) -> None:
        """Take a new measurement."""
        self._now_s = now_s
        aged_s = self._aged_s(now_s)
        contradicts = abs(offset.seconds - self._best.seconds) > aged_s + offset.error_s
        if contradicts or offset.error_s <= aged_s:
            self._best, self._best_s = offset, now_s

    def to_ours(self, theirs_s: float) -> float:
        """Return a moment of the agent's clock on ours."""
        return theirs_s - self._best.seconds

    def _aged_s(self, now_s: float) -> float:
        return self._best.error_s + DRIFT * max(now_s - self._best_s, 0.0)


def sample_in_ours(row: SampleRow, clock: ClockTrack, machine: str | None) -> SampleRow:
    """Return a row with its moment on our clock. Everything else in it is a duration, a count or a size, and stays.

    `machine` names the agent's machine; None when it is ours.
    """
    ours: SampleRow = {**row, "t_s": clock.to_ours(row["t_s"])}
    if machine is not None:
        ours["machine"] = machine
    return ours


def await_in_ours(row: AwaitRow, clock: ClockTrack) -> AwaitRow:
    """Return a row with its moment on our clock."""
    return {**row, "t_s": clock.to_ours(row["t_s"])}


def last_words(line: str) -> str:
    """Return the last line of a server's output as a clause."""
    return f"its last words: {line.strip()}" if line.strip() else "it said nothing"


def kind_of(message: dict[str, Any]) -> str:
    """Return a message's kind; a text whatever came."""
    return str(message.get("kind", ""))
