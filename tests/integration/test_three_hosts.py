"""Server, load and engine on hosts of their own, each with its own clock; one of them dies while a run is on."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.report.build import validate
from support.netns import Host, Started, hosts, why_not

pytestmark = [pytest.mark.load, pytest.mark.timeout(90)]
TOKEN = "only-known-to-these-hosts"
ENVIRONMENT = {"PINCHPOINT_TOKEN": TOKEN}
DEADLINE_S = 60.0
APP_PORT, AGENT_PORT = 8000, 5558
SERVER_AHEAD_S = 5000
CEILING_RPS = 200
APP = """
import asyncio
four = asyncio.Semaphore(4)  # of 20 ms each: CEILING_RPS

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    async with four:
        await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
PINCHPOINT = (sys.executable, "-m", "pinchpoint")
UVICORN = (sys.executable, "-m", "uvicorn", "plain:app", "--no-access-log", "--lifespan", "off", "--port", "{port}")


@pytest.fixture
def network() -> Iterator[dict[str, Host]]:
    """Return the hosts, the server's clock far ahead."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with hosts({"server": SERVER_AHEAD_S, "engine": 0}) as made:
        yield made


def wait_until(condition: Callable[[], object], said: Callable[[], str]) -> None:
    """Poll until it holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, said()
        time.sleep(0.05)


def watched(server: Host, folder: Path) -> Started:
    """Start the app below an agent on the server's host."""
    (folder / "plain.py").write_text(APP)
    words = ("agent", "--listen", f"{server.address}:{AGENT_PORT}", "--port", str(APP_PORT), "--")
    agent = server.start(
        *PINCHPOINT, *words, *UVICORN, "--host", server.address, log=folder / "agent.log", cwd=folder, env=ENVIRONMENT
    )
    wait_until(lambda: "watches uvicorn" in agent.said(), agent.said)
    return agent


def attached(server: Host, folder: Path) -> tuple[Started, Started]:
    """Start the app with the probe inside, and an agent that only watches it; return both."""
    (folder / "plain.py").write_text(APP)
    environment = probe_environment(folder / "pages", {})
    command = [word.replace("{port}", str(APP_PORT)) for word in (*UVICORN, "--host", server.address)]
    app = server.start(*command, log=folder / "app.log", cwd=folder, env=environment)
    wait_until(lambda: "running on" in app.said(), app.said)
    assert app.inner is not None
    words = ("agent", "--listen", f"{server.address}:{AGENT_PORT}", "--pid", str(app.inner.pid))
    agent = server.start(*PINCHPOINT, *words, log=folder / "agent.log", env=ENVIRONMENT)
    wait_until(lambda: "watches PID" in agent.said(), agent.said)
    return app, agent


def pressing(network: dict[str, Host], folder: Path, *options: str) -> Started:
    """Start a run on the engine's host."""
    address = network["server"].address
    words = ("run", "--url", f"http://{address}:{APP_PORT}", "--allow-host", address)
    words += ("--agent", f"{address}:{AGENT_PORT}", "--get", "/", "--budget", "20s", "--out", str(folder / "run"))
    return network["engine"].start(*PINCHPOINT, *words, *options, log=folder / "run.log", cwd=folder, env=ENVIRONMENT)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return the data of the events of a kind so far."""
    try:
        lines = (folder / "run" / "events.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    found = [json.loads(line) for line in lines]
    return [event["data"] for event in found if event["kind"] == kind]


def report_of(folder: Path) -> dict[str, Any]:
    """Return the report of the run, which must be a valid one."""
    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    assert validate(report) == []
    return report


def test_a_run_sees_a_server_on_another_host_through_its_agent(network: dict[str, Host], tmp_path: Path) -> None:
    """Server figures on our clock, the host's facts, and nothing left there afterwards."""
    agent = watched(network["server"], tmp_path)
    run = pressing(network, tmp_path)
    assert run.wait(DEADLINE_S) == 0, run.said()
    report = report_of(tmp_path)
    steps = [step for step in report["steps"] if step["phase"] in {"ramp", "search"}]
    assert report["validity"]["status"] == "valid", report["validity"]
    assert report["verdict"]["class"] != "undetermined"
    assert steps
    assert all(step["server"]["samples_received"] >= 0.9 * step["server"]["samples_expected"] for step in steps)
    assert all(step["server"]["requests_rps"] == pytest.approx(step["goodput_rps"], rel=0.2) for step in steps)
    target = report["run"]["target"]
    assert target["agent"]["machine"] == "server"
    assert target["agent"]["offset_s"] == pytest.approx(SERVER_AHEAD_S, abs=0.05)
    assert target["agent"]["offset_error_s"] < 0.05
    assert target["server"] == "uvicorn"
    assert target["host"]["cpus"] == report["run"]["host"]["cpus"]
    assert TOKEN not in (tmp_path / "run" / "run.json").read_text()
    inner = agent.inner
    assert inner is not None
    left = inner.children(recursive=True)
    assert left != []
    agent.send(signal.SIGTERM)
    assert agent.wait(DEADLINE_S) == 0
    assert [process for process in left if process.is_running()] == []


def test_a_run_whose_agent_dies_goes_on_and_says_so(network: dict[str, Host], tmp_path: Path) -> None:
    """What the clients see still gives a capacity; of the server nothing is made up."""
    server, agent = attached(network["server"], tmp_path)
    run = pressing(network, tmp_path)
    wait_until(lambda: len(events(tmp_path, "step")) >= 3, run.said)
    agent.send(signal.SIGKILL)
    assert run.wait(DEADLINE_S) == 0, run.said()
    assert server.inner is not None
    assert "is lost" in run.said()
    (lost,) = events(tmp_path, "agent-lost")
    assert lost["name"] == "server"
    report = report_of(tmp_path)
    gates = {gate["name"]: gate["status"] for gate in report["validity"]["gates"]}
    assert (report["validity"]["status"], gates["sampling"]) == ("suspect", "warn")
    assert 100 < report["capacity"]["sustainable_rps"] < 1.1 * CEILING_RPS
    blind = report["steps"][-1]
    assert blind["server"]["samples_received"] == 0
    assert blind["server"]["cpu_cores"] is None
    assert blind["goodput_rps"] > 0
    assert report["verdict"]["class"] in {"undetermined", "none"}
