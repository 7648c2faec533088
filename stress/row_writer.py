"""Write a load process's digest rows: cut at once, rendered a little later, in order."""

from collections import deque

import gevent
from gevent.event import Event

from pinchpoint.recording import LineWriter
from pinchpoint.stress.digest import Cut, Digest
from pinchpoint.stress.request_log import RequestLog


class RowWriter:
    """Rows wait for their turn: rendering is the expensive half, and yields to arrivals in between."""

    def __init__(self, digest: Digest, writer: LineWriter, requests: RequestLog | None) -> None:
        """Write rows of `digest` to `writer`; with each of them what `requests` holds."""
        self._digest = digest
        self._writer = writer
        self._requests = requests
        self._cuts: deque[tuple[Cut, int, int]] = deque()
        self._some = Event()

    def cut(self, segment: int, users: int) -> None:
        """End the row in force, of this segment and population. Does not block."""
        self._cuts.append((self._digest.cut(), segment, users))
        self._some.set()

    def run(self) -> None:
        """Write rows as they come, for ever; in a greenlet of its own."""
        while True:
            self._some.wait()
            self._some.clear()
            while self._cuts:
                first = self._cuts[0]
                row = self._digest.render(*first, pause=lambda: gevent.sleep(0))
                if self._cuts and self._cuts[0] is first:
                    self._cuts.popleft()
                    self._writer.write(row)
            self._flush_requests()

    def drain(self) -> None:
        """Write what waits, now.

        Raises:
            MeasurementError: the disk is full or the folder is gone.

        """
        while self._cuts:
            self._writer.write(self._digest.render(*self._cuts.popleft(), pause=lambda: None))
        self._flush_requests()

    def _flush_requests(self) -> None:
        if self._requests is not None:
            self._requests.flush()
