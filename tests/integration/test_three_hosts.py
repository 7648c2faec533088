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
from pinchpoint.recording import load_recording
from pinchpoint.report.build import validate
from support.netns import Host, Started, hosts, why_not

pytestmark = pytest.mark.timeout(90)
TOKEN = "only-known-to-these-hosts"
ENVIRONMENT = {"PINCHPOINT_TOKEN": TOKEN}
DEADLINE_S = 60.0
APP_PORT, AGENT_PORT, LOAD_PORT = 8000, 5558, 5557
LOAD_HOSTS = ("load1", "load2")
AHEAD_S = {"server": 5000, "engine": 0, "load1": 300, "load2": 9000}
"""Host -> how far its clock is ahead."""
CEILING_RPS = 100
APP = """
import asyncio
two = asyncio.Semaphore(2)  # of 20 ms each: CEILING_RPS

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    async with two:
        await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
PINCHPOINT = (sys.executable, "-m", "pinchpoint")
UVICORN = (sys.executable, "-m", "uvicorn", "plain:app", "--no-access-log", "--lifespan", "off", "--port", "{port}")


@pytest.fixture
def network() -> Iterator[dict[str, Host]]:
    """Return the hosts."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with hosts(AHEAD_S) as made:
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


def pressing(network: dict[str, Host], folder: Path, budget: str, *options: str) -> Started:
    """Start a run on the engine's host."""
    address = network["server"].address
    words = ["run", "--url", f"http://{address}:{APP_PORT}", "--allow-host", address]
    words += ["--agent", f"{address}:{AGENT_PORT}", "--get", "/", "--budget", budget, "--out", str(folder / "run")]
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


def pressing_from_afar(network: dict[str, Host], folder: Path, budget: str) -> tuple[Started, dict[str, Started]]:
    """Start a run whose load comes from both load hosts and from nowhere else; return it and its workers."""
    engine, server = network["engine"].address, network["server"].address
    listen = f"{engine}:{LOAD_PORT}"
    run = pressing(network, folder, budget, "--listen", listen, "--expect-workers", "2", "--processes", "0")
    workers = {}
    for name in LOAD_HOSTS:
        words = ("worker", "--master", listen, "--allow-host", server)
        workers[name] = network[name].start(*PINCHPOINT, *words, log=folder / f"{name}.log", env=ENVIRONMENT)
    return run, workers


def started_by_host(folder: Path) -> dict[str, int]:
    """Return how many requests each host has started."""
    found: dict[str, int] = {}
    for row in load_recording(folder / "run").digests:
        host = row.get("host", "engine")
        found[host] = found.get(host, 0) + row["started"]
    return found


def check_server_figures(report: dict[str, Any]) -> None:
    """Hold the agent's figures against the clients'."""
    steps = [step for step in report["steps"] if step["phase"] in {"ramp", "search"}]
    assert steps
    assert all(step["server"]["samples_received"] >= 0.9 * step["server"]["samples_expected"] for step in steps)
    held = [step for step in steps if step["passed"]]
    assert [step["server"]["requests_rps"] for step in held] == [
        pytest.approx(step["goodput_rps"], rel=0.2) for step in held
    ]


def check_gates(report: dict[str, Any], expected: dict[str, str]) -> None:
    """Hold the gates against what they should say; others may warn where the machine is busy with something else."""
    assert report["validity"]["status"] in {"valid", "suspect"}, report["validity"]
    statuses = {gate["name"]: gate["status"] for gate in report["validity"]["gates"]}
    assert {name: statuses.get(name) for name in expected} == expected


@pytest.mark.paced
def test_load_from_two_hosts_and_figures_from_the_servers(network: dict[str, Host], tmp_path: Path) -> None:
    """One schedule, four clocks; and nothing is left on the server's host afterwards."""
    agent = watched(network["server"], tmp_path)
    run, workers = pressing_from_afar(network, tmp_path, "20s")
    assert run.wait(DEADLINE_S) == 0, run.said()
    report = report_of(tmp_path)
    check_gates(report, {"load-workers": "ok", "sampling": "ok", "probe": "ok", "started-share": "ok"})
    check_server_figures(report)
    assert report["verdict"]["class"] in {"lock", "pool"}  # it waits for the app's semaphore
    target = report["run"]["target"]
    assert (target["agent"]["machine"], target["server"]) == ("server", "uvicorn")
    assert target["agent"]["offset_s"] == pytest.approx(AHEAD_S["server"], abs=0.05)
    assert target["agent"]["offset_error_s"] < 0.05
    assert target["host"]["cpus"] == report["run"]["host"]["cpus"]
    joined = {data["name"].split()[-1]: data["offset_s"] for data in events(tmp_path, "worker-joined")}
    assert joined == {name: pytest.approx(AHEAD_S[name], abs=0.05) for name in LOAD_HOSTS}
    shares = started_by_host(tmp_path)
    assert set(shares) == set(LOAD_HOSTS)
    assert shares["load1"] == pytest.approx(shares["load2"], rel=0.05)
    assert TOKEN not in (tmp_path / "run" / "run.json").read_text()
    assert [worker.wait(DEADLINE_S) for worker in workers.values()] == [0, 0]
    assert agent.inner is not None
    left = agent.inner.children(recursive=True)
    assert left != []
    agent.send(signal.SIGTERM)
    assert agent.wait(DEADLINE_S) == 0
    assert [process for process in left if process.is_running()] == []


def test_a_run_whose_agent_dies_goes_on_and_says_so(network: dict[str, Host], tmp_path: Path) -> None:
    """What the clients see still gives a capacity; of the server nothing is made up."""
    server, agent = attached(network["server"], tmp_path)
    run = pressing(network, tmp_path, "20s")
    wait_until(lambda: len(events(tmp_path, "step")) >= 3, run.said)
    agent.send(signal.SIGKILL)
    assert run.wait(DEADLINE_S) == 0, run.said()
    assert server.inner is not None
    assert "is lost" in run.said()
    (lost,) = events(tmp_path, "agent-lost")
    assert lost["name"] == "server"
    report = report_of(tmp_path)
    check_gates(report, {"agent": "warn", "sampling": "warn"})
    assert 0.5 * CEILING_RPS < report["capacity"]["sustainable_rps"] < 1.1 * CEILING_RPS
    blind = report["steps"][-1]
    assert blind["server"]["samples_received"] == 0
    assert blind["server"]["cpu_cores"] is None
    assert blind["goodput_rps"] > 0
    assert report["verdict"]["class"] in {"undetermined", "none"}
