"""The null server and the loop's clock on the real thing, and the calibration of a Locust file that logs in."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.commands.calibrate import Calibration, prepare
from pinchpoint.commands.config import RunConfig
from pinchpoint.processes import Command, start
from pinchpoint.stress.answers import ANSWERS_VARIABLE, Answer, AnswerFile

LOGIN = Answer("POST", "/login", 200, b'{"token": "secret"}', (("content-type", "application/json"),))
ITEM = Answer("GET", "/items/1", 200, b'{"id": 1}', (("content-type", "application/json"),))


@contextmanager
def null_server(folder: Path, *answers: Answer) -> Iterator[tuple[int, Callable[[], list[str]]]]:
    """Serve these answers; yield the port and a function that stops it and returns what it printed."""
    file = AnswerFile(folder / "answers.json")
    for one in answers:
        file.keep(one)
    file.close()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        words = ("--fd", str(listener.fileno()), "--answers", str(folder / "answers.json"))
        argv = (sys.executable, "-P", "-m", "pinchpoint.stress.null_server", *words)
        log = folder / "null-server.log"
        with start(Command("null server", argv, log, pass_fds=(listener.fileno(),))) as child:

            def stop() -> list[str]:
                child.stop()
                return child.log_tail().splitlines()

            yield listener.getsockname()[1], stop


def test_the_null_server_answers_over_kept_connections(tmp_path: Path) -> None:
    """Bodies of any kind are read over, pipelined requests answered in order, and counted."""
    with null_server(tmp_path, LOGIN, ITEM) as (port, stop):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        seen = []
        for body in (b"{}", iter([b"chunk", b"s" * 100_000])):
            client.request("POST", "/login", body=body)
            seen.append(client.getresponse().read())
        client.request("GET", "/items/77")
        seen.append(client.getresponse().read())
        client.close()
        assert seen == [LOGIN.body, LOGIN.body, ITEM.body]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(b"GET /items/1 HTTP/1.1\r\n\r\nGET /unknown HTTP/1.1\r\nConnection: close\r\n\r\n")
            received = b"".join(iter(lambda: raw.recv(65_536), b""))
        assert received.count(b"HTTP/1.1 200 OK") == 2
        assert received.endswith(b"{}")
        assert json.loads(stop()[-1]) == {"answered": 5}


BUSY = """
import sys, time
from gevent import monkey
monkey.patch_all()
import gevent
from pinchpoint.stress.loop_clock import LoopClock

loop, sleep = LoopClock(), monkey.get_original("time", "sleep")
ends_s = time.monotonic() + 1.5
print("go", flush=True)
while time.monotonic() < ends_s:
    if sys.argv[1] == "block":
        sleep(0.01)
    gevent.sleep(0 if sys.argv[1] == "block" else 0.05)
print(loop.busy_s(), flush=True)
"""


def busy_share(tmp_path: Path, what: str, stop_s: float = 0.0) -> float:
    """Return how busy a loop found itself; with `stop_s`, it is stopped for that long in every tenth of a second."""
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    with subprocess.Popen([sys.executable, str(script), what], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        while stop_s and child.poll() is None:
            child.send_signal(signal.SIGSTOP)
            time.sleep(stop_s)
            child.send_signal(signal.SIGCONT)
            time.sleep(0.1 - stop_s)
        return float(child.stdout.read()) / 1.5


@pytest.mark.alone
@pytest.mark.parametrize(("what", "stop_s", "low", "high"), [("block", 0.0, 0.9, 1.1), ("idle", 0.06, 0.4, 0.9)])
def test_a_loop_that_cannot_go_on_is_busy(tmp_path: Path, what: str, stop_s: float, low: float, high: float) -> None:
    """Blocked in a call that gevent does not know, or stopped six tenths of the time, with hardly any CPU used."""
    assert low <= busy_share(tmp_path, what, stop_s) <= high


class FakeSession:
    """What a calibration needs of a session."""

    def __init__(self, locustfile: Path) -> None:
        self.config = RunConfig(locustfile=locustfile, budget_s=60.0)
        self.plan = SimpleNamespace(base_url="http://127.0.0.1:1")
        self.load_environ: dict[str, str] = {}
        self.clock = time.monotonic
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, kind: str, **data: Any) -> None:
        """Take an event."""
        self.events.append((kind, data))

    def at_end(self, callback: Callable[[], object]) -> None:
        """The test closes by itself."""

    def check(self) -> None:
        """Nothing can be gone."""


LOCUSTFILE = """
from locust import FastHttpUser, constant, task

class Shopper(FastHttpUser):
    wait_time = constant(1)

    def on_start(self):
        self.token = self.client.post("/login", json={{"name": "me"}}).json()["token"]

    @task
    def item(self):
        assert self.client.get("/items/5", headers={{"authorization": self.token}}).json()["id"] == 1
        {work}
"""


def calibrated(tmp_path: Path, work: str, *answers: Answer) -> dict[str, Any]:
    """Calibrate with a Locust file; return the event's data."""
    file = tmp_path / "shop.py"
    file.write_text(LOCUSTFILE.format(work=work))
    session: Any = FakeSession(file)
    calibration: Calibration = prepare(session, lambda _: None)
    kept = Path(session.load_environ[ANSWERS_VARIABLE])
    answer_file = AnswerFile(kept)
    for one in answers:
        answer_file.keep(one)
    answer_file.close()
    calibration.measure()
    assert not kept.parent.exists()
    assert session.load_environ == {}
    assert [kind for kind, _ in session.events] == ["calibration"]
    data: dict[str, Any] = session.events[0][1]
    return data


@pytest.mark.alone
def test_a_locust_file_that_logs_in_is_calibrated(tmp_path: Path) -> None:
    """With the answers of the warm-up given again, as fast as the generator can."""
    data = calibrated(tmp_path, "pass", LOGIN, ITEM)
    assert data["max_rps"] is not None, data
    assert data["max_rps"] > 200
    assert data["loop_busy"] > 0.8
    assert data["processes"] == 1


@pytest.mark.alone
def test_a_slow_locust_file_has_a_low_figure(tmp_path: Path) -> None:
    """10 ms of CPU per task are 100 tasks a second at most."""
    work = "import time; end = time.thread_time() + 0.01\n        while time.thread_time() < end: pass"
    assert calibrated(tmp_path, work, LOGIN, ITEM)["max_rps"] < 120


@pytest.mark.parametrize(("answers", "word"), [((ITEM,), "on_start"), ((), "no request of the warm-up was answered")])
def test_what_cannot_be_calibrated_says_why(tmp_path: Path, answers: tuple[Answer, ...], word: str) -> None:
    """A login that was not seen, or nothing at all."""
    data = calibrated(tmp_path, "pass", *answers)
    assert data["max_rps"] is None
    assert word in data["reason"]
