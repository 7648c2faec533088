"""What a load worker and the engine tell each other before there is load, and what a worker refuses to do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pinchpoint.errors import UsageError
from pinchpoint.processes import Command
from pinchpoint.stress.control import Settings
from pinchpoint.stress.joined import Joined
from pinchpoint.stress.joining import Hello, Order
from pinchpoint.stress.load_spec import GeneratorSpec
from pinchpoint.stress.load_worker import Child
from pinchpoint.stress.scenarios import SCENARIOS

if TYPE_CHECKING:
    from pinchpoint.links import Link

SETTINGS = Settings(folder="/of/the/run", process=3, start_users=4, max_users=9, timeout_s=2.0, seed=7)
TARGET = "http://10.0.0.9:8000"
HELLO = Hello(host="load-1", pinchpoint="1.0", locust="2.40", python="3.11.7", cores=4)


@pytest.fixture
def locustfile(tmp_path: Path) -> Path:
    """A Locust file with more than ASCII in it."""
    file = tmp_path / "läufer.py"
    file.write_bytes("from locust import FastHttpUser  # grüße\r\n".encode())
    return file


def over_the_line(order: Order) -> Order:
    """Send an order as JSON would carry it."""
    import json  # noqa: PLC0415 - the only place

    return Order.from_message(json.loads(json.dumps(order.message())))


def test_a_locust_file_arrives_byte_for_byte(locustfile: Path, tmp_path: Path) -> None:
    """With the settings of this worker, in a folder of its own."""
    order = over_the_line(Order.of(GeneratorSpec(TARGET, tmp_path, locustfile=locustfile), SETTINGS))
    folder = tmp_path / "there"
    folder.mkdir()

    spec, path, settings = order.unpack(folder)

    assert path == folder / "läufer.py"
    assert path.read_bytes() == locustfile.read_bytes()
    assert settings == replace(SETTINGS, folder=str(folder))
    assert (spec.host, spec.folder, spec.locustfile) == (TARGET, folder, path)


def test_a_bundled_scenario_travels_by_name(tmp_path: Path) -> None:
    """Every installation has it."""
    order = over_the_line(Order.of(GeneratorSpec(TARGET, tmp_path, scenario="items"), SETTINGS))

    assert order.text is None
    assert order.unpack(tmp_path)[1] == SCENARIOS["items"].path


def test_paths_travel_as_they_are(tmp_path: Path) -> None:
    """`--get` needs no file of the user's."""
    order = over_the_line(Order.of(GeneratorSpec(TARGET, tmp_path, get_paths=("/a", "/b?c=1")), SETTINGS))

    assert order.text is None
    assert order.unpack(tmp_path)[0].get_paths == ("/a", "/b?c=1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": "import os"}, "came damaged"),
        ({"text": None, "name": "items"}, "the bundled load pack 'items' differs here"),
        ({"text": None, "name": "unknown"}, "the bundled load pack 'unknown' differs here"),
    ],
)
def test_what_is_not_what_was_sent_is_refused(
    locustfile: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """By checksum."""
    order = replace(Order.of(GeneratorSpec(TARGET, tmp_path, locustfile=locustfile), SETTINGS), **change)

    with pytest.raises(UsageError, match=said):
        order.unpack(tmp_path)


def test_a_name_cannot_lead_out_of_the_folder(locustfile: Path, tmp_path: Path) -> None:
    """The run may be anybody's who has the token."""
    order = Order.of(GeneratorSpec(TARGET, tmp_path, locustfile=locustfile), SETTINGS)
    folder = tmp_path / "there"
    folder.mkdir()

    assert replace(order, name="../../etc/cron.py").unpack(folder)[1] == folder / "cron.py"


@pytest.mark.parametrize("message", [{}, {"order": None}, {"order": {"target": "x"}}, {"order": 3}])
def test_what_is_no_order_is_refused(message: dict[str, Any]) -> None:
    """Another version may send anything."""
    with pytest.raises(UsageError, match="cannot be understood"):
        Order.from_message(message)


def test_a_worker_introduces_itself() -> None:
    """What it says is understood; what is no introduction is not taken for one."""
    assert Hello.from_message(Hello.ours().message()) == Hello.ours()
    assert Hello.from_message({"role": "agent", "host": "x"}) is None
    assert Hello.from_message({**HELLO.message(), "locust": None}) is None


def test_another_pinchpoint_cannot_take_part() -> None:
    """Its words may mean something else."""
    assert HELLO.misfit(replace(HELLO, host="here")) is None
    assert HELLO.misfit(replace(HELLO, pinchpoint="1.1")) == (
        "it has pinchpoint 1.0, and the run 1.1; install the same version on both"
    )


def test_other_versions_beside_it_are_told() -> None:
    """They make the same load, perhaps at another cost."""
    assert HELLO.difference(replace(HELLO, host="here", cores=1)) is None
    assert HELLO.difference(replace(HELLO, locust="2.41")) == "load worker load-1 has locust 2.40 (here 2.41)"


class FakeLink:
    """The engine's end, as far as a joined process sees it."""

    peer, why, closed = "10.0.0.1:5557", "", False

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.inbox: list[dict[str, Any]] = []

    def fileno(self) -> int:
        """A number."""
        return 7

    def send(self, message: dict[str, Any]) -> None:
        """Keep it."""
        self.sent.append(message)

    def take(self, _: float = 0.0) -> list[dict[str, Any]]:
        """Give out what is there."""
        inbox, self.inbox = self.inbox, []
        return inbox

    def close(self) -> None:
        """End it."""
        self.closed = True


@pytest.fixture
def link() -> FakeLink:
    """A line to an engine."""
    return FakeLink()


@pytest.fixture
def joined(link: FakeLink, tmp_path: Path) -> Iterator[Joined]:
    """A worker that may press nothing and can start nothing."""

    def spawn(command: Command) -> Child:
        raise AssertionError(command)

    def allow(url: str) -> None:
        raise UsageError(f"{url} is not this machine")

    one = Joined(cast("Link", link), tmp_path, spawn, allow=allow, environ={}, clock=lambda: 42.0)
    yield one
    one.close()


def test_a_worker_says_who_it_is_at_once(joined: Joined, link: FakeLink) -> None:
    """The run waits for that."""
    assert link.sent == [Hello.ours().message()]
    assert joined.filenos() == [7]


def test_a_worker_answers_with_its_own_clock(joined: Joined, link: FakeLink) -> None:
    """Before and while it runs something."""
    link.inbox.append({"ping": 5})
    joined.pump()

    assert link.sent[-1] == {"pong": 5, "t_s": 42.0}


def test_a_worker_refuses_a_target_that_is_not_allowed_here(joined: Joined, link: FakeLink, tmp_path: Path) -> None:
    """Nothing is started or written; both sides are told."""
    link.inbox.append(Order.of(GeneratorSpec(TARGET, tmp_path, get_paths=("/",)), SETTINGS).message())
    joined.pump()

    assert link.sent[-1] == {"refused": f"{TARGET} is not this machine"}
    assert (joined.over, joined.problem) == (True, f"{TARGET} is not this machine")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_refuses_a_worker_is_quoted(joined: Joined, link: FakeLink) -> None:
    """Another version, say."""
    link.inbox.append({"refused": "it has pinchpoint 0.1"})
    joined.pump()

    assert (joined.over, joined.problem) == (
        True,
        "the run at 10.0.0.1:5557 refuses this worker: it has pinchpoint 0.1",
    )


def test_a_worker_whose_run_is_gone_ends(joined: Joined, link: FakeLink) -> None:
    """With the reason, since nobody said stop."""
    link.closed, link.why = True, "no answer"
    joined.pump()

    assert (joined.over, joined.problem) == (True, "the line to 10.0.0.1:5557 is gone: no answer")


def test_a_run_that_ends_before_it_began_is_no_problem(joined: Joined, link: FakeLink) -> None:
    """It was stopped while it waited for others."""
    link.inbox.append({"cmd": "stop"})
    joined.pump()

    assert (joined.over, joined.problem) == (True, "")
