"""Whether servers answer, ports, and the guard's walk over processes; children come in as fakes."""

import http.server
import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.errors import TargetError
from pinchpoint.guard import below, parents
from pinchpoint.readiness import free_port, http_status, port_in_use, wait_http_ready

URL = "http://127.0.0.1:1/health"


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now_s: float = 100.0
    sleeps: list[float] = field(default_factory=list)

    def clock(self) -> float:
        """Return the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Move the time on."""
        self.now_s += seconds


@dataclass
class FakeChild:
    """A child whose exit code is read from a list; the last one stays."""

    codes: list[int | None]
    log: str = ""

    @property
    def returncode(self) -> int | None:
        """Return the next code."""
        return self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]

    def log_tail(self, lines: int = 20) -> str:
        """Return the log."""
        return "\n".join(self.log.splitlines()[-lines:])


def wait(child: FakeChild | None, answers: list[int | None], deadline_s: float = 1.0) -> float:
    """Wait on fakes; the last answer repeats."""
    time = FakeTime()
    coming = itertools.chain(answers, itertools.repeat(answers[-1]))
    return wait_http_ready(URL, child, deadline_s, time.clock, time.sleep, status=lambda _: next(coming))


@contextmanager
def server(status: int) -> Iterator[str]:
    """Answer every GET with one status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 204, 302, 401, 404])
def test_any_answer_below_500_is_ready(status: int) -> None:
    """A 404 comes from a server that works; the time counts from the call."""
    actual = wait(FakeChild([None]), [None, None, 503, status])

    assert actual == pytest.approx(3 * 0.05)


def test_a_server_that_dies_is_named_with_the_exception_and_the_last_line() -> None:
    """Of gunicorn's long log, two lines say why."""
    log = "Traceback:\n  File x\nModuleNotFoundError: No module named 'shop'\n[12:00] [7] [ERROR] bye\n\n"

    with pytest.raises(TargetError) as caught:
        wait(FakeChild([None, None, 3], log), [None])

    expected = "the target exited with code 3 before it answered: ModuleNotFoundError: No module named 'shop' … bye"
    assert str(caught.value) == expected


def test_a_server_killed_by_a_signal_is_named_with_it() -> None:
    """Minus nine is SIGKILL to a reader."""
    with pytest.raises(TargetError) as caught:
        wait(FakeChild([-9]), [None])

    assert str(caught.value) == "the target exited with SIGKILL before it answered; it printed nothing"


def test_a_server_that_never_answers_is_given_up_at_the_deadline() -> None:
    """The message has the address and the time waited."""
    with pytest.raises(TargetError) as caught:
        wait(FakeChild([None], "ValueError: bad\n"), [None], deadline_s=2.5)

    assert str(caught.value) == f"the target did not answer at {URL} within 2.5 s: ValueError: bad"


def test_a_server_that_only_fails_is_given_up_with_its_status() -> None:
    """A 500 on every request is not ready."""
    with pytest.raises(TargetError) as caught:
        wait(None, [500, None])

    assert str(caught.value) == f"the target answered only status 500 at {URL} within 1 s"


def test_http_status_returns_what_the_server_said() -> None:
    """One real request."""
    with server(418) as url:
        assert http_status(f"{url}/tea?milk=1") == 418


def test_http_status_is_none_where_nobody_listens() -> None:
    """A refused connection is no answer."""
    assert http_status(f"http://127.0.0.1:{free_port()}/") is None


def test_http_status_is_none_where_nobody_speaks_http() -> None:
    """A server that hangs up is not ready."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        actual = http_status(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        thread.join()

    assert actual is None


def test_a_taken_port_is_named_with_its_owner() -> None:
    """The sentence names port, PID and program."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        actual = port_in_use("127.0.0.1", port)

    assert actual is not None
    assert actual.startswith(f"port {port} is in use by PID {os.getpid()} (")


def test_a_port_taken_on_all_addresses_is_taken_on_loopback() -> None:
    """0.0.0.0 includes 127.0.0.1."""
    with socket.create_server(("0.0.0.0", 0)) as listening:
        assert port_in_use("127.0.0.1", listening.getsockname()[1]) is not None


def test_a_free_port_is_free() -> None:
    """The kernel's choice can be listened on."""
    port = free_port()

    assert port_in_use("127.0.0.1", port) is None
    assert 1024 <= port <= 65535


def test_the_walk_sees_this_process_below_its_parent() -> None:
    """On the real /proc."""
    assert os.getpid() in below(os.getppid(), parents())


@given(st.lists(st.integers(min_value=0, max_value=10**6), max_size=40))
def test_the_walk_finds_every_descendant_once_and_nobody_else(choices: list[int]) -> None:
    """In any tree, what is below a root is what reaches it by following parents."""
    parent_of = {pid: choice % pid for pid, choice in enumerate(choices, start=1)}
    root = 1

    def reaches(pid: int) -> bool:
        while pid in parent_of:
            pid = parent_of[pid]
            if pid == root:
                return True
        return False

    assert sorted(below(root, parent_of)) == [pid for pid in parent_of if reaches(pid)]
