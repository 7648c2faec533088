"""The engine's handle on a load process elsewhere: whose clock, whose rows, and when it counts as lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pinchpoint.links import Link, LinkError
from pinchpoint.recording import read_lines
from pinchpoint.stress.remote import PING_S, SILENT_S, RemoteWorker

AHEAD_S = 5000.0
DELAY_S = 0.001


class FakeLink:
    """The line to a worker whose clock is ahead; time passes only when it is told to."""

    peer = "10.0.0.9:4711"

    def __init__(self) -> None:
        self.now_s = 100.0
        self.ahead_s = AHEAD_S
        self.answers = True
        self.closed = False
        self.why = ""
        self.sent: list[dict[str, Any]] = []
        self.inbox: list[dict[str, Any]] = []

    def clock(self) -> float:
        """Our clock."""
        return self.now_s

    def theirs(self) -> float:
        """The worker's clock."""
        return self.now_s + self.ahead_s

    def fileno(self) -> int:
        """A number."""
        return 7

    def send(self, message: dict[str, Any]) -> None:
        """Take a message; a ping is answered at once."""
        if self.closed:
            raise LinkError("gone")
        self.sent.append(message)
        if "ping" in message and self.answers:
            self.now_s += DELAY_S
            self.inbox.append({"pong": message["ping"], "t_s": self.theirs()})

    def take(self, timeout_s: float = 0.0) -> list[dict[str, Any]]:
        """Give out what has come."""
        inbox, self.inbox = self.inbox, []
        self.now_s += DELAY_S if inbox else timeout_s
        return inbox

    def put_back(self, messages: list[dict[str, Any]]) -> None:
        """Take back what was given out."""
        self.inbox = messages + self.inbox

    def close(self) -> None:
        """End it."""
        self.closed = True

    def row(self, t0_s: float, t1_s: float, **more: Any) -> dict[str, Any]:
        """Return a digest row of the worker, as far as it matters here."""
        return {"process": 0, "t0_s": t0_s + self.ahead_s, "t1_s": t1_s + self.ahead_s, "segment": 3, **more}


@pytest.fixture
def link() -> FakeLink:
    """A line to a worker 5000 s ahead."""
    return FakeLink()


@pytest.fixture
def worker(link: FakeLink, tmp_path: Path) -> Iterator[RemoteWorker]:
    """A worker that has joined as number 2."""
    one = RemoteWorker(2, "load-1", cast("Link", link), tmp_path, link.clock)
    yield one
    one.stop()


def live(worker: RemoteWorker, link: FakeLink, seconds: float, each_s: Callable[[], None] = lambda: None) -> None:
    """Look after a worker ten times a second."""
    end_s = link.now_s + seconds
    while link.now_s < end_s and worker.alive():
        link.now_s += 0.1
        each_s()
        worker.take()


def test_its_clock_is_measured_when_it_joins(worker: RemoteWorker) -> None:
    """The offset is within its error, which is half a round trip."""
    assert abs(worker.offset.seconds - AHEAD_S) <= worker.offset.error_s + 1e-9
    assert worker.offset.error_s == pytest.approx(DELAY_S)
    assert worker.delay_s == pytest.approx(2 * DELAY_S)


def test_instants_are_told_in_its_clock(worker: RemoteWorker) -> None:
    """A level that starts at 200 starts at 5200 there."""
    assert worker.to_theirs(200.0) == pytest.approx(5200.0, abs=2 * DELAY_S)


def test_what_it_says_is_heard_in_our_clock(worker: RemoteWorker, link: FakeLink) -> None:
    """The instant at which a level took force."""
    link.inbox += [{"said": {"event": "segment", "id": 3, "t_s": 200.0 + AHEAD_S}}, {"said": {"event": "ready"}}]

    segment, ready = worker.take()

    assert segment["t_s"] == pytest.approx(200.0, abs=2 * DELAY_S)
    assert ready == {"event": "ready"}


def test_its_rows_are_ours_at_once(worker: RemoteWorker, link: FakeLink, tmp_path: Path) -> None:
    """Translated, with its number and its machine, on disk before anybody asks for them; the rest untouched."""
    names = {"GET /": {"ok": 3, "latency_ok": "HISTOGRAM"}}
    link.inbox.append({"rows": [link.row(101.0, 102.0, names=names), link.row(102.0, 103.0, names={})]})
    worker.take()

    first, second = read_lines(tmp_path / "client-2.jsonl")
    assert (first["process"], first["host"], first["segment"], first["names"]) == (2, "load-1", 3, names)
    assert first["t0_s"] == pytest.approx(101.0, abs=2 * DELAY_S)
    assert first["t1_s"] == second["t0_s"]
    assert worker.rows() == [first, second]
    assert worker.rows() == []


def test_a_drifting_clock_is_followed(worker: RemoteWorker, link: FakeLink) -> None:
    """100 ppm for ten minutes: 60 ms."""

    def drift() -> None:
        link.ahead_s += 0.1 * 1e-4
        link.inbox.append({"rows": [link.row(link.now_s, link.now_s)]})

    live(worker, link, 600, drift)

    assert worker.alive()
    assert worker.offset.seconds == pytest.approx(link.ahead_s, abs=0.002)
    assert worker.drift_s == pytest.approx(0.06, abs=0.005)


def test_a_clock_that_jumps_loses_the_worker(worker: RemoteWorker, link: FakeLink) -> None:
    """Its rows can be put nowhere any more."""
    live(worker, link, 2)
    link.ahead_s += 3
    live(worker, link, 2)

    assert not worker.alive()
    assert "its clock jumped by 3" in worker.why()


def test_a_worker_that_answers_nothing_is_lost_within_five_seconds(worker: RemoteWorker, link: FakeLink) -> None:
    """Its process is stopped: the kernel still acknowledges."""
    live(worker, link, 2)
    link.answers = False
    silent_s = link.now_s
    live(worker, link, 20)

    assert link.now_s - silent_s < 5
    assert worker.why() == f"it has answered nothing for {SILENT_S:g} s"


def test_a_worker_whose_rows_stop_is_lost_within_five_seconds(worker: RemoteWorker, link: FakeLink) -> None:
    """Its load process hangs, while `pinchpoint worker` answers for it."""
    link.inbox.append({"rows": [link.row(100.0, 101.0)]})
    worker.take()
    silent_s = link.now_s
    live(worker, link, 20)

    assert link.now_s - silent_s < 5
    assert worker.why() == f"it has sent no figures for {SILENT_S:g} s"


def test_a_worker_is_not_lost_because_nobody_looked(worker: RemoteWorker, link: FakeLink) -> None:
    """We were busy for a minute; its answer and its rows were there all the time."""
    live(worker, link, PING_S * 1.5)
    link.inbox.append({"rows": [link.row(100.0, 101.0)]})
    link.now_s += 60
    worker.take()

    assert worker.alive()


def test_a_line_that_ends_loses_the_worker(worker: RemoteWorker, link: FakeLink) -> None:
    """With the reason; telling it something then is harmless, and selecting on it is not tried."""
    link.close()
    link.why = "it ended the connection"
    worker.send({"cmd": "idle", "id": 4})

    assert (worker.alive(), worker.fileno()) == (False, -1)
    assert worker.why() == "the line to 10.0.0.9:4711 is gone, it ended the connection"


def test_a_worker_that_refuses_says_why(worker: RemoteWorker, link: FakeLink) -> None:
    """The generator takes it as its last words."""
    link.inbox.append({"refused": "example.org is not this machine"})

    assert worker.take() == [{"event": "error", "message": "example.org is not this machine"}]


def test_a_worker_that_talks_nonsense_is_lost(worker: RemoteWorker, link: FakeLink) -> None:
    """One of another version, say; nothing is raised."""
    link.inbox.append({"rows": [{"t0_s": "yesterday"}]})
    worker.take()

    assert not worker.alive()
    assert "it sent what cannot be understood" in worker.why()


def test_letting_go_hangs_up(worker: RemoteWorker, link: FakeLink) -> None:
    """It ends what it runs when the line ends."""
    worker.stop()

    assert link.closed
