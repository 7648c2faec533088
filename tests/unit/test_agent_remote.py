"""The run's half: rows on our clock, and an agent that is lost stays lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.commands.afar import Afar
from pinchpoint.commands.config import RunConfig
from pinchpoint.errors import MeasurementError, TargetError, UsageError
from pinchpoint.links import Link, LinkError, Listener, answer
from pinchpoint.monitoring.agent import boot_id
from pinchpoint.monitoring.agent_words import PROTOCOL, await_in_ours, sample_in_ours
from pinchpoint.monitoring.remote import RemoteSampler
from pinchpoint.offsets import Offset, OffsetTrack
from pinchpoint.rows import AwaitRow, CgroupRow, HostRow, ProcessRow, SampleRow
from support.agent_link import TOKEN, linked, sample, until

AHEAD_S = 5000.0
DURATIONS = {
    SampleRow: {"collector_cpu_s", "late_s"},
    HostRow: {
        *("cpu_busy_s", "cpu_iowait_s", "cpu_steal_s", "per_cpu_busy_s", "foreign_busy_s", "disk_busy_s"),
    },
    CgroupRow: {"throttled_s"},
    ProcessRow: {"cpu_s", "runq_s", "loop_cpu_s", "loop_runq_s", "probe_age_s"},
    AwaitRow: set(),
}


class FarAgent:
    """The agent's end, which says what a test has it say; its clock is far ahead."""

    def __init__(self, link: Link, boot: str | None) -> None:
        self.link = link
        self.boot = boot
        self.heard: list[dict[str, Any]] = []
        self.to_say: list[dict[str, Any]] = []
        self.quiet = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def say(self, kind: str, **words: Any) -> None:
        """Say something soon."""
        self.to_say.append({"kind": kind, **words})

    def hears(self, kind: str) -> bool:
        """Tell whether the run has said something of that kind."""
        return any(message.get("kind") == kind for message in self.heard)

    def _run(self) -> None:
        try:
            self.link.send({"kind": "hello", "protocol": PROTOCOL, "machine": "far", "boot": self.boot, "host": {}})
            while not self.link.closed:
                self._turn()
        except LinkError:
            return

    def _turn(self) -> None:
        for message in self.link.take(0.01):
            if self.quiet.is_set() or answer(message, self.link, lambda: time.monotonic() + AHEAD_S):
                continue
            self.heard.append(message)
            if message["kind"] == "begin":
                self.link.send({"kind": "target", "facts": {"port": message["port"], "attached": None}})
            elif message["kind"] == "end":
                self.link.send({"kind": "ended", "dropped": 0})
        while self.to_say and not self.quiet.is_set():
            self.link.send(self.to_say.pop(0))


@contextmanager
def far(boot: str | None = "another machine") -> Iterator[tuple[RemoteSampler, FarAgent]]:
    """Return a run's sampler, listening, and the agent it talks to."""
    with linked() as (run, agent):
        there = FarAgent(agent, boot)
        there.thread.start()
        sampler = RemoteSampler(run)
        sampler.start()
        try:
            yield sampler, there
        finally:
            sampler.stop()
            agent.close()
            there.thread.join(10)


def track(ahead_s: float) -> OffsetTrack:
    """Return the offset of a clock that is so far ahead, exactly."""
    return OffsetTrack(Offset(ahead_s, 0.0), 0.0)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_samples_moment_is_translated_and_nothing_else(ahead_s: float, t_s: float) -> None:
    """Durations, counts and sizes mean the same on every clock."""
    theirs = sample(t_s)
    ours = sample_in_ours(theirs, track(ahead_s), "far")
    assert ours["t_s"] == t_s - ahead_s
    assert {**ours, "t_s": t_s} == {**sample(t_s), "machine": "far"}
    assert theirs == sample(t_s)


def test_an_await_rows_moment_is_translated_and_nothing_else() -> None:
    """Looks, tasks and stacks are counts."""
    row: AwaitRow = {"t_s": 5003.0, "pid": 1, "ticks": 2, "tasks": 3, "walked": 3, "stacks": {"GET /;f": 3}}
    assert await_in_ours(row, track(AHEAD_S)) == {**row, "t_s": 3.0}


@pytest.mark.parametrize("kind", DURATIONS, ids=lambda kind: kind.__name__)
def test_every_time_in_a_row_is_known_for_a_moment_or_a_duration(kind: type) -> None:
    """A new field ending in `_s` must be thought of here: it is translated, or need not be."""
    times = {name for name in get_type_hints(kind) if name.endswith("_s")}
    moments = {"t_s"} if kind in {SampleRow, AwaitRow} else set()
    assert times == DURATIONS[kind] | moments


def test_rows_come_on_our_clock_as_if_the_collector_were_here() -> None:
    """`latest` follows, and other machines are named."""
    rows: list[SampleRow] = []
    awaits: list[AwaitRow] = []
    with far() as (sampler, there):
        assert sampler.track.offset.seconds == pytest.approx(AHEAD_S, abs=0.05)
        assert sampler.begin(8000, rows.append, awaits.append)["port"] == 8000
        there.say("sample", row=sample(AHEAD_S + 3.0))
        there.say("await", row={"t_s": AHEAD_S + 3.5, "pid": 1, "ticks": 1, "tasks": 1, "walked": 1, "stacks": {}})
        until(lambda: awaits)
        assert sampler.latest == rows[0]
        assert sampler.error is None
    assert rows[0]["t_s"] == pytest.approx(3.0, abs=0.05)
    assert awaits[0]["t_s"] == pytest.approx(3.5, abs=0.05)
    assert rows[0]["machine"] == "far"


def test_an_agent_on_our_own_machine_is_not_elsewhere() -> None:
    """Another container, the same cores: the generator's CPU counts against the server's."""
    rows: list[SampleRow] = []
    with far(boot=boot_id()) as (sampler, there):
        sampler.begin(8000, rows.append, lambda _: None)
        there.say("sample", row=sample(1.0))
        until(lambda: rows)
        assert not sampler.elsewhere
    assert "machine" not in rows[0]


def test_a_lost_agent_stays_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is called anew, what was last seen is not taken for what is, and the run may go on."""
    rows: list[SampleRow] = []
    with far() as (sampler, there):
        sampler.begin(8000, rows.append, lambda _: None)
        there.say("sample", row=sample(AHEAD_S))
        until(lambda: rows)
        there.link.close()
        until(lambda: sampler.lost)
        calls: list[object] = []
        monkeypatch.setattr("pinchpoint.links.connect", calls.append)
        with pytest.raises(LinkError, match="it ended the connection"):
            sampler.begin(8000, rows.append, lambda _: None)
        assert sampler.latest is None
        assert sampler.error is None
        assert calls == []


def test_an_agent_that_says_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cable that was pulled ends no connection."""
    monkeypatch.setattr("pinchpoint.monitoring.remote.SILENT_S", 0.2)
    with far() as (sampler, there):
        there.quiet.set()
        assert until(lambda: sampler.lost) == "nothing came from it for 0.2 s"


def test_an_agent_that_is_stopped_is_lost_at_once() -> None:
    """With its own words."""
    with far() as (sampler, there):
        there.say("bye", message="the agent was stopped")
        assert until(lambda: sampler.lost) == "the agent was stopped"


def test_a_recording_that_cannot_be_written_is_an_error() -> None:
    """As with a collector of our own."""

    def full(_: object) -> None:
        raise MeasurementError("the disk is full")

    with far() as (sampler, there):
        sampler.begin(8000, full, lambda _: None)
        there.say("sample", row=sample(AHEAD_S))
        assert str(until(lambda: sampler.error)) == "the disk is full"


def test_the_agent_is_asked_to_stop_and_heard_out() -> None:
    """Its last rows are on the way."""
    with far() as (sampler, there):
        sampler.begin(8000, lambda _: None, lambda _: None)
        sampler.stop()
        assert there.hears("end")


def test_the_clocks_are_measured_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """They drift apart."""
    monkeypatch.setattr("pinchpoint.monitoring.remote.MEASURE_EVERY_S", 0.01)
    added: list[float] = []
    with far() as (sampler, _):
        monkeypatch.setattr(sampler.track, "add", lambda found, _: added.append(found.seconds))
        until(lambda: len(added) >= 2)
    assert added == pytest.approx([AHEAD_S] * len(added), abs=0.05)


@pytest.mark.parametrize(
    ("greeting", "message"),
    [
        ({"kind": "busy", "message": "with a run from 10.0.0.9"}, "is busy: with a run from 10.0.0.9"),
        ({"kind": "hello", "protocol": PROTOCOL + 1}, "another version"),
        ({"what": "ever"}, "is no agent"),
    ],
)
def test_who_cannot_serve_is_told_apart(greeting: dict[str, Any], message: str) -> None:
    """Busy, of another version, or something else that knows the token."""
    with linked() as (run, agent):
        agent.send(greeting)
        with pytest.raises(LinkError, match=message):
            RemoteSampler(run)


@contextmanager
def listening() -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Return the address of an agent that lets in whoever knows the token, and what it had to say."""
    refused: list[str] = []
    over = threading.Event()
    with Listener("127.0.0.1", 0, TOKEN, log=refused.append) as listener:

        def accept() -> None:
            while not over.is_set():
                listener.accept(0.02)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.port}", lambda: refused
        over.set()
        thread.join(10)


def test_a_run_with_another_token_is_refused() -> None:
    """In one sentence, on both sides."""
    with listening() as (address, refused):
        with pytest.raises(TargetError, match="another token"):
            Afar(RunConfig(agent=address, token="not the one at all"))
        assert len(until(refused)) == 1


def test_a_run_needs_the_agents_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is made up here would fit nowhere."""
    monkeypatch.delenv("PINCHPOINT_TOKEN", raising=False)
    with pytest.raises(UsageError, match="needs the token that the agent prints"):
        Afar(RunConfig(agent="127.0.0.1:1"))


def test_nobody_there_is_told_with_the_way_out() -> None:
    """How an agent is started."""
    with pytest.raises(TargetError, match="pinchpoint agent --help"):
        Afar(RunConfig(agent="127.0.0.1:1", token="long enough to be one"))


def test_what_happens_is_told_as_events(tmp_path: Path) -> None:
    """The clocks' offset first, the agent's loss once."""
    with far() as (sampler, there):
        afar = Afar.__new__(Afar)
        afar.address = "far:1"
        afar.watch(sampler)
        sampler.begin(8000, lambda _: None, lambda _: None)
        ((kind, data),) = afar.news()
        assert (kind, data["name"], data["drift_s"]) == ("agent", "far", 0.0)
        assert data["offset_s"] == pytest.approx(AHEAD_S, abs=0.05)
        there.say("exit", code=-9, gone=True, message="the target was killed by SIGKILL; its last words: bye")
        until(lambda: not afar.alive())
        assert (afar.returncode, afar.gone, afar.message.endswith("bye")) == (-9, True, True)
        there.link.close()
        until(lambda: sampler.lost)
        assert [kind for kind, _ in afar.news()] == ["agent-lost", "note"]
        assert list(afar.news()) == []
