"""The agent's half: what goes over the link, in which order, and that the collector never waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.errors import TargetError
from pinchpoint.links import Link, measure_offset
from pinchpoint.monitoring.agent import Conversation, Outbox
from support.agent_link import Standing, heard, linked, sample, until


class Sampling:
    """A collector that takes what the test gives it."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.error: str | None = None
        self.stops = 0
        self.last: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """Take the last rows, the first time."""
        self.stops += 1
        if self.stops == 1:
            self.last()


class Held:
    """A conversation in a thread of its own, as the agent has it."""

    def __init__(self, link: Link, server: Standing, limit: int) -> None:
        self.outbox = Outbox(limit)
        self.feeds: list[Sampling] = []
        self.ports: list[int | None] = []
        self.why: list[str] = []
        self.talk = Conversation(link, server, feed=self._feed, outbox=self.outbox)
        self.thread = threading.Thread(target=lambda: self.why.append(self.talk.hold()))

    def _feed(self, _: object, port: int | None, outbox: Outbox) -> Any:
        self.ports.append(port)
        self.feeds.append(Sampling(outbox))
        return self.feeds[-1]


@contextmanager
def talking(server: Standing, limit: int = 300) -> Iterator[tuple[Link, Held]]:
    """Return the run's end and the conversation, which is over afterwards."""
    with linked() as (run, agent):
        held = Held(agent, server, limit)
        held.thread.start()
        try:
            yield run, held
        finally:
            held.talk.stop()
            held.thread.join(10)
            assert not held.thread.is_alive()


@pytest.fixture
def server(tmp_path: Path) -> Standing:
    """Return one that runs."""
    return Standing(tmp_path)


def test_a_full_outbox_gives_up_the_oldest_rows_and_counts_them() -> None:
    """Whoever puts rows in is never held up."""
    outbox = Outbox(limit=2)
    for number in range(5):
        outbox.put("sample", sample(float(number)))
    kept = [outbox.take(), outbox.take()]
    assert [row["row"]["t_s"] for row in kept if row is not None] == [3.0, 4.0]
    assert outbox.take() is None
    assert outbox.dropped == 3


def test_hello_says_which_machine_this_is(server: Standing) -> None:
    """It comes without being asked for."""
    with talking(server) as (run, _):
        hello = heard(run, "hello")
    assert (hello["protocol"], hello["host"]["cpus"] >= 1) == (1, True)
    assert isinstance(hello["machine"], str)


def test_rows_follow_the_facts_once_the_run_has_begun(server: Standing) -> None:
    """Nothing is sampled before, and the port of the run is the one that is looked at."""
    with talking(server) as (run, held):
        heard(run, "hello")
        assert held.feeds == []
        run.send({"kind": "begin", "port": 8000})
        assert heard(run, "target")["facts"]["server"] == "made up"
        until(lambda: held.feeds)
        held.outbox.put("sample", sample(1.5))
        assert heard(run, "sample")["row"] == sample(1.5)
    assert (server.pressed, held.ports) == ([8000], [8000])


def test_the_last_rows_come_before_the_end(server: Standing) -> None:
    """The collector is stopped first, and has its last word."""
    with talking(server) as (run, held):
        run.send({"kind": "begin", "port": None})
        until(lambda: held.feeds).pop().last = lambda: held.outbox.put("await", {"t_s": 2.0})
        run.send({"kind": "end"})
        assert heard(run, "await")["row"] == {"t_s": 2.0}
        assert heard(run, "ended")["dropped"] == 0
    assert held.why == ["it is done"]


def test_what_was_dropped_is_told(server: Standing) -> None:
    """At the end at the latest."""
    with talking(server, limit=1) as (run, held):
        run.send({"kind": "begin", "port": None})

        def burst() -> None:
            for number in range(4):
                held.outbox.put("sample", sample(float(number)))

        until(lambda: held.feeds).pop().last = burst
        run.send({"kind": "end"})
        assert heard(run, "ended")["dropped"] == 3


def test_a_run_that_takes_nothing_does_not_hold_up_the_collector(
    server: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversation waits for the link, the one who puts rows in does not."""
    monkeypatch.setattr("pinchpoint.links.SEND_S", 0.3)
    large = {"t_s": 1.0, "filler": "x" * 1_000_000}
    with talking(server, limit=10) as (run, held):
        run.send({"kind": "begin", "port": None})
        until(lambda: held.feeds)
        for _ in range(50):
            held.outbox.put("await", large)
        assert held.outbox.dropped >= 10
        until(lambda: held.why, "the end of a conversation that stands still")
    assert "took nothing" in held.why[0]


def test_the_servers_end_is_told_once_after_its_last_rows(server: Standing) -> None:
    """With its exit code and its last words."""
    with talking(server) as (run, held):
        run.send({"kind": "begin", "port": None})
        until(lambda: held.feeds)
        held.outbox.put("sample", sample(1.0))
        server.ended = {"code": -9, "gone": True, "message": "the target was killed by SIGKILL"}
        kinds = []
        while "exit" not in kinds:
            kinds += [message["kind"] for message in run.take(0.2)]
        heard(run, "health")
        run.send({"kind": "end"})
        kinds += ["after"]
        while "ended" not in kinds:
            kinds += [message["kind"] for message in run.take(0.2)]
    assert kinds.index("sample") < kinds.index("exit")
    assert kinds.count("exit") == 1


def test_an_offset_can_be_measured_while_rows_flow(server: Standing) -> None:
    """The agent's clock is read between; rows wait for the next look."""
    with talking(server) as (run, held):
        run.send({"kind": "begin", "port": None})
        until(lambda: held.feeds)
        for number in range(20):
            held.outbox.put("sample", sample(float(number)))
        assert abs(measure_offset(run).seconds) < 0.1
        times: list[float] = []
        while len(times) < 20:
            times += [message["row"]["t_s"] for message in run.take(1.0) if message["kind"] == "sample"]
    assert times == [float(number) for number in range(20)]


def test_why_there_is_no_page_is_answered_over_there(server: Standing) -> None:
    """Pids mean something on the server's host only."""
    with talking(server) as (run, _):
        run.send({"kind": "explain", "pids": [4, 5, "six"]})
        assert heard(run, "note")["message"] == "none of [4, 5] has a page"


def test_a_server_that_cannot_be_watched_is_a_refusal(server: Standing) -> None:
    """In the words of the error."""
    server.refusal = TargetError("it listens nowhere")
    with talking(server) as (run, held):
        run.send({"kind": "begin", "port": None})
        assert heard(run, "refused")["message"] == "it listens nowhere"
        until(lambda: held.why)
    assert held.feeds == []


def test_a_run_that_hangs_up_ends_the_conversation(server: Standing) -> None:
    """And with it the collector."""
    with talking(server) as (run, held):
        run.send({"kind": "begin", "port": None})
        until(lambda: held.feeds)
        run.close()
        until(lambda: held.why, "the end of the conversation")
        assert held.feeds[0].stops == 1


def test_a_run_that_says_nothing_for_long_is_gone(server: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that was switched off hangs up on nobody."""
    monkeypatch.setattr("pinchpoint.monitoring.agent.SILENT_S", 0.2)
    with talking(server) as (_, held):
        until(lambda: held.why)
    assert held.why == ["it said nothing for 0.2 s"]


def test_an_agent_that_is_stopped_says_goodbye(server: Standing) -> None:
    """So that the run need not wait for it."""
    with talking(server) as (run, held):
        heard(run, "hello")
        held.talk.stop()
        assert heard(run, "bye")["message"] == "the agent was stopped"


def test_what_ended_the_sampling_is_told(server: Standing) -> None:
    """With the next word on the agent's health."""
    with talking(server) as (run, held):
        run.send({"kind": "begin", "port": None})
        until(lambda: held.feeds)[0].error = "no space left"
        while heard(run, "health")["error"] is None:
            pass
