"""The engine's handle on a load process of another machine; its times are translated, its rows kept as they come."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pinchpoint.links import Link, LinkError, measure_offset
from pinchpoint.offsets import Offset, OffsetTrack, offset_of
from pinchpoint.recording import LineWriter
from pinchpoint.rows import DigestRow
from pinchpoint.stress.joining import Order

PING_S = 1.0
"""Between two measurements of the offset."""
SILENT_S = 3.5
"""A worker that answers no ping, or sends no row, for this long is lost: both come every second."""
LONGEST_WAIT_S = 0.05
"""For a pong: waited for, it is timed exactly; taken later, it is timed too late, which only widens the error."""
ROUND_TRIPS = 4


class RemoteWorker:
    """A load process that `pinchpoint worker` runs on another machine. Implements `load_worker.LoadWorker`."""

    remote = True
    pid: int | None = None

    def __init__(
        self, process: int, host: str, link: Link, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Measure how far its clock is ahead; it runs nothing yet.

        Raises:
            LinkError: it is gone, or answers no ping.
            MeasurementError: the file for its rows cannot be opened.

        """
        self.process = process
        self.host = host
        self.name = f"load worker {process} on {host}"
        self._link = link
        self._clock = clock
        self._track = OffsetTrack(measure_offset(link, clock), clock())
        self._writer = LineWriter(folder / f"client-{process}.jsonl")
        self._rows: list[DigestRow] = []
        self._said: list[dict[str, Any]] = []
        self._fault = ""
        self._pings: dict[int, float] = {}
        self._last_ping = 0
        self._asked_s = clock()
        self._row_due_s: float | None = None

    @property
    def offset(self) -> Offset:
        """How far its clock is ahead of ours."""
        return self._track.offset

    @property
    def drift_s(self) -> float:
        """How far its clock has drifted from ours since it joined."""
        return self._track.drift_s

    @property
    def delay_s(self) -> float:
        """How long a message may take to it: the shortest round trip that was seen."""
        return 2 * self._track.offset.error_s

    def order(self, order: Order) -> None:
        """Tell it what to run; it says `ready` once its first users have logged in, or `error`."""
        self.send(order.message())

    def fileno(self) -> int:
        """Return the link's descriptor; -1 when it is closed."""
        return -1 if self._link.closed else self._link.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Tell it something; when it is gone, `alive` says so from then on."""
        try:
            self._link.send(message)
        except LinkError:
            return

    def take(self) -> list[dict[str, Any]]:
        """Return what it said since the last call, its times in our clock; measure the offset now and then."""
        self._hear(0.0)
        if not self._fault and not self._link.closed:
            self._look_after()
        said, self._said = self._said, []
        return said

    def rows(self) -> list[DigestRow]:
        """Return the rows that have come since the last call, their times in our clock."""
        rows, self._rows = self._rows, []
        return rows

    def alive(self) -> bool:
        """Tell whether it is there and can be trusted."""
        return not self._link.closed and not self._fault

    def why(self) -> str:
        """Return what is wrong with it."""
        return self._fault or f"the line to {self._link.peer} is gone, {self._link.why}"

    def stop(self) -> None:
        """Hang up; it ends what it runs."""
        self._link.close()
        self._writer.close()

    def to_theirs(self, t_s: float) -> float:
        """Translate an instant of our monotonic clock to its clock."""
        return self._track.to_theirs(t_s)

    def _hear(self, timeout_s: float) -> None:
        for message in self._link.take(timeout_s):
            try:
                self._sort(message)
            except (KeyError, TypeError, ValueError) as error:
                self._give_up(f"it sent what cannot be understood ({type(error).__name__}: {error})")

    def _sort(self, message: dict[str, Any]) -> None:
        if "pong" in message:
            sent_s = self._pings.pop(message["pong"], None)
            if sent_s is not None:
                now_s = self._clock()
                self._track.add(offset_of(sent_s, float(message["t_s"]), now_s), now_s)
        elif "rows" in message:
            for row in message["rows"]:
                self._keep(row)
        elif "said" in message:
            said = message["said"]
            if "t_s" in said:
                said["t_s"] = self._track.to_ours(float(said["t_s"]))
            self._said.append(said)
        elif "refused" in message:
            self._said.append({"event": "error", "message": str(message["refused"])})

    def _keep(self, row: dict[str, Any]) -> None:
        """Translate a row and write it at once, so that nothing is lost when either side dies."""
        row["t0_s"] = self._track.to_ours(float(row["t0_s"]))
        row["t1_s"] = self._track.to_ours(float(row["t1_s"]))
        row["host"] = self.host
        row["process"] = self.process
        self._writer.write(row)
        self._rows.append(cast("DigestRow", row))
        self._row_due_s = self._clock() + SILENT_S

    def _look_after(self) -> None:
        """Measure the offset when it is time; give the worker up when it is silent or its clock was set."""
        now_s = self._clock()
        if now_s - self._asked_s >= PING_S:
            self._ask(now_s)
        if self._pings and now_s - min(self._pings.values()) > SILENT_S:
            self._give_up(f"it has answered nothing for {SILENT_S:g} s")
        elif self._track.jump_s is not None:
            self._give_up(f"its clock jumped by {self._track.jump_s:.3g} s")
        elif self._row_due_s is not None and now_s > self._row_due_s:
            self._give_up(f"it has sent no figures for {SILENT_S:g} s")

    def _ask(self, now_s: float) -> None:
        """Send a ping, and wait a moment for the answer so that its time is right."""
        self._asked_s = now_s
        self._last_ping += 1
        self._pings[self._last_ping] = now_s
        self.send({"ping": self._last_ping})
        late_s = now_s + min(LONGEST_WAIT_S, ROUND_TRIPS * self.delay_s + 0.002)
        while self._last_ping in self._pings and not self._link.closed and (left_s := late_s - self._clock()) > 0:
            self._hear(left_s)

    def _give_up(self, why: str) -> None:
        self._fault = self._fault or why
