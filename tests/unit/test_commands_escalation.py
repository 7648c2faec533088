"""What a generator is given when it is the limit: only when the server is not, and only as long as it helps."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.clientstats import client_figures
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.escalation import Escalation
from pinchpoint.commands.stepper import Held
from pinchpoint.goals import Outcome
from pinchpoint.recording import SERVER_FILE
from pinchpoint.rows import DigestRow
from pinchpoint.stress.ramp import Judgement, Slo

CPUS = frozenset({0, 1})
SECONDS = 2


@dataclass
class FakeGenerator:
    """Load processes that are numbers."""

    pids: list[int] = field(default_factory=lambda: [100])
    cpus: list[frozenset[int]] = field(default_factory=list)

    @property
    def workers(self) -> list[int]:
        """One each."""
        return self.pids

    def pin(self, cpus: frozenset[int]) -> None:
        """Note where they may run."""
        self.cpus.append(cpus)

    def grow(self, deadline_s: float) -> None:
        """Add one."""
        self.pids.append(100 + len(self.pids))


@dataclass
class FakeSession:
    """What the escalation needs of a session."""

    config: RunConfig
    folder: Path
    generator: FakeGenerator | None = field(default_factory=FakeGenerator)
    notes: list[str] = field(default_factory=list)
    splits: list[tuple[int, frozenset[int] | None]] = field(default_factory=list)

    def note(self, message: str) -> None:
        """Take a sentence."""
        self.notes.append(message)

    def tell_split(self, processes: int, load_cpus: frozenset[int] | None, reason: str) -> None:
        """Take a decision."""
        assert reason
        self.splits.append((processes, load_cpus))


def sample(t_s: float, cpu_s: float) -> dict[str, Any]:
    """Return a collector's row of one worker."""
    host = {"cpu_busy_s": cpu_s, "per_cpu_busy_s": [cpu_s, 0.0], "psi_us": None}
    names = ("cpu_iowait_s", "cpu_steal_s", "swap_in_pages", "net_rx_bytes", "net_tx_bytes", "retransmits")
    more = ("listen_overflows", "listen_drops", "listen_queue", "listen_limit")
    row = dict.fromkeys(("runq_s", "loop_cpu_s", "loop_runq_s", "loop_states", "threads", "fds", "pss_bytes"))
    counters = dict.fromkeys(("ctx_voluntary", "ctx_involuntary", "major_faults", "read_bytes", "write_bytes"))
    worker = {
        "pid": 1, "role": "worker", "cpu_s": cpu_s, "rss_bytes": 1, "probe": None, "probe_age_s": None,
        **row, **counters,
    }  # fmt: skip
    memory = {"memory_total_bytes": 1, "memory_available_bytes": 1}
    return {
        "t_s": t_s, "host": {**dict.fromkeys((*names, *more)), **host, **memory, "foreign_busy_s": 0.0}, "cgroup": None,
        "processes": [worker], "collector_cpu_s": 0.0, "late_s": 0.0,
    }  # fmt: skip


class Bench:
    """A run whose steps are made up, one after the other."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        config = RunConfig(server_cpus=frozenset({0}), load_cpus=frozenset({1}))
        self.session: Any = FakeSession(replace(config, **changes), folder)
        self.spare_s = 60.0
        slo = Slo(500.0, 0.01)
        session: Any = self.session
        self.escalation = Escalation(session, slo, lambda: self.spare_s, allowed=CPUS)
        self.now_s = 0.0
        self.cpu_s = 0.0

    def step(
        self, *, busy: float, server: float, started: int, load: float = 400.0, passed: bool = False
    ) -> str | None:
        """Hold a step in which the generator's loop and the server's core were so busy; return why it is void."""
        rows = [self.second(self.now_s + index, busy, started) for index in range(SECONDS)]
        with (self.session.folder / SERVER_FILE).open("a") as file:
            for tick in range(SECONDS * 10 + 1):
                t_s = self.now_s + tick / 10
                file.write(json.dumps(sample(t_s, self.cpu_s + server * tick / 10)) + "\n")
        window = client_figures(rows, self.now_s, self.now_s + SECONDS)
        self.now_s += SECONDS + 1
        self.cpu_s += server * SECONDS
        judgement = Judgement([] if passed else ["too slow"], gross=False)
        held = Held(load, window, judgement, drained=True, seconds=SECONDS, outcome=OUTCOME)
        return self.escalation.voids(held)

    def second(self, t0_s: float, busy: float, started: int) -> DigestRow:
        """Return a second of one load process."""
        return DigestRow(
            process=0, pid=100, segment=1, t0_s=t0_s, t1_s=t0_s + 1.0, scheduled=400, started=started, unsent=0,
            inflight=0, inflight_s=0.0, users=16, cpu_s=busy, runq_s=0.0, send_lag=None, loop_busy_s=busy,
            names={"/": {"ok": started, "failed": 0, "errors": {}, "bytes": 0, "latency_ok": None,
                         "latency_failed": None, "service_ok": None}},
        )  # fmt: skip


OUTCOME: Any = object.__new__(Outcome)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a run on two cores: one for the server, one for the load."""
    return Bench(tmp_path)


def test_a_generator_that_is_the_limit_gets_the_idle_servers_cores_and_a_process(bench: Bench) -> None:
    """The step is void, and the user is told who runs where from now on."""
    why = bench.step(busy=1.0, server=0.3, started=200)
    assert why is not None
    assert "100% of a core" in why
    assert "a load process was added (2 now)" in why
    assert bench.session.generator.cpus == [CPUS]
    assert bench.session.splits == [(2, CPUS)]


def test_a_generator_on_cores_to_spare_gets_a_process_only(tmp_path: Path) -> None:
    """Nobody touches the server's cores then."""
    bench = Bench(tmp_path, load_cpus=frozenset({1, 2}))
    bench.escalation.allowed = frozenset({0, 1, 2})
    assert bench.step(busy=1.0, server=0.3, started=200) is not None
    assert bench.session.generator.cpus == []
    assert bench.session.splits == [(2, frozenset({1, 2}))]


@pytest.mark.parametrize(("busy", "server", "passed"), [(1.0, 1.0, False), (0.3, 0.3, False), (1.0, 0.3, True)])
def test_nothing_is_changed_without_a_reason(bench: Bench, busy: float, server: float, passed: bool) -> None:
    """Not where the server is full, the generator has time, or the step held."""
    assert bench.step(busy=busy, server=server, started=200, passed=passed) is None
    assert len(bench.session.generator.pids) == 1


def test_a_busy_server_keeps_its_cores(bench: Bench) -> None:
    """Load on top of it would measure the load."""
    assert bench.step(busy=1.0, server=0.8, started=200) is None
    assert bench.session.generator.cpus == []


@pytest.mark.parametrize("changes", [{"grow": False}, {"pin": False}])
def test_what_the_user_chose_stays(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Neither a process more than --processes, nor a core more than --load-cpus."""
    bench = Bench(tmp_path, **changes)
    assert bench.step(busy=1.0, server=0.3, started=200) is None
    assert (bench.session.generator.pids, bench.session.generator.cpus) == ([100], [])


def test_without_time_for_it_nothing_is_tried(bench: Bench) -> None:
    """The budget is sacred."""
    bench.spare_s = 4.0
    assert bench.step(busy=1.0, server=0.3, started=200) is None


def test_what_did_not_help_is_given_back_and_never_tried_again(bench: Bench) -> None:
    """The same load, the same started rate: it was not the generator's size."""
    assert bench.step(busy=1.0, server=0.3, started=200) is not None
    assert bench.step(busy=1.0, server=0.3, started=205) is None
    assert bench.session.generator.cpus == [CPUS, frozenset({1})]
    assert any("its size is not what limits it" in note for note in bench.session.notes)
    assert bench.step(busy=1.0, server=0.3, started=100, load=800.0) is None
    assert bench.session.splits[-1] == (2, frozenset({1}))


def test_the_generator_never_has_more_processes_than_there_are_cores(bench: Bench) -> None:
    """What helped stays, and is all there is."""
    assert bench.step(busy=1.0, server=0.3, started=200) is not None
    assert bench.step(busy=0.5, server=0.6, started=390, passed=True) is None
    assert bench.step(busy=1.0, server=0.6, started=300, load=800.0) is None
    assert len(bench.session.generator.pids) == 2
    assert bench.session.generator.cpus == [CPUS]


def test_load_from_other_hosts_only_is_left_alone(tmp_path: Path) -> None:
    """There is no process of ours to add to."""
    bench = Bench(tmp_path)
    bench.session.generator.pids.clear()
    assert bench.step(busy=1.0, server=0.3, started=200) is None
