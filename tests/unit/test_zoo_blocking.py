"""Cases of a blocked loop, of locks and of devices: arithmetic, companions, and that a cure is only a cure."""

import asyncio
import importlib
import os
import smtplib
import socket
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from flask import Flask

from pinchpoint.app.faults.case import CURED, SCRATCH, SEVERITY, Case
from pinchpoint.app.faults.cases import blocking, devices, locks
from pinchpoint.app.faults.catalogue import tuned
from pinchpoint.app.faults.serving import link, log_shipper, post_office, stub

CASES = {case.name: case for case in (*blocking.CASES, *locks.CASES, *devices.CASES)}
ALONE = [name for name, case in CASES.items() if not case.companions and case.database == "none"]
QUICK = "0.001"

Load = Callable[[str, bool], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Return what imports the app of a case anew, with waits too short to notice."""

    def fresh(name: str, cured: bool) -> ModuleType:
        monkeypatch.setenv(SCRATCH, str(tmp_path))
        monkeypatch.setenv(SEVERITY, "1" if CASES[name].family in {"fsync", "big-answers"} else QUICK)
        monkeypatch.setenv(CURED, "1" if cured else "0")
        monkeypatch.delitem(sys.modules, served(CASES[name]), raising=False)
        return importlib.import_module(served(CASES[name]))

    return fresh


def served(case: Case) -> str:
    """Return the module that is served."""
    return case.target[-1].partition(":")[0]


def answered(module: ModuleType, path: str) -> tuple[int, bytes]:
    """Return the status and the body of one answer."""
    if isinstance(module.app, Flask):
        answer = module.app.test_client().get(path)
        return answer.status_code, answer.get_data()

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(module.app), base_url="http://zoo") as client:
            return await client.get(path)

    found = asyncio.run(ask())
    return found.status_code, found.content


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_ceiling_falls_with_severity_and_the_next_wall_lies_above(case: Case) -> None:
    """A fault costs in proportion, and its cure raises the capacity by a quarter at least."""
    assert case.ceiling_rps is not None
    assert case.second_rps is not None
    light, middle, severe = case.severities
    assert 300 > case.ceiling_rps(light) > case.ceiling_rps(middle) > case.ceiling_rps(severe) > 15
    assert all(case.second_rps(one) >= 1.25 * case.ceiling_rps(one) for one in case.severities)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_family_is_in_one_of_the_halves(case: Case) -> None:
    """`tuned` raises for a family of neither half."""
    assert tuned(case) in {True, False}


@pytest.mark.parametrize("name", ALONE)
def test_an_app_answers_alike_with_its_fault_and_without(name: str, load: Load) -> None:
    """A cure changes how long a request waits, and nothing that a client can see."""
    path = CASES[name].load[1]
    faulted, cured = answered(load(name, False), path), answered(load(name, True), path)
    assert faulted[0] == 200
    assert cured[0] == 200
    assert len(cured[1]) == pytest.approx(len(faulted[1]), abs=24)


def test_a_record_of_the_audit_log_has_the_bytes_of_the_arithmetic(load: Load, tmp_path: Path) -> None:
    """The ceiling of `log-to-slow-pipe` divides by them."""
    payments = load("log-to-slow-pipe", True)
    assert answered(payments, CASES["log-to-slow-pipe"].load[1])[0] == 200
    payments.audit.handlers.pop().stream.close()
    assert (tmp_path / "audit.txt").stat().st_size == blocking._RECORD_BYTES


def test_an_export_has_the_bytes_of_the_arithmetic(load: Load) -> None:
    """The ceiling of `big-answers` divides by them."""
    assert len(answered(load("big-answers", False), "/shops/3/catalogue.csv")[1]) == devices._EXPORT_BYTES


# --- the partner's service -------------------------------------------------------------------------------------------


def test_a_desk_serves_so_many_at_once_and_the_others_in_their_order() -> None:
    """The delay starts with the turn; who has left is passed over."""
    timers: list[Callable[[], None]] = []
    finished: list[str] = []
    desk = stub.Desk(0.05, 2, b"", later=lambda _delay_s, call: timers.append(call))
    for name in ("a", "b", "left", "c"):
        desk.queue(lambda name=name: finished.append(name), lambda name=name: name != "left")  # type: ignore[misc]
    assert len(timers) == 2
    timers[1]()
    assert (finished, len(timers), desk.busy) == (["b"], 3, 2)
    timers[0]()
    timers[2]()
    assert (finished, len(timers), desk.busy) == (["b", "a", "c"], 3, 0)


def test_a_desk_without_a_limit_lets_nobody_wait() -> None:
    """None is no limit."""
    timers: list[float] = []
    desk = stub.Desk(0.05, None, b"", later=lambda delay_s, _call: timers.append(delay_s))
    for _ in range(100):
        desk.queue(lambda: None, lambda: True)
    assert timers == [0.05] * 100


@pytest.mark.parametrize(
    ("pieces", "answers"),
    [
        ((b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",), 1),
        ((b"GET /x HTTP/1.1\r\n", b"Host: a\r\n\r\nGET /y HTTP/1.1\r\n\r\n"), 2),
        ((b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\n", b"ab", b"cde"), 1),
        ((b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",), 0),
    ],
)
def test_the_stub_answers_each_whole_request_once(pieces: tuple[bytes, ...], answers: int) -> None:
    """However it arrives."""

    async def kept_open() -> bytes:
        desk = stub.Desk(0.0, None, stub.whole_answer({"status": "ok"}))
        server = await asyncio.get_running_loop().create_server(lambda: stub.Connection(desk), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            found = b""
            for _ in range(answers):
                found += await asyncio.wait_for(reader.readexactly(len(desk.answer)), 5)
            writer.close()
            return found

    assert asyncio.run(kept_open()) == stub.whole_answer({"status": "ok"}) * answers


# --- the mail relay, the log shipper, the link -----------------------------------------------------------------------


def test_the_relay_takes_a_mail_from_the_standard_library() -> None:
    """Greeting, envelope, content, farewell."""
    message = EmailMessage()
    message["From"], message["To"] = "a@shop.example", "b@mail.example"
    message.set_content("one\n.\ntwo\n")

    def deliver(port: int) -> int:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="here", timeout=5) as client:
            return len(client.send_message(message))

    async def talk() -> tuple[int, int]:
        relay = post_office.Relay(0.0)
        server = await asyncio.start_server(relay.talk, "127.0.0.1", 0)
        async with server:
            refused = await asyncio.to_thread(deliver, server.sockets[0].getsockname()[1])
        return refused, relay.accepted

    assert asyncio.run(talk()) == (0, 1)


def test_the_shipper_reads_at_its_rate() -> None:
    """40,960 bytes at 81,920/s are half a second."""
    now = [100.0]
    reading, writing = os.pipe()
    os.write(writing, b"x" * 40_960)
    os.close(writing)
    log_shipper.ship(reading, 81_920, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    os.close(reading)
    assert now[0] == pytest.approx(100.5)


def test_the_shipper_makes_its_pipe_once(tmp_path: Path) -> None:
    """A second start finds it there, and neither waits for a writer."""
    pipe = tmp_path / "audit.log"
    for _ in range(2):
        os.close(log_shipper.make(pipe))
    assert pipe.is_fifo()


def test_only_a_link_with_a_rate_gets_a_bucket() -> None:
    """The rate is in 10^6 bits per second."""
    assert link.inside(100.0)[-1][-7:] == ["tbf", "rate", "100.0mbit", "burst", "64kb", "latency", "50ms"]
    assert not any("tbf" in command for command in link.inside(None))


def test_a_published_port_passes_both_ways_and_closes_with_its_server() -> None:
    """What the server sends comes whole, also when it is more than a buffer."""
    big = os.urandom(1 << 20)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4) + big)
        await writer.drain()
        writer.close()

    async def ask() -> bytes:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            relay = asyncio.create_task(link.publish(listener, *server.sockets[0].getsockname()))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"ping")
            found = await reader.read()
            writer.close()
            relay.cancel()
            server.close()
            return found

    assert asyncio.run(ask()) == b"ping" + big
