"""Doors, visits and names of outgoing calls, and the standard library's clients, without a network."""

import gc
import http.client
import io
import smtplib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.monitoring.probe import gates, mail, outgoing, peers, stdlib_client
from pinchpoint.monitoring.probe.gates import Gates
from pinchpoint.monitoring.probe.outgoing import Door, Visit, door_of, peer
from pinchpoint.monitoring.probe.peers import Peers
from pinchpoint.monitoring.probe.runtime import Hook


def _quiet(*_: Any) -> None:
    return


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Return the gates and peers of one test, with the standard library's clients hooked."""
    found = SimpleNamespace(gates=Gates(), peers=Peers())
    rows = SimpleNamespace(full=lambda: False, add=_quiet)
    monkeypatch.setattr(gates, "GATE_ROWS", rows)
    monkeypatch.setattr(outgoing, "GATE_ROWS", rows)
    monkeypatch.setattr(peers, "CALL_ROWS", rows)
    monkeypatch.setattr(outgoing, "GATES_OPEN", found.gates)
    monkeypatch.setattr(outgoing, "_FAMILIES", {})
    monkeypatch.setattr(outgoing, "PEERS", found.peers)
    monkeypatch.setattr(mail, "PEERS", found.peers)
    owners: list[tuple[Any, tuple[str, ...]]] = [
        (http.client.HTTPConnection, ("endheaders", "getresponse")),
        (http.client.HTTPResponse, ("_close_conn",)),
        (smtplib.SMTP, ("connect", "starttls", "login", "sendmail", "quit")),
    ]
    saved = [(owner, name, owner.__dict__[name]) for owner, names in owners for name in names]
    stdlib_client.hook_http(http.client)
    mail.hook_smtp(smtplib)
    yield found
    for owner, name, value in saved:
        setattr(owner, name, value)


def _visit(door: Door) -> Visit:
    visit = Visit(Hook("test", _quiet, _quiet), door)
    visit.admitted()
    visit.call(peer("http", "x", 80))
    return visit


def _levels(seen: SimpleNamespace) -> tuple[int, int, int]:
    """Return the places taken, those who wait, and the calls in progress."""
    return (
        sum(gate.busy.value for gate in seen.gates.all),
        sum(gate.waiting.value for gate in seen.gates.all),
        sum(found.active.value for found in seen.peers.named.values()),
    )


def test_a_visit_goes_in_and_comes_out_once(seen: SimpleNamespace) -> None:
    """However often its end is told."""
    visit = _visit(Door("http-pool", "x", 2))
    assert _levels(seen) == (1, 0, 1)
    visit.answered(200)
    visit.end()
    visit.end()
    visit.fail(OSError())
    assert _levels(seen) == (0, 0, 0)
    assert (seen.peers.named["http x:80"].calls, seen.peers.named["http x:80"].errors) == (1, 0)


def test_a_response_nobody_closes_keeps_its_place_but_not_its_call(seen: SimpleNamespace) -> None:
    """Until its pool is closed."""
    door = Door("http-pool", "x", 2)
    visit = _visit(door)
    del visit
    gc.collect()
    assert _levels(seen) == (1, 0, 0)
    door.close()
    assert _levels(seen) == (0, 0, 0)


def test_a_pool_that_is_closed_or_forgotten_ends_all_calls(seen: SimpleNamespace) -> None:
    """The visits are still held by somebody."""
    visits = [_visit(Door("http-pool", "x", 2)) for _ in range(3)]
    door = Door("http-pool", "x", 2)
    visits.append(_visit(door))
    door.close()
    assert _levels(seen) == (3, 0, 3)
    visits.clear()
    del door
    assert _levels(seen) == (0, 0, 0)


def test_a_wait_that_is_promised_a_place_taken_by_another_goes_on(seen: SimpleNamespace) -> None:
    """It is one visit in the end, and one call."""
    visit = _visit(Door("http-pool", "x", 2))
    visit.wait()
    assert _levels(seen) == (0, 1, 0)
    visit.admitted()
    visit.call(peer("http", "x", 80))
    visit.end()
    (gate,) = seen.gates.all
    assert (gate.taken, seen.peers.named["http x:80"].calls, _levels(seen)) == (1, 1, (0, 0, 0))


def test_only_the_clients_own_end_of_waiting_is_a_timeout(seen: SimpleNamespace) -> None:
    """A cancelled wait is none, and neither was a call."""
    door = Door("http-pool", "x", 1)
    for timed_out in (True, False):
        visit = Visit(Hook("test", _quiet, _quiet), door)
        visit.wait()
        visit.fail(TimeoutError(), timed_out)
    (gate,) = seen.gates.all
    assert (gate.timeouts, gate.taken, gate.waiting.value, seen.peers.named) == (1, 0, 0, {})


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (404, 0), (500, 1), (503, 1)])
def test_answers_of_class_5xx_are_errors(seen: SimpleNamespace, status: int, errors: int) -> None:
    """Those of class 4xx are the caller's own."""
    visit = _visit(Door("http-pool", "x", 2))
    visit.answered(status)
    visit.end()
    assert seen.peers.named["http x:80"].errors == errors


def test_pools_made_at_one_place_share_a_gate_and_add_up(seen: SimpleNamespace) -> None:
    """Its size is that of all in use, and of the last one when none is."""
    pools = [SimpleNamespace(_pinchpoint_site="app.py:1") for _ in range(3)]
    doors = [door_of(pool, "httpx", 5) for pool in pools]
    (gate,) = seen.gates.all
    sizes = [gate.limit()]
    for door in doors:
        door.close()
        sizes.append(gate.limit())
    assert (gate.name, sizes) == ("httpx max 5 app.py:1", [15, 10, 5, 5])


def test_too_many_names_share_one_row(seen: SimpleNamespace) -> None:
    """Its size is unknown."""
    doors = [Door("http-pool", f"pool {number}", 1) for number in range(50)]
    assert len(seen.gates.all) == 11
    assert seen.gates.all[-1].name == "(other)"
    assert seen.gates.all[-1].size() is None
    assert len(doors) == 50


def test_peers_are_named_by_host_and_port(seen: SimpleNamespace) -> None:
    """With the scheme where it is https."""
    names = [peer("http", "a", None).name, peer("https", "a", None).name, peer("wss", "a", 8443).name]
    assert names == ["a:80", "https://a:443", "https://a:8443"]


class FakeSocket:
    """Answers everything with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        """Return the answer."""
        return io.BytesIO(self.answer)

    def sendall(self, data: Any) -> None:
        """Take what is sent."""

    def close(self) -> None:
        """Nothing is open."""


def test_the_standard_librarys_call_ends_with_its_body(seen: SimpleNamespace) -> None:
    """Not with its head."""
    connection = http.client.HTTPConnection("x", 8080)
    connection.sock = FakeSocket(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nok")
    connection.request("GET", "/")
    response = connection.getresponse()
    assert _levels(seen) == (0, 0, 1)
    assert response.read() == b"ok"
    assert _levels(seen) == (0, 0, 0)
    assert seen.peers.named["http x:8080"].errors == 1


def test_the_standard_librarys_connection_may_be_dropped_unanswered(seen: SimpleNamespace) -> None:
    """What is collected is over."""
    connection = http.client.HTTPConnection("x", 8080)
    connection.sock = FakeSocket(b"")
    connection.request("GET", "/")
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    assert _levels(seen) == (0, 0, 0)
    assert (seen.peers.named["http x:8080"].calls, seen.peers.named["http x:8080"].errors) == (1, 1)


def test_a_connection_that_urllib3_manages_is_not_counted_twice(seen: SimpleNamespace) -> None:
    """It carries a visit already."""
    connection = http.client.HTTPConnection("x", 8080)
    connection.sock = FakeSocket(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    connection.__dict__[outgoing.VISIT] = object()
    connection.request("GET", "/")
    connection.getresponse().read()
    assert seen.peers.named == {}


def test_a_mail_server_that_refuses_is_an_error(seen: SimpleNamespace) -> None:
    """Connecting is a call only when it fails."""
    with pytest.raises(OSError, match="refused"):
        smtplib.SMTP("127.0.0.1", 1)
    row = seen.peers.named["smtp 127.0.0.1:1"]
    assert (row.calls, row.errors, row.active.value) == (1, 1, 0)
