"""The engine's handle on the load processes, with fake processes at the other end of real sockets."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.processes import Command
from pinchpoint.rows import DigestRow
from pinchpoint.stress.control import FD_VARIABLE, SETTINGS_VARIABLE, Lines, Segment, Settings, pack
from pinchpoint.stress.generator import Generator, GeneratorSpec
from pinchpoint.stress.load_spec import DEFAULT_MAX_USERS
from pinchpoint.stress.scenarios import SCENARIOS

HOST = "http://127.0.0.1:1"


class FakeChild:
    """A load process that runs when it is asked whether it lives: it answers what it was told."""

    def __init__(self, command: Command, answers: dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]]) -> None:
        assert command.env is not None
        self.command = command
        self.settings = Settings.from_json(command.env[SETTINGS_VARIABLE])
        self.pid = 1000 + self.settings.process
        self.returncode: int | None = None
        self.heard: list[dict[str, Any]] = []
        self.stops = 0
        self.log = ""
        self._answers = answers
        self._lines = Lines()
        self._channel = socket.socket(fileno=os.dup(int(command.env[FD_VARIABLE])))
        self._channel.setblocking(False)
        for message in answers["start"]({}):
            self._channel.sendall(pack(message))

    def alive(self) -> bool:
        """Answer what was heard, then tell whether it lives."""
        try:
            data = self._channel.recv(65_536)
        except (BlockingIOError, OSError):
            data = b""
        for message in self._lines.feed(data):
            self.heard.append(message)
            if message["cmd"] == "stop":
                self.returncode = 0
            for answer in self._answers[message["cmd"]](message) if message["cmd"] in self._answers else []:
                self._channel.sendall(pack(answer))
        return self.returncode is None

    def die(self, code: int, log: str) -> None:
        """Exit, with these last words."""
        self.returncode, self.log = code, log
        self._channel.close()

    def stop(self, grace_s: float = 5.0) -> int | None:
        """Count and end."""
        self.stops += 1
        self._channel.close()
        return 0

    def log_tail(self, lines: int = 20) -> str:
        """Return its last words."""
        return self.log


def obedient() -> dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]]:
    """Return the answers of a healthy process."""
    return {
        "start": lambda _: [{"event": "ready", "pid": 1}],
        "segment": lambda message: [{"event": "segment", "id": message["id"], "t_s": 50.0 + message["id"]}],
        "idle": lambda message: [{"event": "drained", "id": message["id"], "redials": 2}],
    }


class Farm:
    """Spawns fake load processes."""

    def __init__(self) -> None:
        self.answers = obedient()
        self.children: list[FakeChild] = []

    def spawn(self, command: Command) -> FakeChild:
        """Start one."""
        self.children.append(FakeChild(command, self.answers))
        return self.children[-1]


class Ticking:
    """A clock that moves a tenth of a second each time it is read."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Read it."""
        self.now_s += 0.1
        return self.now_s


@pytest.fixture
def farm() -> Iterator[Farm]:
    """Yield a farm whose sockets are closed afterwards."""
    made = Farm()
    yield made
    for child in made.children:
        child.stop()


def generator(farm: Farm, folder: Path, processes: int = 1) -> Generator:
    """Return a generator on fake processes."""
    return Generator(GeneratorSpec(HOST, folder, processes=processes), farm.spawn, Ticking(), {"PATH": "/bin"})


def test_a_rate_is_split_exactly_over_processes(farm: Farm, tmp_path: Path) -> None:
    """Each of three processes is told its share of the one schedule, and of the users."""
    with generator(farm, tmp_path, 3) as load:
        load.start()
        assert load.pids == [1000, 1001, 1002]
        assert load.segment("rate", 2.0, rate_rps=100.0) == (1, 51.0)
        load.segment("users", 2.0, users=10)
    shares = [(child.heard[0]["rate_rps"], child.heard[0]["part"], child.heard[0]["parts"]) for child in farm.children]
    assert shares == [(100.0, 0, 3), (100.0, 1, 3), (100.0, 2, 3)]
    assert sum(child.heard[0]["max_users"] for child in farm.children) == DEFAULT_MAX_USERS
    assert [child.heard[1]["users"] for child in farm.children] == [4, 3, 3]
    assert [child.stops for child in farm.children] == [1, 1, 1]


def test_each_process_gets_its_own_seed_share_and_file(farm: Farm, tmp_path: Path) -> None:
    """Settings travel in one variable; the rest of the environment is handed through."""
    with generator(farm, tmp_path, 2) as load:
        load.start()
    assert [child.settings.process for child in farm.children] == [0, 1]
    assert sum(child.settings.max_users for child in farm.children) == DEFAULT_MAX_USERS
    command = farm.children[0].command
    assert command.env is not None
    assert command.env["PATH"] == "/bin"
    assert command.argv[-4:] == ("-f", str(SCENARIOS["items"].path), "--host", HOST)
    assert command.log == tmp_path / "generator-0.log"


def test_drained_is_true_only_when_every_process_said_so(farm: Farm, tmp_path: Path) -> None:
    """A request still in flight at the deadline is no drain, and no error."""
    with generator(farm, tmp_path) as load:
        load.start()
        load.idle()
        assert load.wait_drained(5.0) is True
        assert load.redials == 2
        farm.answers["idle"] = lambda _: []
        load.idle()
        assert load.wait_drained(0.3) is False


def test_rows_are_returned_once(farm: Farm, tmp_path: Path) -> None:
    """A torn last line waits for its end."""
    with generator(farm, tmp_path) as load:
        load.start()
        file = tmp_path / "client-0.jsonl"
        file.write_text(json.dumps({"t0_s": 1.0}) + "\n" + '{"t0_s"')
        assert [row["t0_s"] for row in load.rows()] == [1.0]
        with file.open("a") as more:
            more.write(": 2.0}\n")
        assert [row["t0_s"] for row in load.rows()] == [2.0]


def test_a_process_that_dies_is_reported_with_its_last_words(farm: Farm, tmp_path: Path) -> None:
    """One sentence, without the machine's name, and where to read on."""
    with generator(farm, tmp_path) as load:
        load.start()
        farm.children[0].die(1, "noise\n[2026-01-01 00:00:00,000] box/ERROR/locust.main: No User class found!\n")
        with pytest.raises(
            MeasurementError, match=r"generator 0 failed, it ended: No User class found!; see generator-0"
        ):
            load.rows()
        assert load.alive() is False


def test_what_a_process_says_of_its_failure_comes_first(farm: Farm, tmp_path: Path) -> None:
    """Its own word is better than the last line of a log."""
    farm.answers["start"] = lambda _: [{"event": "error", "message": "no user got through on_start: boom"}]
    with (
        generator(farm, tmp_path) as load,
        pytest.raises(MeasurementError, match="no user got through on_start: boom"),
    ):
        load.start()


def test_a_process_that_is_not_ready_in_time_is_an_error(farm: Farm, tmp_path: Path) -> None:
    """A login that hangs does not hang the run."""
    farm.answers["start"] = lambda _: []
    with generator(farm, tmp_path) as load, pytest.raises(MeasurementError, match=r"on_start within 0.2 s"):
        load.start(deadline_s=0.2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"locustfile": Path("/nowhere/locustfile.py")}, "there is no Locust file /nowhere/locustfile.py"),
        (
            {"scenario": "unheard-of"},
            "there is no scenario 'unheard-of'; choose one of: customers, fastapi, inventory, ",
        ),
        ({"get_paths": ("items",)}, "--get needs a path that starts with /, not 'items'"),
        ({"processes": -1}, "cannot be split over -1 load processes"),
        ({"max_users": 1, "processes": 2}, "1 users cannot be split over 2 load processes"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(
    farm: Farm, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """A usage error names what to change."""
    with pytest.raises(UsageError, match=message):
        Generator(GeneratorSpec(HOST, tmp_path, **changes), farm.spawn)
    assert farm.children == []


def test_a_locust_file_with_a_syntax_error_is_refused_before_anything_starts(farm: Farm, tmp_path: Path) -> None:
    """The line is named."""
    file = tmp_path / "locustfile.py"
    file.write_text("class Broken(:\n")
    with pytest.raises(UsageError, match=r"not valid Python: .*line 1"):
        Generator(GeneratorSpec(HOST, tmp_path, locustfile=file), farm.spawn)


def test_messages_survive_being_cut_anywhere() -> None:
    """A stream socket keeps no message boundaries."""
    segment = Segment(id=3, model="rate", duration_s=2.0, rate_rps=12.5, end_rate_rps=20.0)
    data = pack(segment.message()) + pack({"cmd": "stop"})
    lines = Lines()
    heard = [message for byte in data for message in lines.feed(bytes([byte]))]
    assert Segment.from_message(heard[0]) == segment
    assert heard[1:] == [{"cmd": "stop"}]


def test_every_bundled_scenario_is_a_python_file_with_a_description() -> None:
    """What `--scenario` offers can be run."""
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert scenario.description
        compile(scenario.path.read_text(), str(scenario.path), "exec")


class RemoteWorker:
    """A load worker on another machine, whose clock is 1000 s ahead of ours."""

    remote = True
    pid = None
    delay_s = 0.0

    def __init__(self, process: int) -> None:
        self.process = process
        self.name = f"load worker {process} on box"
        self.heard: list[dict[str, Any]] = []
        self.says: list[dict[str, Any]] = [{"event": "ready", "pid": 5}]
        self.living = True
        self.stopped = False

    def fileno(self) -> int:
        """Return nothing to wait for."""
        return -1

    def send(self, message: dict[str, Any]) -> None:
        """Obey."""
        self.heard.append(message)
        if message["cmd"] == "segment":
            self.says.append({"event": "segment", "id": message["id"], "t_s": message["at_s"] - 1000.0})
        if message["cmd"] == "stop":
            self.living = False

    def take(self) -> list[dict[str, Any]]:
        """Return what was said."""
        says, self.says = self.says, []
        return says

    def rows(self) -> list[DigestRow]:
        """Return no rows."""
        return []

    def alive(self) -> bool:
        """Tell whether it lives."""
        return self.living

    def why(self) -> str:
        """Return its last words."""
        return "the connection was closed"

    def stop(self) -> None:
        """End it."""
        self.stopped, self.living = True, False

    def to_theirs(self, t_s: float) -> float:
        """Translate."""
        return t_s + 1000.0


def test_all_workers_start_at_one_instant_each_by_its_own_clock(farm: Farm, tmp_path: Path) -> None:
    """A remote worker is told its own time, and has its share as soon as it is ready."""
    farm.answers["segment"] = lambda message: [{"event": "segment", "id": message["id"], "t_s": message["at_s"]}]
    remote = RemoteWorker(7)
    with generator(farm, tmp_path) as load:
        load.start()
        assert load.parts == 1
        load.add(remote)
        assert load.segment("rate", 2.0, rate_rps=10.0, at_s=77.0) == (1, 77.0)
        assert load.parts == 2
        assert load.pids == [1000]
    told = [farm.children[0].heard[0], remote.heard[0]]
    assert [(message["at_s"], message["part"], message["parts"]) for message in told] == [(77.0, 0, 2), (1077.0, 1, 2)]
    assert remote.stopped is True


def test_a_remote_worker_that_dies_is_entered_and_the_rest_share_the_load(farm: Farm, tmp_path: Path) -> None:
    """Losing it voids a step, not the run; its own process's death still ends the run."""
    remote = RemoteWorker(1)
    with generator(farm, tmp_path) as load:
        load.start()
        load.add(remote)
        load.segment("rate", 2.0, rate_rps=10.0)
        remote.living = False
        assert load.rows() == []
        assert [(loss.process, loss.name, loss.segment) for loss in load.lost] == [(1, remote.name, 1)]
        assert "was lost, it ended: the connection was closed" in load.lost[0].message
        load.segment("rate", 2.0, rate_rps=10.0)
        assert load.parts == 1
        assert [message["parts"] for message in farm.children[0].heard] == [2, 1]


def test_a_remote_worker_that_does_not_answer_is_lost_too(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others do not wait for ever."""
    monkeypatch.setattr("pinchpoint.stress.generator.ANSWER_S", 0.3)
    remote = RemoteWorker(1)
    with generator(farm, tmp_path) as load:
        load.start()
        load.add(remote)
        load.rows()
        remote.send = lambda message: None  # type: ignore[method-assign]
        load.segment("rate", 2.0, rate_rps=10.0)
        assert "did not take a command within 0.3 s" in load.lost[0].message
        assert load.parts == 1


def test_the_last_worker_may_not_be_lost(farm: Farm, tmp_path: Path) -> None:
    """A load from nowhere is no load."""
    remote = RemoteWorker(0)
    with generator(farm, tmp_path, 0) as load:
        load.add(remote)
        load.start()
        load.segment("rate", 2.0, rate_rps=10.0)
        remote.living = False
        with pytest.raises(MeasurementError, match="no load worker is left"):
            load.rows()


def test_a_generator_without_any_worker_says_so(farm: Farm, tmp_path: Path) -> None:
    """Nothing to wait for."""
    with generator(farm, tmp_path, 0) as load, pytest.raises(MeasurementError, match="there is no load worker"):
        load.start()


def test_a_process_can_be_added_and_keeps_a_number_of_its_own(farm: Farm, tmp_path: Path) -> None:
    """More processes when one is not enough; the next level is split over all."""
    with generator(farm, tmp_path) as load:
        load.start()
        load.pin({0})
        load.grow()
        load.segment("users", 1.0, users=5)
        assert (load.parts, load.pids) == (2, [1000, 1001])
    assert farm.children[1].command.cpus == frozenset({0})
    assert [child.heard[0]["users"] for child in farm.children] == [3, 2]
    assert farm.children[1].command.log == tmp_path / "generator-1.log"
