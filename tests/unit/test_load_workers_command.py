"""`pinchpoint worker` before it has joined: how long it tries, and what it does not try again."""

import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from pinchpoint.commands import worker
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.load_workers import Recruit, enlist
from pinchpoint.commands.worker import WorkerConfig, run_worker
from pinchpoint.credentials import given_token
from pinchpoint.errors import MeasurementError
from pinchpoint.links import LinkError, Listener, connect
from pinchpoint.readiness import free_port
from pinchpoint.stress.control import Settings
from pinchpoint.stress.joining import Hello
from pinchpoint.stress.load_spec import GeneratorSpec

TOKEN = "a token for tests only"


@pytest.fixture
def console() -> Console:
    """A console that nobody sees."""
    return Console(quiet=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for long, and signals stay as they are."""
    monkeypatch.setattr(worker, "RETRY_S", 0.02)
    monkeypatch.setattr("signal.signal", lambda *_: None)


def test_a_worker_gives_up_when_nobody_listens_in_time(console: Console) -> None:
    """The last reason is the error."""
    with pytest.raises(LinkError, match=r"cannot reach 127\.0\.0\.1:1: Connection refused"):
        run_worker(WorkerConfig("127.0.0.1:1", TOKEN, wait_s=0.1), console)


def test_a_worker_tries_until_the_run_listens(console: Console) -> None:
    """The two may be started in either order; the worker then hears that the run has ended."""
    port = free_port()
    taken: list[str] = []

    def run() -> None:
        time.sleep(0.1)
        with Listener("127.0.0.1", port, TOKEN) as listener, listener.accept(5) as link:  # type: ignore[union-attr]
            taken.extend(str(message.get("role")) for message in link.take(5))
            link.send({"cmd": "stop"})

    thread = threading.Thread(target=run)
    thread.start()
    run_worker(WorkerConfig(f"127.0.0.1:{port}", TOKEN, wait_s=5), console)
    thread.join()

    assert taken == ["load worker"]


def test_a_wrong_token_is_not_tried_again(console: Console) -> None:
    """It would be wrong every time."""
    with Listener("127.0.0.1", 0, "another token altogether", log=lambda _: None) as listener:
        thread = threading.Thread(target=listener.accept, args=(0.3,))
        thread.start()
        with pytest.raises(LinkError, match="it has another token"):
            run_worker(WorkerConfig(f"127.0.0.1:{listener.port}", TOKEN, wait_s=60), console)
        thread.join()


def test_a_worker_needs_a_token() -> None:
    """There is nothing to make one for."""
    with pytest.raises(LinkError, match="token is missing: give it with --token or in PINCHPOINT_TOKEN"):
        given_token(None, {})


def test_a_worker_that_left_before_the_run_began_ends_the_run(tmp_path: Path) -> None:
    """The number of workers that was asked for is the number that is measured with."""
    config = RunConfig(get_paths=("/",))
    spec = GeneratorSpec("http://127.0.0.1:1", tmp_path, get_paths=config.get_paths)
    settings = Settings(folder=str(tmp_path), process=0, start_users=1, max_users=1, timeout_s=1.0, seed=1)
    with Listener("127.0.0.1", 0, TOKEN) as listener:
        calling = threading.Thread(target=lambda: connect("127.0.0.1", listener.port, TOKEN).close())
        calling.start()
        link = listener.accept(5)
        calling.join()
        assert link is not None

        with link, pytest.raises(MeasurementError, match="load worker there has left before the run began"):
            enlist([Recruit(link, Hello("there", "1", "2", "3", 4))], spec, lambda: settings)
