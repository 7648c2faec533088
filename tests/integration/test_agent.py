"""`pinchpoint agent` as a process: one run at a time, any number in turn, and nothing that outlives it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pinchpoint.commands.afar import Afar
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.session import Session
from pinchpoint.errors import TargetError
from pinchpoint.links import Link, LinkError, connect
from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.remote import RemoteSampler
from pinchpoint.readiness import free_port, http_status
from pinchpoint.recording import read_lines

TOKEN = "one that nobody guesses"
DEADLINE_S = 30.0
APP = """
import os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/die":
        print("going down", flush=True)
        os._exit(3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
UVICORN = (sys.executable, "-m", "uvicorn", "plain:app", "--no-access-log", "--log-level", "critical", "--port")
ENVIRONMENT = {**os.environ, "PINCHPOINT_TOKEN": TOKEN}


def until(look: Callable[[], Any]) -> Any:
    """Return what `look` finds, or fail at the deadline."""
    late_s = time.monotonic() + DEADLINE_S
    while not (found := look()):
        assert time.monotonic() < late_s
        time.sleep(0.02)
    return found


class Agent:
    """A running one."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def said(self) -> str:
        """Return what it told its user."""
        return self.log.read_text()

    def call(self) -> Link:
        """Call it as soon as it listens."""
        until(lambda: "agent on" in self.said() or self.process.poll() is not None)
        return connect("127.0.0.1", self.port, TOKEN)

    def children(self) -> list[psutil.Process]:
        """Return all that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def agent(folder: Path, *words: str) -> Iterator[Agent]:
    """Start an agent; end it on the way out if it has not ended."""
    (folder / "plain.py").write_text(APP)
    port, log = free_port(), folder / "agent.log"
    command = [sys.executable, "-m", "pinchpoint", "agent", "--listen", f"127.0.0.1:{port}", *words]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=output, stderr=output)
    try:
        yield Agent(process, port, log)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


@contextmanager
def run_of(agent: Agent, port: int) -> Iterator[tuple[RemoteSampler, list[Any]]]:
    """Call as a run does, and have rows collected once the server answers."""
    rows: list[Any] = []
    sampler = RemoteSampler(agent.call())
    sampler.start()
    try:
        until(lambda: http_status(f"http://127.0.0.1:{port}/") == 200)
        sampler.begin(port, rows.append, lambda _: None)
        until(lambda: any(process["probe"] for row in rows for process in row["processes"]))
        yield sampler, rows
    finally:
        sampler.stop()


def folders_of(pid: int) -> list[Path]:
    """Return the temporary folders of an agent that are there."""
    parents = (Path(tempfile.gettempdir()), Path("/dev/shm"))  # noqa: S108 - only looked at
    return [path for parent in parents for path in parent.glob(f"pinchpoint-*-{pid}-*")]


def test_runs_are_served_one_at_a_time_and_one_after_the_other(tmp_path: Path) -> None:
    """A second one is turned away while the first is on; a server that died is started anew for the next."""
    port = free_port()
    with agent(tmp_path, "--port", str(port), "--", *UVICORN, "{port}") as one:
        with run_of(one, port) as (first, rows):
            with pytest.raises(LinkError, match=r"busy: with a run from 127\.0\.0\.1"):
                RemoteSampler(one.call())
            assert first.target["server"] == "uvicorn"
            assert http_status(f"http://127.0.0.1:{port}/die") is None
            ended = until(lambda: first.exit)
            assert (ended["code"], ended["message"]) == (3, "the target exited with code 3; its last words: going down")
            assert abs(rows[-1]["t_s"] - time.monotonic()) < 1.0
        until(lambda: "has left: it is done" in one.said())
        with run_of(one, port) as (second, _):
            assert second.exit is None
            assert second.target["notes"] == ["the agent has started the server 2 times"]


def test_a_session_sees_the_far_server_die(tmp_path: Path) -> None:
    """As it sees one of its own die; until then rows are recorded."""
    port, folder = free_port(), tmp_path / "run"
    folder.mkdir()
    with agent(tmp_path, "--port", str(port), "--", *UVICORN, "{port}") as one:
        until(lambda: "agent on" in one.said())
        config = RunConfig(url=f"http://127.0.0.1:{port}", agent=f"127.0.0.1:{one.port}", token=TOKEN)
        with Session(config, folder) as session:
            session.start_target(DEADLINE_S)
            until(lambda: session.sampler is not None and session.sampler.latest)
            session.check()
            assert http_status(f"http://127.0.0.1:{port}/die") is None
            assert isinstance(session.target, Afar)
            until(lambda: session.target is not None and not session.target.alive())
            with pytest.raises(TargetError, match="exited with code 3; its last words: going down"):
                session.check()
    kinds = [event["kind"] for event in read_lines(folder / "events.jsonl")]
    assert {"target-start", "target-ready", "agent", "target-exit"} <= set(kinds)
    assert len(list(read_lines(folder / "server.jsonl"))) >= 1


def test_an_ended_agent_leaves_nothing(tmp_path: Path) -> None:
    """Neither the server, nor a folder; a run that is on is told."""
    port = free_port()
    with agent(tmp_path, "--port", str(port), "--", *UVICORN, "{port}") as one, run_of(one, port) as (sampler, _):
        started = one.children()
        assert len(started) >= 2
        assert len(folders_of(one.process.pid)) == 2
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(DEADLINE_S) == 0
        assert until(lambda: sampler.lost) == "the agent was stopped"
        assert [process for process in started if process.is_running()] == []
        assert folders_of(one.process.pid) == []


def test_a_killed_agents_server_goes_with_it(tmp_path: Path) -> None:
    """The guard sees to it."""
    port = free_port()
    with agent(tmp_path, "--port", str(port), "--", *UVICORN, "{port}") as one:
        until(lambda: http_status(f"http://127.0.0.1:{port}/") == 200)
        started = one.children()
        one.process.kill()
        one.process.wait()
        until(lambda: not any(process.is_running() for process in started))
        for folder in folders_of(one.process.pid):
            shutil.rmtree(folder)  # the next agent would do it


def test_a_server_that_runs_already_outlives_its_agent(tmp_path: Path) -> None:
    """It is looked at with its own probe, and its port is found."""
    (tmp_path / "plain.py").write_text(APP)
    port = free_port()
    environment = probe_environment(tmp_path / "pages", os.environ)
    with psutil.Popen([*UVICORN, str(port)], cwd=tmp_path, env=environment) as server:
        try:
            until(lambda: http_status(f"http://127.0.0.1:{port}/") == 200)
            with agent(tmp_path, "--pid", str(server.pid)) as one:
                with run_of(one, port) as (sampler, _):
                    assert sampler.target["attached"] == server.pid
                    assert sampler.target["port"] == port
                assert f"--url http://127.0.0.1:{port} " in one.said()
            assert http_status(f"http://127.0.0.1:{port}/") == 200
        finally:
            server.kill()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate with")
def test_a_line_can_be_encrypted(tmp_path: Path) -> None:
    """A run that believes the certificate is let in."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=server"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
    with agent(tmp_path, "--tls-cert", str(certificate), "--tls-key", str(key), "--", *sleeper) as one:
        until(lambda: "agent on" in one.said())
        afar = Afar(RunConfig(agent=f"127.0.0.1:{one.port}", token=TOKEN, tls_ca=certificate))
        try:
            assert afar.alive()
        finally:
            afar.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either --pid"),
        (("--pid", "4", "--", "true"), "give either --pid"),
        (("--pages", "x", "--", "true"), "--pages goes with --pid"),
        (("--token", "short", "--", "true"), "can be guessed"),
        (("--", "no-such-program"), "no-such-program"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Exit code 2, one sentence."""
    with agent(tmp_path, *words) as one:
        assert one.process.wait(DEADLINE_S) == 2
        assert message in one.said()
