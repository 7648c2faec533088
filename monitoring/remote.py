"""The run's half of `run --agent`: rows that the agent's collector took, on our clock, as if the collector were here.

One thread owns the link: it takes what comes, measures the clocks' offset every few seconds, and notices when the agent
is gone. It never connects anew: an agent that was lost has lost rows, and what follows would hide that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from pinchpoint.links import LinkError, answer, measure_offset
from pinchpoint.monitoring.agent import boot_id
from pinchpoint.monitoring.agent_words import PROTOCOL, await_in_ours, kind_of, sample_in_ours
from pinchpoint.offsets import OffsetTrack

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinchpoint.links import Link
    from pinchpoint.rows import AwaitRow, SampleRow

HELLO_S = 10.0
BEGIN_S = 20.0
"""The agent asks the server's interpreter first, which may take seconds."""
TURN_S = 0.05
MEASURE_EVERY_S = 3.0
ROUNDS_FIRST, ROUNDS_LATER = 16, 4
SILENT_S = 4.0
"""The agent says something ten times a second; a machine so busy that it says nothing for this long is lost as well."""
GOODBYE_S = 2.0
_JOIN_S = 2 * GOODBYE_S + 6.0


class RemoteSampler:
    """Takes an agent's rows, in its own thread; the same to its users as `Sampler`.

    Args:
        link: to an agent, which has said nothing yet.
        clock: ours; all rows are given in it.

    Raises:
        LinkError: the agent is busy with another run, speaks another version, or does not answer.

    """

    def __init__(self, link: Link, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._ended = False
        self._to_say: deque[dict[str, Any]] = deque()
        self._sink: Callable[[SampleRow], None] = lambda _: None
        self._await_sink: Callable[[AwaitRow], None] = lambda _: None
        self._latest: SampleRow | None = None
        self._error: Exception | None = None
        self._refusal: str | None = None
        self._measure_due_s = 0.0
        self.target: dict[str, Any] = {}
        """What the agent knows of the server, once it has begun."""
        self.exit: dict[str, Any] | None = None
        """Code, gone and message of the server's end, once it has ended."""
        self.lost: str | None = None
        """Why the agent is gone, once it is."""
        self.rows = 0
        self.dropped = 0
        """Rows that the agent could not send in time."""
        self.agent_error: str | None = None
        """What ended the sampling over there, if anything did."""
        self.agent_cpu_s: float | None = None
        """CPU that the agent has used since it started."""
        self.said: deque[str] = deque()
        """Sentences for the user."""
        self.hello, self.track = _meet(link, clock)
        self.machine = str(self.hello.get("machine") or link.peer)
        boot = self.hello.get("boot")
        self._elsewhere = self.machine if boot is None or boot != boot_id() else None
        self._thread = threading.Thread(target=self._run, name="pinchpoint-remote-sampler", daemon=True)

    @property
    def elsewhere(self) -> bool:
        """False when the agent's machine is ours (another container, another network)."""
        return self._elsewhere is not None

    @property
    def latest(self) -> SampleRow | None:
        """The newest row; None before the first, and once the agent is lost: what was true then is not known now."""
        return self._latest if self.lost is None else None

    @property
    def error(self) -> Exception | None:
        """What the sink raised, if anything; a full disk shows here. A lost agent does not: see `lost`."""
        return self._error

    def start(self) -> None:
        """Begin to listen; rows come after `begin`."""
        self._measure_due_s = self._clock() + MEASURE_EVERY_S
        self._thread.start()

    def begin(
        self,
        port: int | None,
        sink: Callable[[SampleRow], None],
        await_sink: Callable[[AwaitRow], None],
        timeout_s: float = BEGIN_S,
    ) -> dict[str, Any]:
        """Have the collector started; return the facts of the server, whose `port` the run presses.

        Raises:
            LinkError: the agent is lost, or cannot watch its server.

        """
        self._sink, self._await_sink = sink, await_sink
        self._to_say.append({"kind": "begin", "port": port})
        if not self._begun.wait(timeout_s):
            raise LinkError(f"the agent at {self._link.peer} did not begin within {timeout_s:g} s")
        if self._refusal is not None or self.lost is not None:
            raise LinkError(f"the agent at {self._link.peer}: {self._refusal or self.lost}")
        return self.target

    def explain(self, pids: list[int]) -> None:
        """Have the agent say why these processes have no page; the sentence comes in `said`."""
        self._to_say.append({"kind": "explain", "pids": pids})

    def stop(self) -> None:
        """Have the collector stopped, take its last rows, and hang up; stopping twice is fine."""
        self._stop.set()
        if self._thread.ident is None:
            self._link.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    # --- in its own thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and self.lost is None:
                self._turn()
            if self.lost is None:
                self._part()
        except LinkError:
            self._lose(self._link.why or "it does not answer")
        except Exception as error:  # noqa: BLE001 - the engine polls `error`; a thread has nobody else to tell
            self._error = error
        finally:
            self._link.close()
            self._begun.set()

    def _turn(self) -> None:
        while self._to_say:
            self._link.send(self._to_say.popleft())
        self._listen(TURN_S)
        if self._link.closed:
            self._lose(self._link.why)
        elif self._link.silent_s > SILENT_S:
            self._lose(f"nothing came from it for {SILENT_S:g} s")
        elif self._clock() >= self._measure_due_s:
            self._measure()

    def _listen(self, timeout_s: float) -> None:
        for message in self._link.take(timeout_s):
            if not answer(message, self._link, self._clock):
                self._hear(message)

    def _measure(self) -> None:
        try:
            self.track.add(measure_offset(self._link, self._clock, ROUNDS_LATER), self._clock())
        except LinkError:
            if self._link.closed:
                raise
            # Its answer queues behind rows: the estimate stands, and its error grows.
        self._measure_due_s = self._clock() + MEASURE_EVERY_S

    def _part(self) -> None:
        """Say goodbye and take what was still on its way."""
        self._link.send({"kind": "end"})
        late_s = self._clock() + GOODBYE_S
        while not (self._ended or self._link.closed) and self._clock() < late_s:
            self._listen(TURN_S)

    def _lose(self, why: str) -> None:
        self.lost = self.lost or why or "it is gone"

    def _hear(self, message: dict[str, Any]) -> None:
        kind = kind_of(message)
        if kind == "sample":
            row = sample_in_ours(message["row"], self.track, self._elsewhere)
            self.rows += 1
            self._latest = row
            self._sink(row)
        elif kind == "await":
            self._await_sink(await_in_ours(message["row"], self.track))
        elif kind == "health":
            self.dropped = int(message["dropped"])
            self.agent_error, self.agent_cpu_s = message["error"], message["cpu_s"]
        elif kind == "exit":
            self.exit = message
        elif kind == "target":
            self.target = message["facts"]
            self._begun.set()
        elif kind == "note":
            self.said.append(str(message["message"]))
        elif kind == "refused":
            self._refusal = str(message["message"])
            self._begun.set()
        elif kind == "bye":
            self._lose(str(message["message"]))
        elif kind == "ended":
            self.dropped = int(message["dropped"])
            self._ended = True


def _meet(link: Link, clock: Callable[[], float]) -> tuple[dict[str, Any], OffsetTrack]:
    """Hear who is there, and measure the offset while nothing else is said."""
    late_s = clock() + HELLO_S
    first: dict[str, Any] | None = None
    while first is None and not link.closed and clock() < late_s:
        messages = link.take(TURN_S)
        if messages:
            first, rest = messages[0], messages[1:]
            link.put_back(rest)
    if first is None:
        raise LinkError(f"the agent at {link.peer} does not greet: {link.why or f'it said nothing for {HELLO_S:g} s'}")
    if kind_of(first) == "busy":
        link.close()
        raise LinkError(f"the agent at {link.peer} is busy: {first.get('message')}")
    if kind_of(first) != "hello" or first.get("protocol") != PROTOCOL:
        link.close()
        raise LinkError(f"{link.peer} is no agent, or one of another version of pinchpoint")
    return first, OffsetTrack(measure_offset(link, clock, ROUNDS_FIRST), clock())
